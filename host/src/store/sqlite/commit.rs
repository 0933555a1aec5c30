//! A finished run commits: its row is there and its entity unchanged, or nothing is written.
//!
//! The run's row is the fence: whoever finds it open may commit, and nobody after them. The entity's version guards against
//! whatever changes an entity outside its queue (an erasure, an operator). Everything is checked before the first effect is
//! written, because other commands share the transaction.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{
    accept::{self, DONE},
    entities::HeldEntity,
    error::Outcome,
    messages, runs,
    tx::{Tx, earlier},
};
use crate::{
    domain::run::{Cause, EntityKey, EntitySnapshot, FiredTimer, StateChange, TimerChange},
    ids::RunId,
    store::{Committed, Effects, RunCommit, RunState, handover::Change},
};

pub(super) fn commit_run(tx: &mut Tx<'_>, commit: &RunCommit) -> Outcome<Committed> {
    if !runs::is_open(tx, &commit.run)? {
        return Ok(Committed::Gone);
    }
    let key = &commit.run.run.key;
    let held = tx.entity(key)?;
    if held.snapshot.version != commit.version || !raise_version(tx, key, commit.version)? {
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

fn raise_version(tx: &Tx<'_>, key: &EntityKey, version: i64) -> Outcome<bool> {
    let (tenant, plugin, entity) = (key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str());
    let written = if version == 0 {
        let sql = "INSERT INTO entities (tenant, plugin, entity, version) VALUES (?1, ?2, ?3, 1) \
                   ON CONFLICT (tenant, plugin, entity) DO NOTHING";
        tx.run(sql, params![tenant, plugin, entity])?
    } else {
        let sql = "UPDATE entities SET version = version + 1 \
                   WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND version = ?4";
        tx.run(sql, params![tenant, plugin, entity, version])?
    };
    Ok(written == 1)
}

/// What has expired is invisible already; a commit is when it leaves the file.
fn drop_expired(
    tx: &Tx<'_>,
    key: &EntityKey,
    held: &HeldEntity,
    commit: &RunCommit,
    snapshot: &mut EntitySnapshot,
) -> Outcome<()> {
    for name in held.expired(commit.now) {
        remove_state(tx, key, &name)?;
        snapshot.state.remove(&name);
    }
    Ok(())
}

fn write_state(
    tx: &Tx<'_>,
    commit: &RunCommit,
    state: &mut BTreeMap<String, crate::domain::run::StateEntry>,
) -> Outcome<()> {
    let key = &commit.run.run.key;
    for (name, change) in &commit.outcome.state {
        match change {
            StateChange::Set(entry) => {
                let sql = "INSERT INTO state (tenant, plugin, entity, key, value, customer, expires) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, plugin, entity, key) DO UPDATE SET \
                           value = excluded.value, customer = excluded.customer, expires = excluded.expires";
                tx.run(
                    sql,
                    params![
                        key.tenant.as_str(),
                        key.plugin.as_str(),
                        key.entity.as_str(),
                        name,
                        &*entry.value,
                        entry.customer.as_deref(),
                        entry.expires.map(|at| at.0),
                    ],
                )?;
                state.insert(name.clone(), entry.clone());
            }
            StateChange::Remove => {
                if state.remove(name).is_some() {
                    remove_state(tx, key, name)?;
                }
            }
        }
    }
    Ok(())
}

fn remove_state(tx: &Tx<'_>, key: &EntityKey, name: &str) -> Outcome<()> {
    let sql = "DELETE FROM state WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
    tx.run(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), name])?;
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
    if run != commit.run.run.id && tx.run("DELETE FROM runs WHERE id = ?1 AND state = 0", [&run.0])? > 0 {
        tx.count(&key.tenant, "open-runs", -1);
    }
    Ok(())
}

fn insert_timer(tx: &mut Tx<'_>, key: &EntityKey, timer: &FiredTimer) -> Outcome<()> {
    let sql = "INSERT INTO timers (tenant, plugin, entity, key, due, expires, customer, data, set_by, set_by_run, origin, \
               generation, queued) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0)";
    tx.run(
        sql,
        params![
            key.tenant.as_str(),
            key.plugin.as_str(),
            key.entity.as_str(),
            timer.key,
            timer.due.0,
            timer.expires.map(|at| at.0),
            timer.customer.as_deref(),
            timer.data,
            timer.set_by,
            timer.set_by_run.0,
            timer.origin.map(|event| event.0),
            timer.generation,
        ],
    )?;
    tx.count(&key.tenant, "timers", 1);
    tx.pending.timer_due = earlier(tx.pending.timer_due, timer.due);
    Ok(())
}

pub(super) fn remove_timer(tx: &mut Tx<'_>, key: &EntityKey, timer: &str) -> Outcome<()> {
    let sql = "DELETE FROM timers WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
    let removed = tx.run(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), timer])?;
    tx.count(&key.tenant, "timers", -i64::try_from(removed).unwrap_or(0));
    Ok(())
}

fn write_effects(tx: &mut Tx<'_>, commit: &RunCommit) -> Outcome<Effects> {
    let outcome = &commit.outcome;
    let key = &commit.run.run.key;
    for message in &outcome.messages {
        messages::insert(tx, message, commit.now)?;
    }
    for routed in &commit.emitted {
        accept::accept_event(tx, routed)?;
    }
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
    tx.run("UPDATE runs SET state = ?2, attempts = attempts + 1 WHERE seq = ?1", params![run.seq, DONE])?;
    runs::write_result(tx, run.seq, commit.now, None, Some(&commit.report), Some(effects))?;
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
