//! What a command works with while the writer's transaction is open.
//!
//! What commands change is visible to the commands after them in the same transaction, and to nobody else: [`Pending`] collects
//! it and is published only when the commit is on disk.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use super::{
    Shared,
    cache::Cache,
    entities::{self, HeldEntity},
    error::Outcome,
    messages::{self, Held},
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Customer,
        message::MessageRecord,
        run::{EntityKey, QueuedRun},
    },
    ids::{CustomerId, MessageId, TenantId},
    store::handover::Change,
};

pub(super) type CustomerKey = (TenantId, CustomerId);

/// The numbers that were given last. Counted here and not by SQLite, which would give the number of a deleted last row again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seqs {
    pub(super) events: i64,
    pub(super) runs: i64,
    pub(super) messages: i64,
    pub(super) incoming: i64,
}

impl Seqs {
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Seqs> {
        let last = |table: &str| {
            conn.query_row(&format!("SELECT coalesce(max(seq), 0) FROM {table}"), [], |row| row.get::<_, i64>(0))
        };
        // A timer remembers the run that set it even where that run's row is gone.
        let timers =
            conn.query_row("SELECT coalesce(max(generation), 0) FROM timers", [], |row| row.get::<_, i64>(0))?;
        Ok(Seqs {
            events: last("events")?,
            runs: last("runs")?.max(timers),
            messages: last("messages")?,
            incoming: last("incoming")?,
        })
    }
}

/// The earlier of a time and one that may have been noted before.
pub(super) fn earlier(noted: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(noted.map_or(at, |noted| noted.min(at)))
}

/// The next number of a sequence.
pub(super) fn next(last: &mut i64) -> i64 {
    *last += 1;
    *last
}

/// What a transaction changed in memory, and what it made to be done.
#[derive(Default)]
pub(super) struct Pending {
    /// `None` where the next reader is to read it from the file.
    pub(super) entities: HashMap<EntityKey, Option<HeldEntity>>,
    pub(super) customers: HashMap<CustomerKey, Option<Arc<Customer>>>,
    pub(super) messages: HashMap<MessageId, Option<Arc<Held>>>,
    /// To be handed over: runs to be executed, messages to be planned.
    pub(super) runs: Vec<QueuedRun>,
    pub(super) plans: Vec<MessageRecord>,
    pub(super) changes: Vec<Change>,
    /// The earliest time of a timer that was set, and of a message that is to be looked at again.
    pub(super) timer_due: Option<Timestamp>,
    pub(super) message_due: Option<Timestamp>,
    pub(super) forget_everything: bool,
    pub(super) truncate_log: bool,
}

impl Pending {
    /// Called once the commit is on disk. Caches first, so that whoever is woken reads what woke it.
    pub(super) fn publish(self, shared: &Shared) {
        if self.forget_everything {
            shared.entities.clear();
            shared.customers.clear();
            shared.messages.clear();
        }
        for (key, entity) in self.entities {
            let bytes = entity.as_ref().map_or(0, entities::bytes);
            shared.entities.set(key, entity, bytes);
        }
        for (key, customer) in self.customers {
            let bytes = customer.as_deref().map_or(0, super::customers::bytes);
            shared.customers.set(key, customer, bytes);
        }
        for (id, held) in self.messages {
            // A message that is settled is seldom changed again.
            let held = held.filter(|held| !held.record.settled);
            let bytes = held.as_deref().map_or(0, messages::bytes);
            shared.messages.set(id, held, bytes);
        }
        self.runs.into_iter().for_each(|run| shared.handover.run(run));
        self.plans.into_iter().for_each(|message| shared.handover.message(message));
        if let Some(due) = self.timer_due {
            shared.handover.timers_due.at(due);
        }
        if let Some(due) = self.message_due {
            shared.handover.messages_due.at(due);
        }
        self.changes.into_iter().for_each(|change| shared.handover.changed(change));
    }
}

pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) shared: &'a Shared,
    pub(super) seqs: &'a mut Seqs,
    pub(super) pending: Pending,
    counts: HashMap<(TenantId, &'static str), i64>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(conn: &'a Connection, shared: &'a Shared, seqs: &'a mut Seqs) -> Tx<'a> {
        Tx { conn, shared, seqs, pending: Pending::default(), counts: HashMap::new() }
    }

    /// Executes a statement; how many rows it changed.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> Outcome<usize> {
        Ok(self.statement(sql)?.execute(params)?)
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Option<T>> {
        Ok(self.statement(sql)?.query_row(params, read).optional()?)
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Vec<T>> {
        let mut statement = self.statement(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn statement(&self, sql: &str) -> Outcome<CachedStatement<'a>> {
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// Adds to a figure; written at the end of the transaction, once for the whole batch.
    pub(super) fn count(&mut self, tenant: &TenantId, name: &'static str, by: i64) {
        if by != 0 {
            *self.counts.entry((tenant.clone(), name)).or_default() += by;
        }
    }

    pub(super) fn watched(&self) -> bool {
        self.shared.handover.watched()
    }

    pub(super) fn finish(self) -> Outcome<Pending> {
        for ((tenant, name), by) in &self.counts {
            if *by != 0 {
                let sql = "INSERT INTO counters (tenant, name, value) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (tenant, name) DO UPDATE SET value = value + excluded.value";
                self.conn.prepare_cached(sql)?.execute(rusqlite::params![tenant.as_str(), name, by])?;
            }
        }
        Ok(self.pending)
    }

    /// As this transaction sees it: what it changed, else what is cached, else what `load` finds.
    pub(super) fn entity(&mut self, key: &EntityKey) -> Outcome<HeldEntity> {
        look_up(&mut self.pending.entities, &self.shared.entities, self.pending.forget_everything, key, || {
            entities::load(self.conn, key).map(Some)
        })
        .map(Option::unwrap_or_default)
    }

    pub(super) fn held_message(&mut self, tenant: &TenantId, id: MessageId) -> Outcome<Option<Arc<Held>>> {
        let held =
            look_up(&mut self.pending.messages, &self.shared.messages, self.pending.forget_everything, &id, || {
                Ok(messages::load(self.conn, id)?.map(Arc::new))
            })?;
        Ok(held.filter(|held| held.record.message.tenant == *tenant))
    }

    /// Rows were changed behind the back of what is held in memory: everybody reads the file anew.
    pub(super) fn forget(&mut self) {
        self.pending.entities.values_mut().for_each(|held| *held = None);
        self.pending.customers.values_mut().for_each(|held| *held = None);
        self.pending.messages.values_mut().for_each(|held| *held = None);
        self.pending.forget_everything = true;
        self.pending.truncate_log = true;
    }

    /// Reads the customer anew, for the commands that follow and for whoever asks after the commit.
    pub(super) fn customer_changed(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Arc<Customer>>> {
        let customer = super::customers::load(self.conn, tenant, id)?.map(Arc::new);
        self.pending.customers.insert((tenant.clone(), id.clone()), customer.clone());
        Ok(customer)
    }
}

fn look_up<K: Clone + std::hash::Hash + Eq, V: Clone>(
    pending: &mut HashMap<K, Option<V>>,
    cache: &Cache<K, V>,
    forgotten: bool,
    key: &K,
    load: impl FnOnce() -> Outcome<Option<V>>,
) -> Outcome<Option<V>> {
    if let Some(Some(value)) = pending.get(key) {
        return Ok(Some(value.clone()));
    }
    if !forgotten
        && !pending.contains_key(key)
        && let Some(value) = cache.get(key)
    {
        return Ok(Some(value));
    }
    let value = load()?;
    if value.is_some() {
        pending.insert(key.clone(), value.clone());
    }
    Ok(value)
}
