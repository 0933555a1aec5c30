//! What can be set about the store, and why it is what it is.

use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Queries that run at the same time. Pages and cache misses only, so as many as a small machine has cores.
    pub readers: usize,
    /// Commands to a transaction. Beyond some hundred the fsync is shared enough, and the callers wait for longer.
    pub batch_max: usize,
    /// Commands that may wait: about a second's work. More than that is refused, which slows down whoever sends.
    pub queue_max: usize,
    /// Entities in memory: state and timers of some ten thousand.
    pub entity_cache_bytes: usize,
    /// Customers in memory: some thirty thousand.
    pub customer_cache_bytes: usize,
    /// Messages under way in memory: some ten thousand.
    pub message_cache_bytes: usize,
    /// SQLite's own pages of the writer: the upper levels of the indexes whose keys are random.
    pub page_cache_bytes: usize,
    /// How long to wait for another program that has the file locked (a backup), before a command fails.
    pub busy_timeout_ms: u64,
    /// A store up to this size is read through at each start, at some hundred MiB a second; damage in a larger one is found
    /// when it is come upon.
    pub check_bytes_max: u64,
    /// Receipts about attempts that are not known (yet). Strangers may send such: the number is the bound.
    pub parked_receipts_max: u32,
    /// For how long an address is left alone that cannot be reached on its channel: a number may join WhatsApp later.
    pub address_unusable_days: u32,
    /// For how long a bare number answers the choices that were last sent by SMS.
    pub answer_within_hours: u32,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Settings {
            readers: 4,
            batch_max: 512,
            queue_max: 16_384,
            entity_cache_bytes: 64 * MIB,
            customer_cache_bytes: 32 * MIB,
            message_cache_bytes: 32 * MIB,
            page_cache_bytes: 64 * MIB,
            busy_timeout_ms: 5_000,
            check_bytes_max: 64 << 20,
            parked_receipts_max: 10_000,
            address_unusable_days: 30,
            answer_within_hours: 48,
        }
    }
}

impl Settings {
    pub(super) fn busy_timeout(&self) -> Duration {
        Duration::from_millis(self.busy_timeout_ms)
    }

    pub(super) fn address_unusable(&self) -> Duration {
        Duration::from_secs(u64::from(self.address_unusable_days) * 24 * 3600)
    }

    pub(super) fn answer_within(&self) -> Duration {
        Duration::from_secs(u64::from(self.answer_within_hours) * 3600)
    }
}
