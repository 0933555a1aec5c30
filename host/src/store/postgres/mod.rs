//! The store of several hosts: one PostgreSQL database, 15 or later.
//!
//! In: the verbs of [`Store`](super::Store). What changes something goes to the one connection that writes ([`writer`]), which
//! commits everything that has queued up as one transaction: a round trip that reads and locks what the commands need
//! ([`load`]), the commands themselves, in memory ([`super::commands`] on [`source`]), and a round trip that writes one statement
//! for each table ([`writes`]) and commits. What only reads uses a pool. Which host does what is agreed on by leases ([`lease`]);
//! hosts tell each other of work by hints ([`notify`]).
//!
//! What can go wrong: the server restarts, hangs, or the connection is lost between a commit and its answer. Callers are told
//! that it failed, ask again, and find it done; the host goes on by itself when the server does. Two hosts that write the same
//! rows at the same moment are put one behind the other by the locks, or try again.
//!
//! Nothing that is held in memory here decides anything: rows are compared with the database before a commit. Times that matter
//! between hosts (leases, due timers) are the database's.

mod adrift;
mod aside;
mod connect;
mod conversations;
mod erasing;
mod error;
mod files;
mod heard;
mod import;
mod inbox;
mod kept;
mod known;
mod lease;
mod load;
mod measure;
mod notices;
mod notify;
mod open;
mod open_work;
mod outbox;
mod pace;
mod people;
mod read;
mod retain;
mod rows;
mod session;
mod settings;
mod source;
mod stories;
mod table;
#[cfg(test)]
mod tests;
mod verbs;
mod write_erasing;
mod write_heard;
mod write_inbox;
mod write_kept;
mod write_outbox;
mod write_people;
mod writer;
mod writes;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Pool;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;

pub(in crate::store) use import::{Import, Mark};
pub use settings::Settings;

use self::{
    error::{Outcome, Trouble},
    lease::Leases,
    source::Want,
    writer::{Job, Verb, Writer},
};
use super::{
    Error, Handover, Result,
    cache::Cache,
    commands::{self, Terms, Tx, tx::Caches},
    notices::EndpointCache,
};
use crate::clock::Clock;

/// What everything in here has in common.
struct Shared {
    /// The server and database, without a secret, for whoever reads an error.
    place: String,
    settings: super::Settings,
    config: Config,
    pool: Pool,
    handover: Handover,
    terms: Terms,
    caches: Caches,
    leases: Leases,
    /// The part of the counters that is this host's.
    part: i64,
    /// Goes by the database's clock, where it goes by any.
    clock: Arc<dyn Clock>,
    /// Timers are due by the database's clock: not where a test or a demo moves the host's.
    database_time: AtomicBool,
    /// Committed since the start, for whoever measures.
    transactions: AtomicU64,
}

pub struct PgStore {
    shared: Arc<Shared>,
    /// Gone once the store is closed.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stop: CancellationToken,
}

impl PgStore {
    /// Connects, brings the schema up to date, and takes this host's share of the shards.
    pub async fn open(
        url: &str,
        settings: super::Settings,
        handover: Handover,
        clock: Arc<dyn Clock>,
    ) -> Result<PgStore> {
        let at = |trouble: Trouble| trouble.at(url);
        let config = connect::config(url, &settings.postgres).map_err(at)?;
        let pool = connect::pool(config.clone(), &settings.postgres).map_err(at)?;
        let first = connect::reader(&pool).await.map_err(at)?;
        let address_key = open::prepare(&first, url).await?;
        drop(first);
        let mut id = [0u8; 16];
        getrandom::fill(&mut id).map_err(|error| at(Trouble::Unreadable(format!("no random bytes: {error}"))))?;
        let host_name = settings.postgres.host_name.clone().unwrap_or_else(machine_name);
        let shared = Arc::new(Shared {
            place: url.to_owned(),
            config,
            pool,
            handover,
            terms: Terms {
                address_key,
                address_unusable: settings.address_unusable(),
                answer_within: settings.answer_within(),
                caps: settings.tenant_caps.clone(),
            },
            caches: Caches {
                entities: Cache::of_bytes(settings.entity_cache_bytes),
                // What a customer refuses on one host must be refused on the next at once: read anew each time.
                customers: Cache::of_bytes(0),
                messages: Cache::of_bytes(0),
                endpoints: EndpointCache::default(),
            },
            leases: Leases::new(id, host_name, settings.postgres.lease()),
            // A few hundred at most: a part that was another host's once is added to as well as a new one.
            part: i64::from(id[0]),
            clock,
            database_time: AtomicBool::new(false),
            transactions: AtomicU64::new(0),
            settings,
        });
        let listener = notify::begin(&shared).await.map_err(at)?;
        lease::round(&shared).await.map_err(at)?;
        let (queue, jobs) = mpsc::channel(shared.settings.queue_max.max(1));
        let stop = CancellationToken::new();
        let writer = Writer { shared: shared.clone(), queue: jobs, connection: None, lost: None };
        let tasks = vec![
            tokio::spawn(writer.run()),
            tokio::spawn(lease::keep(shared.clone(), stop.clone())),
            tokio::spawn(notify::listen(shared.clone(), listener, stop.clone())),
        ];
        Ok(PgStore { shared, queue: Mutex::new(Some(queue)), tasks: Mutex::new(tasks), stop })
    }

