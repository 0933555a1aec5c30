//! Runs that failed, were set aside, and what an operator does about them.

use rusqlite::params;

use super::{
    accept::{self, DISCARDED, OPEN, SET_ASIDE},
    commit,
    error::Outcome,
    rows,
    tx::Tx,
};
use crate::{
    clock::Timestamp,
    domain::run::{Cause, EntityKey, FiredTimer, QueuedRun, RunFailure, RunReport},
    ids::{RunId, TenantId},
    store::{Effects, FailureVerdict, RunFailed, RunState, RunStory, handover::Change},
};

/// Whether the run that was handed out is still to be done.
pub(super) fn is_open(tx: &Tx<'_>, run: &QueuedRun) -> Outcome<bool> {
    let sql = "SELECT 1 FROM runs WHERE seq = ?1 AND id = ?2 AND state = 0";
    Ok(tx.one(sql, params![run.seq, run.run.id.0], |_| Ok(()))?.is_some())
}

pub(super) fn write_result(
    tx: &Tx<'_>,
    seq: i64,
    at: Timestamp,
    failure: Option<&RunFailure>,
    report: Option<&RunReport>,
    effects: Option<&Effects>,
) -> Outcome<()> {
    let sql = "INSERT OR REPLACE INTO run_results (seq, at, failure, report, effects) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.run(sql, params![seq, at.0, rows::to_json(failure)?, rows::to_json(report)?, rows::to_json(effects)?])?;
    Ok(())
}

pub(super) fn fail_run(tx: &mut Tx<'_>, failed: &RunFailed) -> Outcome<bool> {
    let run = &failed.run;
    if !is_open(tx, run)? {
        return Ok(false);
    }
    let (state, number, at) = match failed.verdict {
        FailureVerdict::Again(not_before) => (RunState::Open, OPEN, not_before),
        FailureVerdict::SetAside => (RunState::SetAside, SET_ASIDE, failed.now),
    };
    let sql = "UPDATE runs SET state = ?2, attempts = attempts + 1, not_before = ?3 WHERE seq = ?1";
    tx.run(sql, params![run.seq, number, at.0])?;
    write_result(tx, run.seq, failed.now, Some(&failed.failure), Some(&failed.report), None)?;
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

/// A timer whose run will not commit must not wait for it, unless it has been set anew since.
pub(super) fn forget_timer(tx: &mut Tx<'_>, key: &EntityKey, fired: &FiredTimer) -> Outcome<()> {
    let held = tx.entity(key)?;
    if held.snapshot.timers.get(&fired.key).is_some_and(|timer| timer.generation == fired.generation) {
        commit::remove_timer(tx, key, &fired.key)?;
        let mut snapshot = (*held.snapshot).clone();
        snapshot.timers.remove(&fired.key);
        tx.pending.entities.insert(key.clone(), Some(super::entities::HeldEntity::new(snapshot)));
    }
    Ok(())
}

pub(super) fn replay_run(tx: &mut Tx<'_>, tenant: &TenantId, id: RunId, now: Timestamp) -> Outcome<bool> {
    let Some(mut run) = set_aside(tx, tenant, id)? else { return Ok(false) };
    tx.run("UPDATE runs SET state = ?2, attempts = 0, not_before = ?3 WHERE seq = ?1", params![run.seq, OPEN, now.0])?;
    tx.count(tenant, "open-runs", 1);
    tx.count(tenant, "set-aside-runs", -1);
    run.attempts = 0;
    run.not_before = now;
    tx.pending.runs.push(run);
    Ok(true)
}

pub(super) fn discard_run(tx: &mut Tx<'_>, tenant: &TenantId, id: RunId, now: Timestamp) -> Outcome<bool> {
    let Some(run) = set_aside(tx, tenant, id)? else { return Ok(false) };
    // Its failure and its report stay, to be read.
    tx.run("UPDATE runs SET state = ?2 WHERE seq = ?1", params![run.seq, DISCARDED])?;
    tx.run("UPDATE run_results SET at = ?2 WHERE seq = ?1", params![run.seq, now.0])?;
    tx.count(tenant, "set-aside-runs", -1);
    Ok(true)
}

fn set_aside(tx: &Tx<'_>, tenant: &TenantId, id: RunId) -> Outcome<Option<QueuedRun>> {
    let found = accept::run_by_id(tx.conn, id)?;
    Ok(found.filter(|(run, state)| run.run.key.tenant == *tenant && *state == SET_ASIDE).map(|(run, _)| run))
}

/// How a run stands, for its story.
pub(super) struct Ended<'a> {
    pub(super) state: RunState,
    pub(super) attempts: u32,
    pub(super) at: Timestamp,
    pub(super) failure: Option<&'a RunFailure>,
    pub(super) report: Option<&'a RunReport>,
    pub(super) effects: Option<&'a Effects>,
}

impl Ended<'_> {
    pub(super) fn of(&self, run: &QueuedRun) -> RunStory {
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
