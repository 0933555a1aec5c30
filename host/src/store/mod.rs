//! The store: where the stages meet, and the truth about what has happened.
//!
//! One verb per arrow between stages. A verb that changes something returns after its transaction is on disk; what it newly
//! made to be done (runs, messages) it hands over in memory through [`Handover`], which is an optimisation and safe to lose:
//! whoever works also reads the open work from the store. Decisions (which state follows, who is told) are taken by functions
//! in `domain/`, so that every database decides alike; only the SQL differs.
//!
//! The store never makes a request, never runs a plugin and never reads the clock: times are given to it.

mod adrift;
mod cache;
mod commands;
#[cfg(test)]
pub(crate) mod contract_tests;
mod figures;
mod files;
pub mod handover;
mod heard;
#[cfg(test)]
pub(crate) mod memory;
pub mod migrate;
mod notices;
pub mod postgres;
mod retention;
mod settings;
pub mod sqlite;
mod told;
mod url;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use crate::domain::note::Note;
pub use adrift::{ADRIFT_MAX, Adrift, HostLine, Vitals};
pub use figures::{By, Figures, Part, StatRow, StatSpan};
pub use files::Files;
pub use handover::Handover;
pub use heard::{Conversation, Moved, NewIncoming, NewPart, Recorded, UNREAD_MAX};
pub use notices::{EndpointChange, EndpointChanged, EndpointPatch, NoticeFilter, Notices};
pub use retention::{Aged, RetainStep, Retained};
pub use settings::Settings;
pub use told::{
    BULK_MAX, Bulk, Effects, EventStory, MessageFilter, Paging, ReceiptLine, RunFilter, RunState, RunStory,
};
pub use url::StoreUrl;

