//! Events come in: once each, with the runs that they set off, in one transaction.

use super::{Outcome, Tx, each, source::Sequence};
use crate::{
    clock::Timestamp,
    domain::run::{NewRun, QueuedRun},
    store::{Accepted, RoutedEvent, handover::Change},
};

pub(in crate::store) fn accept_events(tx: &mut Tx<'_>, events: &[RoutedEvent]) -> Outcome<Vec<Accepted>> {
    each(events, |routed| accept_event(tx, routed))
}

pub(super) fn accept_event(tx: &mut Tx<'_>, routed: &RoutedEvent) -> Outcome<Accepted> {
    let event = &routed.event;
    if let Some(runs) = tx.source.event_runs(event.id)? {
        return Ok(Accepted { event: event.id, duplicate: true, runs });
    }
    let seq = tx.source.next(Sequence::Events)?;
    tx.source.insert_event(seq, routed)?;
    for run in &routed.runs {
        // Its id follows from the event's, which is new: so is the run.
        let queued = insert_new_run(tx, run, Some(seq), event.received)?;
        tx.pending.runs.push(queued);
    }
    tx.count(&event.tenant, "events", 1);
    if tx.watched() {
        tx.pending.changes.push(Change::EventAccepted(event.clone(), routed.runs.len()));
    }
    Ok(Accepted { event: event.id, duplicate: false, runs: routed.runs.iter().map(|run| run.id).collect() })
}

/// `None` where this run has been made before: its id is derived from what sets it off.
pub(super) fn insert_run(tx: &mut Tx<'_>, run: &NewRun, accepted: Timestamp) -> Outcome<Option<QueuedRun>> {
    if tx.source.run_exists(run.id)? {
        return Ok(None);
    }
    insert_new_run(tx, run, None, accepted).map(Some)
}

fn insert_new_run(tx: &mut Tx<'_>, run: &NewRun, event: Option<i64>, accepted: Timestamp) -> Outcome<QueuedRun> {
    let seq = tx.source.next(Sequence::Runs)?;
    let queued = QueuedRun { seq, attempts: 0, not_before: accepted, accepted, run: run.clone() };
    tx.source.insert_run(&queued, event)?;
    tx.count(&run.key.tenant, "open-runs", 1);
    Ok(queued)
}
