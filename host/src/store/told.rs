//! What a store tells of what has happened, and which of it is asked for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        message::AttemptFailure,
        run::{RunFailure, RunReport},
        status::{AttemptState, MessageState},
    },
    ids::{CustomerId, EventId, MessageId, PluginName, RunId},
};

/// A page of a listing, latest first.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// Only what came before this `seq`.
    pub before: Option<i64>,
    pub limit: u32,
}

/// An event with what became of it.
#[derive(Clone, Debug)]
pub struct EventStory {
    pub seq: i64,
    pub event: Arc<Event>,
    pub notes: Vec<String>,
    pub runs: Vec<RunStory>,
}

/// A run as it stands or ended.
#[derive(Clone, Debug, Serialize)]
pub struct RunStory {
    pub seq: i64,
    pub id: RunId,
    pub plugin: PluginName,
    pub entity: String,
    pub customer: Option<CustomerId>,
    /// `event`, `timer`, `delivery`, `message`.
    pub kind: String,
    /// The id of the event or message, or the timer's key.
    pub cause: String,
    pub state: RunState,
    pub attempts: u32,
    pub accepted: Timestamp,
    /// When it ended, or is to be executed again.
    pub at: Option<Timestamp>,
    pub failure: Option<RunFailure>,
    pub report: Option<RunReport>,
    /// What it asked for, in words and numbers, where it ended well.
    pub effects: Option<Effects>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Open: waiting, running, or to be executed again.
    Open,
    Done,
    SetAside,
    /// An operator discarded it.
    Discarded,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancels: Vec<MessageId>,
}

/// Which runs to list, replay or discard. What is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    pub state: Option<RunState>,
    pub plugin: Option<PluginName>,
    pub entity: Option<String>,
    pub customer: Option<CustomerId>,
    /// The kind of failure, as [`RunFailure`] writes it: `retry`, `reject`, `fault`, `limit`, `host`.
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

/// One line of a message's story: a receipt that was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct ReceiptLine {
    pub attempt: u32,
    pub state: AttemptState,
    pub time: Timestamp,
    pub received: Timestamp,
    pub failure: Option<AttemptFailure>,
    pub pricing: Option<serde_json::Value>,
}

/// Which messages to list.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    pub customer: Option<CustomerId>,
    pub state: Option<MessageState>,
}
