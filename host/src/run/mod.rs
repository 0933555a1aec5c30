//! The run stage: gives each open run to its plugin, and commits what it asks for.
//!
//! In comes a [`QueuedRun`], handed over in memory by the commit that made it or read from the store; out goes one
//! transaction with everything that the run asked for, or a failed execution that is written down. Runs about one entity
//! follow one another in the order of acceptance ([`lanes`]); different entities run side by side, up to a number.
//!
//! What can go wrong: a plugin fails (it is executed again with growing pauses and at last set aside), the store cannot
//! be reached (the run waits in memory and in the store, nothing is lost), the host dies (the run is still in the store).
//! Nothing in here sends anything: the only way out of a plugin is its outcome.

mod execute;
mod failure;
mod lanes;
mod timers;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    clock::{Clock, Timestamp},
    domain::run::QueuedRun,
    plugin::Plugins,
    shutdown::Shutdown,
    store::{Handover, Store, handover::Inlet},
};
use execute::Ended;
use lanes::Lanes;

/// How much is done at once, and how much is kept in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Runs executed side by side. A run that computes needs a core, one that reads the store does not: 32 keeps two cores
    /// busy while others wait, and bounds memory to 32 instances.
    pub concurrent_max: usize,
    /// Open runs kept in memory; further ones stay in the store until there is room. At about 2 kB each: 20 MB.
    pub in_memory_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { concurrent_max: 32, in_memory_max: 10_000 }
    }
}

/// How many open runs are read from the store at once.
const PAGE: u32 = 500;

/// What the run stage works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub plugins: Arc<Plugins>,
    pub settings: Settings,
}

/// Runs until it is to stop; then takes no new runs, lets those that are executing end while there is time, and returns.
pub async fn work(parts: Parts, inlet: Inlet<QueuedRun>, handover: Handover, shutdown: Shutdown) {
    let parts = Arc::new(parts);
    let timers = tokio::spawn(timers::fire(
        parts.store.clone(),
        parts.clock.clone(),
        handover.timers_due,
        shutdown.stop.clone(),
    ));
    Runner::new(parts, inlet).work(shutdown).await;
    if let Err(error) = timers.await {
        tracing::error!(%error, "the timer loop ended badly");
    }
}

struct Runner {
    parts: Arc<Parts>,
    inlet: Inlet<QueuedRun>,
    lanes: Lanes,
    /// The last run that was taken into memory; what the hand-over repeats is known by it.
    last_seq: i64,
    /// There are open runs in the store that are not in memory.
    behind: bool,
    /// Not before this time is the store read again, after it could not be.
    retry_at: Timestamp,
    executing: JoinSet<()>,
    ended: (mpsc::UnboundedSender<Ended>, mpsc::UnboundedReceiver<Ended>),
}

impl Runner {
    fn new(parts: Arc<Parts>, inlet: Inlet<QueuedRun>) -> Runner {
        Runner {
            parts,
            inlet,
            lanes: Lanes::default(),
            last_seq: 0,
            behind: true,
            retry_at: Timestamp(0),
            executing: JoinSet::new(),
            ended: mpsc::unbounded_channel(),
        }
    }

    async fn work(mut self, shutdown: Shutdown) {
        // How many are taken from a queue at one wake-up.
        const BATCH: usize = 128;
        let mut handed = Vec::with_capacity(BATCH);
        let mut ended = Vec::with_capacity(BATCH);
        let missed = self.inlet.missed();
        loop {
            if self.behind && self.has_room() && self.parts.clock.now() >= self.retry_at {
                self.catch_up().await;
            }
            self.start_what_can();
            let wake_at = self.next_wake();
            let clock = self.parts.clock.clone();
            tokio::select! {
                _ = shutdown.stop.cancelled() => break,
                _ = self.ended.1.recv_many(&mut ended, BATCH) => {
                    for one in ended.drain(..) {
                        self.lanes.ended(one, self.parts.clock.now());
                    }
                }
                taken = self.inlet.queue.recv_many(&mut handed, BATCH), if !self.behind && self.has_room() => {
                    if taken == 0 {
                        break; // The store is closed.
                    }
                    for run in handed.drain(..) {
                        self.take(run);
                    }
                }
                _ = missed.notified() => self.behind = true,
                _ = clock.sleep_until(wake_at) => self.lanes.wake(clock.now()),
            }
            while self.executing.try_join_next().is_some() {}
        }
        // A run that has begun may end and commit; what has not begun is in the store.
        let ended = async { while self.executing.join_next().await.is_some() {} };
        let abandoned = shutdown.abandon.run_until_cancelled(ended).await.is_none();
        if abandoned && !self.executing.is_empty() {
            let runs = self.executing.len();
            tracing::warn!(runs, "runs were still being executed and are left; the next start executes them again");
        }
    }

    fn has_room(&self) -> bool {
        self.lanes.len() < self.parts.settings.in_memory_max
    }

    fn next_wake(&self) -> Timestamp {
        let lanes = self.lanes.next_wake();
        if self.behind && self.has_room() { lanes.min(self.retry_at) } else { lanes }
    }

    fn take(&mut self, run: QueuedRun) {
        // Handed over and read as well: the store's order is ours, so what is not newer is known.
        if run.seq > self.last_seq {
            self.last_seq = run.seq;
            self.lanes.push(run, self.parts.clock.now());
        }
    }

    /// Reads open runs from the store until memory is full or there are no more.
    async fn catch_up(&mut self) {
        while self.has_room() {
            // Asked before reading: what is missed during the reading raises the flag again.
            self.inlet.take_missed();
            match self.parts.store.open_runs(self.last_seq, PAGE).await {
                Ok(runs) => {
                    let full = runs.len() == PAGE as usize;
                    for run in runs {
                        self.take(run);
                    }
                    if !full {
                        self.behind = false;
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "open runs cannot be read now; trying again in a second");
                    self.retry_at = self.parts.clock.now().plus(std::time::Duration::from_secs(1));
                    return;
                }
            }
        }
    }

    fn start_what_can(&mut self) {
        while self.executing.len() < self.parts.settings.concurrent_max {
            let Some(run) = self.lanes.next() else { return };
            let (parts, ended) = (self.parts.clone(), self.ended.0.clone());
            self.executing.spawn(async move {
                let end = execute::execute(&parts, run).await;
                // The receiver only goes away with this loop, which then does not need to know.
                let _ = ended.send(end);
            });
        }
    }
}
