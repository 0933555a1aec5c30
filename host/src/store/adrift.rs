//! What a store says of its own health: work that nobody would ever do, and how far behind the rest is.

use serde::Serialize;

use crate::{clock::Timestamp, ids::TenantId};

/// Work with neither an owner nor a deadline. There is none in a store that only this program has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adrift {
    /// Whose it is; `None` for what belongs to all.
    #[serde(skip)]
    pub tenant: Option<TenantId>,
    /// `timer-without-run`, `message-without-step`, `message-without-state`, `run-without-cause`, `attempt-without-look`,
    /// `receipt-not-matched`, `shard-without-host`.
    pub kind: &'static str,
    pub id: String,
    pub why: String,
}

/// Findings of each kind that are listed: whoever has more has one cause for all of them.
pub const ADRIFT_MAX: u32 = 100;

/// How far behind the work is, over all tenants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// When the open run came in that waits longest.
    pub oldest_open_run: Option<Timestamp>,
    /// When the message is due that has waited longest to be looked at.
    pub next_message_due: Option<Timestamp>,
    pub next_timer_due: Option<Timestamp>,
    /// Where several hosts share the store.
    pub hosts: Vec<HostLine>,
}

/// A host that shares the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostLine {
    pub name: String,
    pub version: String,
    /// Until its lease ends, by the database's clock; below 0 for one that is gone.
    pub lease_left_s: i64,
    pub shards: i64,
}
