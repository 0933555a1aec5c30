//! Rows of events and runs, and the open work among them.
//!
//! Open work is read flow by flow (a plugin of a tenant), so that one that is far behind does not stand before the others, and
//! only from the shards that this host owns: what others own is theirs to try.

use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    error::Outcome,
    read::{self, Params},
    rows,
};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        run::{Cause, EntityKey, NewRun, QueuedRun},
    },
    ids::{EventId, RunId},
    store::RunState,
};

/// The partial indexes and the queries below say `state = 0` in so many words: a parameter there would hide the index.
pub(super) const OPEN: i16 = 0;
pub(super) const DONE: i16 = 1;
pub(super) const SET_ASIDE: i16 = 2;
pub(super) const DISCARDED: i16 = 3;

pub(super) fn state_number(state: RunState) -> i16 {
    match state {
        RunState::Open => OPEN,
        RunState::Done => DONE,
        RunState::SetAside => SET_ASIDE,
        RunState::Discarded => DISCARDED,
    }
}

pub(super) fn state_of_number(number: i16) -> RunState {
    match number {
        OPEN => RunState::Open,
        DONE => RunState::Done,
        SET_ASIDE => RunState::SetAside,
        _ => RunState::Discarded,
    }
}

pub(super) fn kind_number(cause: &Cause) -> i16 {
    match cause {
        Cause::Event(_) => 0,
        Cause::Timer(_) => 1,
        Cause::Delivery(_) => 2,
        Cause::Message(_) => 3,
    }
}

pub(super) const KINDS: [&str; 4] = ["event", "timer", "delivery", "message"];

/// The runs that an event set off are written one after the other.
pub(super) fn run_ids(bytes: &[u8]) -> Vec<RunId> {
    bytes.as_chunks::<16>().0.iter().map(|id| RunId(*id)).collect()
}

pub(super) const EVENT_COLUMNS: &str = "e.id, e.tenant, e.source, e.source_id, e.type, e.subject, e.time, e.received, \
                                        e.customer, e.data, e.attributes, e.cause";
pub(super) const EVENT_COLUMN_COUNT: usize = 12;

/// Reads an event from [`EVENT_COLUMNS`] that begin at `first`.
pub(super) fn read_event(row: &Row, first: usize) -> Outcome<Arc<Event>> {
    Ok(Arc::new(Event {
        id: EventId(rows::id(row, first)?),
        tenant: rows::must_name(row, first + 1)?,
        source: row.try_get(first + 2)?,
        source_id: row.try_get(first + 3)?,
        event_type: row.try_get(first + 4)?,
        subject: row.try_get(first + 5)?,
        time: rows::must_time(row, first + 6)?,
        received: rows::must_time(row, first + 7)?,
        customer: rows::name(row, first + 8)?,
        data: rows::shared_text(row, first + 9)?,
        attributes: rows::json_or_none(row, first + 10)?.unwrap_or_default(),
        cause: rows::id_or_none(row, first + 11)?.map(RunId),
    }))
}

pub(super) const RUN_COLUMNS: &str = "r.seq, r.id, r.tenant, r.plugin, r.entity, r.customer, r.payload, r.hold_up, \
                                      r.attempts, r.not_before, r.accepted";
pub(super) const RUN_COLUMN_COUNT: usize = 11;

/// Reads a run from [`RUN_COLUMNS`], which [`EVENT_COLUMNS`] follow.
pub(super) fn queued_run(row: &Row) -> Outcome<QueuedRun> {
    let cause = match rows::json_or_none(row, 6)? {
        Some(cause) => cause,
        None => Cause::Event(read_event(row, RUN_COLUMN_COUNT)?),
    };
    Ok(QueuedRun {
        seq: row.try_get(0)?,
        attempts: rows::count(row, 8)?,
        not_before: Timestamp(row.try_get(9)?),
        accepted: Timestamp(row.try_get(10)?),
        run: NewRun {
            id: RunId(rows::id(row, 1)?),
            key: EntityKey {
                tenant: rows::must_name(row, 2)?,
                plugin: rows::must_name(row, 3)?,
                entity: rows::must_name(row, 4)?,
            },
            customer: rows::name(row, 5)?,
            cause,
            hold_up: row.try_get(7)?,
        },
    })
}

/// A run of any state, as it was queued.
pub(super) async fn run_by_id(client: &ClientWrapper, id: RunId) -> Outcome<Option<(QueuedRun, RunState)>> {
    Ok(runs_by_ids(client, &[id.0.to_vec()], false).await?.pop())
}

/// Runs of any state, as they were queued. Those of which an erasure has left no cause are not among them, since there is
/// nothing to execute: whether a run exists is another question.
pub(super) async fn runs_by_ids(
    client: &ClientWrapper,
    ids: &[Vec<u8>],
    lock: bool,
) -> Outcome<Vec<(QueuedRun, RunState)>> {
    // Locked in one order by everybody, or two transactions could wait for each other.
    let locking = if lock { "FOR UPDATE OF r" } else { "" };
    let sql = format!(
        "SELECT {RUN_COLUMNS}, {EVENT_COLUMNS}, r.state FROM runs r LEFT JOIN events e ON e.seq = r.event \
         WHERE r.id = ANY($1) AND (r.payload IS NOT NULL OR e.seq IS NOT NULL) ORDER BY r.seq {locking}"
    );
    read::all(client, &sql, &[&ids], |row| {
        let state = state_of_number(row.try_get(RUN_COLUMN_COUNT + EVENT_COLUMN_COUNT)?);
        Ok((queued_run(row)?, state))
    })
    .await
}

/// Those of the runs that are open still.
pub(super) async fn runs_by_seqs(client: &ClientWrapper, seqs: &[i64], shards: &[i16]) -> Outcome<Vec<QueuedRun>> {
    select_open(client, "r.seq = ANY($1) AND r.shard = ANY($2) ORDER BY r.seq", &[&seqs, &shards]).await
}

/// Open runs that `condition` chooses. It is text of this module, never of a caller.
pub(super) async fn select_open(
    client: &ClientWrapper,
    condition: &str,
    params: Params<'_>,
) -> Outcome<Vec<QueuedRun>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS}, {EVENT_COLUMNS} FROM runs r LEFT JOIN events e ON e.seq = r.event \
         WHERE r.state = 0 AND {condition}"
    );
    read::all(client, &sql, params, queued_run).await
}
