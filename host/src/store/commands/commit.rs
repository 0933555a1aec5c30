//! A finished run commits: its row is there and its entity unchanged, or nothing is written.
//!
//! The run's row is the fence: whoever finds it open may commit, and nobody after them. The entity's version guards against
//! whatever changes an entity outside its queue (an erasure, an operator). Everything is checked before the first effect is
//! written, because other commands share the transaction.

use std::collections::BTreeMap;

use super::{HeldEntity, Outcome, Tx, accept, each, messages, runs, tx::earlier};
use crate::{
    domain::run::{Cause, EntityKey, EntitySnapshot, FiredTimer, StateChange, TimerChange},
    ids::RunId,
    store::{Committed, Effects, RunCommit, RunState, handover::Change},
};

pub(in crate::store) fn commit_run(tx: &mut Tx<'_>, commit: &RunCommit) -> Outcome<Committed> {
    if !tx.source.run_is_open(commit.run.seq, commit.run.run.id)? {
        return Ok(Committed::Gone);
    }
    let key = &commit.run.run.key;
    let held = tx.entity(key)?;
    if held.snapshot.version != commit.version || !tx.source.raise_version(key, commit.version)? {
        // What is cached may be what misled the run: the next one reads the file.
        tx.pending.entities.insert(key.clone(), None);
        return Ok(Committed::Stale);
    }
    let mut snapshot = EntitySnapshot { version: commit.version + 1, ..(*held.snapshot).clone() };
    drop_expired(tx, key, &held, commit, &mut snapshot)?;
    write_state(tx, commit, &mut snapshot.state)?;
    write_timers(tx, commit, &mut snapshot.timers)?;
    let effects = write_effects(tx, commit)?;
    end(tx, commit, &effects)?;
    let held = HeldEntity::new(snapshot);
    let visible = held.at(commit.now);
    tx.pending.entities.insert(key.clone(), Some(held));
    Ok(Committed::Done(visible))
}

/// What has expired is invisible already; a commit is when it leaves the file.
fn drop_expired(
    tx: &mut Tx<'_>,
    key: &EntityKey,
    held: &HeldEntity,
    commit: &RunCommit,
    snapshot: &mut EntitySnapshot,
) -> Outcome<()> {
    for name in held.expired(commit.now) {
        tx.source.remove_state(key, &name)?;
        snapshot.state.remove(&name);
    }
    Ok(())
}

fn write_state(
    tx: &mut Tx<'_>,
    commit: &RunCommit,
    state: &mut BTreeMap<String, crate::domain::run::StateEntry>,
) -> Outcome<()> {
    let key = &commit.run.run.key;
    for (name, change) in &commit.outcome.state {
        match change {
            StateChange::Set(entry) => {
                tx.source.set_state(key, name, entry)?;
                state.insert(name.clone(), entry.clone());
            }
            StateChange::Remove => {
                if state.remove(name).is_some() {
                    tx.source.remove_state(key, name)?;
                }
            }
        }
    }
    Ok(())
}

fn write_timers(tx: &mut Tx<'_>, commit: &RunCommit, timers: &mut BTreeMap<String, FiredTimer>) -> Outcome<()> {
    let key = &commit.run.run.key;
    // A timer goes when its run commits, unless it has been set anew since.
    if let Cause::Timer(fired) = &commit.run.run.cause
        && timers.get(&fired.key).is_some_and(|timer| timer.generation == fired.generation)
    {
        timers.remove(&fired.key);
        remove_timer(tx, key, &fired.key)?;
    }
    for (name, change) in &commit.outcome.timers {
        if let Some(old) = timers.remove(name) {
            remove_timer(tx, key, name)?;
            withdraw(tx, commit, name, old.generation)?;
        }
        if let TimerChange::Set { due, expires, data } = change {
            let timer = FiredTimer {
                key: name.clone(),
                due: *due,
                expires: *expires,
                customer: commit.run.run.customer.clone(),
                data: data.clone(),
                set_by: commit.report.plugin_version.clone(),
                set_by_run: commit.run.run.id,
                origin: commit.origin,
                generation: commit.run.seq,
            };
            insert_timer(tx, key, &timer)?;
            timers.insert(name.clone(), timer);
        }
    }
    Ok(())
}

/// The timer that is replaced or cancelled may have come due already: its run must not be executed any more.
fn withdraw(tx: &mut Tx<'_>, commit: &RunCommit, timer: &str, generation: i64) -> Outcome<()> {
    let key = &commit.run.run.key;
    let run = RunId::of_timer(key, timer, generation);
    if run != commit.run.run.id && tx.source.delete_open_run(run)? {
        tx.count(&key.tenant, "open-runs", -1);
    }
    Ok(())
}

fn insert_timer(tx: &mut Tx<'_>, key: &EntityKey, timer: &FiredTimer) -> Outcome<()> {
    tx.source.insert_timer(key, timer)?;
    tx.count(&key.tenant, "timers", 1);
    tx.pending.timer_due = earlier(tx.pending.timer_due, timer.due);
    Ok(())
}

pub(super) fn remove_timer(tx: &mut Tx<'_>, key: &EntityKey, timer: &str) -> Outcome<()> {
    if tx.source.remove_timer(key, timer)? {
        tx.count(&key.tenant, "timers", -1);
    }
    Ok(())
}

fn write_effects(tx: &mut Tx<'_>, commit: &RunCommit) -> Outcome<Effects> {
    let outcome = &commit.outcome;
    let key = &commit.run.run.key;
    each(&outcome.messages, |message| messages::insert_new(tx, message, commit.now))?;
    each(&commit.emitted, |routed| accept::accept_event(tx, routed))?;
    for message in &outcome.cancels {
        let own = tx
            .held_message(&key.tenant, *message)?
            .is_some_and(|held| held.record.message.author.as_ref().is_some_and(|author| author.plugin == key.plugin));
        if own {
            messages::cancel(tx, &key.tenant, *message, commit.now)?;
        }
    }
    Ok(Effects {
        messages: outcome.messages.iter().map(|message| message.id).collect(),
        timers: outcome.timers.keys().cloned().collect(),
        state: outcome.state.keys().cloned().collect(),
        events: commit.emitted.iter().map(|routed| routed.event.id).collect(),
        cancels: outcome.cancels.clone(),
    })
}

fn end(tx: &mut Tx<'_>, commit: &RunCommit, effects: &Effects) -> Outcome<()> {
    let run = &commit.run;
    tx.source.set_run(run.seq, RunState::Done, run.attempts + 1, run.not_before)?;
    tx.source.write_result(run.seq, commit.now, None, Some(&commit.report), Some(effects))?;
    tx.count(&run.run.key.tenant, "open-runs", -1);
    if tx.watched() {
        let story = runs::Ended {
            state: RunState::Done,
            attempts: run.attempts + 1,
            at: commit.now,
            failure: None,
            report: Some(&commit.report),
            effects: Some(effects),
        };
        tx.pending.changes.push(Change::Run { tenant: run.run.key.tenant.clone(), run: Box::new(story.of(run)) });
    }
    Ok(())
}
