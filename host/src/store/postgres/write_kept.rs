//! What plugins keep, in a transaction.

use super::{
    source::{PgSource, look},
    table::{Value, row},
};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, FiredTimer, StateEntry},
    store::commands::{
        HeldEntity, Outcome, Trouble,
        source::{DueTimers, Kept},
    },
};

/// The columns that name a row of an entity.
fn named(key: &EntityKey, name: &str) -> Vec<Value> {
    row![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), name]
}

/// The same as bytes: names never hold the byte that parts them.
fn place(key: &EntityKey, name: &str) -> Vec<u8> {
    [key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), name].join("\u{0}").into_bytes()
}

impl Kept for PgSource {
    fn load_entity(&mut self, key: &EntityKey) -> Outcome<HeldEntity> {
        look!(self, entities, key.clone()).cloned()
    }

    fn raise_version(&mut self, key: &EntityKey, from: i64) -> Outcome<bool> {
        let read = look!(self, entities, key.clone())?.snapshot.version;
        let current = self.versions.get(key).copied().unwrap_or(read);
        if current != from {
            return Ok(false);
        }
        let row = row![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), from + 1];
        let rows = if read == 0 { &mut self.writes.new_entities } else { &mut self.writes.raised_entities };
        rows.set(place(key, ""), row);
        self.versions.insert(key.clone(), from + 1);
        Ok(true)
    }

    fn set_state(&mut self, key: &EntityKey, name: &str, entry: &StateEntry) -> Outcome<()> {
        let mut row = named(key, name);
        row.extend(row![&*entry.value, entry.customer.as_deref(), entry.expires.map(|at| at.0)]);
        self.writes.state.set(place(key, name), row);
        Ok(())
    }

    fn remove_state(&mut self, key: &EntityKey, name: &str) -> Outcome<()> {
        self.writes.state.take_back(&place(key, name));
        self.writes.removed_state.set(place(key, name), named(key, name));
        Ok(())
    }

    fn insert_timer(&mut self, key: &EntityKey, timer: &FiredTimer) -> Outcome<()> {
        let mut row = named(key, &timer.key);
        row.extend(row![
            timer.due.0,
            timer.expires.map(|at| at.0),
            timer.customer.as_deref(),
            timer.data.as_str(),
            timer.set_by.as_str(),
            &timer.set_by_run.0[..],
            timer.origin.as_ref().map(|event| &event.0[..]),
            timer.generation,
            false,
        ]);
        self.writes.timers.set(place(key, &timer.key), row);
        self.timers.insert((key.clone(), timer.key.clone()), Some(timer.generation));
        Ok(())
    }

    fn remove_timer(&mut self, key: &EntityKey, timer: &str) -> Outcome<bool> {
        let of_round = self.timers.insert((key.clone(), timer.to_owned()), None);
        let there = match of_round {
            Some(changed) => changed.is_some(),
            None => look!(self, entities, key.clone())?.snapshot.timers.contains_key(timer),
        };
        self.writes.timers.take_back(&place(key, timer));
        self.writes.queued_timers.take_back(&place(key, timer));
        self.writes.removed_timers.set(place(key, timer), named(key, timer));
        Ok(there)
    }

    fn mark_queued(&mut self, key: &EntityKey, timer: &str) -> Outcome<()> {
        self.writes.queued_timers.set(place(key, timer), named(key, timer));
        Ok(())
    }

    fn due_timers(&mut self, now: Timestamp, limit: u32) -> Outcome<DueTimers> {
        let Some((due, next)) = &self.base.due_timers else {
            self.wanted.due_timers = Some((now, limit));
            return Err(Trouble::Miss);
        };
        // What a command before this one took away or set anew is not due.
        let still =
            |(key, timer): &&(EntityKey, FiredTimer)| !self.timers.contains_key(&(key.clone(), timer.key.clone()));
        Ok((due.iter().filter(still).cloned().collect(), *next))
    }
}
