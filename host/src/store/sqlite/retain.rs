//! Rows that are old and ended: found by a reader in the order in which they came, emptied or deleted by the writer.
//!
//! Every statement that writes asks again whether the row has ended. What is in memory is not touched: a message that is settled
//! and a run that has ended are in no cache.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{error::Outcome, rows, source::SqliteSource, writer::Job};
use crate::{
    clock::Timestamp,
    domain::run::Cause,
    ids::{EventId, TenantId},
    store::{
        self, Aged, Error, RetainStep,
        commands::{self, Tx, tx::Counts},
        retention::{Chosen, Seen, Taken, choose},
    },
};

/// None of the runs that an event set off is open or was set aside.
const EVENT_ENDED: &str = "NOT EXISTS (WITH RECURSIVE n(i) AS \
                           (SELECT 1 UNION ALL SELECT i + 16 FROM n WHERE i + 16 < length(r.runs)) \
                           SELECT 1 FROM n WHERE (SELECT x.state FROM runs x WHERE x.id = substr(r.runs, n.i, 16)) IN (0, 2))";
const RUN_ENDED: &str = "r.state IN (1, 3)";
const SETTLED: &str = "EXISTS (SELECT 1 FROM message_states s WHERE s.seq = r.seq AND s.settled = 1)";
/// How a message without content is written: quotes of a text are escaped, so no text holds this.
const EMPTY_CONTENT: &str = r#""content":{}"#;

/// How a kind is found and what is done to it.
struct Kind {
    table: &'static str,
    seq: &'static str,
    came: &'static str,
    /// With `?3` for what is old and `?4` for old keys.
    wanted: String,
    /// The last says how many rows there were. Each with `?1` for the row.
    statements: Vec<String>,
}

impl Kind {
    fn emptied(table: &'static str, came: &'static str, full: &str, ended: &str, set: &str) -> Kind {
        let update = format!("UPDATE {table} AS r SET {set} WHERE seq = ?1 AND {ended}");
        Kind { table, seq: "seq", came, wanted: format!("({full}) AND {ended}"), statements: vec![update] }
    }

    /// The last row of a table stays: its number must not be given again after the next start.
    fn gone(table: &'static str, came: &'static str, ended: &str, before: &[String]) -> Kind {
        let mut statements = before.to_vec();
        statements.push(format!("DELETE FROM {table} AS r WHERE seq = ?1 AND {ended}"));
        let wanted = format!("{ended} AND r.seq < (SELECT max(seq) FROM {table})");
        Kind { table, seq: "seq", came, wanted, statements }
    }

    fn of(what: Aged) -> Kind {
        match what {
            Aged::EventBodies => Kind::emptied(
                "events",
                "received",
                "r.data <> 'null' OR r.attributes IS NOT NULL OR r.notes IS NOT NULL",
                EVENT_ENDED,
                "data = 'null', attributes = NULL, notes = NULL",
            ),
            Aged::RunBodies => Kind::run_bodies(),
            Aged::MessageBodies => Kind::emptied(
                "messages",
                "created",
                &format!("instr(r.body, '{EMPTY_CONTENT}') = 0"),
                SETTLED,
                "body = json_set(body, '$.content', json('{}'))",
            ),
            Aged::IncomingBodies => Kind::emptied(
                "incoming",
                "time",
                "json_extract(r.body, '$.text') <> '' OR json_extract(r.body, '$.sender_name') IS NOT NULL \
                 OR json_extract(r.body, '$.choice') IS NOT NULL OR json_array_length(r.body, '$.media') > 0 \
                 OR json_extract(r.body, '$.location') IS NOT NULL OR coalesce(json_array_length(r.body, '$.attributes'), 0) > 0",
                "true",
                "body = json_set(body, '$.text', '', '$.sender_name', NULL, '$.choice', NULL, '$.media', json('[]'), \
                 '$.location', NULL, '$.attributes', json('[]'))",
            ),
            Aged::Parked => Kind {
                table: "parked_receipts",
                seq: "id",
                came: "received",
                wanted: "true".to_owned(),
                statements: vec!["DELETE FROM parked_receipts WHERE id = ?1".to_owned()],
            },
            Aged::Events => {
                let keep = format!(
                    "INSERT OR IGNORE INTO old_event_keys (seq, id, received) \
                     SELECT r.seq, r.id, r.received FROM events r WHERE r.seq = ?1 AND {EVENT_ENDED}"
                );
                Kind::gone("events", "received", EVENT_ENDED, &[keep])
            }
            Aged::Runs => Kind::runs(),
            Aged::Messages => Kind::messages(),
            Aged::Incoming => Kind::gone("incoming", "time", "true", &[]),
            Aged::Keys => Kind {
                table: "old_event_keys",
                seq: "seq",
                came: "received",
                wanted: "true".to_owned(),
                statements: vec![
                    "DELETE FROM event_keys WHERE id = (SELECT id FROM old_event_keys WHERE seq = ?1)".to_owned(),
                    "DELETE FROM old_event_keys WHERE seq = ?1".to_owned(),
                ],
            },
        }
    }

