//! The embedded store: one SQLite file in WAL mode, with `synchronous=FULL`.
//!
//! In: the verbs of [`Store`]. What changes something goes to the one writer thread ([`writer`]), which commits everything that
//! has queued up as one transaction and answers after it is on disk. What only reads comes from memory where it can
//! ([`Caches`]), else from a few read-only connections ([`readers`]). Out: answers, and what is newly to be done to the
//! [`Handover`].
//!
//! What can go wrong: a full disk or an I/O error fails the commands of one transaction, all of which are told so, and the store
//! goes on by itself; a file that is not ours, damaged, newer or in use is refused at the start ([`open`]); one that is found
//! damaged later is written no more, and is still read where it can be.
//!
//! It never acknowledges what is not on disk, never holds a transaction open while anybody waits, and never begins an empty
//! store where there was another.

mod adrift;
mod aside;
mod conversations;
mod damage;
mod erasing;
mod error;
mod export;
mod files;
mod heard;
mod inbox;
mod kept;
mod known;
mod log;
mod measure;
mod notices;
mod open;
mod open_work;
mod outbox;
mod people;
mod readers;
mod retain;
mod rows;
mod settings;
mod source;
mod stories;
#[cfg(test)]
mod tests;
mod verbs;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

pub(in crate::store) use export::Export;
pub use settings::Settings;

use self::{
    damage::Damage,
    error::Trouble,
    readers::Readers,
    source::Seqs,
    writer::{Job, Verb, Writer},
};
use super::{
    Error, Handover, Result,
    cache::Cache,
    commands::{Outcome, Terms, Tx, tx::Caches},
    notices::EndpointCache,
};
use crate::clock::Timestamp;

/// What the writer and the callers have in common.
struct Shared {
    settings: super::Settings,
    handover: Handover,
    terms: Terms,
    caches: Caches,
    damage: Arc<Damage>,
    /// Committed since the start, for whoever measures.
    transactions: AtomicU64,
}

pub struct SqliteStore {
    place: String,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    /// Gone once the store is closed.
    queue: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it where there is none. Reads and writes files: call it before serving anybody.
    pub fn open(path: &Path, settings: super::Settings, handover: Handover, now: Timestamp) -> Result<SqliteStore> {
        let lock = open::lock(path)?;
        let conn = open::writer(path, &settings.sqlite, now)?;
        let at = |trouble: Trouble| trouble.at(path);
        let damage = Arc::new(Damage::default());
        let shared = Arc::new(Shared {
            terms: Terms {
                address_key: open::address_key(&conn, path)?,
                address_unusable: settings.address_unusable(),
                answer_within: settings.answer_within(),
                caps: settings.tenant_caps.clone(),
            },
            caches: Caches {
                entities: Cache::of_bytes(settings.entity_cache_bytes),
                customers: Cache::of_bytes(settings.customer_cache_bytes),
                messages: Cache::of_bytes(settings.message_cache_bytes),
                endpoints: EndpointCache::default(),
            },
            settings: settings.clone(),
            handover,
            damage: damage.clone(),
            transactions: AtomicU64::new(0),
        });
        let seqs = Seqs::read(&conn).map_err(Trouble::from).map_err(at)?;
        let writer =
            Writer { conn, shared: shared.clone(), seqs, place: path.to_owned(), truncate_owed: false, _lock: lock };
        let (queue, jobs) = sync_channel(settings.queue_max.max(1));
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(&jobs));
        let thread = thread.map_err(|error| Error::Unavailable {
            place: path.display().to_string(),
            reason: format!("its writer cannot be started: {error}"),
            advice: "Let the host's user have more threads".into(),
        })?;
        Ok(SqliteStore {
            place: path.display().to_string(),
            shared,
            readers: Arc::new(Readers::new(path.to_owned(), settings.sqlite, damage)),
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(thread)),
        })
    }

    /// How many transactions have been committed since it was opened.
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Has the writer do `work` in its next transaction; returns when that is on disk. `work` may be done twice, where the
    /// first transaction that it was part of failed.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = Verb::new(work);
        self.send(Box::new(job))?;
        answer.await.unwrap_or_else(|_| Err(self.writer_is_gone()))
    }

    fn send(&self, job: Box<dyn Job>) -> Result<()> {
        let queue = self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(queue) = &*queue else { return Err(Error::Closed) };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Unavailable {
                place: self.place.clone(),
                reason: format!("{} commands are waiting to be written", self.shared.settings.queue_max),
                advice: "Send more slowly, or give the host a faster disk".into(),
            },
            TrySendError::Disconnected(_) => self.writer_is_gone(),
        })
    }

    fn writer_is_gone(&self) -> Error {
        Error::Unavailable {
            place: self.place.clone(),
            reason: "its writer has stopped, which is a bug".into(),
            advice: "Restart the host; what was acknowledged is on disk".into(),
        }
    }

    /// Lets the writer finish what is queued; it closes the file when it ends.
    fn stop(&self) -> Option<JoinHandle<()>> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        self.readers.close();
        self.shared.damage.close();
        self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}

impl Drop for SqliteStore {
    /// Whoever opens the same file next must find it let go.
    fn drop(&mut self) {
        if let Some(writer) = self.stop() {
            let _ = writer.join();
        }
    }
}