    /// How many transactions have been committed since it was opened.
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Has the writer do `work` in its next transaction; returns when that is committed. `work` may be done more than once.
    async fn write<T: Send + 'static>(
        &self,
        wants: Vec<Want>,
        work: impl FnMut(&mut Tx<'_>) -> commands::Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = Verb::new(wants, false, work);
        self.send(Box::new(job))?;
        answer.await.unwrap_or_else(|_| Err(self.writer_is_gone()))
    }

    /// The same in a transaction of its own: what it changes is not what commands beside it have read.
    async fn write_alone<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> commands::Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = Verb::new(Vec::new(), true, work);
        self.send(Box::new(job))?;
        answer.await.unwrap_or_else(|_| Err(self.writer_is_gone()))
    }

    fn send(&self, job: Box<dyn Job>) -> Result<()> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &*queue else { return Err(Error::Closed) };
        queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Unavailable {
                place: self.shared.place.clone(),
                reason: format!("{} commands are waiting to be written", self.shared.settings.queue_max),
                advice: "Send more slowly, or give the database a faster disk".into(),
            },
            mpsc::error::TrySendError::Closed(_) => self.writer_is_gone(),
        })
    }

    fn writer_is_gone(&self) -> Error {
        Error::Unavailable {
            place: self.shared.place.clone(),
            reason: "its writer has stopped, which is a bug".into(),
            advice: "Restart the host; what was acknowledged is in the database".into(),
        }
    }

    /// A query on a connection of the pool.
    async fn read<T>(&self, query: impl AsyncFnOnce(&deadpool_postgres::ClientWrapper) -> Outcome<T>) -> Result<T> {
        self.read_within(self.shared.settings.postgres.statement_timeout_ms, query).await
    }

    /// The same for what reads whole tables.
    async fn scan<T>(&self, query: impl AsyncFnOnce(&deadpool_postgres::ClientWrapper) -> Outcome<T>) -> Result<T> {
        let settings = &self.shared.settings.postgres;
        let (usual, limit) = (settings.statement_timeout_ms, settings.scan_timeout_ms);
        let within = async |client: &deadpool_postgres::ClientWrapper| {
            client.batch_execute(&format!("SET statement_timeout = {limit}")).await?;
            let found = query(client).await;
            client.batch_execute(&format!("SET statement_timeout = {usual}")).await?;
            found
        };
        self.read_within(limit, within).await
    }

    async fn read_within<T>(
        &self,
        limit_ms: u64,
        query: impl AsyncFnOnce(&deadpool_postgres::ClientWrapper) -> Outcome<T>,
    ) -> Result<T> {
        if self.stop.is_cancelled() {
            return Err(Error::Closed);
        }
        let answer = async {
            let client = connect::reader(&self.shared.pool).await?;
            match tokio::time::timeout(Duration::from_millis(limit_ms), query(&client)).await {
                Ok(answer) => answer,
                Err(_) => {
                    // What it is doing is not known: not to be used by anybody else.
                    drop(deadpool_postgres::Object::take(client));
                    Err(Trouble::Silent(limit_ms))
                }
            }
        };
        answer.await.map_err(|trouble| trouble.at(&self.shared.place))
    }
}

impl Drop for PgStore {
    /// The background tasks hold what they work with, and would go on without it.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}
