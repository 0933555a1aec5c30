//! Rows of what plugins keep, and of what is remembered of them.

use super::{EARLY, MemorySource, tables::Tables, tables::TimerRow, twice};
use crate::{
    clock::Timestamp,
    domain::{
        plugin::PluginRecord,
        quota::{UseKey, Used},
        run::{EntityKey, EntitySnapshot, FiredTimer, StateEntry},
    },
    ids::{PluginName, TenantId},
    store::{
        Note,
        commands::{
            HeldEntity, Outcome,
            source::{DueTimers, Kept, Known},
        },
    },
};

pub(super) fn load(tables: &Tables, key: &EntityKey) -> HeldEntity {
    let Some(version) = tables.entities.get(key).copied() else { return HeldEntity::default() };
    let from = (key.clone(), String::new());
    let state = tables.state.range(from.clone()..).take_while(|((of, _), _)| of == key);
    let timers = tables.timers.range(from..).take_while(|((of, _), _)| of == key);
    HeldEntity::new(EntitySnapshot {
        version,
        state: state.map(|((_, name), entry)| (name.clone(), entry.clone())).collect(),
        timers: timers.map(|((_, name), row)| (name.clone(), row.timer.clone())).collect(),
    })
}

impl Known for MemorySource<'_> {
    fn plugin_record(&mut self, name: &PluginName) -> Outcome<Option<PluginRecord>> {
        Ok(self.tables.plugin_records.get(name).cloned())
    }

    fn put_plugin_record(&mut self, record: &PluginRecord) -> Outcome<()> {
        self.tables.plugin_records.insert(record.name.clone(), record.clone());
        Ok(())
    }

    fn plugin_use(&mut self, key: &UseKey) -> Outcome<Used> {
        Ok(self.tables.plugin_use.get(key).cloned().unwrap_or_default())
    }

    fn put_plugin_use(&mut self, key: &UseKey, used: &Used, _: Timestamp) -> Outcome<()> {
        self.tables.plugin_use.insert(key.clone(), used.clone());
        Ok(())
    }

    fn put_note(&mut self, tenant: &TenantId, note: &Note) -> Outcome<()> {
        let key = (tenant.clone(), note.name.clone());
        if self.tables.notes.get(&key).is_none_or(|known| known.at <= note.at) {
            self.tables.notes.insert(key, note.clone());
        }
        Ok(())
    }
}

impl Kept for MemorySource<'_> {
    fn load_entity(&mut self, key: &EntityKey) -> Outcome<HeldEntity> {
        Ok(load(self.tables, key))
    }

    fn raise_version(&mut self, key: &EntityKey, from: i64) -> Outcome<bool> {
        if self.tables.entities.get(key).copied().unwrap_or(0) != from {
            return Ok(false);
        }
        self.tables.entities.insert(key.clone(), from + 1);
        Ok(true)
    }

    fn set_state(&mut self, key: &EntityKey, name: &str, entry: &StateEntry) -> Outcome<()> {
        self.tables.state.insert((key.clone(), name.to_owned()), entry.clone());
        Ok(())
    }

    fn remove_state(&mut self, key: &EntityKey, name: &str) -> Outcome<()> {
        self.tables.state.remove(&(key.clone(), name.to_owned()));
        Ok(())
    }

    fn insert_timer(&mut self, key: &EntityKey, timer: &FiredTimer) -> Outcome<()> {
        let row = TimerRow { timer: timer.clone(), queued: false };
        match self.tables.timers.insert((key.clone(), timer.key.clone()), row) {
            Some(_) => Err(twice("timers")),
            None => Ok(()),
        }
    }

    fn remove_timer(&mut self, key: &EntityKey, timer: &str) -> Outcome<bool> {
        Ok(self.tables.timers.remove(&(key.clone(), timer.to_owned())).is_some())
    }

    fn mark_queued(&mut self, key: &EntityKey, timer: &str) -> Outcome<()> {
        if let Some(row) = self.tables.timers.get_mut(&(key.clone(), timer.to_owned())) {
            row.queued = true;
        }
        Ok(())
    }

    fn due_timers(&mut self, now: Timestamp, limit: u32) -> Outcome<DueTimers> {
        let now = if self.flaws.early_timers { now.plus(EARLY) } else { now };
        let waiting = self.tables.timers.iter().filter(|(_, row)| !row.queued);
        let mut waiting: Vec<_> = waiting.map(|((key, _), row)| (key.clone(), row.timer.clone())).collect();
        waiting.sort_by_key(|(_, timer)| timer.due);
        let due = waiting.iter().take(limit as usize).take_while(|(_, timer)| timer.due <= now).count();
        let next = waiting.get(due).map(|(_, timer)| timer.due);
        waiting.truncate(due);
        Ok((waiting, next))
    }
}
