//! Rows of messages: what was asked for in one, how it stands in another, each attempt in its own.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{Attempt, MessageRecord, NewMessage, Next},
        status::{AttemptState, MessageState},
    },
    ids::{MessageId, TenantId},
    store::commands::{self, Held, source::Outbox},
};

impl Outbox for SqliteSource<'_> {
    fn message_exists(&mut self, id: MessageId) -> commands::Outcome<bool> {
        Ok(self.one("SELECT 1 FROM messages WHERE id = ?1", [&id.0], |_| Ok(()))?.is_some())
    }

    fn load_message(&mut self, id: MessageId) -> commands::Outcome<Option<Arc<Held>>> {
        match self.caches.messages.get(&id) {
            Some(held) if !self.forgotten => Ok(Some(held)),
            _ => Ok(load(self.conn, id)?.map(Arc::new)),
        }
    }

    fn insert_message(&mut self, seq: i64, message: &NewMessage) -> commands::Outcome<()> {
        let sql =
            "INSERT INTO messages (seq, id, tenant, customer, lane, created, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.execute(
            sql,
            params![
                seq,
                message.id.0,
                message.tenant.as_str(),
                message.to.customer().map(|id| id.as_str()),
                message.to.lane(),
                message.created.0,
                serde_json::to_string(message)?,
            ],
        )?;
        Ok(())
    }

    fn write_message_state(&mut self, held: &Held) -> commands::Outcome<()> {
        let record = &held.record;
        let (step, due) = match record.next {
            Next::Nothing => (0, None),
            Next::Now => (1, None),
            Next::At(at) => (2, Some(at.0)),
        };
        let sql = "INSERT OR REPLACE INTO message_states (seq, revision, state, settled, cancel, ended, code, decision, step, due, \
                   tenant) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.execute(
            sql,
            params![
                record.seq,
                record.revision,
                record.state.as_str(),
                record.settled,
                record.cancel,
                held.ended.map(MessageState::as_str),
                record.code,
                rows::to_json(record.decision.as_ref())?,
                step,
                due,
                record.message.tenant.as_str(),
            ],
        )?;
        Ok(())
    }

    fn take_dedup_key(&mut self, message: &NewMessage, plugin: &str, key: &str) -> commands::Outcome<bool> {
        let sql = "INSERT INTO dedup_keys (tenant, lane, plugin, key, message) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (tenant, lane, plugin, key) DO NOTHING";
        let (tenant, lane) = (message.tenant.as_str(), message.to.lane());
        Ok(self.execute(sql, params![tenant, lane, plugin, key, message.id.0])? == 1)
    }

    fn insert_attempt(&mut self, message: i64, attempt: &Attempt) -> commands::Outcome<()> {
        let sql = "INSERT INTO attempts (message, no, channel, provider, account, address, state, provider_id, rendition, parts, \
                   price_micros, planned, answered, failure, decision) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        self.execute(
            sql,
            params![
                message,
                attempt.no,
                attempt.channel.as_str(),
                attempt.provider,
                attempt.account,
                attempt.address,
                attempt.state.as_str(),
                attempt.provider_id,
                attempt.rendition,
                attempt.parts,
                attempt.price_micros,
                attempt.planned.0,
                attempt.answered.map(|at| at.0),
                rows::to_json(attempt.failure.as_ref())?,
                serde_json::to_string(&attempt.decision)?,
            ],
        )?;
        self.write_parts(message, attempt)
    }

    fn update_attempt(&mut self, message: i64, attempt: &Attempt) -> commands::Outcome<()> {
        let sql = "UPDATE attempts SET state = ?3, provider_id = ?4, answered = ?5, failure = ?6, decision = ?7 \
                   WHERE message = ?1 AND no = ?2";
        self.execute(
            sql,
            params![
                message,
                attempt.no,
                attempt.state.as_str(),
                attempt.provider_id,
                attempt.answered.map(|at| at.0),
                rows::to_json(attempt.failure.as_ref())?,
                serde_json::to_string(&attempt.decision)?,
            ],
        )?;
        self.write_parts(message, attempt)
    }

    fn attempt_by_provider_id(
        &mut self,
        tenant: &TenantId,
        provider: &str,
        provider_id: &str,
    ) -> commands::Outcome<Option<(MessageId, u32)>> {
        let sql = "SELECT m.id, a.no FROM attempts a JOIN messages m ON m.seq = a.message WHERE a.provider = ?1 \
                   AND a.provider_id = ?2 AND m.tenant = ?3 ORDER BY a.message DESC, a.no DESC LIMIT 1";
        let key = params![provider, provider_id, tenant.as_str()];
        let read = |row: &Row<'_>| Ok((MessageId(row.get(0)?), row.get(1)?));
        if let Some(whole) = self.one(sql, key, read)? {
            return Ok(Some(whole));
        }
        let sql = "SELECT m.id, p.no FROM attempt_parts p JOIN messages m ON m.seq = p.message WHERE p.provider = ?1 \
                   AND p.provider_id = ?2 AND m.tenant = ?3 ORDER BY p.message DESC, p.no DESC LIMIT 1";
        Ok(self.one(sql, key, read)?)
    }

    fn sent_to(
        &mut self,
        tenant: &TenantId,
        lanes: [&str; 2],
        earliest: Timestamp,
        limit: u32,
    ) -> commands::Outcome<Vec<MessageId>> {
        let sql = "SELECT id FROM messages WHERE tenant = ?1 AND lane IN (?2, ?3) AND created >= ?4 \
                   ORDER BY seq DESC LIMIT ?5";
        let [lane, other] = lanes;
        let key = params![tenant.as_str(), lane, other, earliest.0, limit];
        Ok(self.all(sql, key, |row| row.get(0).map(MessageId))?)
    }
}

