//! The one thread that writes: it takes everything that is queued into one transaction, so that one fsync covers many commands.
//!
//! In: commands from any number of callers, in order. Out: an answer to each, after the commit that covers it is on disk, and
//! then, in the same order, what the commands newly made to be done. If the transaction fails, nobody is told that anything
//! was done, nothing is handed over and the caches stay as they were; the thread goes on, so a disk that has room again needs
//! no restart. It is `BEGIN IMMEDIATE` always: a transaction that reads first and wants to write later can be refused for ever.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    Shared,
    error::{Outcome, Trouble},
    source::{Seqs, SqliteSource},
};
use crate::store::{
    self, Error,
    commands::{self, Pending, Tx},
};

/// How long to wait before trying again to empty the log after an erasure that a reader got in the way of.
const TRUNCATE_AGAIN: Duration = Duration::from_millis(200);

/// How often the processor is offered to others before a batch is closed. Each costs a microsecond where nobody takes it.
const YIELDS_MAX: usize = 4;

/// A command of a caller. It may be applied more than once: again alone, where the batch it was in failed.
pub(super) trait Job: Send {
    /// For tests that change something about the connection itself.
    #[cfg(test)]
    fn connected(&mut self, _conn: &Connection) {}
    /// For what decides nothing and goes by rows alone, before the commands of its transaction.
    fn sweep(&mut self, _source: &SqliteSource<'_>) -> Outcome<()> {
        Ok(())
    }
    fn apply(&mut self, tx: &mut Tx<'_>) -> commands::Outcome<()>;
    fn answer(self: Box<Self>, failed: Option<&Error>);
}

pub(super) struct Verb<T, F> {
    work: F,
    done: Option<T>,
    caller: oneshot::Sender<store::Result<T>>,
}

impl<T, F> Verb<T, F> {
    pub(super) fn new(work: F) -> (Verb<T, F>, oneshot::Receiver<store::Result<T>>) {
        let (caller, answer) = oneshot::channel();
        (Verb { work, done: None, caller }, answer)
    }
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> commands::Outcome<T> + Send> Job for Verb<T, F> {
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

pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) seqs: Seqs,
    pub(super) place: PathBuf,
    /// Erased text is still in the log until this is done.
    pub(super) truncate_owed: bool,
    /// Keeps a second host from the file; let go when the thread ends.
    pub(super) _lock: std::fs::File,
}

impl Writer {
    /// Returns when every sender is gone and everything that was queued is answered.
    pub(super) fn run(mut self, queue: &Receiver<Box<dyn Job>>) {
        loop {
            let first = if self.truncate_owed {
                match queue.recv_timeout(TRUNCATE_AGAIN) {
                    Ok(job) => Some(job),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match queue.recv() {
                    Ok(job) => Some(job),
                    Err(_) => break,
                }
            };
            if let Some(first) = first {
                let batch = self.take(first, queue);
                self.batch(batch);
            } else {
                self.truncate_log(false);
            }
        }
        self.truncate_log(true);
    }

    /// Everything that is waiting. On a machine with nothing else to do it is taken at once; on a busy one, whoever is about
    /// to ask for something gets the processor first, so that one fsync covers them too. Never waits for a time.
    fn take(&self, first: Box<dyn Job>, queue: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let most = self.shared.settings.batch_max.max(1);
        let mut batch = vec![first];
        for _ in 0..YIELDS_MAX {
            let before = batch.len();
            batch.extend(queue.try_iter().take(most - before));
            if batch.len() == most {
                break;
            }
            std::thread::yield_now();
        }
        batch.extend(queue.try_iter().take(most - batch.len()));
        batch
    }

    fn batch(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if let Some(error) = self.shared.damage.known() {
            return jobs.into_iter().for_each(|job| job.answer(Some(&error)));
        }
        match self.transaction(&mut jobs) {
            Ok(pending) => {
                // What is erased is still in the log.
                let erased = pending.erased;
                self.truncate_owed |= erased;
                pending.publish(&self.shared.caches, &self.shared.handover);
                if self.truncate_owed {
                    self.truncate_log(erased);
                }
                jobs.into_iter().for_each(|job| job.answer(None));
            }
            // One command's own trouble must not undo the others.
            Err(trouble) if !trouble.of_the_file() && jobs.len() > 1 => {
                jobs.into_iter().for_each(|job| self.batch(vec![job]));
            }
            Err(trouble) => {
                let error = trouble.at(&self.place);
                self.shared.damage.note(&error, &self.place, &self.shared.settings.sqlite);
                // Should it be there all the same, it is read before anything later is taken up.
                self.shared.handover.read_the_store();
                tracing::error!(commands = jobs.len(), %error, "nothing of these commands was written");
                jobs.into_iter().for_each(|job| job.answer(Some(&error)));
            }
        }
    }

    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Outcome<Pending> {
        let applied = self.apply(jobs);
        if applied.is_err() && !self.conn.is_autocommit() {
            // SQLite ends the transaction by itself after some errors; where it did not, this does, and an error of it
            // would only repeat the one that is reported already.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        applied
    }

    fn apply(&mut self, jobs: &mut [Box<dyn Job>]) -> Outcome<Pending> {
        #[cfg(test)]
        jobs.iter_mut().for_each(|job| job.connected(&self.conn));
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut source = SqliteSource {
            conn: &self.conn,
            caches: &self.shared.caches,
            seqs: &mut self.seqs,
            parked_receipts_max: self.shared.settings.parked_receipts_max,
            forgotten: false,
        };
        for job in jobs.iter_mut() {
            job.sweep(&source)?;
        }
        let mut tx = Tx::new(&mut source, &self.shared.terms, self.shared.handover.watched());
        for job in jobs {
            job.apply(&mut tx)?;
        }
        let (pending, counts, stats) = tx.finish();
        source.write_counts(&counts)?;
        source.write_stats(&stats)?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        self.shared.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(pending)
    }

    /// Moves everything from the log into the file and empties the log. Who reads keeps it from that: a backup, for as long as
    /// it takes. An erasure `waits` for them a while; what comes after it does not, or one reader would hold up everybody.
    fn truncate_log(&mut self, waits: bool) {
        let patience = if waits { self.shared.settings.sqlite.busy_timeout() } else { Duration::ZERO };
        if let Err(error) = self.conn.busy_timeout(patience) {
            return tracing::warn!(%error, "the store's log could not be emptied");
        }
        let busy = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match busy {
            Ok(busy) => self.truncate_owed &= busy != 0,
            // What is committed is safe in the log; SQLite empties it when it next can.
            Err(error) => tracing::warn!(error = %Trouble::from(error), "the store's log could not be emptied"),
        }
        if let Err(error) = self.conn.busy_timeout(self.shared.settings.sqlite.busy_timeout()) {
            tracing::warn!(%error, "the time to wait for other programs could not be set");
        }
    }
}
