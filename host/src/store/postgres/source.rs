//! Rows for the commands of a transaction: what has been read of them, with what was changed since.
//!
//! Commands ask for rows one by one, and a round trip for each would be most of what they cost. So nothing is read when it is
//! asked for: a row that is not here yet is noted ([`Wanted`]) and the command gives up ([`Trouble::Miss`]); when every command
//! has been applied or has given up, all that was noted is read at once ([`super::load`]), and all commands are applied again
//! from the start. Two or three rounds, and usually one, because the frequent commands say beforehand what they will ask for.
//! Rows that will be changed are locked when they are read, so what was decided on is what is there at the commit; a row that
//! was not there and is when it is written is a conflict, and the transaction is done again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{table::Value, writes::Writes};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent, Customer},
        endpoint::{Endpoint, Endpoints},
        file::FileRow,
        message::AttemptFailure,
        plugin::PluginRecord,
        quota::{UseKey, Used},
        run::{EntityKey, Incoming, QueuedRun},
    },
    ids::{AttemptToken, CustomerId, EndpointId, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        RunState,
        commands::{
            Held, HeldEntity, Outcome, Trouble,
            source::{DueTimers, OwnedAddress, Parked, Sequence},
        },
    },
};

pub(super) type DedupKey = (TenantId, String, String, String);
pub(super) type ProviderKey = (TenantId, String, String);
pub(super) type AddressKey = (TenantId, Channel, String);
pub(super) type HashKey = (TenantId, Channel, [u8; 32]);
pub(super) type LaneKey = (TenantId, String);
pub(super) type CustomerKey = (TenantId, CustomerId);

/// A receipt that has been recorded.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) state: String,
    pub(super) code: String,
    pub(super) time: Timestamp,
    pub(super) failure: Option<AttemptFailure>,
    pub(super) priced: bool,
}

/// The latest messages to a recipient, the newest first.
pub(super) type Sent = Vec<(i64, MessageId, Timestamp)>;

/// What commands have asked for and could not be given.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) sequences: HashMap<Sequence, i64>,
    pub(super) events: HashSet<EventId>,
    pub(super) run_exists: HashSet<RunId>,
    pub(super) open_runs: BTreeSet<(i64, RunId)>,
    pub(super) runs: HashSet<RunId>,
    pub(super) run_states: HashSet<i64>,
    pub(super) entities: HashSet<EntityKey>,
    pub(super) due_timers: Option<(Timestamp, u32)>,
    pub(super) messages: HashSet<MessageId>,
    pub(super) dedup: HashSet<DedupKey>,
    pub(super) by_provider: HashSet<ProviderKey>,
    pub(super) sent: HashSet<LaneKey>,
    pub(super) receipts: HashSet<(i64, u32)>,
    pub(super) parked_by_token: HashSet<(TenantId, String)>,
    pub(super) parked_by_id: HashSet<ProviderKey>,
    /// Attempts of messages, whose numbers and providers are found with the messages.
    pub(super) attempts: HashSet<WantedAttempt>,
    pub(super) incoming: HashSet<MessageId>,
    pub(super) incoming_bodies: HashSet<i64>,
    pub(super) last_incoming: HashSet<AddressKey>,
    pub(super) customers: HashSet<CustomerKey>,
    pub(super) addresses: HashSet<AddressKey>,
    pub(super) suppressed: HashSet<HashKey>,
    pub(super) plugin_records: HashSet<PluginName>,
    pub(super) plugin_use: HashSet<UseKey>,
    /// All endpoints, as they are known.
    pub(super) endpoints: bool,
    /// Those that are to be changed.
    pub(super) endpoint_rows: HashSet<EndpointId>,
    pub(super) due_files: Option<(Timestamp, u32)>,
}

/// An attempt of which everything that was heard is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WantedAttempt {
    pub(super) tenant: TenantId,
    pub(super) token: AttemptToken,
    /// How its provider calls it, as far as whoever asks knows.
    pub(super) provider_id: Option<String>,
    /// Whether that overrules what is written down: an answer does, a receipt does not.
    pub(super) answered: bool,
}

