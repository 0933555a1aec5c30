//! Rows of events and runs.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        run::{Cause, NewRun, QueuedRun, RunFailure, RunReport},
    },
    ids::{EventId, RunId},
    store::{
        Effects, RoutedEvent, RunState,
        commands::{
            self,
            source::{Inbox, Sequence},
        },
    },
};

pub(super) const OPEN: i64 = 0;
pub(super) const DONE: i64 = 1;
pub(super) const SET_ASIDE: i64 = 2;
pub(super) const DISCARDED: i64 = 3;

pub(super) fn state_number(state: RunState) -> i64 {
    match state {
        RunState::Open => OPEN,
        RunState::Done => DONE,
        RunState::SetAside => SET_ASIDE,
        RunState::Discarded => DISCARDED,
    }
}

pub(super) fn state_of_number(number: i64) -> RunState {
    match number {
        OPEN => RunState::Open,
        DONE => RunState::Done,
        SET_ASIDE => RunState::SetAside,
        _ => RunState::Discarded,
    }
}

impl Inbox for SqliteSource<'_> {
    fn next(&mut self, sequence: Sequence) -> commands::Outcome<i64> {
        let last = match sequence {
            Sequence::Events => &mut self.seqs.events,
            Sequence::Runs => &mut self.seqs.runs,
            Sequence::Messages => &mut self.seqs.messages,
            Sequence::Incoming => &mut self.seqs.incoming,
        };
        *last += 1;
        Ok(*last)
    }

    fn event_runs(&mut self, id: EventId) -> commands::Outcome<Option<Vec<RunId>>> {
        // A key whose event has been deleted by its age still says that it was here.
        let sql = "SELECT coalesce(e.runs, x'') FROM event_keys k LEFT JOIN events e ON e.seq = k.seq WHERE k.id = ?1";
        let ids = self.one(sql, [&id.0], |row| row.get::<_, Vec<u8>>(0))?;
        Ok(ids.map(|ids| run_ids(&ids)))
    }

    fn insert_event(&mut self, seq: i64, routed: &RoutedEvent) -> commands::Outcome<()> {
        self.execute("INSERT INTO event_keys (id, seq) VALUES (?1, ?2)", params![routed.event.id.0, seq])?;
        insert_event(self, seq, routed)?;
        Ok(())
    }

    fn run_exists(&mut self, id: RunId) -> commands::Outcome<bool> {
        Ok(self.one("SELECT 1 FROM runs WHERE id = ?1", [&id.0], |_| Ok(()))?.is_some())
    }

    fn run_is_open(&mut self, seq: i64, id: RunId) -> commands::Outcome<bool> {
        let sql = "SELECT 1 FROM runs WHERE seq = ?1 AND id = ?2 AND state = 0";
        Ok(self.one(sql, params![seq, id.0], |_| Ok(()))?.is_some())
    }

    fn run(&mut self, id: RunId) -> commands::Outcome<Option<(QueuedRun, RunState)>> {
        Ok(run_by_id(self.conn, id)?)
    }

    fn insert_run(&mut self, run: &QueuedRun, event: Option<i64>) -> commands::Outcome<()> {
        let payload = match &run.run.cause {
            Cause::Event(_) => None,
            other => Some(serde_json::to_string(other)?),
        };
        let key = &run.run.key;
        let sql = "INSERT INTO runs (seq, id, tenant, plugin, entity, customer, kind, event, payload, hold_up, state, \
                   attempts, not_before, accepted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13)";
        self.execute(
            sql,
            params![
                run.seq,
                run.run.id.0,
                key.tenant.as_str(),
                key.plugin.as_str(),
                key.entity.as_str(),
                run.run.customer.as_deref(),
                kind_number(&run.run.cause),
                event,
                payload,
                run.run.hold_up,
                run.attempts,
                run.not_before.0,
                run.accepted.0,
            ],
        )?;
        Ok(())
    }

    fn set_run(&mut self, seq: i64, state: RunState, attempts: u32, not_before: Timestamp) -> commands::Outcome<()> {
        let sql = "UPDATE runs SET state = ?2, attempts = ?3, not_before = ?4 WHERE seq = ?1";
        self.execute(sql, params![seq, state_number(state), attempts, not_before.0])?;
        Ok(())
    }

    fn delete_open_run(&mut self, id: RunId) -> commands::Outcome<bool> {
        Ok(self.execute("DELETE FROM runs WHERE id = ?1 AND state = 0", [&id.0])? > 0)
    }

    fn write_result(
        &mut self,
        seq: i64,
        at: Timestamp,
        failure: Option<&RunFailure>,
        report: Option<&RunReport>,
        effects: Option<&Effects>,
    ) -> commands::Outcome<()> {
        let sql = "INSERT OR REPLACE INTO run_results (seq, at, failure, report, effects) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(
            sql,
            params![seq, at.0, rows::to_json(failure)?, rows::to_json(report)?, rows::to_json(effects)?],
        )?;
        Ok(())
    }

    fn touch(&mut self) -> commands::Outcome<()> {
        let sql =
            "INSERT INTO meta (name, value) VALUES ('checked', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1";
        self.execute(sql, [])?;
        Ok(())
    }

    fn date_result(&mut self, seq: i64, at: Timestamp) -> commands::Outcome<()> {
        self.execute("UPDATE run_results SET at = ?2 WHERE seq = ?1", params![seq, at.0])?;
        Ok(())
    }
}

