//! A run: what a plugin is given, and what it asks for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    customer::Channel,
    event::Event,
    exchange::Exchange,
    message::{NewMessage, Place},
    status::DeliveryState,
    usage::Usage,
};
use crate::{
    clock::Timestamp,
    ids::{CustomerId, MessageId, PluginName, RunId, TenantId},
};

pub use crate::ids::EntityKey;

/// What one plugin does for one tenant: the unit of fairness. Each flow has a share of the host of its own, so that the
/// backlog of one does not delay another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    pub tenant: TenantId,
    pub plugin: PluginName,
}

impl Flow {
    pub fn of(key: &EntityKey) -> Flow {
        Flow { tenant: key.tenant.clone(), plugin: key.plugin.clone() }
    }
}

/// A run that is to be made, not yet stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    pub id: RunId,
    pub key: EntityKey,
    pub customer: Option<CustomerId>,
    pub cause: Cause,
    /// Later runs about the entity wait for this one while it is failing.
    pub hold_up: bool,
}

/// A run that is stored and open.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedRun {
    /// The order of acceptance, over all entities.
    pub seq: i64,
    /// Executions so far.
    pub attempts: u32,
    pub not_before: Timestamp,
    pub accepted: Timestamp,
    pub run: NewRun,
}

/// What sets off a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    Event(Arc<Event>),
    Timer(FiredTimer),
    Delivery(Delivery),
    Message(Arc<Incoming>),
}

impl Cause {
    pub fn kind(&self) -> &'static str {
        match self {
            Cause::Event(_) => "event",
            Cause::Timer(_) => "timer",
            Cause::Delivery(_) => "delivery",
            Cause::Message(_) => "message",
        }
    }

    /// The id of the event or message, or the timer's key.
    pub fn name(&self) -> String {
        match self {
            Cause::Event(event) => event.id.to_string(),
            Cause::Timer(timer) => timer.key.clone(),
            Cause::Delivery(delivery) => delivery.message.to_string(),
            Cause::Message(incoming) => incoming.id.to_string(),
        }
    }
}

/// A timer that has come due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FiredTimer {
    pub key: String,
    pub due: Timestamp,
    pub expires: Option<Timestamp>,
    pub customer: Option<CustomerId>,
    /// JSON text.
    pub data: String,
    /// The plugin's version that set it, and its run.
    pub set_by: String,
    pub set_by_run: RunId,
    /// The event to which the chain of runs goes back; what a message sent by the timer's run refers to.
    pub origin: Option<crate::ids::EventId>,
    pub generation: i64,
}

/// What has become of a message, for the plugin that sent it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub message: MessageId,
    pub tag: Option<String>,
    pub customer: Option<CustomerId>,
    pub state: DeliveryState,
    pub settled: bool,
    pub channel: Channel,
    pub time: Timestamp,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// What a customer wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    pub id: MessageId,
    pub tenant: TenantId,
    pub customer: Option<CustomerId>,
    /// E.164 with the plus, or the channel's own id of the sender where the number is hidden.
    pub sender: String,
    /// The channel's own id of the sender, where it tells one: of the same person as the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
    pub sender_name: Option<String>,
    pub channel: Channel,
    pub provider: String,
    /// The account of ours that was written to, where it is known: an answer goes out from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub provider_id: String,
    pub time: Timestamp,
    pub received: Timestamp,
    /// `text`, `choice`, `image`, `audio`, `video`, `document`, `location`, …
    pub kind: String,
    pub text: String,
    pub choice: Option<String>,
    pub media: Vec<IncomingMedia>,
    pub location: Option<Place>,
    /// The provider's id of the message that it quotes or whose button was tapped.
    pub quoted: Option<String>,
    pub in_reply_to: Option<MessageId>,
    pub tag: Option<String>,
    /// Nothing was exchanged with this sender in the last 24 hours.
    pub opening: bool,
    pub window_ends: Option<Timestamp>,
    /// What its kind has beyond all this, by the registry's names: `forwarded`, `referral-source-id`, `error-code`, ….
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

impl Incoming {
    /// Whether an advertisement that leads to WhatsApp brought the customer here.
    pub fn came_by_advertisement(&self) -> bool {
        self.channel == Channel::Whatsapp
            && self.attributes.iter().any(|(name, _)| name.starts_with("referral-source-"))
    }

