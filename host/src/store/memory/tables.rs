//! The rows, as maps in the order of their keys.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent, ConsentScope},
        endpoint::{Endpoint, Notice},
        event::Event,
        file::FileRow,
        message::{Attempt, MessageRecord, NewMessage, Next},
        plugin::PluginRecord,
        quota::{UseKey, Used},
        run::{EntityKey, FiredTimer, Incoming, QueuedRun, RunFailure, RunReport, StateEntry},
        status::{AttemptState, MessageState},
        tally::{Measure, StatKey},
    },
    ids::{CustomerId, EndpointId, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        CustomerProfile, Effects, Note, Receipt, RunState,
        commands::{
            source::{OwnedAddress, Parked, Sequence},
            tx::{Counts, Stats},
        },
    },
};

/// A map that is copied when it is written to while somebody holds what it was before.
#[derive(Debug)]
pub(crate) struct Table<K, V>(Arc<BTreeMap<K, V>>);

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Table(self.0.clone())
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table(Arc::new(BTreeMap::new()))
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;
    fn deref(&self) -> &BTreeMap<K, V> {
        &self.0
    }
}

impl<K: Clone + Ord, V: Clone> DerefMut for Table<K, V> {
    fn deref_mut(&mut self) -> &mut BTreeMap<K, V> {
        Arc::make_mut(&mut self.0)
    }
}

pub(super) type StateKey = (EntityKey, String);
pub(super) type AddressKey = (TenantId, Channel, String);

#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(super) seqs: [i64; 4],
    pub(super) counters: Table<(TenantId, String), i64>,
    pub(super) stats: Table<(TenantId, StatKey, Measure), i64>,
    pub(super) events: Table<i64, Arc<EventRow>>,
    pub(super) event_keys: Table<EventId, i64>,
    pub(crate) runs: Table<i64, Arc<RunRow>>,
    pub(super) run_ids: Table<RunId, i64>,
    pub(super) entities: Table<EntityKey, i64>,
    pub(crate) state: Table<StateKey, StateEntry>,
    pub(crate) timers: Table<StateKey, TimerRow>,
    pub(super) messages: Table<i64, Arc<MessageRow>>,
    pub(super) message_ids: Table<MessageId, i64>,
    pub(super) attempts: Table<(i64, u32), Attempt>,
    pub(super) receipts: Table<(i64, u32, AttemptState, String), ReceiptRow>,
    pub(super) parked: Table<i64, ParkedRow>,
    pub(super) parked_last: i64,
    pub(super) dedup: Table<(TenantId, String, String, String), MessageId>,
    pub(super) incoming: Table<i64, Arc<Incoming>>,
    pub(super) incoming_ids: Table<MessageId, i64>,
    pub(super) conversations: Table<(TenantId, String), ConversationRow>,
    pub(super) customers: Table<(TenantId, CustomerId), CustomerRow>,
    pub(super) addresses: Table<AddressKey, OwnedAddress>,
    pub(super) consents: Table<(TenantId, CustomerId, Channel, ConsentScope), Consent>,
    pub(super) suppressed: Table<(TenantId, Channel, [u8; 32], ConsentScope), Consent>,
    pub(super) plugin_records: Table<PluginName, PluginRecord>,
    pub(super) plugin_use: Table<UseKey, Used>,
    pub(super) notes: Table<(TenantId, String), Note>,
    pub(super) endpoints: Table<EndpointId, Endpoint>,
    pub(super) notices: Table<i64, Notice>,
    pub(super) notice_last: i64,
    pub(super) files: Table<(TenantId, String), FileRow>,
    pub(super) touched: u64,
}

/// The last that came from an address, and the last of it that was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConversationRow {
    pub(super) last_seq: i64,
    pub(super) read_seq: i64,
    pub(super) free_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct EventRow {
    pub(super) event: Arc<Event>,
    pub(super) notes: Vec<String>,
    pub(super) runs: Vec<RunId>,
}