fn insert_event(source: &SqliteSource<'_>, seq: i64, routed: &RoutedEvent) -> Outcome<()> {
    let event = &routed.event;
    let attributes = (!event.attributes.is_empty()).then_some(&event.attributes);
    let notes = (!routed.notes.is_empty()).then_some(&routed.notes);
    let runs: Vec<u8> = routed.runs.iter().flat_map(|run| run.id.0).collect();
    let sql = "INSERT INTO events (seq, id, tenant, source, source_id, type, subject, time, received, customer, data, \
               attributes, cause, notes, runs) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    source.execute(
        sql,
        params![
            seq,
            event.id.0,
            event.tenant.as_str(),
            event.source,
            event.source_id,
            event.event_type,
            event.subject,
            event.time.0,
            event.received.0,
            event.customer.as_deref(),
            &*event.data,
            rows::to_json(attributes)?,
            event.cause.map(|run| run.0),
            rows::to_json(notes)?,
            runs,
        ],
    )?;
    Ok(())
}

fn kind_number(cause: &Cause) -> i64 {
    match cause {
        Cause::Event(_) => 0,
        Cause::Timer(_) => 1,
        Cause::Delivery(_) => 2,
        Cause::Message(_) => 3,
    }
}

pub(super) const KINDS: [&str; 4] = ["event", "timer", "delivery", "message"];

pub(super) fn run_ids(bytes: &[u8]) -> Vec<RunId> {
    bytes.as_chunks::<16>().0.iter().map(|id| RunId(*id)).collect()
}

pub(super) const EVENT_COLUMNS: &str = "e.id, e.tenant, e.source, e.source_id, e.type, e.subject, e.time, e.received, \
                                        e.customer, e.data, e.attributes, e.cause";

/// Reads an event from [`EVENT_COLUMNS`] that begin at `first`.
pub(super) fn read_event(row: &Row<'_>, first: usize) -> rusqlite::Result<Arc<Event>> {
    Ok(Arc::new(Event {
        id: EventId(row.get(first)?),
        tenant: rows::must_name(row, first + 1)?,
        source: row.get(first + 2)?,
        source_id: row.get(first + 3)?,
        event_type: row.get(first + 4)?,
        subject: row.get(first + 5)?,
        time: Timestamp(row.get(first + 6)?),
        received: Timestamp(row.get(first + 7)?),
        customer: rows::name(row, first + 8)?,
        data: rows::shared_text(row, first + 9)?,
        attributes: rows::json_or_none(row, first + 10)?.unwrap_or_default(),
        cause: row.get::<_, Option<[u8; 16]>>(first + 11)?.map(RunId),
    }))
}

/// A run of any state, as it was queued. One of which an erasure or its age has left no cause is not found: there is nothing to
/// execute.
pub(super) fn run_by_id(conn: &Connection, id: RunId) -> Outcome<Option<(QueuedRun, RunState)>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS}, {EVENT_COLUMNS}, r.state FROM runs r LEFT JOIN events e ON e.seq = r.event \
         WHERE r.id = ?1 AND (r.payload IS NOT NULL OR e.seq IS NOT NULL)"
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row([&id.0], |row| Ok((queued_run(row)?, state_of_number(row.get(RUN_COLUMN_COUNT + 12)?))))
        .optional()?;
    Ok(found)
}

pub(super) const RUN_COLUMNS: &str = "r.seq, r.id, r.tenant, r.plugin, r.entity, r.customer, r.payload, r.hold_up, r.attempts, \
                           r.not_before, r.accepted";
const RUN_COLUMN_COUNT: usize = 11;

/// Reads a run from [`RUN_COLUMNS`] and [`EVENT_COLUMNS`].
pub(super) fn queued_run(row: &Row<'_>) -> rusqlite::Result<QueuedRun> {
    let cause = match rows::json_or_none(row, 6)? {
        Some(cause) => cause,
        None => Cause::Event(read_event(row, RUN_COLUMN_COUNT)?),
    };
    Ok(QueuedRun {
        seq: row.get(0)?,
        attempts: row.get(8)?,
        not_before: Timestamp(row.get(9)?),
        accepted: Timestamp(row.get(10)?),
        run: NewRun {
            id: RunId(row.get(1)?),
            key: crate::domain::run::EntityKey {
                tenant: rows::must_name(row, 2)?,
                plugin: rows::must_name(row, 3)?,
                entity: rows::must_name(row, 4)?,
            },
            customer: rows::name(row, 5)?,
            cause,
            hold_up: row.get(7)?,
        },
    })
}