use crate::{
    clock::Timestamp,
    domain::{
        customer::{Address, Channel, Consent, Customer},
        event::Event,
        message::{Answer, Attempt, AttemptFailure, MessageRecord, NewMessage, Next},
        plugin::{PluginChange, PluginChanged, PluginRecord},
        quota::{UseKey, Used},
        run::{Cause, EntityKey, EntitySnapshot, Flow, Incoming, NewRun, Outcome, QueuedRun, RunFailure, RunReport},
        shard::Shard,
        status::{AttemptState, MessageState},
    },
    ids::{AttemptToken, CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Full disk, I/O error, a locked or read-only file, a lost connection: it may pass. Nothing was acknowledged.
    #[error("the store at {place} cannot be used now: {reason}. {advice}")]
    Unavailable { place: String, reason: String, advice: String },
    /// The file is not ours, damaged, or from a newer version. It will not pass.
    #[error("the store at {place} is not usable: {reason}. {advice}")]
    Unusable { place: String, reason: String, advice: String },
    /// A bug: a row that this code cannot have written.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// The host is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// The same error for one more caller of the same batch.
    fn again(&self) -> Error {
        match self {
            Error::Unavailable { place, reason, advice } => {
                Error::Unavailable { place: place.clone(), reason: reason.clone(), advice: advice.clone() }
            }
            Error::Unusable { place, reason, advice } => {
                Error::Unusable { place: place.clone(), reason: reason.clone(), advice: advice.clone() }
            }
            Error::Corrupt(what) => Error::Corrupt(what.clone()),
            Error::Closed => Error::Closed,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// An event with the runs that it sets off.
#[derive(Clone, Debug)]
pub struct RoutedEvent {
    pub event: Arc<Event>,
    pub runs: Vec<NewRun>,
    /// Why a subscription that matched by type does not apply: for the event's page.
    pub notes: Vec<String>,
}

/// What became of accepting an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub event: EventId,
    /// The same source and id had been accepted before: nothing was done.
    pub duplicate: bool,
    pub runs: Vec<RunId>,
}

/// Everything that a finished run changes, in one transaction.
#[derive(Clone, Debug)]
pub struct RunCommit {
    pub run: QueuedRun,
    /// The entity's version that the run began with.
    pub version: i64,
    pub outcome: Outcome,
    /// What was emitted, with the runs that it sets off.
    pub emitted: Vec<RoutedEvent>,
    /// The origin that timers of this run carry: the event its chain goes back to.
    pub origin: Option<EventId>,
    pub report: RunReport,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// It is on disk, and this is the entity now.
    Done(Arc<EntitySnapshot>),
    /// The run is not there any more (somebody else committed or discarded it): nothing was written.
    Gone,
    /// The entity was changed by something else: nothing was written, and the run has to be executed again.
    Stale,
}

/// What becomes of a run that failed.
#[derive(Clone, Debug)]
pub struct RunFailed {
    pub run: QueuedRun,
    pub failure: RunFailure,
    pub report: RunReport,
    pub verdict: FailureVerdict,
    /// The event that tells whoever subscribes that it was set aside, committed with it.
    pub alert: Option<RoutedEvent>,
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureVerdict {
    /// Execute it again, not before then.
    Again(Timestamp),
    /// Set it aside with its evidence.
    SetAside,
}

/// Timers that were due and are runs now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fired {
    pub runs: usize,
    /// Timers that were too late to be of use and were dropped.
    pub expired: usize,
    /// When the next one is due.
    pub next_due: Option<Timestamp>,
}

/// A change of a message, decided on `revision`.
#[derive(Clone, Debug)]
pub struct MessageChange {
    pub tenant: TenantId,
    pub message: MessageId,
    pub revision: i64,
    pub kind: MessageChangeKind,
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each change and moved on at once; most of them begin or answer an attempt"
)]
pub enum MessageChangeKind {
    /// Write down an attempt that is about to be made; look again at `look_again` if nothing is heard.
    Begin { attempt: Attempt, look_again: Timestamp },
    /// What the provider answered to attempt `no`, and why the message waits now, where it does.
    Answer { no: u32, answer: Answer, next: Next, waits: Option<Waiting> },
    /// Nothing is sent now; why, and when to look again.
    Hold { code: String, decision: serde_json::Value, until: Timestamp },
    /// It ends here.
    Settle { state: MessageState, code: Option<String>, decision: serde_json::Value },
    /// It has arrived, or been accepted with nothing left to wait for: settled as it stands.
    Close { code: Option<String> },
}

/// Why a message waits, for whoever asks.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub code: String,
    pub decision: serde_json::Value,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    Done(Box<MessageRecord>),
    /// Somebody else changed it meanwhile (a receipt, a cancellation): this is how it stands now.
    Stale(Box<MessageRecord>),
    /// No such message.
    Gone,
}

/// A provider's report about an attempt, normalised. By nature late, repeated, batched and out of order.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub tenant: TenantId,
    pub provider: String,
    /// What we gave the provider, where the report has it.
    pub token: Option<AttemptToken>,
    pub provider_id: Option<String>,
    pub state: AttemptState,
    /// When it happened, as the provider says.
    pub time: Timestamp,
    pub failure: Option<AttemptFailure>,
    /// What the provider says it costs, category and model, where it does.
    pub pricing: Option<serde_json::Value>,
}

/// A customer's profile as the tenant gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CustomerProfile {
    pub name: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Consents to record with their time; those for another channel or scope stay as they are, and an older one does not
    /// overrule a newer one.
    #[serde(default)]
    pub consents: Vec<Consent>,
    /// Consents that the tenant has, without saying since when: recorded where nothing is known, and never over a refusal.
    /// A profile that is sent again must not undo a STOP.
    #[serde(default)]
    pub standing: Vec<Consent>,
}

/// Derived from the key that a store is born with, so that a backup of the store has all that there is.
pub(crate) fn host_secret(store_key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("relais: the randomness of runs", store_key)
}

/// Messages of a lane that [`Store::earlier_messages`] looks at.
pub(in crate::store) const EARLIER_LOOKED_AT: u32 = 16;

