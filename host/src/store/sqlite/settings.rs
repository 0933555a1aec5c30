//! What can be set about the SQLite store alone, and why it is what it is.

use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Queries that run at the same time. Pages and cache misses only, so as many as a small machine has cores.
    pub readers: usize,
    /// SQLite's own pages of the writer: the upper levels of the indexes whose keys are random.
    pub page_cache_bytes: usize,
    /// How long to wait for another program that has the file locked (a backup), before a command fails.
    pub busy_timeout_ms: u64,
    /// A store up to this size is read through at each start, at some hundred MiB a second; damage in a larger one is found
    /// when it is come upon.
    pub check_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { readers: 4, page_cache_bytes: 64 << 20, busy_timeout_ms: 5_000, check_bytes_max: 64 << 20 }
    }
}

impl Settings {
    pub(super) fn busy_timeout(&self) -> Duration {
        Duration::from_millis(self.busy_timeout_ms)
    }
}
