//! A store in memory, for tests only: what every command decides is the same as on a database, the rows are maps.
//!
//! Several hosts may open the same [`Tables`]; a transaction works on a copy of what it touches and takes its place when it
//! succeeds, so one that fails leaves nothing. Around every verb stands a [`Script`], which may delay it, let it fail before
//! anything was done or after everything was, and says what the host owns. [`Flaws`] break the store on purpose: a checker that
//! does not notice them proves nothing.
//!
//! It keeps nothing in memory twice (there are no caches to be wrong), and never survives its process.

mod adrift;
mod erasing;
mod files;
mod heard;
mod inbox;
mod kept;
mod notices;
mod open_work;
mod outbox;
mod people;
mod stories;
mod tables;
mod tests;
mod verbs;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub(crate) use tables::{RunRow, Tables};

use super::{
    Error, Handover, Result,
    cache::Cache,
    commands::{Outcome, Pending, Terms, Tx, tx::Caches},
    notices::EndpointCache,
};
use crate::domain::shard::Shard;

/// What happens around a verb, and what the host believes it owns.
#[async_trait]
pub(crate) trait Script: Send + Sync + 'static {
    /// Before anything is done. An error here means that nothing was.
    async fn before(&self, _verb: &'static str) -> Result<()> {
        Ok(())
    }
    /// After everything was done. An error here is an answer that was lost.
    async fn after(&self, _verb: &'static str) -> Result<()> {
        Ok(())
    }
    fn owns(&self, _shard: Shard) -> bool {
        true
    }
    /// Whether there are other hosts.
    fn shared(&self) -> bool {
        false
    }
    /// What a commit newly made to be done, before it is handed over: what is others' is taken out.
    fn committed(&self, _pending: &mut Handed) {}
}

/// What a commit hands over in memory.
pub(crate) struct Handed {
    pub(crate) runs: Vec<crate::domain::run::QueuedRun>,
    pub(crate) messages: Vec<crate::domain::message::MessageRecord>,
    pub(crate) timer_due: Option<crate::clock::Timestamp>,
    pub(crate) message_due: Option<crate::clock::Timestamp>,
}

/// Nothing goes wrong, and everything is ours.
pub(crate) struct Fair;

impl Script for Fair {}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Flaws {
    /// Every run is said to be open: nothing keeps a late commit out.
    pub(crate) no_fence: bool,
    /// Timers come due half a minute before their time.
    pub(crate) early_timers: bool,
    /// A state that an attempt has reached may be written over by a lower one.
    pub(crate) states_fall: bool,
    /// A message that was taken is neither handed over nor found again.
    pub(crate) messages_forgotten: bool,
    /// Events are acknowledged and not kept.
    pub(crate) events_not_kept: bool,
}

pub(crate) struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    handover: Handover,
    terms: Terms,
    caches: Caches,
    script: Arc<dyn Script>,
    flaws: Flaws,
}

/// The rows, while a transaction is open.
pub(super) struct MemorySource<'a> {
    pub(super) tables: &'a mut Tables,
    pub(super) flaws: Flaws,
}

impl MemoryStore {
    pub(crate) fn open(
        tables: Arc<Mutex<Tables>>,
        handover: Handover,
        script: Arc<dyn Script>,
        flaws: Flaws,
    ) -> MemoryStore {
        let settings = super::Settings::default();
        MemoryStore {
            tables,
            handover,
            terms: Terms {
                address_key: [7; 32],
                address_unusable: settings.address_unusable(),
                answer_within: settings.answer_within(),
                caps: settings.tenant_caps,
            },
            caches: Caches {
                entities: Cache::of_bytes(0),
                customers: Cache::of_bytes(0),
                messages: Cache::of_bytes(0),
                endpoints: EndpointCache::default(),
            },
            script,
            flaws,
        }
    }

    async fn write<T>(&self, verb: &'static str, work: impl FnOnce(&mut Tx<'_>) -> Outcome<T> + Send) -> Result<T> {
        self.script.before(verb).await?;
        let done = self.commit(work)?;
        self.script.after(verb).await?;
        Ok(done)
    }

    async fn read<T>(&self, verb: &'static str, look: impl FnOnce(&Tables) -> T + Send) -> Result<T> {
        self.script.before(verb).await?;
        let found = look(&self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        self.script.after(verb).await?;
        Ok(found)
    }

    fn commit<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Outcome<T>) -> Result<T> {
        let mut held = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        // Copied where it is written to, table by table; numbers that were drawn stay drawn, as in a database.
        let mut tables = held.clone();
        let mut source = MemorySource { tables: &mut tables, flaws: self.flaws };
        let mut tx = Tx::new(&mut source, &self.terms, self.handover.watched());
        let done = work(&mut tx);
        let (pending, counts, stats) = tx.finish();
        let done = match done {
            Ok(done) => done,
            Err(trouble) => {
                held.seqs = tables.seqs;
                return Err(Error::Corrupt(trouble.to_string()));
            }
        };
        tables.count(counts);
        tables.tally(stats);
        *held = tables;
        drop(held);
        self.publish(pending);
        Ok(done)
    }

    fn publish(&self, mut pending: Pending) {
        let mut handed = Handed {
            runs: std::mem::take(&mut pending.runs),
            messages: std::mem::take(&mut pending.plans),
            timer_due: pending.timer_due.take(),
            message_due: pending.message_due.take(),
        };
        self.script.committed(&mut handed);
        pending.runs = handed.runs;
        pending.plans = handed.messages;
        if self.flaws.messages_forgotten {
            pending.plans.clear();
        }
        pending.timer_due = handed.timer_due;
        pending.message_due = handed.message_due;
        pending.publish(&self.caches, &self.handover);
    }
}

/// What a database says when a row is there already.
fn twice(what: &str) -> super::commands::Trouble {
    super::commands::Trouble::Database(format!("there is a row of {what} with this key already").into())
}

/// What the flaw of early timers takes off.
const EARLY: Duration = Duration::from_secs(30);
