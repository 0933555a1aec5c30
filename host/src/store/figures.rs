//! Figures of a store, and of a host's part of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Figures that are cheap to read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub events: i64,
    pub open_runs: i64,
    pub set_aside_runs: i64,
    pub timers: i64,
    pub open_messages: i64,
    pub messages_by_state: BTreeMap<String, i64>,
    pub double_deliveries: i64,
    pub uncertain_attempts: i64,
}

/// What a host has of the work of its store.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Part {
    /// Of 1,024.
    pub shards: usize,
    /// Hosts that live, this one included.
    pub hosts: usize,
}