    /// A run is as old as its end.
    fn run_bodies() -> Kind {
        let full = "SELECT 1 FROM run_results s WHERE s.seq = r.seq AND s.at < ?3 \
                    AND (s.failure IS NOT NULL OR s.report IS NOT NULL OR r.payload IS NOT NULL)";
        let result = format!(
            "UPDATE run_results SET failure = NULL, report = NULL \
             WHERE seq = ?1 AND EXISTS (SELECT 1 FROM runs r WHERE r.seq = ?1 AND {RUN_ENDED})"
        );
        let mut kind = Kind::emptied("runs", "accepted", &format!("EXISTS ({full})"), RUN_ENDED, "payload = NULL");
        kind.statements.insert(0, result);
        kind
    }

    fn runs() -> Kind {
        let result = format!(
            "DELETE FROM run_results WHERE seq = ?1 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.seq = ?1 AND {RUN_ENDED})"
        );
        let mut kind = Kind::gone("runs", "accepted", RUN_ENDED, &[result]);
        kind.wanted.push_str(" AND coalesce((SELECT s.at FROM run_results s WHERE s.seq = r.seq), r.accepted) < ?3");
        kind
    }

    fn messages() -> Kind {
        let of = |table: &str, column: &str| {
            format!(
                "DELETE FROM {table} WHERE {column} = ?1 AND EXISTS (SELECT 1 FROM messages r WHERE r.seq = ?1 AND {SETTLED})"
            )
        };
        let keys = format!(
            "DELETE FROM dedup_keys WHERE (tenant, lane, message) = \
             (SELECT r.tenant, r.lane, r.id FROM messages r WHERE r.seq = ?1 AND {SETTLED})"
        );
        // What was used of the places with a recipient goes with the last message to them.
        let places = format!(
            "DELETE FROM plugin_use WHERE (tenant, name) = \
             (SELECT r.tenant, 'to/' || r.lane FROM messages r WHERE r.seq = ?1 AND {SETTLED}) \
             AND at < (SELECT r.created + 3600000 FROM messages r WHERE r.seq = ?1)"
        );
        let parts = of("attempt_parts", "message");
        let before = [keys, places, of("attempts", "message"), parts, of("receipts", "message")];
        let mut kind = Kind::gone("messages", "created", SETTLED, &before);
        // The state goes after the message, because it says whether the message may go.
        kind.statements.push("DELETE FROM message_states WHERE seq = ?1 AND settled = 1".to_owned());
        kind.wanted.push_str(
            " AND (r.created < ?4 OR NOT EXISTS (SELECT 1 FROM dedup_keys d \
             WHERE d.tenant = r.tenant AND d.lane = r.lane AND d.message = r.id))",
        );
        kind
    }
}

