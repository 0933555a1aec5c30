//! The one connection that writes: it takes everything that is queued into one transaction, so that one commit covers many
//! commands.
//!
//! In: commands from any number of callers, in order. Out: an answer to each, after the commit that covers it, and then, in the
//! same order, what the commands newly made to be done. A transaction that another host got in the way of is done again from
//! the start. A connection that is lost is made anew with the next command; where it was lost between a commit and its answer,
//! nobody knows what became of it, so the callers are told that it failed, and what they ask for again is found done: an event
//! is a duplicate, a run is gone, a message has another revision. Its session is ended before anything else is written
//! ([`super::session`]), and what it made to be done is read from the store.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use tokio::sync::{mpsc, oneshot};

use super::{
    Shared,
    error::{Outcome, Trouble},
    load, notify,
    session::Session,
    source::{PgSource, Want},
    table::row,
};
use crate::store::{
    self, Error,
    commands::{
        self, Pending, Tx,
        tx::{Counts, Stats},
    },
};

/// How often a transaction is done again because of others, before its commands are told so.
const TRIES_MAX: u32 = 8;
/// Rounds of reading in one transaction. No command asks for rows that deep; this keeps a mistake from spinning.
const ROUNDS_MAX: u32 = 16;

/// A command of a caller. It may be applied more than once.
pub(super) trait Job: Send {
    /// What it will ask for, as far as that is known beforehand.
    fn wants(&self) -> &[Want];
    /// Whether it shares a transaction with others.
    fn alone(&self) -> bool;
    fn apply(&mut self, tx: &mut Tx<'_>) -> commands::Outcome<()>;
    fn answer(self: Box<Self>, failed: Option<&Error>);
}

pub(super) struct Verb<T, F> {
    wants: Vec<Want>,
    alone: bool,
    work: F,
    done: Option<T>,
    caller: oneshot::Sender<store::Result<T>>,
}

impl<T, F> Verb<T, F> {
    pub(super) fn new(wants: Vec<Want>, alone: bool, work: F) -> (Verb<T, F>, oneshot::Receiver<store::Result<T>>) {
        let (caller, answer) = oneshot::channel();
        (Verb { wants, alone, work, done: None, caller }, answer)
    }
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> commands::Outcome<T> + Send> Job for Verb<T, F> {
    fn wants(&self) -> &[Want] {
        &self.wants
    }

    fn alone(&self) -> bool {
        self.alone
    }

    fn apply(&mut self, tx: &mut Tx<'_>) -> commands::Outcome<()> {
        self.done = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<&Error>) {
        let answer = match (failed, self.done) {
            (Some(error), _) => Err(error.again()),
            (None, Some(done)) => Ok(done),
            (None, None) => Err(Error::Corrupt("a command was committed without having been applied".into())),
        };
        // Who asked may have gone; what was asked is done all the same.
        let _ = self.caller.send(answer);
    }
}

pub(super) type Jobs = Vec<Box<dyn Job>>;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: mpsc::Receiver<Box<dyn Job>>,
    /// `None` until the first command, and after it was lost.
    pub(super) connection: Option<Connection>,
    /// The session of a connection that was given up, with a transaction that may still go through.
    pub(super) lost: Option<Session>,
}

pub(super) struct Connection {
    client: ClientWrapper,
    session: Option<Session>,
}

impl Writer {
    /// Returns when every sender is gone and everything that was queued is answered.
    pub(super) async fn run(mut self) {
        let most = self.shared.settings.batch_max.max(1);
        let mut taken = Vec::with_capacity(most);
        while self.queue.recv_many(&mut taken, most).await > 0 {
            // Whoever is about to ask for something gets the processor first, so that one commit covers them too.
            tokio::task::yield_now().await;
            while taken.len() < most
                && let Ok(more) = self.queue.try_recv()
            {
                taken.push(more);
            }
            let (alone, together): (Jobs, Jobs) = taken.drain(..).partition(|job| job.alone());
            if !together.is_empty() {
                self.batch(together).await;
            }
            for job in alone {
                self.batch(vec![job]).await;
            }
        }
    }

    async fn batch(&mut self, mut jobs: Jobs) {
        match self.transaction(&mut jobs).await {
            Ok(pending) => {
                pending.publish(&self.shared.caches, &self.shared.handover);
                jobs.into_iter().for_each(|job| job.answer(None));
            }
            // One command's own trouble must not undo the others.
            Err(trouble) if !trouble.of_the_server() && jobs.len() > 1 => {
                for job in jobs {
                    Box::pin(self.batch(vec![job])).await;
                }
            }
            Err(trouble) => {
                let error = trouble.at(&self.shared.place);
                // Where the commit went through and only its answer was lost, what it made to be done is in the store alone.
                self.shared.handover.read_the_store();
                tracing::error!(commands = jobs.len(), %error, "nothing of these commands is known to be written");
                jobs.into_iter().for_each(|job| job.answer(Some(&error)));
            }
        }
    }

