//! What a run may use, and how it is counted.
//!
//! Wasmtime asks before it maps or grows anything. Its own limits are per memory; a component may have sixteen, so the sum
//! is counted here. A refusal is remembered: the guest usually aborts with a trap of its own afterwards, and the failure
//! should name the limit and not the trap.

use wasmtime::ResourceLimiter;

use super::units::show_size;

/// Memories and tables of one run. JavaScript components have two memories, composed ones have one for each part.
pub(super) const MEMORIES_MAX: usize = 16;
pub(super) const TABLES_MAX: usize = 64;
/// Core instances: a Python component has 38.
pub(super) const INSTANCES_MAX: usize = 128;

/// A limit that was reached. As an error of a host call it ends the run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct LimitReached {
    /// `cpu`, `time`, `memory`, `messages`, …
    pub limit: &'static str,
    /// What was allowed, and which setting to change.
    pub message: String,
}

impl LimitReached {
    /// One that the manifest may wish for, under the operator's ceiling.
    pub(super) fn wished(limit: &'static str, allowed: impl std::fmt::Display) -> LimitReached {
        let message = format!(
            "the run reached its limit of {limit}, {allowed}; raise `limits.{limit}` in plugin.toml, and \
             `plugins.limits.ceiling.{limit}` of the host where that is lower"
        );
        LimitReached { limit, message }
    }

    /// One that only the operator sets.
    pub(super) fn host(limit: &'static str, allowed: impl std::fmt::Display) -> LimitReached {
        let message =
            format!("the run reached the limit {limit}, {allowed}; the host's `plugins.limits.{limit}` sets it");
        LimitReached { limit, message }
    }
}

/// The sums over all memories and tables of one run.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_bytes_max: u64,
    table_elements_max: u64,
    memory_bytes: u64,
    table_elements: u64,
    pub refused: Option<LimitReached>,
}

impl Limiter {
    pub(super) fn new(memory_bytes_max: u64, table_elements_max: u32) -> Limiter {
        let table_elements_max = u64::from(table_elements_max);
        Limiter { memory_bytes_max, table_elements_max, memory_bytes: 0, table_elements: 0, refused: None }
    }

    /// The most that was in use: linear memory never shrinks.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        if sum > self.memory_bytes_max {
            self.refused = Some(LimitReached::wished("memory", show_size(self.memory_bytes_max)));
            return Ok(false);
        }
        self.memory_bytes = sum;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if sum > self.table_elements_max {
            self.refused = Some(LimitReached::host("table-elements", self.table_elements_max));
            return Ok(false);
        }
        self.table_elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_a_refusal_is_remembered() {
        let mut limiter = Limiter::new(3 << 20, 100);
        assert!(limiter.memory_growing(0, 1 << 20, None).unwrap());
        assert!(limiter.memory_growing(0, 2 << 20, None).unwrap());
        assert!(!limiter.memory_growing(1 << 20, 2 << 20, None).unwrap());
        let refused = limiter.refused.unwrap();
        assert!(refused.message.contains("3MiB") && refused.message.contains("limits.memory"), "{refused}");
    }

    #[test]
    fn table_elements_are_summed() {
        let mut limiter = Limiter::new(0, 100);
        assert!(limiter.table_growing(0, 60, None).unwrap());
        assert!(!limiter.table_growing(0, 60, None).unwrap());
    }
}
