//! What a database does for the commands: finds rows by their keys and writes them, in the transaction that is open.
//!
//! What was written before in the same transaction is found. A row that is written once is inserted; `false` where a method says
//! so means that there was nothing to change.

use std::sync::Arc;

use super::{Held, HeldEntity, Outcome};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Address, Channel, Consent, Customer},
        message::{Attempt, AttemptFailure, NewMessage},
        plugin::PluginRecord,
        quota::{UseKey, Used},
        run::{EntityKey, FiredTimer, Incoming, QueuedRun, RunFailure, RunReport, StateEntry},
    },
    ids::{CustomerId, EventId, MessageId, PluginName, RunId, TenantId},
    store::{CustomerProfile, Effects, Receipt, RoutedEvent, RunState},
};

pub(in crate::store) trait Source: Inbox + Kept + Outbox + Heard + People + Known + Erasing {}
impl<T: Inbox + Kept + Outbox + Heard + People + Known + Erasing> Source for T {}

/// Numbers that only rise: the order in which rows were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum Sequence {
    Events,
    Runs,
    Messages,
    Incoming,
}

/// Events and runs.
pub(in crate::store) trait Inbox {
    fn next(&mut self, sequence: Sequence) -> Outcome<i64>;

    /// The runs that an event set off when it was accepted; `None` where it is not known.
    fn event_runs(&mut self, id: EventId) -> Outcome<Option<Vec<RunId>>>;
    fn insert_event(&mut self, seq: i64, routed: &RoutedEvent) -> Outcome<()>;

    fn run_exists(&mut self, id: RunId) -> Outcome<bool>;
    fn run_is_open(&mut self, seq: i64, id: RunId) -> Outcome<bool>;
    fn run(&mut self, id: RunId) -> Outcome<Option<(QueuedRun, RunState)>>;
    /// `event` is the seq of the event that sets it off, where one does.
    fn insert_run(&mut self, run: &QueuedRun, event: Option<i64>) -> Outcome<()>;
    fn set_run(&mut self, seq: i64, state: RunState, attempts: u32, not_before: Timestamp) -> Outcome<()>;
    fn delete_open_run(&mut self, id: RunId) -> Outcome<bool>;
    fn write_result(
        &mut self,
        seq: i64,
        at: Timestamp,
        failure: Option<&RunFailure>,
        report: Option<&RunReport>,
        effects: Option<&Effects>,
    ) -> Outcome<()>;
    /// Changes a row that says nothing: whether the commit goes through is what is asked.
    fn touch(&mut self) -> Outcome<()>;
    /// The result as it stands gets another time.
    fn date_result(&mut self, seq: i64, at: Timestamp) -> Outcome<()>;
}

/// What plugins keep of an entity.
pub(in crate::store) trait Kept {
    fn load_entity(&mut self, key: &EntityKey) -> Outcome<HeldEntity>;
    /// `false` where the version is another one.
    fn raise_version(&mut self, key: &EntityKey, from: i64) -> Outcome<bool>;
    fn set_state(&mut self, key: &EntityKey, name: &str, entry: &StateEntry) -> Outcome<()>;
    fn remove_state(&mut self, key: &EntityKey, name: &str) -> Outcome<()>;
    fn insert_timer(&mut self, key: &EntityKey, timer: &FiredTimer) -> Outcome<()>;
    fn remove_timer(&mut self, key: &EntityKey, timer: &str) -> Outcome<bool>;
    /// It was due, and has a run.
    fn mark_queued(&mut self, key: &EntityKey, timer: &str) -> Outcome<()>;
    /// Timers that are due and have no run yet, the earliest first, and when the next one after these is due.
    fn due_timers(&mut self, now: Timestamp, limit: u32) -> Outcome<DueTimers>;
}

pub(in crate::store) type DueTimers = (Vec<(EntityKey, FiredTimer)>, Option<Timestamp>);

/// What is to be sent.
pub(in crate::store) trait Outbox {
    fn message_exists(&mut self, id: MessageId) -> Outcome<bool>;
    fn load_message(&mut self, id: MessageId) -> Outcome<Option<Arc<Held>>>;
    fn insert_message(&mut self, seq: i64, message: &NewMessage) -> Outcome<()>;
    fn write_message_state(&mut self, held: &Held) -> Outcome<()>;
    /// `false` where the key has been taken.
    fn take_dedup_key(&mut self, message: &NewMessage, plugin: &str, key: &str) -> Outcome<bool>;
    fn insert_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()>;
    /// Writes what may change once an attempt has been planned.
    fn update_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()>;
    /// The latest attempt that a provider knows, or of which it knows a part, under this id.
    fn attempt_by_provider_id(
        &mut self,
        tenant: &TenantId,
        provider: &str,
        provider_id: &str,
    ) -> Outcome<Option<(MessageId, u32)>>;
    /// The latest messages to any of these recipients, made at `earliest` or later, the newest first, at most `limit`.
    fn sent_to(
        &mut self,
        tenant: &TenantId,
        lanes: [&str; 2],
        earliest: Timestamp,
        limit: u32,
    ) -> Outcome<Vec<MessageId>>;
}

/// A receipt that is kept until its attempt is known.
#[derive(Clone, Debug)]
pub(in crate::store) struct Parked {
    pub(in crate::store) id: i64,
    pub(in crate::store) received: Timestamp,
    pub(in crate::store) receipt: Receipt,
}