/// What a command will ask for, said beforehand to save a round.
#[derive(Clone, Debug)]
pub(super) enum Want {
    Event(EventId),
    Next(Sequence, i64),
    OpenRun(i64, RunId),
    Entity(EntityKey),
    Message(MessageId),
    Dedup(DedupKey),
    /// What was heard of an attempt, receipts that wait for it included.
    Attempt(WantedAttempt),
    /// The attempt that a provider knows under its id.
    ByProvider(ProviderKey),
    PluginUse(UseKey),
}

/// Rows as they were read, or as they are with what was changed. `None` where there is no such row.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) events: HashMap<EventId, Option<Vec<RunId>>>,
    pub(super) run_exists: HashMap<RunId, bool>,
    pub(super) open_runs: HashMap<(i64, RunId), bool>,
    pub(super) runs: HashMap<RunId, Option<(QueuedRun, RunState)>>,
    pub(super) run_states: HashMap<i64, Option<RunState>>,
    pub(super) entities: HashMap<EntityKey, HeldEntity>,
    pub(super) due_timers: Option<DueTimers>,
    pub(super) messages: HashMap<MessageId, Option<Arc<Held>>>,
    pub(super) dedup: HashMap<DedupKey, bool>,
    pub(super) by_provider: HashMap<ProviderKey, Option<(MessageId, u32)>>,
    pub(super) sent: HashMap<LaneKey, Sent>,
    pub(super) receipts: HashMap<(i64, u32), Vec<Recorded>>,
    pub(super) parked_by_token: HashMap<(TenantId, String), Vec<Parked>>,
    pub(super) parked_by_id: HashMap<ProviderKey, Vec<Parked>>,
    pub(super) incoming: HashMap<MessageId, Option<Arc<Incoming>>>,
    pub(super) incoming_bodies: HashMap<i64, Option<Incoming>>,
    pub(super) last_incoming: HashMap<AddressKey, Option<Timestamp>>,
    pub(super) customers: HashMap<CustomerKey, Option<Arc<Customer>>>,
    pub(super) addresses: HashMap<AddressKey, Option<OwnedAddress>>,
    pub(super) suppressed: HashMap<HashKey, Vec<Consent>>,
    pub(super) plugin_records: HashMap<PluginName, Option<PluginRecord>>,
    pub(super) plugin_use: HashMap<UseKey, Used>,
    pub(super) endpoints: Option<Arc<Endpoints>>,
    pub(super) endpoint_rows: HashMap<EndpointId, Option<Endpoint>>,
    pub(super) due_files: Option<Vec<FileRow>>,
}

impl Tables {
    /// Takes in what was read beside it.
    pub(super) fn extend(&mut self, read: Tables) {
        self.events.extend(read.events);
        self.run_exists.extend(read.run_exists);
        self.open_runs.extend(read.open_runs);
        self.runs.extend(read.runs);
        self.run_states.extend(read.run_states);
        self.entities.extend(read.entities);
        self.due_timers = read.due_timers.or_else(|| self.due_timers.take());
        self.messages.extend(read.messages);
        self.dedup.extend(read.dedup);
        self.by_provider.extend(read.by_provider);
        self.sent.extend(read.sent);
        self.receipts.extend(read.receipts);
        self.parked_by_token.extend(read.parked_by_token);
        self.parked_by_id.extend(read.parked_by_id);
        self.incoming.extend(read.incoming);
        self.incoming_bodies.extend(read.incoming_bodies);
        self.last_incoming.extend(read.last_incoming);
        self.customers.extend(read.customers);
        self.addresses.extend(read.addresses);
        self.suppressed.extend(read.suppressed);
        self.plugin_records.extend(read.plugin_records);
        self.plugin_use.extend(read.plugin_use);
        self.endpoints = read.endpoints.or_else(|| self.endpoints.take());
        self.endpoint_rows.extend(read.endpoint_rows);
        self.due_files = read.due_files.or_else(|| self.due_files.take());
    }
}

