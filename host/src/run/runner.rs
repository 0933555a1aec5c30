//! The loop of the run stage: takes what is handed over, reads what is not, executes what is ready.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};

use super::{
    Parts,
    execute::{self, Ended},
    failure,
    flows::{Flows, Terms},
    reading::{Answer, Read},
};
use crate::{
    domain::{
        run::{EntityKey, Flow, QueuedRun},
        shard::Shard,
    },
    shutdown::Shutdown,
    store::{self, Store, handover::Inlet},
};

/// Questions to the store at once: of an SQLite store's readers, half are left for everybody else.
const READS_MAX: usize = 2;
/// After the store could not be read.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How many are taken from a queue at one wake-up.
const BATCH: usize = 128;

pub(super) struct Runner {
    parts: Arc<Parts>,
    inlet: Inlet<QueuedRun>,
    flows: Flows,
    /// The flows with open runs have to be listed.
    list: bool,
    /// How often hand-overs were missed: a list that was asked for before the last time may lack some.
    misses: u64,
    executing: JoinSet<()>,
    ended: (mpsc::UnboundedSender<Ended>, mpsc::UnboundedReceiver<Ended>),
    reads: JoinSet<Heard>,
}

/// What was heard from the store; `None` where it could not be read.
enum Heard {
    Flows(Option<Vec<Flow>>, u64),
    Answer(Flow, Option<Answer>),
}

impl Runner {
    pub(super) fn new(parts: Arc<Parts>, inlet: Inlet<QueuedRun>) -> Runner {
        let plugins = parts.plugins.clone();
        let terms = move |name: &_| Terms {
            longest: failure::longest(plugins.retry(name)),
            concurrent: plugins.concurrent(name),
        };
        let plugins = parts.plugins.clone();
        let serves = move |name: &_| plugins.serves(name);
        Runner {
            flows: Flows::new(parts.settings.clone(), Box::new(terms)).where_served(Box::new(serves)),
            parts,
            inlet,
            list: true,
            misses: 0,
            executing: JoinSet::new(),
            ended: mpsc::unbounded_channel(),
            reads: JoinSet::new(),
        }
    }

    pub(super) async fn work(mut self, shutdown: Shutdown) {
        let mut handed = Vec::with_capacity(BATCH);
        let mut ended = Vec::with_capacity(BATCH);
        let missed = self.inlet.missed();
        let served_anew = self.parts.plugins.changed();
        let clock = self.parts.clock.clone();
        // By the machine's time: hints are lost in that time, whatever the host's clock says.
        let mut sweep = tokio::time::interval(self.parts.settings.sweep());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.read_what_can();
            self.start_what_can();
            let wake_at = self.flows.next_wake();
            tokio::select! {
                _ = shutdown.stop.cancelled() => break,
                _ = self.ended.1.recv_many(&mut ended, BATCH) => {
                    let now = clock.now();
                    ended.drain(..).for_each(|one| self.flows.ended(one, now));
                }
                // Whatever there is no room for is dropped here and left in the store, so one flow never blocks another.
                taken = self.inlet.queue.recv_many(&mut handed, BATCH) => {
                    if taken == 0 {
                        break; // The store is closed.
                    }
                    let now = clock.now();
                    handed.drain(..).for_each(|run| self.flows.hand_over(run, now));
                }
                Some(heard) = self.reads.join_next() => {
                    if let Ok(heard) = heard {
                        self.hear(heard);
                    }
                }
                _ = missed.notified() => {
                    // Asked before reading: what is missed during the reading raises the flag again.
                    self.inlet.take_missed();
                    self.flows.missed();
                    self.misses += 1;
                    self.list = true;
                }
                _ = served_anew.notified() => self.flows.served_anew(),
                _ = clock.sleep_until(wake_at) => self.flows.wake(clock.now()),
                _ = sweep.tick() => {
                    self.flows.sweep(clock.now());
                    self.list = true;
                }
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

    fn start_what_can(&mut self) {
        let store = self.parts.store.clone();
        let ours = |key: &EntityKey| store.owns(Shard::of_entity(key));
        while let Some(run) = self.flows.next(ours) {
            let (parts, ended) = (self.parts.clone(), self.ended.0.clone());
            self.executing.spawn(async move {
                let end = execute::execute(&parts, run).await;
                // The receiver only goes away with this loop, which then does not need to know.
                let _ = ended.send(end);
            });
        }
    }

    fn read_what_can(&mut self) {
        while self.reads.len() < READS_MAX {
            let store = self.parts.store.clone();
            if std::mem::take(&mut self.list) {
                let misses = self.misses;
                self.reads.spawn(async move { Heard::Flows(told(store.open_flows().await).await, misses) });
                continue;
            }
            let Some((flow, read)) = self.flows.ask() else { return };
            self.reads.spawn(async move {
                let answer = told(answer(&*store, &flow, read).await).await;
                Heard::Answer(flow, answer)
            });
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Flows(Some(flows), misses) => self.flows.listed(flows, misses == self.misses),
            Heard::Flows(None, _) => self.list = true,
            Heard::Answer(flow, answer) => self.flows.answered(&flow, answer, self.parts.clock.now()),
        }
    }
}

async fn answer(store: &dyn Store, flow: &Flow, read: Read) -> store::Result<Answer> {
    let key = |entity| EntityKey { tenant: flow.tenant.clone(), plugin: flow.plugin.clone(), entity };
    match read {
        Read::Page { after, limit } => store.open_runs(flow, after, limit).await.map(Answer::Runs),
        Read::Lane { entity, after, limit } => store.open_runs_of(&key(entity), after, limit).await.map(Answer::Runs),
        Read::Run { entity, seq } => store.open_runs_of(&key(entity), seq - 1, 1).await.map(Answer::Runs),
        Read::Sweep { after, through, limit } => {
            store.open_run_seqs(flow, after, through, limit).await.map(Answer::Seqs)
        }
    }
}

/// What was read. Where it could not be, the place among the reads is kept for a moment, so that the next is no storm.
async fn told<T>(read: store::Result<T>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::warn!(%error, "open runs cannot be read now; trying again in a second");
            tokio::time::sleep(TROUBLE_PAUSE).await;
            None
        }
    }
}
