//! What can be set about a store, and why it is what it is.

use std::time::Duration;

use serde::Deserialize;

use super::{StoreUrl, postgres, sqlite};
use crate::domain::quota::TenantCaps;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Which store, and where.
    pub url: StoreUrl,
    /// Rows of each kind that may wait in memory between a commit and whoever works on them.
    pub handover_max: usize,
    /// Changes that a watcher (the page, `?wait=`) may lag behind before it misses some.
    pub watch_lag_max: usize,
    /// Commands to a transaction. Beyond some hundred the commit is shared enough, and the callers wait for longer.
    pub batch_max: usize,
    /// Commands that may wait: about a second's work. More than that is refused, which slows down whoever sends.
    pub queue_max: usize,
    /// Entities in memory: state and timers of some ten thousand.
    pub entity_cache_bytes: usize,
    /// Customers in memory: some thirty thousand. Used with SQLite only: several hosts would not hear of a STOP in time.
    pub customer_cache_bytes: usize,
    /// Messages under way in memory: some ten thousand. Used with SQLite only.
    pub message_cache_bytes: usize,
    /// Receipts about attempts that are not known (yet). Strangers may send such: the number is the bound.
    pub parked_receipts_max: u32,
    /// For how long an address is left alone that cannot be reached on its channel: a number may join WhatsApp later.
    pub address_unusable_days: u32,
    /// For how long choices that were sent may be answered: by a tap, by their number or label, or by what is written next.
    pub answer_within_hours: u32,
    pub sqlite: sqlite::Settings,
    pub postgres: postgres::Settings,
    /// A table of its own in the configuration: [caps].
    #[serde(skip)]
    pub(crate) tenant_caps: TenantCaps,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Settings {
            url: StoreUrl::Sqlite("data/relais.db".into()),
            handover_max: 4096,
            watch_lag_max: 1024,
            batch_max: 512,
            queue_max: 16_384,
            entity_cache_bytes: 64 * MIB,
            customer_cache_bytes: 32 * MIB,
            message_cache_bytes: 32 * MIB,
            parked_receipts_max: 10_000,
            address_unusable_days: 30,
            answer_within_hours: 48,
            sqlite: sqlite::Settings::default(),
            postgres: postgres::Settings::default(),
            tenant_caps: TenantCaps::default(),
        }
    }
}

impl Settings {
    pub(super) fn address_unusable(&self) -> Duration {
        Duration::from_secs(u64::from(self.address_unusable_days) * 24 * 3600)
    }

    pub(super) fn answer_within(&self) -> Duration {
        Duration::from_secs(u64::from(self.answer_within_hours) * 3600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Settings>(text);
        assert_eq!(read("{}").unwrap(), Settings::default());
        assert_eq!(read(r#"{"batch-max": 7}"#).unwrap().batch_max, 7);
        assert!(read(r#"{"batch_max": 7}"#).is_err());
    }
}
