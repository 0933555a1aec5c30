//! Runs that failed, were set aside, and what an operator does about them.

use super::{HeldEntity, Outcome, Tx, accept, commit, each};
use crate::{
    clock::Timestamp,
    domain::run::{Cause, EntityKey, FiredTimer, QueuedRun, RunFailure, RunReport},
    ids::{RunId, TenantId},
    store::{Effects, FailureVerdict, RunFailed, RunState, RunStory, handover::Change},
};

pub(in crate::store) fn fail_run(tx: &mut Tx<'_>, failed: &RunFailed) -> Outcome<bool> {
    let run = &failed.run;
    if !tx.source.run_is_open(run.seq, run.run.id)? {
        return Ok(false);
    }
    let (state, at) = match failed.verdict {
        FailureVerdict::Again(not_before) => (RunState::Open, not_before),
        FailureVerdict::SetAside => (RunState::SetAside, failed.now),
    };
    tx.source.set_run(run.seq, state, run.attempts + 1, at)?;
    tx.source.write_result(run.seq, failed.now, Some(&failed.failure), Some(&failed.report), None)?;
    if state == RunState::SetAside {
        tx.count(&run.run.key.tenant, "open-runs", -1);
        tx.count(&run.run.key.tenant, "set-aside-runs", 1);
        if let Cause::Timer(timer) = &run.run.cause {
            forget_timer(tx, &run.run.key, timer)?;
        }
        if let Some(alert) = &failed.alert {
            accept::accept_event(tx, alert)?;
        }
    }
    if tx.watched() {
        let ended = Ended {
            state,
            attempts: run.attempts + 1,
            at,
            failure: Some(&failed.failure),
            report: Some(&failed.report),
            effects: None,
        };
        tx.pending.changes.push(Change::Run { tenant: run.run.key.tenant.clone(), run: Box::new(ended.of(run)) });
    }
    Ok(true)
}

/// A timer whose run will not commit must not wait for it, unless it has been set anew since. The entity changes by it, so its
/// version rises: a run that is being executed on the older one is executed again.
pub(super) fn forget_timer(tx: &mut Tx<'_>, key: &EntityKey, fired: &FiredTimer) -> Outcome<()> {
    let held = tx.entity(key)?;
    let version = held.snapshot.version;
    let there = held.snapshot.timers.get(&fired.key).is_some_and(|timer| timer.generation == fired.generation);
    if there && tx.source.raise_version(key, version)? {
        commit::remove_timer(tx, key, &fired.key)?;
        let mut snapshot = (*held.snapshot).clone();
        snapshot.version += 1;
        snapshot.timers.remove(&fired.key);
        tx.pending.entities.insert(key.clone(), Some(HeldEntity::new(snapshot)));
    }
    Ok(())
}

pub(in crate::store) fn replay_run(tx: &mut Tx<'_>, tenant: &TenantId, id: RunId, now: Timestamp) -> Outcome<bool> {
    let Some(mut run) = set_aside(tx, tenant, id)? else { return Ok(false) };
    tx.source.set_run(run.seq, RunState::Open, 0, now)?;
    tx.count(tenant, "open-runs", 1);
    tx.count(tenant, "set-aside-runs", -1);
    run.attempts = 0;
    run.not_before = now;
    tx.pending.runs.push(run);
    Ok(true)
}

pub(in crate::store) fn discard_run(tx: &mut Tx<'_>, tenant: &TenantId, id: RunId, now: Timestamp) -> Outcome<bool> {
    let Some(run) = set_aside(tx, tenant, id)? else { return Ok(false) };
    // Its failure and its report stay, to be read.
    tx.source.set_run(run.seq, RunState::Discarded, run.attempts, run.not_before)?;
    tx.source.date_result(run.seq, now)?;
    tx.count(tenant, "set-aside-runs", -1);
    Ok(true)
}

fn set_aside(tx: &mut Tx<'_>, tenant: &TenantId, id: RunId) -> Outcome<Option<QueuedRun>> {
    let found = tx.source.run(id)?;
    Ok(found.filter(|(run, state)| run.run.key.tenant == *tenant && *state == RunState::SetAside).map(|(run, _)| run))
}

/// Runs that were set aside when they were looked for, by their numbers and ids.
pub(in crate::store) type SetAside = Vec<(i64, RunId)>;

/// How many of them were set aside still, and are open again.
pub(in crate::store) fn replay_each(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    runs: &SetAside,
    now: Timestamp,
) -> Outcome<u32> {
    each(runs, |(_, id)| replay_run(tx, tenant, *id, now)).map(count)
}

/// The same, ended.
pub(in crate::store) fn discard_each(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    runs: &SetAside,
    now: Timestamp,
) -> Outcome<u32> {
    each(runs, |(_, id)| discard_run(tx, tenant, *id, now)).map(count)
}

fn count(done: Vec<bool>) -> u32 {
    done.into_iter().map(u32::from).sum()
}

/// How a run stands, for its story.
pub(in crate::store) struct Ended<'a> {
    pub(in crate::store) state: RunState,
    pub(in crate::store) attempts: u32,
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) failure: Option<&'a RunFailure>,
    pub(in crate::store) report: Option<&'a RunReport>,
    pub(in crate::store) effects: Option<&'a Effects>,
}

impl Ended<'_> {
    pub(in crate::store) fn of(&self, run: &QueuedRun) -> RunStory {
        RunStory {
            seq: run.seq,
            id: run.run.id,
            plugin: run.run.key.plugin.clone(),
            entity: run.run.key.entity.to_string(),
            customer: run.run.customer.clone(),
            kind: run.run.cause.kind().to_owned(),
            cause: run.run.cause.name(),
            state: self.state,
            attempts: self.attempts,
            accepted: run.accepted,
            at: Some(self.at),
            failure: self.failure.cloned(),
            report: self.report.cloned(),
            effects: self.effects.cloned(),
        }
    }
}
