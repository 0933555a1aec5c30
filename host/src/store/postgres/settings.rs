//! What can be set about the PostgreSQL store, and why it is what it is.

use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Of the user in `store.url`, where the server asks for one.
    pub password: Option<Secret>,
    /// Connections that read; one more writes, and one listens. A host needs few: the server's are shared by all hosts.
    pub connections: usize,
    /// A host that is not heard of for so long loses its shards to the others. Longer than any run or attempt may take, or
    /// two hosts would try the same work; shorter, and the work of a host that died waits for less.
    pub lease_s: u64,
    /// A statement, a transaction or a silence that takes longer is given up: far longer than any of ours takes.
    pub statement_timeout_ms: u64,
    /// The same for what reads whole tables: an erasure, `relais doctor`.
    pub scan_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// How this host is called in `hosts`; the machine's name where absent.
    pub host_name: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            password: None,
            connections: 8,
            lease_s: 90,
            statement_timeout_ms: 10_000,
            scan_timeout_ms: 600_000,
            connect_timeout_ms: 5_000,
            host_name: None,
        }
    }
}

impl Settings {
    pub(super) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s)
    }
}