#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    /// Its cause is the event's row where there is one.
    pub(crate) queued: QueuedRun,
    pub(super) event: Option<i64>,
    pub(crate) state: RunState,
    pub(super) erased: bool,
    pub(super) result: Option<ResultRow>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ResultRow {
    pub(super) at: Timestamp,
    pub(super) failure: Option<RunFailure>,
    pub(super) report: Option<RunReport>,
    pub(super) effects: Option<Effects>,
}

#[derive(Clone, Debug)]
pub(crate) struct TimerRow {
    pub(crate) timer: FiredTimer,
    pub(crate) queued: bool,
}

/// What was asked for, and how it stands but for its attempts.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    pub(super) message: NewMessage,
    pub(super) lane: String,
    pub(super) state: Option<(MessageRecord, Option<MessageState>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ReceiptRow {
    pub(super) receipt: Receipt,
    pub(super) received: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct ParkedRow {
    pub(super) code: String,
    pub(super) token: String,
    pub(super) parked: Parked,
}

#[derive(Clone, Debug)]
pub(crate) struct CustomerRow {
    pub(super) profile: CustomerProfile,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

impl Tables {
    pub(super) fn next(&mut self, sequence: Sequence) -> i64 {
        let [events, runs, messages, incoming] = &mut self.seqs;
        let last = match sequence {
            Sequence::Events => events,
            Sequence::Runs => runs,
            Sequence::Messages => messages,
            Sequence::Incoming => incoming,
        };
        *last += 1;
        *last
    }

    pub(super) fn count(&mut self, counts: Counts) {
        for ((tenant, name), by) in counts {
            *self.counters.entry((tenant, name.to_owned())).or_default() += by;
        }
    }

    pub(super) fn tally(&mut self, stats: Stats) {
        for (key, by) in stats {
            *self.stats.entry(key).or_default() += by;
        }
    }

    /// A run as it would be read.
    pub(crate) fn queued(&self, row: &RunRow) -> QueuedRun {
        let mut queued = row.queued.clone();
        if let Some(event) = row.event.and_then(|seq| self.events.get(&seq)) {
            queued.run.cause = crate::domain::run::Cause::Event(event.event.clone());
        }
        queued
    }

    /// A message as it would be read.
    pub(crate) fn record(&self, seq: i64) -> Option<MessageRecord> {
        let row = self.messages.get(&seq)?;
        let (state, _) = row.state.as_ref()?;
        Some(MessageRecord { message: row.message.clone(), attempts: self.attempts_of(seq), ..state.clone() })
    }

    pub(super) fn attempts_of(&self, seq: i64) -> Vec<Attempt> {
        self.attempts.range((seq, 0)..=(seq, u32::MAX)).map(|(_, attempt)| attempt.clone()).collect()
    }

    /// How every message stands: whether it is settled, and its attempts.
    pub(crate) fn standing(&self) -> impl Iterator<Item = (MessageId, bool, impl Iterator<Item = &Attempt>)> {
        self.messages.iter().filter_map(|(seq, row)| {
            let (state, _) = row.state.as_ref()?;
            let attempts = self.attempts.range((*seq, 0)..=(*seq, u32::MAX)).map(|(_, attempt)| attempt);
            Some((row.message.id, state.settled, attempts))
        })
    }

    /// Nothing is left to be done.
    pub(crate) fn at_rest(&self) -> bool {
        let ended = |row: &MessageRow| {
            row.state.as_ref().is_some_and(|(state, _)| state.settled && state.next == Next::Nothing)
        };
        self.timers.is_empty()
            && self.runs.values().all(|row| row.state != RunState::Open)
            && self.messages.values().all(|row| ended(row))
    }

    /// Every message, in order of commit.
    pub(crate) fn records(&self) -> Vec<MessageRecord> {
        self.messages.keys().filter_map(|seq| self.record(*seq)).collect()
    }
}
