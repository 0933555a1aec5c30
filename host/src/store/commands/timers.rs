//! Timers that are due become runs, once each and not early.
//!
//! A timer stays until its run commits, marked as queued, so that an earlier run of the entity still sees it and can cancel it.

use super::{Outcome, Tx, accept, each, runs};
use crate::{
    clock::Timestamp,
    domain::run::{Cause, EntityKey, FiredTimer, NewRun},
    ids::RunId,
    store::Fired,
};

pub(in crate::store) fn fire(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Outcome<Fired> {
    let (due, next_due) = tx.source.due_timers(now, limit)?;
    let mut fired = Fired { next_due, ..Fired::default() };
    let (queued, expired): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|(_, timer)| timer.expires.is_none_or(|expires| expires >= now));
    fired.expired = expired.len();
    each(&expired, |(key, timer)| runs::forget_timer(tx, key, timer))?;
    let made = each(queued, |(key, timer)| queue(tx, key, timer, now))?;
    fired.runs = made.into_iter().filter(|made| *made).count();
    Ok(fired)
}

fn queue(tx: &mut Tx<'_>, key: EntityKey, timer: FiredTimer, now: Timestamp) -> Outcome<bool> {
    let run = NewRun {
        id: RunId::of_timer(&key, &timer.key, timer.generation),
        customer: timer.customer.clone(),
        cause: Cause::Timer(timer.clone()),
        key,
        // A timer belongs to its entity's order like everything else that happens to it.
        hold_up: true,
    };
    let Some(queued) = accept::insert_run(tx, &run, now)? else {
        // It has had its run, so nothing would ever take it away.
        tracing::warn!(run = %run.id, timer = timer.key, "a timer that has had its run was still there; it is dropped");
        runs::forget_timer(tx, &run.key, &timer)?;
        return Ok(false);
    };
    tx.source.mark_queued(&run.key, &timer.key)?;
    tx.pending.runs.push(queued);
    Ok(true)
}
