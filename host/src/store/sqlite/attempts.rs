//! The rows of a message's attempts.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows, tx::Tx};
use crate::{
    clock::Timestamp,
    domain::{customer::Channel, message::Attempt, status::AttemptState},
    ids::{MessageId, TenantId},
};

pub(super) fn of(conn: &Connection, message: i64) -> Outcome<Vec<Attempt>> {
    let sql = "SELECT no, channel, provider, account, address, state, provider_id, rendition, parts, price_micros, planned, \
               answered, failure, decision FROM attempts WHERE message = ?1 ORDER BY no";
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map([message], read)?.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Attempt> {
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

pub(super) fn insert(tx: &Tx<'_>, message: i64, attempt: &Attempt) -> Outcome<()> {
    let sql = "INSERT INTO attempts (message, no, channel, provider, account, address, state, provider_id, rendition, parts, \
               price_micros, planned, answered, failure, decision) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    tx.run(
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
    Ok(())
}

/// Writes what may change once an attempt has been planned.
pub(super) fn update(tx: &Tx<'_>, message: i64, attempt: &Attempt) -> Outcome<()> {
    let sql = "UPDATE attempts SET state = ?3, provider_id = ?4, answered = ?5, failure = ?6, decision = ?7 \
               WHERE message = ?1 AND no = ?2";
    tx.run(
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
    Ok(())
}

/// The attempt that a provider knows under this id.
pub(super) fn by_provider_id(
    tx: &Tx<'_>,
    tenant: &TenantId,
    provider: &str,
    provider_id: &str,
) -> Outcome<Option<(MessageId, u32)>> {
    let sql = "SELECT m.id, a.no FROM attempts a JOIN messages m ON m.seq = a.message \
               WHERE a.provider = ?1 AND a.provider_id = ?2 AND m.tenant = ?3 ORDER BY a.message DESC, a.no DESC LIMIT 1";
    let mut statement = tx.conn.prepare_cached(sql)?;
    let found = statement
        .query_row(params![provider, provider_id, tenant.as_str()], |row| Ok((MessageId(row.get(0)?), row.get(1)?)))
        .optional()?;
    Ok(found)
}
