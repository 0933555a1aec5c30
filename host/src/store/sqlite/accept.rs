//! Events come in: once each, with the runs that they set off, in one transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    error::Outcome,
    rows,
    tx::{Tx, next},
};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        run::{Cause, NewRun, QueuedRun},
    },
    ids::{EventId, RunId},
    store::{Accepted, RoutedEvent, handover::Change},
};

pub(super) const OPEN: i64 = 0;
pub(super) const DONE: i64 = 1;
pub(super) const SET_ASIDE: i64 = 2;
pub(super) const DISCARDED: i64 = 3;

pub(super) fn accept_events(tx: &mut Tx<'_>, events: &[RoutedEvent]) -> Outcome<Vec<Accepted>> {
    events.iter().map(|routed| accept_event(tx, routed)).collect()
}

pub(super) fn accept_event(tx: &mut Tx<'_>, routed: &RoutedEvent) -> Outcome<Accepted> {
    let event = &routed.event;
    let seq = tx.seqs.events + 1;
    let sql = "INSERT INTO event_keys (id, seq) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING";
    if tx.run(sql, params![event.id.0, seq])? == 0 {
        let runs = runs_of(tx.conn, event.id)?;
        return Ok(Accepted { event: event.id, duplicate: true, runs });
    }
    tx.seqs.events = seq;
    insert_event(tx, seq, routed)?;
    for run in &routed.runs {
        if let Some(queued) = insert_run(tx, run, Some(seq), event.received)? {
            tx.pending.runs.push(queued);
        }
    }
    tx.count(&event.tenant, "events", 1);
    if tx.watched() {
        tx.pending.changes.push(Change::EventAccepted(event.clone(), routed.runs.len()));
    }
    Ok(Accepted { event: event.id, duplicate: false, runs: routed.runs.iter().map(|run| run.id).collect() })
}

fn insert_event(tx: &Tx<'_>, seq: i64, routed: &RoutedEvent) -> Outcome<()> {
    let event = &routed.event;
    let attributes = (!event.attributes.is_empty()).then_some(&event.attributes);
    let notes = (!routed.notes.is_empty()).then_some(&routed.notes);
    let runs: Vec<u8> = routed.runs.iter().flat_map(|run| run.id.0).collect();
    let sql = "INSERT INTO events (seq, id, tenant, source, source_id, type, subject, time, received, customer, data, \
               attributes, cause, notes, runs) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    tx.run(
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

/// `None` where this run has been made before: its id is derived from what sets it off.
pub(super) fn insert_run(
    tx: &mut Tx<'_>,
    run: &NewRun,
    event: Option<i64>,
    accepted: Timestamp,
) -> Outcome<Option<QueuedRun>> {
    let payload = match &run.cause {
        Cause::Event(_) => None,
        other => Some(serde_json::to_string(other)?),
    };
    let seq = next(&mut tx.seqs.runs);
    let sql = "INSERT INTO runs (seq, id, tenant, plugin, entity, customer, kind, event, payload, hold_up, state, attempts, \
               not_before, accepted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0, ?11, ?11) \
               ON CONFLICT (id) DO NOTHING";
    let inserted = tx.run(
        sql,
        params![
            seq,
            run.id.0,
            run.key.tenant.as_str(),
            run.key.plugin.as_str(),
            run.key.entity.as_str(),
            run.customer.as_deref(),
            kind_number(&run.cause),
            event,
            payload,
            run.hold_up,
            accepted.0,
        ],
    )?;
    if inserted == 0 {
        return Ok(None);
    }
    tx.count(&run.key.tenant, "open-runs", 1);
    Ok(Some(QueuedRun { seq, attempts: 0, not_before: accepted, accepted, run: run.clone() }))
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

/// The runs that an event set off when it was accepted.
pub(super) fn runs_of(conn: &Connection, event: EventId) -> Outcome<Vec<RunId>> {
    let sql = "SELECT e.runs FROM event_keys k JOIN events e ON e.seq = k.seq WHERE k.id = ?1";
    let ids = conn.prepare_cached(sql)?.query_row([&event.0], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(run_ids(&ids.unwrap_or_default()))
}

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

/// A run of any state, as it was queued.
pub(super) fn run_by_id(conn: &Connection, id: RunId) -> Outcome<Option<(QueuedRun, i64)>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS}, {EVENT_COLUMNS}, r.state FROM runs r LEFT JOIN events e ON e.seq = r.event WHERE r.id = ?1"
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row([&id.0], |row| Ok((queued_run(row)?, row.get(RUN_COLUMN_COUNT + 12)?)))
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
