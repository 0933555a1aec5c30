//! What the operator decides about running.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much is done at once, and how much is kept in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Runs executed side by side. A run that computes needs a core, one that reads the store or waits for its commit does
    /// not: a plugin that is alone gets three quarters of these, which keeps two cores busy while others wait.
    pub concurrent_max: usize,
    /// Of them, of one tenant; 0 for no bound but that it leaves an eighth to others. What one plugin may have of them is
    /// `plugins.limits.default.concurrent`.
    pub concurrent_per_tenant_max: usize,
    /// Open runs kept in memory, shared equally among the flows that have work; further ones stay in the store until there is
    /// room. At about 2 kB each: 20 MB.
    pub in_memory_max: usize,
    /// Open runs of one entity kept in memory: they follow one another, so more of them would only take the place of others.
    pub lane_in_memory_max: usize,
    /// How often it is looked whether the store has open work, or timers that are due, that nobody told of.
    pub sweep_s: u64,
    /// Events of type `relais.run.set-aside` per plugin and minute; what is beyond is counted, and the next one says how many
    /// were left out. One a second is more than anybody reads, and no load. 0: none.
    pub alerts_per_minute_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            concurrent_max: 48,
            concurrent_per_tenant_max: 0,
            in_memory_max: 10_000,
            lane_in_memory_max: 64,
            sweep_s: 5,
            alerts_per_minute_max: 60,
        }
    }
}

impl Settings {
    pub(super) fn sweep(&self) -> Duration {
        Duration::from_secs(self.sweep_s.max(1))
    }
}
