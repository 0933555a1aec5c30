//! What plugins keep of an entity, held as one.

use std::sync::Arc;

use crate::{clock::Timestamp, domain::run::EntitySnapshot};

/// An entity as its last commit left it, with what has expired since.
#[derive(Clone, Debug)]
pub(in crate::store) struct HeldEntity {
    pub(in crate::store) snapshot: Arc<EntitySnapshot>,
    /// From then on something in it is not to be seen any more.
    earliest_expiry: Timestamp,
}

impl Default for HeldEntity {
    fn default() -> Self {
        HeldEntity::new(EntitySnapshot::default())
    }
}

impl HeldEntity {
    pub(in crate::store) fn new(snapshot: EntitySnapshot) -> HeldEntity {
        let earliest_expiry = snapshot.state.values().filter_map(|entry| entry.expires).min();
        HeldEntity { snapshot: Arc::new(snapshot), earliest_expiry: earliest_expiry.unwrap_or(Timestamp::NEVER) }
    }

    /// What a run sees of it at `now`.
    pub(in crate::store) fn at(&self, now: Timestamp) -> Arc<EntitySnapshot> {
        if now < self.earliest_expiry {
            return self.snapshot.clone();
        }
        let mut visible = (*self.snapshot).clone();
        visible.state.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        Arc::new(visible)
    }

    pub(in crate::store) fn expired(&self, now: Timestamp) -> Vec<String> {
        if now < self.earliest_expiry {
            return Vec::new();
        }
        let expired = self.snapshot.state.iter().filter(|(_, e)| e.expires.is_some_and(|expires| expires <= now));
        expired.map(|(key, _)| key.clone()).collect()
    }
}

/// What it takes in memory, roughly: the names and maps count as well as the values.
pub(in crate::store) fn bytes(held: &HeldEntity) -> usize {
    let state = held.snapshot.state.iter().map(|(key, entry)| 160 + key.len() + entry.value.len()).sum::<usize>();
    let timers = held.snapshot.timers.iter().map(|(key, timer)| 320 + key.len() + timer.data.len()).sum::<usize>();
    320 + state + timers
}
