//! Which of many runs are meant, and what one step of replaying or discarding them came to.

use super::RunState;
use crate::{
    clock::Timestamp,
    ids::{CustomerId, PluginName, RunId},
};

/// Which runs to list, replay or discard. What is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    pub state: Option<RunState>,
    pub plugin: Option<PluginName>,
    pub entity: Option<String>,
    pub customer: Option<CustomerId>,
    /// The kind of failure, as `RunFailure` writes it: `retry`, `reject`, `fault`, `limit`, `host`.
    pub failure: Option<String>,
    /// Ended or last failed at this time or later, and at this time or earlier.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// These and no others, where any are named.
    pub ids: Vec<RunId>,
    /// Only what was accepted after the run of this `seq`: where the next of several steps goes on.
    pub after_seq: i64,
}

/// What one step of replaying or discarding many runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    pub count: u32,
    /// There are further ones, after `last_seq`.
    pub more: bool,
    /// The last run that was looked at.
    pub last_seq: i64,
}

/// Runs that are replayed or discarded by one transaction: others write in between.
pub const BULK_MAX: u32 = 500;
