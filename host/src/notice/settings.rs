//! What the operator decides about endpoints.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plugin::Networks;

/// The table `[endpoints]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Networks that are not public and where endpoints may be all the same.
    pub networks: Vec<String>,
    /// Whether URLs may be `http`; on loopback they may.
    pub plain_http: bool,
    /// For the whole of a request, name and connection included.
    pub timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// Pauses between the tries of a notice. After the last it is given up.
    pub retry_s: Vec<u64>,
    /// Requests at once, over all endpoints and of one.
    pub concurrent_max: usize,
    pub per_endpoint_max: usize,
    /// Notices that wait for one endpoint; of more the oldest are given up.
    pub backlog_max: u32,
    pub per_tenant_max: usize,
    /// After so many failures in a row an endpoint rests so long, and is then tried with one notice at a time.
    pub rest_after: u32,
    pub rest_s: u64,
    /// An endpoint that takes nothing for so long is disabled; 0: never.
    pub disable_after_days: u32,
    /// For how long an old secret is signed with beside a new one, where nothing else is said.
    pub rotation_hours: u32,
    pub sweep_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            networks: Vec::new(),
            plain_http: false,
            // The lower end of what Standard Webhooks advises: a receiver stores and answers.
            timeout_ms: 15_000,
            connect_timeout_ms: 5_000,
            // Standard Webhooks' own example: a little more than three days.
            retry_s: vec![5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
            concurrent_max: 64,
            per_endpoint_max: 4,
            // Some 100 MB.
            backlog_max: 100_000,
            per_tenant_max: 20,
            rest_after: 5,
            rest_s: 30,
            disable_after_days: 5,
            rotation_hours: 24,
            sweep_s: 5,
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        Networks::parse(&self.networks).map_err(|problem| format!("endpoints.networks: {problem}"))?;
        let positive = [
            ("timeout-ms", self.timeout_ms),
            ("connect-timeout-ms", self.connect_timeout_ms),
            ("concurrent-max", self.concurrent_max as u64),
            ("per-endpoint-max", self.per_endpoint_max as u64),
            ("backlog-max", u64::from(self.backlog_max)),
            ("sweep-s", self.sweep_s),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("endpoints.{name} is 0: give it 1 or more")),
            None => Ok(()),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn pauses(&self) -> Vec<Duration> {
        self.retry_s.iter().map(|seconds| Duration::from_secs(*seconds)).collect()
    }

    pub(super) fn sweep(&self) -> Duration {
        Duration::from_secs(self.sweep_s.max(1))
    }

    pub(super) fn rest(&self) -> Duration {
        Duration::from_secs(self.rest_s)
    }

    /// `None` where an endpoint is never disabled for it.
    pub(super) fn disable_after(&self) -> Option<Duration> {
        let days = u64::from(self.disable_after_days);
        (days != 0).then(|| Duration::from_secs(days * 24 * 3600))
    }

    pub fn rotation(&self) -> Duration {
        Duration::from_secs(u64::from(self.rotation_hours) * 3600)
    }
}
