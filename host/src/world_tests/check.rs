//! What must hold in every world: on the way, and once it has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    plugin::{self, deed, label, route, seen},
    provider::{Fate, fate, reports},
    world::World,
};
use crate::{
    domain::{message::Next, run::Cause, status::AttemptState},
    ids::{AttemptToken, EntityKey, MessageId},
    store::{
        RunState,
        memory::{RunRow, Tables},
    },
};

/// No state moves back, and what is settled stays so.
pub(super) fn on_the_way(world: &World) {
    let mut complaints = Vec::new();
    {
        let tables = world.tables.lock().unwrap();
        let mut ledger = world.ledger.lock().unwrap();
        for (id, settled, attempts) in tables.standing() {
            for attempt in attempts {
                let highest = ledger.highest.entry((id, attempt.no)).or_insert(attempt.state);
                if attempt.state < *highest {
                    complaints
                        .push(format!("attempt {} of {id} fell from {highest:?} to {:?}", attempt.no, attempt.state));
                }
                *highest = attempt.state.max(*highest);
            }
            if settled {
                ledger.settled.insert(id);
            } else if ledger.settled.contains(&id) {
                complaints.push(format!("{id} was settled and is not any more"));
            }
        }
    }
    complaints.into_iter().for_each(|complaint| world.complain(complaint));
}

/// Work that is left.
pub(super) fn unfinished(tables: &Tables) -> Vec<String> {
    let runs = tables.runs.values().filter(|row| row.state == RunState::Open);
    let runs =
        runs.map(|row| format!("run #{} {} of {:?}", row.queued.seq, label(&row.queued.run.cause), row.queued.run.key));
    let timers = tables.timers.iter().map(|((key, name), row)| {
        format!(
            "timer {name} of {key:?}, due {}, generation {}, queued: {}",
            row.timer.due, row.timer.generation, row.queued
        )
    });
    let messages = tables.records().into_iter().filter(|record| !record.settled || record.next != Next::Nothing);
    let messages = messages.map(|record| {
        let attempts: Vec<_> = record.attempts.iter().map(|attempt| (attempt.no, attempt.state)).collect();
        format!(
            "message {} to {:?}: {:?}, next {:?}, {attempts:?}",
            record.message.id, record.message.to, record.state, record.next
        )
    });
    runs.chain(timers).chain(messages).collect()
}

pub(super) fn at_rest(world: &World) {
    let tables = world.tables.lock().unwrap().clone();
    let mut found = Vec::new();
    effects(world, &tables, &mut found);
    timers(world, &tables, &mut found);
    messages(world, &tables, &mut found);
    attempts(world, &tables, &mut found);
    found.into_iter().for_each(|complaint| world.complain(complaint));
}

type Seen = BTreeMap<EntityKey, Vec<(i64, String)>>;

fn all_seen(tables: &Tables) -> Seen {
    tables.state.iter().map(|((key, _), entry)| (key.clone(), seen(Some(entry)))).collect()
}

/// What was acknowledged has its runs; what is done took effect once, in order; what is not done took none.
fn effects(world: &World, tables: &Tables, found: &mut Vec<String>) {
    let runs: BTreeMap<_, &RunRow> = tables.runs.values().map(|row| (row.queued.run.id, &**row)).collect();
    for event in &world.ledger.lock().unwrap().acknowledged {
        for run in route(event) {
            match runs.get(&run.id) {
                None => found.push(format!("lost: {} was acknowledged, and its run is not there", event.source_id)),
                Some(row) if row.state == RunState::Done || row.state == RunState::SetAside => {}
                Some(row) => {
                    found.push(format!("{} was acknowledged, and its run is {:?}", event.source_id, row.state))
                }
            }
        }
    }
    let seen = all_seen(tables);
    for row in tables.runs.values() {
        let (run, none) = (&row.queued.run, Vec::new());
        let of_run = (row.queued.seq, label(&run.cause));
        let times = seen.get(&run.key).unwrap_or(&none).iter().filter(|entry| **entry == of_run).count();
        if times != usize::from(row.state == RunState::Done) {
            found.push(format!("run #{} {} is {:?} and took effect {times} times", of_run.0, of_run.1, row.state));
        }
        let always_fails = deed(world.seed, run).fails > plugin::POLICY.attempts;
        if (row.state == RunState::SetAside) != always_fails {
            found.push(format!("run #{} {} is {:?}, and fails always: {always_fails}", of_run.0, of_run.1, row.state));
        }
    }
    for (key, entries) in &seen {
        for (seq, label) in entries.iter().filter(|(seq, _)| !tables.runs.contains_key(seq)) {
            found.push(format!("invented: {key:?} saw #{seq} {label}, and there is no such run"));
        }
        for pair in entries.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
            found.push(format!(
                "out of order: {key:?} saw #{} {} and then #{} {}",
                pair[0].0, pair[0].1, pair[1].0, pair[1].1
            ));
        }
    }
}

