//! What a command works with while a transaction is open.
//!
//! What commands change is visible to the commands after them in the same transaction, and to nobody else: [`Pending`] collects
//! it and is published only when the commit is on disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Held, HeldEntity, Outcome, Source, Terms, customers, entities, messages};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Customer,
        message::MessageRecord,
        run::{EntityKey, QueuedRun},
        tally::{Lines, Measure, StatKey},
    },
    ids::{CustomerId, MessageId, TenantId},
    store::{Handover, cache::Cache, handover::Change},
};

pub(in crate::store) type CustomerKey = (TenantId, CustomerId);

/// What is read all the time, in memory.
pub(in crate::store) struct Caches {
    pub(in crate::store) entities: Cache<EntityKey, HeldEntity>,
    pub(in crate::store) customers: Cache<CustomerKey, Arc<Customer>>,
    pub(in crate::store) messages: Cache<MessageId, Arc<Held>>,
}

/// What a transaction changed in memory, and what it made to be done.
#[derive(Default)]
pub(in crate::store) struct Pending {
    /// `None` where the next reader is to read it from the database.
    pub(in crate::store) entities: HashMap<EntityKey, Option<HeldEntity>>,
    customers: HashMap<CustomerKey, Option<Arc<Customer>>>,
    pub(in crate::store) messages: HashMap<MessageId, Option<Arc<Held>>>,
    /// To be handed over: runs to be executed, messages to be planned.
    pub(in crate::store) runs: Vec<QueuedRun>,
    pub(in crate::store) plans: Vec<MessageRecord>,
    pub(in crate::store) changes: Vec<Change>,
    /// The earliest time of a timer that was set, and of a message that is to be looked at again.
    pub(in crate::store) timer_due: Option<Timestamp>,
    pub(in crate::store) message_due: Option<Timestamp>,
    /// Rows were changed behind the back of what is held in memory, and nothing of what stood in them may stay anywhere.
    pub(in crate::store) erased: bool,
}

impl Pending {
    /// Called once the commit is on disk. Caches first, so that whoever is woken reads what woke it.
    pub(in crate::store) fn publish(self, caches: &Caches, handover: &Handover) {
        if self.erased {
            caches.entities.clear();
            caches.customers.clear();
            caches.messages.clear();
        }
        for (key, entity) in self.entities {
            let bytes = entity.as_ref().map_or(0, entities::bytes);
            caches.entities.set(key, entity, bytes);
        }
        for (key, customer) in self.customers {
            let bytes = customer.as_deref().map_or(0, customers::bytes);
            caches.customers.set(key, customer, bytes);
        }
        for (id, held) in self.messages {
            // A message that is settled is seldom changed again.
            let held = held.filter(|held| !held.record.settled);
            let bytes = held.as_deref().map_or(0, messages::bytes);
            caches.messages.set(id, held, bytes);
        }
        self.runs.into_iter().for_each(|run| handover.run(run));
        self.plans.into_iter().for_each(|message| handover.message(message));
        if let Some(due) = self.timer_due {
            handover.timers_due.at(due);
        }
        if let Some(due) = self.message_due {
            handover.messages_due.at(due);
        }
        self.changes.into_iter().for_each(|change| handover.changed(change));
    }
}

/// The earlier of a time and one that may have been noted before.
pub(super) fn earlier(noted: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(noted.map_or(at, |noted| noted.min(at)))
}

/// Figures that a page asks for all the time, by how much they change.
pub(in crate::store) type Counts = HashMap<(TenantId, &'static str), i64>;
/// What is counted of messages, by how much it changes. In the order of its key, in which it is written.
pub(in crate::store) type Stats = BTreeMap<(TenantId, StatKey, Measure), i64>;

pub(in crate::store) struct Tx<'a> {
    pub(in crate::store) source: &'a mut dyn Source,
    pub(in crate::store) terms: &'a Terms,
    pub(in crate::store) pending: Pending,
    watched: bool,
    counts: Counts,
    stats: Stats,
}

impl<'a> Tx<'a> {
    /// `watched` where somebody wants to know of every change.
    pub(in crate::store) fn new(source: &'a mut dyn Source, terms: &'a Terms, watched: bool) -> Tx<'a> {
        Tx { source, terms, pending: Pending::default(), watched, counts: HashMap::new(), stats: Stats::new() }
    }

    /// Adds to a figure; written at the end of the transaction, once for the whole batch.
    pub(super) fn count(&mut self, tenant: &TenantId, name: &'static str, by: i64) {
        if by != 0 {
            *self.counts.entry((tenant.clone(), name)).or_default() += by;
        }
    }

    /// Adds to what is counted of messages; written at the end of the transaction, once for the whole batch.
    pub(super) fn count_lines(&mut self, tenant: &TenantId, lines: Lines) {
        for ((key, measure), by) in lines {
            *self.stats.entry((tenant.clone(), key, measure)).or_default() += by;
        }
    }

    pub(super) fn watched(&self) -> bool {
        self.watched
    }

    /// What was changed in memory, and the figures that are still to be written.
    pub(in crate::store) fn finish(mut self) -> (Pending, Counts, Stats) {
        self.counts.retain(|_, by| *by != 0);
        self.stats.retain(|_, by| *by != 0);
        (self.pending, self.counts, self.stats)
    }

    /// As this transaction sees it: what it changed, else what there is.
    pub(super) fn entity(&mut self, key: &EntityKey) -> Outcome<HeldEntity> {
        if let Some(Some(held)) = self.pending.entities.get(key) {
            return Ok(held.clone());
        }
        self.source.load_entity(key)
    }

    pub(super) fn held_message(&mut self, tenant: &TenantId, id: MessageId) -> Outcome<Option<Arc<Held>>> {
        let held = match self.pending.messages.get(&id) {
            Some(Some(held)) => Some(held.clone()),
            _ => self.source.load_message(id)?,
        };
        Ok(held.filter(|held| held.record.message.tenant == *tenant))
    }

    pub(super) fn customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Arc<Customer>>> {
        self.source.load_customer(tenant, id)
    }

    /// Reads the customer anew, for whoever asks after the commit.
    pub(super) fn customer_changed(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Arc<Customer>>> {
        let customer = self.customer(tenant, id)?;
        self.pending.customers.insert((tenant.clone(), id.clone()), customer.clone());
        Ok(customer)
    }

    /// Rows are changed behind the back of what is held in memory: everybody reads the database anew.
    pub(super) fn forget(&mut self) {
        self.pending.entities.values_mut().for_each(|held| *held = None);
        self.pending.customers.values_mut().for_each(|held| *held = None);
        self.pending.messages.values_mut().for_each(|held| *held = None);
        self.pending.erased = true;
        self.source.forget();
    }
}
