//! `relais:plugin/state`: what the plugin keeps of the entity, as the last commit left it, with this run's own changes.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{RunState, duration, no_settings};
use crate::{
    domain::run::{StateChange, StateEntry},
    plugin::{bindings::state, limiter::LimitReached, units::show_size},
};

/// Entries of one page of a scan.
const PAGE_MAX: u32 = 1000;

impl RunState {
    fn entry(&self, key: &str) -> Option<&StateEntry> {
        match self.outcome.state.get(key) {
            Some(StateChange::Set(entry)) => Some(entry),
            Some(StateChange::Remove) => None,
            None => self.snapshot.state.get(key).filter(|entry| self.alive(entry)),
        }
    }

    fn alive(&self, entry: &StateEntry) -> bool {
        entry.expires.is_none_or(|expires| expires > self.now)
    }

    /// Whether the state as the run found it has an entry about this customer.
    pub(super) fn holds_entry_about(&self, customer: &crate::ids::CustomerId) -> bool {
        self.snapshot.state.values().any(|entry| entry.customer.as_ref() == Some(customer) && self.alive(entry))
    }

    /// Keeps the sum of the entity's bytes, which is counted once, when the run first writes.
    fn resize(&mut self, removed: u64, added: u64) -> wasmtime::Result<()> {
        let sum = match self.state_bytes {
            Some(sum) => sum,
            None => self
                .snapshot
                .state
                .iter()
                .filter(|(_, entry)| self.alive(entry))
                .map(|(key, entry)| weight(key, entry))
                .sum(),
        };
        let sum = sum.saturating_sub(removed).saturating_add(added);
        let allowed = self.plugin.budget.state.0;
        if added > removed && sum > allowed {
            return Err(LimitReached::wished("state", show_size(allowed)).into());
        }
        self.state_bytes = Some(sum);
        Ok(())
    }
}

fn weight(key: &str, entry: &StateEntry) -> u64 {
    (key.len() + entry.value.len()) as u64
}

impl state::Host for RunState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.call()?;
        Ok(self.entry(&key).map(|entry| entry.value.to_vec()))
    }

    fn set(&mut self, key: String, value: Vec<u8>, options: Option<state::EntryOptions>) -> wasmtime::Result<()> {
        self.call()?;
        self.key("state.set key", &key)?;
        let allowed = self.shared.limits.value_bytes.0;
        if value.len() as u64 > allowed {
            return Err(LimitReached::host("value-bytes", show_size(allowed)).into());
        }
        self.effect(key.len() + value.len())?;
        if let Some(options) = &options {
            no_settings("state.set", &options.attributes)?;
        }
        let (ttl, customer) = options.map_or((None, None), |options| (options.ttl, options.customer));
        let expires = ttl.map(|ttl| duration("state.set ttl", ttl)).transpose()?.map(|ttl| self.now.plus(ttl));
        let customer = self.customer_or_own("state.set customer", customer)?;
        let entry = StateEntry { value: Arc::from(value), customer, expires };
        let removed = self.entry(&key).map_or(0, |old| weight(&key, old));
        self.resize(removed, weight(&key, &entry))?;
        self.outcome.state.insert(key, StateChange::Set(entry));
        Ok(())
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<()> {
        self.call()?;
        let removed = self.entry(&key).map_or(0, |old| weight(&key, old));
        self.resize(removed, 0)?;
        // Nothing is written for a key that was never there.
        if self.snapshot.state.contains_key(&key) {
            self.outcome.state.insert(key, StateChange::Remove);
        } else {
            self.outcome.state.remove(&key);
        }
        Ok(())
    }

    fn scan(&mut self, prefix: String, after: Option<String>, limit: u32) -> wasmtime::Result<state::Page> {
        self.call()?;
        let wanted = usize::try_from(limit.clamp(1, PAGE_MAX))?;
        // Two ordered maps are merged by walking the union of their keys.
        let from = match &after {
            Some(after) if after.as_str() >= prefix.as_str() => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix.as_str()),
        };
        let mut keys = Merged {
            kept: range(&self.snapshot.state, from).peekable(),
            own: range(&self.outcome.state, from).peekable(),
        };
        let mut entries = Vec::new();
        while let Some(key) = keys.next() {
            if !key.starts_with(&prefix) {
                break;
            }
            let Some(entry) = self.entry(key) else { continue };
            if entries.len() == wanted {
                let next = entries.last().map(|entry: &state::Entry| entry.key.clone());
                return Ok(state::Page { entries, next });
            }
            entries.push(state::Entry { key: key.to_owned(), value: entry.value.to_vec() });
        }
        Ok(state::Page { entries, next: None })
    }
}

fn range<'m, V>(map: &'m BTreeMap<String, V>, from: Bound<&str>) -> impl Iterator<Item = &'m str> {
    map.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key.as_str())
}

/// Two ordered rows of keys as one, each key once.
struct Merged<'m, A: Iterator<Item = &'m str>, B: Iterator<Item = &'m str>> {
    kept: std::iter::Peekable<A>,
    own: std::iter::Peekable<B>,
}

impl<'m, A: Iterator<Item = &'m str>, B: Iterator<Item = &'m str>> Merged<'m, A, B> {
    fn next(&mut self) -> Option<&'m str> {
        match (self.kept.peek(), self.own.peek()) {
            (Some(a), Some(b)) if a == b => {
                self.own.next();
                self.kept.next()
            }
            (Some(a), Some(b)) if a < b => self.kept.next(),
            (_, Some(_)) => self.own.next(),
            (_, None) => self.kept.next(),
        }
    }
}
