//! Rows of what plugins keep: versions, state, timers.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, EntitySnapshot, FiredTimer, StateEntry},
    store::commands::{
        self, HeldEntity,
        source::{DueTimers, Kept},
    },
};

impl Kept for SqliteSource<'_> {
    fn load_entity(&mut self, key: &EntityKey) -> commands::Outcome<HeldEntity> {
        match self.caches.entities.get(key) {
            Some(held) if !self.forgotten => Ok(held),
            _ => Ok(load(self.conn, key)?),
        }
    }

    fn raise_version(&mut self, key: &EntityKey, from: i64) -> commands::Outcome<bool> {
        let (tenant, plugin, entity) = (key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str());
        let written = if from == 0 {
            let sql = "INSERT INTO entities (tenant, plugin, entity, version) VALUES (?1, ?2, ?3, 1) \
                       ON CONFLICT (tenant, plugin, entity) DO NOTHING";
            self.execute(sql, params![tenant, plugin, entity])?
        } else {
            let sql = "UPDATE entities SET version = version + 1 \
                       WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND version = ?4";
            self.execute(sql, params![tenant, plugin, entity, from])?
        };
        Ok(written == 1)
    }

    fn set_state(&mut self, key: &EntityKey, name: &str, entry: &StateEntry) -> commands::Outcome<()> {
        let sql = "INSERT INTO state (tenant, plugin, entity, key, value, customer, expires) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, plugin, entity, key) DO UPDATE SET \
                   value = excluded.value, customer = excluded.customer, expires = excluded.expires";
        self.execute(
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
        Ok(())
    }

    fn remove_state(&mut self, key: &EntityKey, name: &str) -> commands::Outcome<()> {
        let sql = "DELETE FROM state WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
        self.execute(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), name])?;
        Ok(())
    }

    fn insert_timer(&mut self, key: &EntityKey, timer: &FiredTimer) -> commands::Outcome<()> {
        let sql = "INSERT INTO timers (tenant, plugin, entity, key, due, expires, customer, data, set_by, set_by_run, origin, \
                   generation, queued) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0)";
        self.execute(
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
        Ok(())
    }

    fn remove_timer(&mut self, key: &EntityKey, timer: &str) -> commands::Outcome<bool> {
        let sql = "DELETE FROM timers WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
        Ok(self.execute(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), timer])? > 0)
    }

    fn mark_queued(&mut self, key: &EntityKey, timer: &str) -> commands::Outcome<()> {
        let sql = "UPDATE timers SET queued = 1 WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
        self.execute(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), timer])?;
        Ok(())
    }

    fn due_timers(&mut self, now: Timestamp, limit: u32) -> commands::Outcome<DueTimers> {
        let sql = "SELECT tenant, plugin, entity, key, due, expires, customer, data, set_by, set_by_run, origin, generation \
                   FROM timers INDEXED BY timers_due WHERE queued = 0 AND due <= ?1 ORDER BY due LIMIT ?2";
        let due = self.all(sql, params![now.0, limit], |row| {
            let key = EntityKey {
                tenant: rows::must_name(row, 0)?,
                plugin: rows::must_name(row, 1)?,
                entity: rows::must_name(row, 2)?,
            };
            Ok((key, timer(row, 3)?))
        })?;
        // The first that is not among these: where there were more than `limit`, its time has come already.
        let sql = "SELECT due FROM timers INDEXED BY timers_due WHERE queued = 0 ORDER BY due LIMIT 1 OFFSET ?1";
        let count = i64::try_from(due.len()).unwrap_or(i64::MAX);
        let next = self.one(sql, [count], |row| row.get(0))?;
        Ok((due, next.map(Timestamp)))
    }
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
