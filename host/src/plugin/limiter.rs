//! What a run may use, and how it is counted.
//!
//! Wasmtime asks before it maps or grows anything. Its own limits are per memory; a component may have sixteen, so the sum
//! is counted here. A refusal is remembered: the guest usually aborts with a trap of its own afterwards, and the failure
//! should name the limit and not the trap.

use std::fmt;

use wasmtime::{ResourceLimiter, component::ResourceTableError};

use super::budget::Budget;

/// A limit that was reached. As an error of a host call it ends the run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LimitReached {
    /// `cpu`, `time`, `memory`, `messages`, …
    pub limit: &'static str,
    allowed: String,
    /// It is one of a plugin's budget, for which the manifest may have a wish.
    wished: bool,
}

impl LimitReached {
    /// One of a plugin's budget.
    pub(super) fn wished(limit: &'static str, allowed: impl fmt::Display) -> LimitReached {
        LimitReached { limit, allowed: allowed.to_string(), wished: true }
    }

    /// One that is the same for every plugin of the host.
    pub(super) fn host(limit: &'static str, allowed: impl fmt::Display) -> LimitReached {
        LimitReached { limit, allowed: allowed.to_string(), wished: false }
    }

    /// What was allowed, and which setting to change.
    pub(super) fn told(&self, plugin: &str) -> String {
        format!("the run reached its limit of {}, {}; {}", self.limit, self.allowed, self.fix(plugin))
    }

    /// Where it is raised.
    pub(super) fn fix(&self, plugin: &str) -> String {
        let limit = self.limit;
        if self.wished {
            format!(
                "raise `limits.{limit}` in plugin.toml, or `plugins.limits.plugin.{plugin}.{limit}` of the host, and \
                 `plugins.limits.ceiling.{limit}` where that is lower"
            )
        } else {
            format!("the host's `plugins.limits.{limit}` sets it")
        }
    }

    /// That a component needs more than it may have.
    pub(super) fn needed(&self, what: &str, plugin: &str) -> String {
        format!("{what}, and its limit of {} is {}; {}", self.limit, self.allowed, self.fix(plugin))
    }

    /// The limit behind an error for which the library has no type of its own that we could name. Its words are all there is;
    /// tests hold them to account.
    pub(super) fn behind(error: &wasmtime::Error, budget: &Budget) -> Option<LimitReached> {
        if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
            return Some(LimitReached::wished("handles", budget.handles));
        }
        LimitReached::in_words(&error.root_cause().to_string(), budget)
    }

    fn in_words(words: &str, budget: &Budget) -> Option<LimitReached> {
        let counts = [
            ("fuel allocated for hostcalls", "crossing-bytes", budget.crossing_bytes.to_string()),
            ("store handle limit exceeded", "handles", budget.handles.to_string()),
            ("instance count too high", "instances", budget.instances.to_string()),
            ("core module instances, which exceeds", "instances", budget.instances.to_string()),
            ("memory count too high", "memories", budget.memories.to_string()),
            ("linear memories, which exceeds", "memories", budget.memories.to_string()),
            ("defined memories count", "memories", budget.memories.to_string()),
            ("table count too high", "tables", budget.tables.to_string()),
            ("tables, which exceeds", "tables", budget.tables.to_string()),
            ("defined tables count", "tables", budget.tables.to_string()),
            ("minimum byte size", "memory", budget.memory.to_string()),
            ("minimum element size", "table-elements", budget.table_elements.to_string()),
        ];
        let found = counts.into_iter().find(|(said, ..)| words.contains(said));
        found.map(|(_, limit, allowed)| LimitReached::wished(limit, allowed))
    }

    /// What a component that is not taken needs too much of, by the words of whoever did not take it, and where that is raised.
    pub(super) fn at_load(words: &str, ceiling: &Budget, plugin: &str) -> Option<String> {
        let reached = LimitReached::in_words(words, ceiling)?;
        Some(reached.needed(&format!("more than it may have ({words})"), plugin))
    }
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told("NAME"))
    }
}

impl std::error::Error for LimitReached {}

/// The sums over all memories and tables of one run.
#[derive(Debug)]
pub(super) struct Limiter {
    budget: Budget,
    pub memory_bytes: u64,
    pub memories: u64,
    pub table_elements: u64,
    pub tables: u64,
    pub refused: Option<LimitReached>,
}

impl Limiter {
    pub(super) fn new(budget: &Budget) -> Limiter {
        Limiter { budget: *budget, memory_bytes: 0, memories: 0, table_elements: 0, tables: 0, refused: None }
    }
}

impl ResourceLimiter for Limiter {
    // Both are asked for what there is at first as well, where `current` is 0. Neither ever shrinks.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        if sum > self.budget.memory.0 {
            self.refused = Some(LimitReached::wished("memory", self.budget.memory));
            return Ok(false);
        }
        self.memories += u64::from(current == 0);
        self.memory_bytes = sum;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if sum > u64::from(self.budget.table_elements) {
            self.refused = Some(LimitReached::wished("table-elements", self.budget.table_elements));
            return Ok(false);
        }
        self.tables += u64::from(current == 0);
        self.table_elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        number(self.budget.instances)
    }

    fn tables(&self) -> usize {
        number(self.budget.tables)
    }

    fn memories(&self) -> usize {
        number(self.budget.memories)
    }
}

pub(super) fn number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Bytes;

    fn limiter(memory_bytes: u64, table_elements: u32) -> Limiter {
        Limiter::new(&Budget { memory: Bytes(memory_bytes), table_elements, ..Budget::default() })
    }

    #[test]
    fn memories_are_summed_and_a_refusal_is_remembered() {
        let mut limiter = limiter(3 << 20, 100);
        assert!(limiter.memory_growing(0, 1 << 20, None).unwrap());
        assert!(limiter.memory_growing(0, 2 << 20, None).unwrap());
        assert!(!limiter.memory_growing(1 << 20, 2 << 20, None).unwrap());
        assert_eq!((limiter.memories, limiter.memory_bytes), (2, 3 << 20));
        let refused = limiter.refused.unwrap().told("small");
        assert!(refused.contains("3MiB") && refused.contains("`plugins.limits.plugin.small.memory`"), "{refused}");
    }

    #[test]
    fn table_elements_are_summed() {
        let mut limiter = limiter(0, 100);
        assert!(limiter.table_growing(0, 60, None).unwrap());
        assert!(!limiter.table_growing(0, 60, None).unwrap());
        assert_eq!((limiter.tables, limiter.table_elements), (1, 60));
    }
}