/// The next rows of a kind, and those of them to be taken.
pub(super) fn look(conn: &Connection, step: &RetainStep) -> Outcome<Taken> {
    let Kind { table, seq, came, wanted, .. } = Kind::of(step.what);
    let id = if step.what == Aged::Events { "r.id" } else { "NULL" };
    // Every parameter is named, so that each kind takes the same four.
    let sql = format!(
        "SELECT r.{seq}, r.{came}, r.{came} < ?3 AND {wanted} AND ?4 IS NOT NULL, {id} FROM {table} r \
         WHERE r.{seq} > ?1 ORDER BY r.{seq} LIMIT ?2"
    );
    let keys_before = step.keys_before.unwrap_or(Timestamp(i64::MIN));
    let mut statement = conn.prepare_cached(&sql)?;
    let page = statement.query_map(params![step.after, step.limit, step.before.0, keys_before.0], |row| {
        Ok(Seen {
            seq: row.get(0)?,
            came: Timestamp(row.get(1)?),
            wanted: row.get(2)?,
            event: row.get::<_, Option<[u8; 16]>>(3)?.map(EventId),
        })
    })?;
    let page = page.collect::<rusqlite::Result<Vec<_>>>()?;
    let chosen = choose(step, &page);
    let held = held(conn, &chosen)?;
    Ok(chosen.without(&held))
}

/// Which of the events timers refer to, or runs of timers that were set aside.
fn held(conn: &Connection, chosen: &Chosen) -> Outcome<HashSet<EventId>> {
    let mut held = HashSet::new();
    if !chosen.rows.iter().any(|(_, event)| event.is_some()) {
        return Ok(held);
    }
    let mut timers = conn.prepare_cached("SELECT DISTINCT origin FROM timers WHERE origin IS NOT NULL")?;
    for origin in timers.query_map([], |row| row.get::<_, [u8; 16]>(0))? {
        held.insert(EventId(origin?));
    }
    let mut aside = conn.prepare_cached("SELECT payload FROM runs WHERE state = 2 AND kind = 1")?;
    for cause in aside.query_map([], |row| rows::json_or_none::<Cause>(row, 0))? {
        if let Some(Cause::Timer(timer)) = cause? {
            held.extend(timer.origin);
        }
    }
    Ok(held)
}

/// A step on its way to the writer.
pub(super) struct Sweep {
    what: Aged,
    seqs: Vec<i64>,
    rows: u64,
    caller: oneshot::Sender<store::Result<u64>>,
}

impl Sweep {
    pub(super) fn new(what: Aged, seqs: Vec<i64>) -> (Sweep, oneshot::Receiver<store::Result<u64>>) {
        let (caller, answer) = oneshot::channel();
        (Sweep { what, seqs, rows: 0, caller }, answer)
    }

    /// What is counted as being in doubt is not any more, once nobody can clear it up.
    fn forget_doubts(&self, source: &SqliteSource<'_>) -> Outcome<()> {
        let sql = "SELECT m.tenant, count(*) FROM messages m JOIN attempts a ON a.message = m.seq \
                   WHERE m.seq = ?1 AND a.state = 'uncertain' GROUP BY m.tenant";
        let mut counts = Counts::new();
        for seq in &self.seqs {
            let found =
                source.one(sql, [seq], |row| Ok((rows::must_name::<TenantId>(row, 0)?, row.get::<_, i64>(1)?)))?;
            if let Some((tenant, doubts)) = found {
                *counts.entry((tenant, "uncertain-attempts")).or_default() -= doubts;
            }
        }
        source.write_counts(&counts)
    }
}

impl Job for Sweep {
    fn sweep(&mut self, source: &SqliteSource<'_>) -> Outcome<()> {
        // It may be done twice, where the first transaction that it was part of failed.
        self.rows = 0;
        if self.what == Aged::Messages {
            self.forget_doubts(source)?;
        }
        let kind = Kind::of(self.what);
        for seq in &self.seqs {
            let mut changed = 0;
            for sql in &kind.statements {
                changed = source.execute(sql, [seq])?;
            }
            self.rows += changed as u64;
        }
        Ok(())
    }

    fn apply(&mut self, _: &mut Tx<'_>) -> commands::Outcome<()> {
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<&Error>) {
        // Who asked may have gone; what was asked is done all the same.
        let _ = self.caller.send(failed.map_or(Ok(self.rows), |error| Err(error.again())));
    }
}
