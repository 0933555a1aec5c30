//! What plugins keep of an entity: read as one, kept in memory as one.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, EntitySnapshot, FiredTimer, StateEntry},
};

/// An entity as its last commit left it, with what has expired since.
#[derive(Clone, Debug)]
pub(super) struct HeldEntity {
    pub(super) snapshot: Arc<EntitySnapshot>,
    /// From then on something in it is not to be seen any more.
    earliest_expiry: Timestamp,
}

impl Default for HeldEntity {
    fn default() -> Self {
        HeldEntity::new(EntitySnapshot::default())
    }
}

impl HeldEntity {
    pub(super) fn new(snapshot: EntitySnapshot) -> HeldEntity {
        let earliest_expiry = snapshot.state.values().filter_map(|entry| entry.expires).min();
        HeldEntity { snapshot: Arc::new(snapshot), earliest_expiry: earliest_expiry.unwrap_or(Timestamp::NEVER) }
    }

    /// What a run sees of it at `now`.
    pub(super) fn at(&self, now: Timestamp) -> Arc<EntitySnapshot> {
        if now < self.earliest_expiry {
            return self.snapshot.clone();
        }
        let mut visible = (*self.snapshot).clone();
        visible.state.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        Arc::new(visible)
    }

    pub(super) fn expired(&self, now: Timestamp) -> Vec<String> {
        if now < self.earliest_expiry {
            return Vec::new();
        }
        let expired = self.snapshot.state.iter().filter(|(_, e)| e.expires.is_some_and(|expires| expires <= now));
        expired.map(|(key, _)| key.clone()).collect()
    }
}

/// What it takes in memory, roughly: the names and maps count as well as the values.
pub(super) fn bytes(held: &HeldEntity) -> usize {
    let state = held.snapshot.state.iter().map(|(key, entry)| 160 + key.len() + entry.value.len()).sum::<usize>();
    let timers = held.snapshot.timers.iter().map(|(key, timer)| 320 + key.len() + timer.data.len()).sum::<usize>();
    320 + state + timers
}

pub(super) fn load(conn: &Connection, key: &EntityKey) -> Outcome<HeldEntity> {
    let name = params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()];
    let version = conn
        .prepare_cached("SELECT version FROM entities WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3")?
        .query_row(name, |row| row.get(0))
        .optional()?;
    let Some(version) = version else { return Ok(HeldEntity::default()) };
    let mut snapshot = EntitySnapshot { version, ..EntitySnapshot::default() };
    let sql = "SELECT key, value, customer, expires FROM state WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3";
    let mut state = conn.prepare_cached(sql)?;
    for row in state.query_map(name, |row| Ok((row.get::<_, String>(0)?, entry(row)?)))? {
        let (key, entry) = row?;
        snapshot.state.insert(key, entry);
    }
    let sql = "SELECT key, due, expires, customer, data, set_by, set_by_run, origin, generation FROM timers \
               WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3";
    let mut timers = conn.prepare_cached(sql)?;
    for row in timers.query_map(name, |row| timer(row, 0))? {
        let timer = row?;
        snapshot.timers.insert(timer.key.clone(), timer);
    }
    Ok(HeldEntity::new(snapshot))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<StateEntry> {
    Ok(StateEntry {
        value: Arc::from(row.get_ref(1)?.as_blob()?),
        customer: rows::name(row, 2)?,
        expires: rows::time(row, 3)?,
    })
}

/// Reads a timer from nine columns that begin at `first`.
pub(super) fn timer(row: &Row<'_>, first: usize) -> rusqlite::Result<FiredTimer> {
    Ok(FiredTimer {
        key: row.get(first)?,
        due: Timestamp(row.get(first + 1)?),
        expires: rows::time(row, first + 2)?,
        customer: rows::name(row, first + 3)?,
        data: row.get(first + 4)?,
        set_by: row.get(first + 5)?,
        set_by_run: crate::ids::RunId(row.get(first + 6)?),
        origin: row.get::<_, Option<[u8; 16]>>(first + 7)?.map(crate::ids::EventId),
        generation: row.get(first + 8)?,
    })
}