impl SqliteSource<'_> {
    /// By which a part's receipt finds its attempt.
    fn write_parts(&mut self, message: i64, attempt: &Attempt) -> commands::Outcome<()> {
        if !attempt.is_in_parts() {
            return Ok(());
        }
        let sql = "INSERT INTO attempt_parts (provider, provider_id, message, no) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (provider, provider_id, message, no) DO NOTHING";
        for part in attempt.provider_ids() {
            self.execute(sql, params![attempt.provider, part, message, attempt.no])?;
        }
        Ok(())
    }
}

const COLUMNS: &str =
    "m.body, m.seq, s.revision, s.state, s.settled, s.cancel, s.ended, s.code, s.decision, s.step, s.due";

fn read(row: &Row<'_>) -> rusqlite::Result<Held> {
    let next = match row.get::<_, i64>(9)? {
        0 => Next::Nothing,
        1 => Next::Now,
        _ => Next::At(Timestamp(row.get(10)?)),
    };
    let ended = match row.get_ref(6)?.as_str_or_null()? {
        Some(_) => Some(rows::word(row, 6, MessageState::parse)?),
        None => None,
    };
    let record = MessageRecord {
        message: rows::json(row, 0)?,
        seq: row.get(1)?,
        revision: row.get(2)?,
        state: rows::word(row, 3, MessageState::parse)?,
        settled: row.get(4)?,
        cancel: row.get(5)?,
        code: row.get(7)?,
        decision: rows::json_or_none(row, 8)?,
        next,
        attempts: Vec::new(),
    };
    Ok(Held { record, ended })
}

pub(super) fn load(conn: &Connection, id: MessageId) -> Outcome<Option<Held>> {
    let sql = format!("SELECT {COLUMNS} FROM messages m JOIN message_states s ON s.seq = m.seq WHERE m.id = ?1");
    let held = conn.prepare_cached(&sql)?.query_row([&id.0], read).optional()?;
    let Some(mut held) = held else { return Ok(None) };
    held.record.attempts = attempts_of(conn, held.record.seq)?;
    Ok(Some(held))
}

/// Messages that `condition` chooses, with their attempts. It is text of this module's neighbours, never of a caller.
pub(super) fn select(conn: &Connection, condition: &str, params: impl rusqlite::Params) -> Outcome<Vec<MessageRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM {condition}");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for held in &mut found {
        held.record.attempts = attempts_of(conn, held.record.seq)?;
    }
    Ok(found.into_iter().map(|held| held.record).collect())
}

fn attempts_of(conn: &Connection, message: i64) -> Outcome<Vec<Attempt>> {
    let sql = "SELECT no, channel, provider, account, address, state, provider_id, rendition, parts, price_micros, planned, \
               answered, failure, decision FROM attempts WHERE message = ?1 ORDER BY no";
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map([message], read_attempt)?.collect::<rusqlite::Result<_>>()?)
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        no: row.get(0)?,
        channel: rows::word(row, 1, Channel::parse)?,
        provider: row.get(2)?,
        account: row.get(3)?,
        address: row.get(4)?,
        state: rows::word(row, 5, AttemptState::parse)?,
        provider_id: row.get(6)?,
        rendition: row.get(7)?,
        parts: row.get(8)?,
        price_micros: row.get(9)?,
        planned: Timestamp(row.get(10)?),
        answered: rows::time(row, 11)?,
        failure: rows::json_or_none(row, 12)?,
        decision: rows::json(row, 13)?,
    })
}