    async fn transaction(&mut self, jobs: &mut Jobs) -> Outcome<Pending> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.attempt(jobs).await {
                Err(trouble) if trouble.passes_by_trying_again() && tries < TRIES_MAX => {
                    tracing::debug!(%trouble, tries, "a transaction met another host's, and is done again");
                    // Two hosts that met once would meet again if both came back at once.
                    tokio::time::sleep(Duration::from_millis(u64::from(tries))).await;
                }
                done => return done,
            }
        }
    }

    async fn attempt(&mut self, jobs: &mut Jobs) -> Outcome<Pending> {
        let limit = self.shared.settings.postgres.statement_timeout();
        let connect_limit = self.shared.settings.postgres.connect_timeout();
        let silent = |limit: Duration| Trouble::Silent(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let connection = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => connection,
            // Not as long as a statement: whoever posts waits for both.
            _ => {
                let connected = tokio::time::timeout(connect_limit, self.connect()).await;
                connected.unwrap_or_else(|_| Err(silent(connect_limit)))?
            }
        };
        let client = &connection.client;
        let done = tokio::time::timeout(limit, Box::pin(transact(client, &self.shared, jobs))).await;
        let known = match &done {
            Ok(Ok(_)) => true,
            // A connection that cannot even roll back is not used again.
            Ok(Err(_)) => {
                let rolled_back = tokio::time::timeout(connect_limit, client.batch_execute("ROLLBACK")).await;
                matches!(rolled_back, Ok(Ok(())))
            }
            // What the server is doing with the transaction is not known.
            Err(_) => false,
        };
        if known {
            self.connection = Some(connection);
        } else {
            self.lost = connection.session;
        }
        done.unwrap_or_else(|_| Err(silent(limit)))
    }

    /// A connection that is this writer's alone. Nothing of one that was lost happens any more once it is there.
    async fn connect(&mut self) -> Outcome<Connection> {
        let client = super::connect::writer(&self.shared).await?;
        let session = Session::of(&client).await?;
        if let Some(lost) = &self.lost {
            lost.end(&client).await?;
            self.lost = None;
            // What it has committed, if it has, is in the store alone. It is read there before anything later is taken up.
            self.shared.handover.read_the_store();
        }
        Ok(Connection { client, session })
    }
}

async fn transact(client: &ClientWrapper, shared: &Shared, jobs: &mut Jobs) -> Outcome<Pending> {
    let database_time = shared.database_time.load(std::sync::atomic::Ordering::Acquire);
    let mut source = PgSource::new(database_time, shared.settings.parked_receipts_max);
    for job in jobs.iter() {
        job.wants().iter().for_each(|want| source.expect(want));
    }
    let begin = async { Ok(client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?) };
    // Sent one behind the other, without waiting for the first answer.
    futures_util::future::try_join(begin, Box::pin(load::load(client, &mut source, &shared.caches))).await?;
    for _ in 0..ROUNDS_MAX {
        match apply(&mut source, shared, jobs)? {
            Some((mut pending, counts, stats)) => {
                write_counts(&mut source, shared, &counts, &stats);
                let notice = notify::notice(shared, &pending);
                let notice = notice.as_ref().map(serde_json::to_string).transpose()?;
                source.writes.commit(client, notice.as_deref()).await?;
                shared.transactions.fetch_add(1, Ordering::Relaxed);
                notify::keep_own(shared, &mut pending);
                return Ok(pending);
            }
            None => Box::pin(load::load(client, &mut source, &shared.caches)).await?,
        }
    }
    Err(Trouble::Unreadable(format!("the commands still ask for rows after {ROUNDS_MAX} rounds")))
}

/// Applies every command from the start. `None` where rows are missing.
fn apply(source: &mut PgSource, shared: &Shared, jobs: &mut Jobs) -> Outcome<Option<(Pending, Counts, Stats)>> {
    source.begin_round();
    let mut tx = Tx::new(source, &shared.terms, shared.handover.watched());
    let mut missed = false;
    for job in jobs.iter_mut() {
        match job.apply(&mut tx) {
            Ok(()) => {}
            // The others go on, to find out what they miss; what they write now is forgotten.
            Err(commands::Trouble::Miss) => missed = true,
            // What comes after something that is missing is not to be believed.
            Err(_) if missed => {}
            Err(other) => return Err(other.into()),
        }
    }
    let done = tx.finish();
    Ok((!missed).then_some(done))
}

fn write_counts(source: &mut PgSource, shared: &Shared, counts: &Counts, stats: &Stats) {
    for ((tenant, name), by) in counts {
        source.writes.counters.push(row![tenant.as_str(), *name, shared.part, *by]);
    }
    for ((tenant, key, measure), by) in stats {
        let [plugin, purpose, channel, country] = key.texts();
        source.writes.stats.push(row![
            tenant.as_str(),
            key.day,
            plugin,
            purpose,
            channel,
            country,
            measure.name(),
            shared.part,
            *by
        ]);
    }
}