/// A failed receipt, for choosing the one that happened first.
#[derive(Clone, Debug)]
pub(in crate::store) struct FailedReceipt {
    pub(in crate::store) time: Timestamp,
    pub(in crate::store) code: String,
    pub(in crate::store) failure: AttemptFailure,
}

/// What providers and customers say.
pub(in crate::store) trait Heard {
    /// `false` where the same had been heard before and nothing is added to it.
    fn write_receipt(
        &mut self,
        message: i64,
        attempt: u32,
        code: &str,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Outcome<bool>;
    fn failed_receipts(&mut self, message: i64, attempt: u32) -> Outcome<Vec<FailedReceipt>>;
    /// The codes of the receipts that say `delivered`: of an attempt in parts, the parts that arrived.
    fn delivered_codes(&mut self, message: i64, attempt: u32) -> Outcome<Vec<String>>;
    /// Keeps a receipt about nothing that is known yet, and of those kept too long the oldest no more.
    fn park(&mut self, code: &str, receipt: &Receipt, now: Timestamp) -> Outcome<()>;
    fn parked_by_token(&mut self, tenant: &TenantId, token: &str) -> Outcome<Vec<Parked>>;
    fn parked_by_id(&mut self, tenant: &TenantId, provider: &str, provider_id: &str) -> Outcome<Vec<Parked>>;
    fn unpark(&mut self, id: i64) -> Outcome<()>;

    fn incoming(&mut self, id: MessageId) -> Outcome<Option<Arc<Incoming>>>;
    fn insert_incoming(&mut self, seq: i64, incoming: &Incoming) -> Outcome<()>;
    /// When somebody last wrote from an address.
    fn last_incoming(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<Timestamp>>;
}

/// An address as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct OwnedAddress {
    pub(in crate::store) owner: CustomerId,
    pub(in crate::store) position: u32,
    pub(in crate::store) address: Address,
}

/// Customers.
pub(in crate::store) trait People {
    fn load_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Arc<Customer>>>;
    fn put_profile(
        &mut self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: &CustomerProfile,
        now: Timestamp,
    ) -> Outcome<()>;
    /// Whose address it is, with what is known of it.
    fn address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<OwnedAddress>>;
    fn put_address(&mut self, tenant: &TenantId, owned: &OwnedAddress) -> Outcome<()>;
    fn delete_address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<()>;
    fn put_consent(&mut self, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()>;
    /// Refusals that are kept under the hash of an address.
    fn suppressed(&mut self, tenant: &TenantId, channel: Channel, hash: [u8; 32]) -> Outcome<Vec<Consent>>;
    fn put_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], refused: &Consent) -> Outcome<()>;
    fn delete_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], taken_back: &Consent) -> Outcome<()>;
}

/// What is remembered of plugins.
pub(in crate::store) trait Known {
    fn plugin_record(&mut self, name: &PluginName) -> Outcome<Option<PluginRecord>>;
    fn put_plugin_record(&mut self, record: &PluginRecord) -> Outcome<()>;
    /// What a plugin has used of its places or money; nobody else changes it before this transaction ends.
    fn plugin_use(&mut self, key: &UseKey) -> Outcome<Used>;
    fn put_plugin_use(&mut self, key: &UseKey, used: &Used, now: Timestamp) -> Outcome<()>;
}

/// What an erasure does to rows. What was read of them before is not to be believed afterwards.
pub(in crate::store) trait Erasing {
    /// Nothing that is held in memory is to be believed from now on.
    fn forget(&mut self);
    fn erase_event(&mut self, seq: i64) -> Outcome<()>;
    /// The state that a run was in; `None` where there is no such run.
    fn run_state(&mut self, seq: i64) -> Outcome<Option<RunState>>;
    fn erase_run(&mut self, seq: i64, state: RunState, ended: Option<Timestamp>) -> Outcome<()>;
    /// The message, and what its attempts and receipts quote.
    fn erase_message(&mut self, seq: i64, emptied: &NewMessage) -> Outcome<()>;
    /// Dedup keys of a recipient, and what plugins have used of their places with them.
    fn delete_dedup_keys(&mut self, tenant: &TenantId, lane: &str) -> Outcome<()>;
    fn incoming_body(&mut self, seq: i64) -> Outcome<Option<Incoming>>;
    fn erase_incoming(&mut self, seq: i64, emptied: &Incoming) -> Outcome<()>;
    fn bump_version(&mut self, key: &EntityKey) -> Outcome<()>;
    fn delete_entity(&mut self, key: &EntityKey) -> Outcome<()>;
    /// The profile with its addresses and consents. `false` where it is gone already.
    fn delete_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<bool>;
}

/// The code under which a receipt is told from another of the same state.
pub(in crate::store) fn receipt_code(receipt: &Receipt) -> &str {
    let failure = receipt.failure.as_ref();
    failure.map_or("", |failure| failure.provider_code.as_deref().unwrap_or(&failure.code))
}

/// What is stored of a plugin's name, where nobody's plugin asked.
pub(in crate::store) fn author_name(message: &NewMessage) -> &str {
    message.author.as_ref().map_or("", |author| author.plugin.as_str())
}
