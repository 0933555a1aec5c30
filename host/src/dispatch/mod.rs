//! The dispatch stage: takes committed messages, plans each one, and makes attempts with providers.
//!
//! In comes a [`MessageRecord`], handed over by the commit that made it, by a receipt that changed it, or read from the
//! store; out goes an attempt that was written down before it was made, with the decision that led to it, or a message
//! that is held or ended with its reason. What is decided is decided in [`plan`], which reads and writes nothing.
//!
//! Messages to one recipient are handed to providers one at a time, in the order of their commits; different recipients go
//! side by side, as fast as the sender's pace allows. What can go wrong: a provider rejects (the plan says what follows), is
//! busy (later, with growing pauses), or its answer is lost (the attempt is uncertain, and the operator's policy says whether
//! doubt resends); the host dies between writing the attempt and recording its answer (the same doubt).
//! This stage never runs a plugin and never reads a webhook.

mod circuit;
mod deliver;
mod pace;
mod plan;
mod queue;
mod route;
mod settings;

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use circuit::Circuits;
pub use pace::Pace;
pub use settings::{Doubt, Settings};

use crate::{
    channel::{Provider, price},
    clock::{Clock, Timestamp},
    domain::message::MessageRecord,
    shutdown::Shutdown,
    store::{Handover, Store, handover::Inlet},
};
use deliver::Left;
use queue::Queue;

/// Messages read from the store at once.
const PAGE: u32 = 500;
/// After the store could not be read.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// When the store has more that is due than was read, the rest is read after this pause.
const MORE_PAUSE: Duration = Duration::from_millis(50);

/// What the dispatch stage works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// In the order of preference.
    pub providers: Vec<Arc<dyn Provider>>,
    pub prices: price::Table,
    pub sms: crate::channel::sms::Settings,
    pub rules: crate::rules::allowed::Settings,
    pub settings: Settings,
    /// The time-out of a request to a provider: an attempt of which nothing is heard for longer is in doubt.
    pub attempt_timeout: Duration,
    pub circuits: Circuits,
    pub pace: Pace,
}

/// Dispatches until it is to stop; then begins no new attempt, lets those that are being made end while there is time, and
/// returns.
pub async fn work(parts: Parts, inlet: Inlet<MessageRecord>, handover: Handover, shutdown: Shutdown) {
    let parts = Arc::new(parts);
    Dispatcher {
        parts,
        inlet,
        handover,
        queue: Queue::default(),
        behind: true,
        cursor: 0,
        look_at: Timestamp(0),
        making: JoinSet::new(),
        left: mpsc::unbounded_channel(),
        stop: shutdown.stop.clone(),
    }
    .work(shutdown)
    .await;
}

struct Dispatcher {
    parts: Arc<Parts>,
    inlet: Inlet<MessageRecord>,
    handover: Handover,
    queue: Queue,
    /// There are messages to plan in the store that are not in memory; `cursor` is how far they were read.
    behind: bool,
    cursor: i64,
    /// When the store is next asked for messages whose time has come.
    look_at: Timestamp,
    making: JoinSet<()>,
    left: (mpsc::UnboundedSender<Left>, mpsc::UnboundedReceiver<Left>),
    stop: CancellationToken,
}

impl Dispatcher {
    async fn work(mut self, shutdown: Shutdown) {
        const BATCH: usize = 128;
        let mut handed = Vec::with_capacity(BATCH);
        let mut left = Vec::with_capacity(BATCH);
        let due = self.handover.messages_due.clone();
        let missed = self.inlet.missed();
        loop {
            let now = self.parts.clock.now();
            if self.behind && self.has_room() {
                self.catch_up().await;
            }
            if now >= self.look_at {
                self.look_again(now).await;
            }
            self.start_what_can();
            let wake_at = self.look_at.min(self.queue.next_wake());
            let clock = self.parts.clock.clone();
            tokio::select! {
                _ = shutdown.stop.cancelled() => break,
                _ = self.left.1.recv_many(&mut left, BATCH) => {
                    for one in left.drain(..) {
                        self.queue.left(one);
                    }
                }
                taken = self.inlet.queue.recv_many(&mut handed, BATCH), if self.has_room() => {
                    if taken == 0 {
                        break; // The store is closed.
                    }
                    for record in handed.drain(..) {
                        self.queue.push(record);
                    }
                }
                _ = missed.notified() => { self.behind = true; self.cursor = 0; }
                _ = due.earlier() => self.look_at = Timestamp(0),
                _ = clock.sleep_until(wake_at) => self.queue.wake(clock.now()),
            }
            while self.making.try_join_next().is_some() {}
        }
        // An attempt that was begun is finished and written down; what was not begun is in the store.
        let ended = async { while self.making.join_next().await.is_some() {} };
        let abandoned = shutdown.abandon.run_until_cancelled(ended).await.is_none();
        if abandoned && !self.making.is_empty() {
            let attempts = self.making.len();
            tracing::warn!(
                attempts,
                "attempts had no answer yet and are left; the next start knows that they are in doubt"
            );
        }
    }

    fn has_room(&self) -> bool {
        self.queue.len() < self.parts.settings.in_memory_max
    }

    /// Reads messages that are to be planned until memory is full or there are no more.
    async fn catch_up(&mut self) {
        while self.has_room() {
            // Asked before reading: what is missed during the reading raises the flag again.
            if self.inlet.take_missed() {
                self.cursor = 0;
            }
            match self.parts.store.open_messages(self.cursor, PAGE).await {
                Ok(records) => {
                    let full = records.len() == PAGE as usize;
                    for record in records {
                        self.cursor = self.cursor.max(record.seq);
                        self.queue.push(record);
                    }
                    if !full {
                        self.behind = false;
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "messages cannot be read now; trying again in a second");
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                    return;
                }
            }
        }
    }

    /// Takes up messages whose time has come: a fallback, a doubt, a deadline.
    async fn look_again(&mut self, now: Timestamp) {
        self.handover.messages_due.forget();
        match self.parts.store.due_messages(now, PAGE).await {
            Ok((records, next)) => {
                let full = records.len() == PAGE as usize;
                for record in records {
                    self.queue.push(record);
                }
                let next = next.unwrap_or(Timestamp::NEVER);
                self.look_at = if full || next <= now { now.plus(MORE_PAUSE) } else { next };
                self.handover.messages_due.known(self.look_at);
            }
            Err(error) => {
                tracing::warn!(%error, "due messages cannot be read now; trying again in a second");
                self.look_at = now.plus(TROUBLE_PAUSE);
            }
        }
    }

    fn start_what_can(&mut self) {
        while self.making.len() < self.parts.settings.concurrent_max {
            let Some(record) = self.queue.next() else { return };
            let (parts, left, stop) = (self.parts.clone(), self.left.0.clone(), self.stop.clone());
            self.making.spawn(async move {
                let end = deliver::deliver(&parts, record, &stop).await;
                // The receiver only goes away with this loop, which then does not need to know.
                let _ = left.send(end);
            });
        }
    }
}