    /// Whether it says something new, and so opens WhatsApp's window. To change or to withdraw what was said before does not,
    /// as far as is documented: to be wrong about that costs a template at most, where the other mistake costs the message.
    pub fn is_new(&self) -> bool {
        !matches!(self.kind.as_str(), "edit" | "revoke")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncomingMedia {
    pub id: String,
    pub mime_type: String,
    pub size: Option<u32>,
    pub filename: Option<String>,
    /// What its bytes come to, in base64, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a run reads of its entity: state and timers as the entity's last commit left them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntitySnapshot {
    /// 0 for an entity that no run has written yet.
    pub version: i64,
    pub state: BTreeMap<String, StateEntry>,
    pub timers: BTreeMap<String, FiredTimer>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StateEntry {
    pub value: Arc<[u8]>,
    pub customer: Option<CustomerId>,
    pub expires: Option<Timestamp>,
}

/// What a run that ended well asks for. Nothing of it has happened yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub messages: Vec<NewMessage>,
    /// By key, the last change of each.
    pub state: BTreeMap<String, StateChange>,
    pub timers: BTreeMap<String, TimerChange>,
    pub events: Vec<EmittedEvent>,
    pub cancels: Vec<MessageId>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StateChange {
    Set(StateEntry),
    Remove,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TimerChange {
    Set { due: Timestamp, expires: Option<Timestamp>, data: String },
    Cancel,
}

/// An event that a run raised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmittedEvent {
    pub event_type: String,
    pub subject: Option<String>,
    pub customer: Option<CustomerId>,
    pub dedup_key: Option<String>,
    /// CloudEvents extension attributes.
    pub attributes: Vec<(String, String)>,
    pub data: String,
}

/// Why a run did not end well. The four kinds stay apart in logs, figures and what follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RunFailure {
    /// The plugin says that it is worth trying again.
    Retry {
        message: String,
        after_ms: Option<u64>,
        /// What the plugin has to say beyond it: a stack, say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The plugin says that it is not.
    Reject {
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A trap: the plugin's own fault.
    Fault { message: String, backtrace: Vec<String> },
    /// A limit was reached: its name, what was allowed, and what to change.
    Limit { limit: String, message: String },
    /// The host's own trouble; never counted against the plugin.
    Host { message: String },
}

impl RunFailure {
    /// As it is written: in JSON, in filters, in alerts.
    pub const KINDS: [&str; 5] = ["retry", "reject", "fault", "limit", "host"];

    pub fn kind(&self) -> &'static str {
        match self {
            RunFailure::Retry { .. } => "retry",
            RunFailure::Reject { .. } => "reject",
            RunFailure::Fault { .. } => "fault",
            RunFailure::Limit { .. } => "limit",
            RunFailure::Host { .. } => "host",
        }
    }

    pub fn message(&self) -> &str {
        match self {
            RunFailure::Retry { message, .. }
            | RunFailure::Reject { message, .. }
            | RunFailure::Fault { message, .. }
            | RunFailure::Limit { message, .. }
            | RunFailure::Host { message } => message,
        }
    }
}

/// What a run used of what it was allowed, and what it left in the log. Kept whether it ended well or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    pub plugin_version: String,
    #[serde(skip)]
    pub took: Duration,
    pub took_us: u64,
    pub cpu_ticks: u32,
    pub memory_bytes: u64,
    pub host_calls: u32,
    /// Of each limit that it touched, what it used and what it was allowed.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub used: Usage,
    /// The end of what it wrote to the log, stderr included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// Permissions that were refused, with the lines that would grant them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
    /// Messages that the rules did not take, with the reason that the plugin was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedMessage>,
    /// Of an execution that failed: what is needed to execute it again elsewhere, beyond what the store has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// What a failed execution went by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The run's time.
    pub now: Timestamp,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The plugin's settings, as JSON text.
    pub config: Arc<str>,
    pub entity_version: i64,
    /// What it looked up, in order. The values are the store's: a failed run has changed none of them.
    pub asked: Vec<Asked>,
    /// Its requests to services, in order, with what came of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<Exchange>,
}

/// Something that a run looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    Customer(CustomerId),
    Number(String),
    History {
        customer: CustomerId,
        event_type: String,
        limit: u32,
    },
    /// What a customer wrote, or an earlier message of the plugin's.
    Message(MessageId),
    /// A message that was sent under this key.
    SentUnder {
        lane: String,
        key: String,
    },
    /// What a message is to refer to: the id of an event or message, as the plugin named it.
    Reference(String),
}

/// A message that was asked for and not taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedMessage {
    /// The customer, or the number.
    pub to: String,
    /// The case of the contract's `send-error`: `no-consent`, `not-expected`, …
    pub code: String,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: String,
    pub message: String,
    /// What the plugin gave to find the line by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}