#[async_trait]
pub trait Store: Notices + Files + Send + Sync + 'static {
    // ingress ------------------------------------------------------------------------------------------------------

    /// Makes events and the runs that they set off durable; a repeat of tenant, source and id is a duplicate and does nothing.
    async fn accept_events(&self, events: Vec<RoutedEvent>) -> Result<Vec<Accepted>>;

    /// Makes a message durable that was asked for over HTTP. The id again is a duplicate: `false`.
    async fn accept_message(&self, message: NewMessage) -> Result<bool>;

    // run → commit -------------------------------------------------------------------------------------------------

    // Where several hosts share a store, what is open means here: open, and of a shard that this host owns.

    /// Whose runs are open. Cheap however many there are: it steps from flow to flow, not from run to run.
    async fn open_flows(&self) -> Result<Vec<Flow>>;

    /// A flow's open runs after `after`, in order of acceptance. With `after` 0: all, as after a restart.
    async fn open_runs(&self, flow: &Flow, after: i64, limit: u32) -> Result<Vec<QueuedRun>>;

    /// One entity's open runs after `after`, in order of acceptance.
    async fn open_runs_of(&self, key: &EntityKey, after: i64, limit: u32) -> Result<Vec<QueuedRun>>;

    /// Which runs of a flow are open after `after` and up to `through`, in order, and about what: for whoever looks whether it
    /// has missed one. Reads no row of a run.
    async fn open_run_seqs(&self, flow: &Flow, after: i64, through: i64, limit: u32) -> Result<Vec<(i64, Entity)>>;

    /// What the runs of an entity read.
    async fn load_entity(&self, key: &EntityKey, now: Timestamp) -> Result<Arc<EntitySnapshot>>;

    /// All or nothing: deletes the run's row and requires that it was there, raises the entity's version and requires the one
    /// the run began with, and writes every effect.
    async fn commit_run(&self, commit: RunCommit) -> Result<Committed>;

    /// Writes down a failed execution. `false` where the run is gone.
    async fn fail_run(&self, failed: RunFailed) -> Result<bool>;

    /// Makes runs of timers that are due at `now`, at most `limit` of them.
    async fn fire_timers(&self, now: Timestamp, limit: u32) -> Result<Fired>;

    // dispatch -----------------------------------------------------------------------------------------------------

    /// Who has messages to plan now. Cheap however many there are, as [`Store::open_flows`].
    async fn open_message_tenants(&self) -> Result<Vec<TenantId>>;

    /// A tenant's messages to plan now, after `after`, in order of commit. With `after` 0: all, as after a restart.
    async fn open_messages(&self, tenant: &TenantId, after: i64, limit: u32) -> Result<Vec<MessageRecord>>;

    /// One recipient's messages to plan now, after `after`, in order of commit.
    async fn open_messages_of(
        &self,
        tenant: &TenantId,
        lane: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<MessageRecord>>;

    /// Which messages of a tenant are to be planned now, after `after` and up to `through`, in order, and to whom.
    async fn open_message_seqs(
        &self,
        tenant: &TenantId,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>>;

    /// The messages of a lane that were committed before `seq` and have to be sent before it: those that are to be planned now,
    /// and those whose attempt was written down and has no answer yet. Of the last few of the lane, in order.
    async fn earlier_messages(&self, tenant: &TenantId, lane: &str, seq: i64) -> Result<Vec<MessageRecord>>;

    /// Who has messages to look at again because their time has come, and when the next comes whose has not. Cheap however
    /// many there are, as [`Store::open_flows`].
    async fn due_tenants(&self, now: Timestamp) -> Result<(Vec<TenantId>, Option<Timestamp>)>;

    /// A tenant's messages to look at again, in the order of their times: after the one with this time and number, up to `until`.
    async fn due_messages(
        &self,
        tenant: &TenantId,
        after: (Timestamp, i64),
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<MessageRecord>>;

    /// Changes a message if it still has the revision that the change was decided on, and makes the runs of plugins that
    /// asked to be told.
    async fn change_message(&self, change: MessageChange) -> Result<Changed>;

    /// Asks that a message not be sent, or not fall back. The dispatcher ends it.
    async fn cancel_message(&self, tenant: &TenantId, message: MessageId, now: Timestamp) -> Result<bool>;

    // receipt ------------------------------------------------------------------------------------------------------

    /// Records what providers report: all of a batch in one transaction.
    async fn record_receipts(&self, receipts: Vec<Receipt>, now: Timestamp) -> Result<Vec<Recorded>>;

    /// Records what customers wrote: matched to the message it answers, the window opened, consents changed, runs made.
    /// `true` for what is new.
    async fn record_incoming(&self, incoming: Vec<NewIncoming>, now: Timestamp) -> Result<Vec<bool>>;

    /// Keeps a part of what a customer wrote. The whole, once all parts are there: it is still to be recorded, and has the same
    /// id however often it is put together.
    async fn keep_part(&self, part: NewPart) -> Result<Option<Incoming>>;

    /// Records a consent that was given or withdrawn from an address, with whoever has it. Where nobody has, a refusal is
    /// kept as a keyed hash of the address, for the day when somebody does.
    async fn record_address_consent(&self, tenant: &TenantId, address: &str, consent: Consent) -> Result<()>;

    /// A customer has another address on a channel. `told` is the event that says so, committed where it was done.
    async fn move_address(
        &self,
        tenant: &TenantId,
        channel: Channel,
        from: &str,
        to: &str,
        told: RoutedEvent,
    ) -> Result<Moved>;

    // conversations ------------------------------------------------------------------------------------------------

    /// The conversations with those who wrote, by who wrote last; one for each address. Cheap however much was written.
    async fn conversations(&self, tenant: &TenantId, page: Paging) -> Result<Vec<Conversation>>;

    /// What came from an address, each with its number, the latest first.
    async fn written(&self, tenant: &TenantId, sender: &str, page: Paging) -> Result<Vec<(i64, Arc<Incoming>)>>;

    /// What was asked to be sent to a recipient by this name (a customer's id, a number, an id of WhatsApp's), the latest first.
    async fn sent(&self, tenant: &TenantId, lane: &str, page: Paging) -> Result<Vec<MessageRecord>>;

    /// A person has read what came from these addresses, of each up to the message with this number.
    async fn read_through(&self, tenant: &TenantId, read: Vec<(String, i64)>) -> Result<()>;

    // customers ----------------------------------------------------------------------------------------------------

    async fn put_customer(
        &self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: CustomerProfile,
        now: Timestamp,
    ) -> Result<Arc<Customer>>;
    async fn customer(&self, tenant: &TenantId, id: &CustomerId) -> Result<Option<Arc<Customer>>>;
    /// Who is behind a telephone number that a message names itself: its customer, else a stranger with what is known of the
    /// number. The number stands for every channel.
    async fn behind_number(&self, tenant: &TenantId, number: &str, now: Timestamp) -> Result<Arc<Customer>>;
    async fn customers(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Arc<Customer>>>;
    /// Erases the customer: profile, addresses, and every row that names them. `false` where there is none.
    async fn erase_customer(&self, tenant: &TenantId, id: &CustomerId, now: Timestamp) -> Result<bool>;

    // what plugins and the rules ask -------------------------------------------------------------------------------

    /// The customer's latest events of these types (exact, or a prefix that ends in `.*`), the latest first.
    async fn history(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        event_type: &str,
        limit: u32,
    ) -> Result<Vec<Arc<Event>>>;
    /// The message that this plugin sent this recipient under this key.
    async fn message_by_dedup_key(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        lane: &str,
        key: &str,
    ) -> Result<Option<MessageId>>;
    async fn event(&self, tenant: &TenantId, id: EventId) -> Result<Option<Arc<Event>>>;
    async fn incoming(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Arc<Incoming>>>;

    // stories ------------------------------------------------------------------------------------------------------

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>>;
    async fn receipts(&self, tenant: &TenantId, id: MessageId) -> Result<Vec<ReceiptLine>>;
    async fn messages(&self, tenant: &TenantId, filter: &MessageFilter, page: Paging) -> Result<Vec<MessageRecord>>;
    async fn event_story(&self, tenant: &TenantId, id: EventId) -> Result<Option<EventStory>>;
    async fn events(&self, tenant: &TenantId, page: Paging) -> Result<Vec<EventStory>>;
    async fn run(&self, tenant: &TenantId, id: RunId) -> Result<Option<RunStory>>;
    async fn runs(&self, tenant: &TenantId, filter: &RunFilter, page: Paging) -> Result<Vec<RunStory>>;
    /// The cause of a run that was set aside, to look at or execute elsewhere.
    async fn set_aside_cause(&self, tenant: &TenantId, id: RunId) -> Result<Option<Cause>>;
    /// Opens a run again that was set aside, with its attempts forgotten. `false` where it is not set aside.
    async fn replay_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool>;
    /// Ends a run that was set aside without executing it.
    async fn discard_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool>;
    /// The same with those that `filter` names of the runs that are set aside, at most `limit` and [`BULK_MAX`] of them, in
    /// order of acceptance. One transaction: what it answers was done.
    async fn replay_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk>;
    async fn discard_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk>;
    async fn figures(&self, tenant: &TenantId) -> Result<Figures>;
    /// What was counted of a tenant's messages, summed by what `span` groups by.
    async fn stats(&self, tenant: &TenantId, span: &StatSpan) -> Result<Vec<StatRow>>;

    // what is remembered of accounts -------------------------------------------------------------------------------

    /// What providers have said of the accounts and their templates.
    async fn notes(&self, tenant: &TenantId) -> Result<Vec<Note>>;
    /// Keeps each, unless something later is kept under its name.
    async fn put_notes(&self, tenant: &TenantId, notes: Vec<Note>) -> Result<()>;

    // what is remembered of plugins --------------------------------------------------------------------------------

    /// What a plugin has used of its places with a recipient, or of its money. What counts is what the row says when a message
    /// is taken or an attempt begun.
    async fn plugin_use(&self, key: &UseKey) -> Result<Used>;

    /// Of every plugin that was ever loaded.
    async fn plugin_records(&self) -> Result<Vec<PluginRecord>>;

    /// Takes note of what an operator or a host decided about a plugin, and says what came of it. `alert` is committed with the
    /// change, where there is one.
    async fn change_plugin(
        &self,
        name: &PluginName,
        change: PluginChange,
        alert: Option<RoutedEvent>,
        now: Timestamp,
    ) -> Result<PluginChanged>;

    // what goes, and what is amiss ---------------------------------------------------------------------------------

    /// Empties or deletes what is old and ended of the next few rows of a kind. It never touches what is open or was set aside,
    /// messages that are not settled, timers and what they refer to, consents and refusals.
    async fn retain(&self, step: RetainStep) -> Result<Retained>;

    /// Work with neither an owner nor a deadline, at most [`ADRIFT_MAX`] of each kind. Reads whole tables.
    async fn adrift(&self) -> Result<Vec<Adrift>>;

    /// How far behind the work is. Reads every open run.
    async fn vitals(&self) -> Result<Vitals>;

    // life ---------------------------------------------------------------------------------------------------------

    /// What the randomness of runs follows from: the same for every host of a store and for the store's life, or a run that
    /// is executed again would draw other codes.
    fn host_secret(&self) -> [u8; 32];

    /// Whether this host is the one that should do the work of a shard now. It decides who tries, never who may commit.
    fn owns(&self, _shard: Shard) -> bool {
        true
    }

    /// What this host has of the work, where several share it.
    fn part(&self) -> Option<Part> {
        None
    }

    /// Takes `places` in the line of those who send with `account`, one for each `interval_us`, for all hosts of the store: the
    /// time in microseconds of the first of them. `None` where there is one host, which keeps the line itself.
    async fn reserve_pace(
        &self,
        _account: &str,
        _interval_us: i64,
        _places: u32,
        _now: Timestamp,
    ) -> Result<Option<i64>> {
        Ok(None)
    }

    /// Whether other hosts write to the same store. What they accept is heard of late, or found: so what was heard of an entity
    /// may not be all there is of it.
    fn is_shared(&self) -> bool {
        false
    }

    /// How many transactions this host has committed since it opened the store.
    fn transactions(&self) -> u64 {
        0
    }

    /// Whether it can write now.
    async fn check(&self) -> Result<()>;
    /// Writes what is queued and lets go of the file.
    async fn close(&self) -> Result<()>;
}