#[derive(Default)]
pub(super) struct PgSource {
    /// As read, in this transaction.
    pub(super) base: Tables,
    /// What commands changed since the round began.
    pub(super) over: Tables,
    pub(super) wanted: Wanted,
    pub(super) writes: Writes,
    /// Numbers that were drawn for this transaction, and how many of them this round has used.
    pub(super) drawn: HashMap<Sequence, Vec<i64>>,
    used: HashMap<Sequence, usize>,
    /// Versions of entities that were raised in this round.
    pub(super) versions: HashMap<EntityKey, i64>,
    /// Timers that were taken away or set in this round.
    pub(super) timers: HashMap<(EntityKey, String), Option<i64>>,
    /// Which message a row of attempts belongs to.
    pub(super) message_ids: HashMap<i64, (TenantId, MessageId)>,
    next_parked: i64,
    /// Timers are due by the database's clock.
    pub(super) database_time: bool,
    pub(super) parked_receipts_max: u32,
}

impl PgSource {
    pub(super) fn new(database_time: bool, parked_receipts_max: u32) -> PgSource {
        PgSource { database_time, parked_receipts_max, ..PgSource::default() }
    }

    /// Before the commands are applied (again): nothing is changed yet.
    pub(super) fn begin_round(&mut self) {
        self.over = Tables::default();
        self.writes = Writes::default();
        self.used.clear();
        self.versions.clear();
        self.timers.clear();
        self.next_parked = 0;
    }

    pub(super) fn expect(&mut self, want: &Want) {
        match want {
            Want::Event(id) => {
                self.wanted.events.insert(*id);
            }
            Want::Next(sequence, count) => {
                // What is new of these is told to endpoints.
                self.wanted.endpoints |= *count > 0 && matches!(sequence, Sequence::Messages | Sequence::Incoming);
                *self.wanted.sequences.entry(*sequence).or_default() += count;
            }
            Want::OpenRun(seq, id) => {
                self.wanted.open_runs.insert((*seq, *id));
            }
            Want::Entity(key) => {
                self.wanted.entities.insert(key.clone());
            }
            Want::Message(id) => {
                self.wanted.endpoints = true;
                self.wanted.messages.insert(*id);
            }
            Want::Dedup(key) => {
                self.wanted.dedup.insert(key.clone());
            }
            Want::Attempt(attempt) => {
                self.wanted.endpoints = true;
                self.wanted.messages.insert(attempt.token.message);
                self.wanted.parked_by_token.insert((attempt.tenant.clone(), attempt.token.to_string()));
                self.wanted.attempts.insert(attempt.clone());
            }
            Want::ByProvider(key) => {
                self.wanted.endpoints = true;
                self.wanted.by_provider.insert(key.clone());
            }
            Want::PluginUse(key) => {
                self.wanted.plugin_use.insert(key.clone());
            }
        }
    }

    pub(super) fn draw(&mut self, sequence: Sequence) -> Outcome<i64> {
        let used = self.used.entry(sequence).or_default();
        let drawn = self.drawn.get(&sequence).map(Vec::as_slice).unwrap_or_default();
        match drawn.get(*used) {
            Some(number) => {
                *used += 1;
                Ok(*number)
            }
            None => {
                *self.wanted.sequences.entry(sequence).or_default() += 1;
                Err(Trouble::Miss)
            }
        }
    }

    /// What a parked receipt of this transaction is called until it is written.
    pub(super) fn next_parked(&mut self) -> i64 {
        self.next_parked -= 1;
        self.next_parked
    }

    pub(super) fn statement(&mut self, sql: &'static str, values: Vec<Value>) {
        self.writes.others.push((sql, values));
    }
}

/// Looks a row up: as changed, as read, or noted as wanted.
macro_rules! look {
    ($source:expr, $table:ident, $key:expr) => {{
        let key = $key;
        match $source.over.$table.get(&key).or_else(|| $source.base.$table.get(&key)) {
            Some(found) => Ok(found),
            None => {
                $source.wanted.$table.insert(key);
                Err($crate::store::commands::Trouble::Miss)
            }
        }
    }};
}
pub(super) use look;