/// A timer fires once for each time that it was set and neither replaced nor cancelled before, and not early.
fn timers(world: &World, tables: &Tables, found: &mut Vec<String>) {
    for row in tables.runs.values() {
        if let Cause::Timer(timer) = &row.queued.run.cause
            && row.queued.accepted < timer.due
        {
            found.push(format!("early: timer {} due {} fired at {}", timer.key, timer.due, row.queued.accepted));
        }
    }
    for (key, entries) in all_seen(tables) {
        let mut set: BTreeMap<String, i64> = BTreeMap::new();
        for (seq, label) in entries {
            let Some(row) = tables.runs.get(&seq) else { continue };
            if let Cause::Timer(timer) = &row.queued.run.cause
                && set.remove(&timer.key) != Some(timer.generation)
            {
                found.push(format!("{key:?}: {label} was replaced, cancelled or fired before, and fired"));
            }
            for (name, change) in deed(world.seed, &row.queued.run).timers {
                match change {
                    Some(_) => drop(set.insert(name, seq)),
                    None => drop(set.remove(&name)),
                }
            }
        }
        for (name, generation) in set {
            let set_aside = tables.runs.values().any(|row| {
                matches!(&row.queued.run.cause, Cause::Timer(timer) if timer.key == name && timer.generation == generation)
                    && row.state == RunState::SetAside
                    && row.queued.run.key == key
            });
            if !set_aside {
                found.push(format!("{key:?}: timer {name} of generation {generation} never fired"));
            }
        }
    }
}

/// The messages are those that the runs that are done asked for.
fn messages(world: &World, tables: &Tables, found: &mut Vec<String>) {
    let done = tables.runs.values().filter(|row| row.state == RunState::Done);
    let asked = done.flat_map(|row| {
        let run = &row.queued.run;
        (0..deed(world.seed, run).messages).map(|no| MessageId::of_run(run.id, no))
    });
    let asked: BTreeSet<MessageId> = asked.collect();
    let there: BTreeSet<MessageId> = tables.records().iter().map(|record| record.message.id).collect();
    asked.difference(&there).for_each(|id| found.push(format!("message {id} was asked for and is not there")));
    there.difference(&asked).for_each(|id| found.push(format!("message {id} is there and nobody asked for it")));
}

/// Each attempt is one request at most, is known, and has a reason where there was one before it.
fn attempts(world: &World, tables: &Tables, found: &mut Vec<String>) {
    let ledger = world.ledger.lock().unwrap();
    let records = tables.records();
    let tokens: BTreeSet<String> = records
        .iter()
        .flat_map(|record| record.attempts.iter().map(|attempt| (record.message.id, attempt.no)))
        .map(|(message, attempt)| AttemptToken { message, attempt }.to_string())
        .collect();
    for (token, times) in &ledger.requests {
        if *times > 1 || !tokens.contains(token) {
            found.push(format!("attempt {token} was made {times} times; known: {}", tokens.contains(token)));
        }
    }
    for record in &records {
        for pair in record.attempts.windows(2) {
            let token = AttemptToken { message: record.message.id, attempt: pair[0].no };
            let told = reports(world.seed, &token);
            let heard = ledger.kills == 0 && ledger.answered.contains(&token.to_string());
            let again = pair[0].channel == pair[1].channel;
            let refused = told.contains(&AttemptState::Failed);
            if again && heard && !refused && fate(world.seed, &token) == Fate::Taken {
                found.push(format!("{token} was taken and answered, and was made again on the same channel"));
            }
        }
    }
}
