//! The dispatch stage: takes committed messages, plans each one, and makes attempts with providers.
//!
//! In comes a [`MessageRecord`], handed over by the commit that made it, by a receipt that changed it, or read from the
//! store; out goes an attempt that was written down before it was made, with the decision that led to it, or a message
//! that is held or ended with its reason. What is decided is decided in [`plan`], which reads and writes nothing.
//!
//! Messages to one recipient are handed to providers one at a time, in the order of their commits; different recipients go
//! side by side, as fast as the sender's pace allows, and tenants take turns ([`queue`]), each with a share of memory of its
//! own ([`share`]). What can go wrong: a provider rejects (the plan says what follows), is
//! busy (later, with growing pauses), or its answer is lost (the attempt is uncertain, and the operator's policy says whether
//! doubt resends); the host dies between writing the attempt and recording its answer (the same doubt).
//! This stage never runs a plugin and never reads a webhook.

mod account;
mod circuit;
mod deliver;
mod due;
mod fallback;
mod foresee;
mod pace;
mod plan;
mod queue;
#[cfg(test)]
mod renditions_tests;
mod route;
mod settings;
mod share;
#[cfg(test)]
mod store_tests;
mod upload;

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use circuit::Circuits;
pub use fallback::{Cause, Doubt, Fallback, NearDeadline, Policy};
pub use foresee::foresee;
pub use pace::Pace;
pub use settings::Settings;

use crate::{
    channel::{
        Provider,
        marks::{MarkRead, Marks},
        price,
        standing::Standing,
    },
    clock::{Clock, Timestamp},
    domain::{customer::Customer, message::MessageRecord, shard::Shard},
    ids::TenantId,
    shutdown::Shutdown,
    store::{self, Handover, Store, handover::Inlet},
};
use deliver::Left;
use queue::Queue;
use share::{Answer, Read};

/// Questions to the store at once.
const READS_MAX: usize = 2;
/// After the store could not be read.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at whose messages have come due: what comes due meanwhile is read with it.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

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
    pub standing: Arc<Standing>,
    pub pace: Pace,
    /// Those who can be told that a message was read, and whether they are when it was answered.
    pub marks: Marks,
    pub mark_read: MarkRead,
}

/// Dispatches until it is to stop; then begins no new attempt, lets those that are being made end while there is time, and
/// returns.
pub async fn work(parts: impl Into<Arc<Parts>>, inlet: Inlet<MessageRecord>, handover: Handover, shutdown: Shutdown) {
    let parts = parts.into();
    Dispatcher {
        queue: Queue::new(parts.settings.in_memory_max, parts.settings.concurrent_max)
            .with_lanes_of(parts.settings.lane_in_memory_max),
        parts,
        inlet,
        handover,
        list: true,
        misses: 0,
        look_at: Timestamp(0),
        set_back: None,
        making: JoinSet::new(),
        left: mpsc::unbounded_channel(),
        reads: JoinSet::new(),
        stop: shutdown.stop.clone(),
    }
    .work(shutdown)
    .await;
}

/// Takes one message through as many steps as can be taken now: for whoever drives the stage by hand, in simulated time.
pub async fn deliver(parts: &Parts, record: MessageRecord) {
    deliver::deliver(parts, record, &CancellationToken::new()).await;
}

/// Whether an attempt would be made now: for whoever measures what it takes to decide that.
pub fn plans_an_attempt(parts: &Parts, record: &MessageRecord, customer: &Customer) -> bool {
    let facts = deliver::facts(parts, Some(customer), None, parts.clock.now());
    matches!(plan::plan(record, &facts), plan::Plan::Attempt(_))
}

struct Dispatcher {
    parts: Arc<Parts>,
    inlet: Inlet<MessageRecord>,
    handover: Handover,
    queue: Queue,
    /// The tenants with messages to plan have to be listed.
    list: bool,
    /// How often hand-overs were missed: a list that was asked for before the last time may lack some.
    misses: u64,
    /// When the store is next asked for messages whose time has come.
    look_at: Timestamp,
    /// The clock was set back by this much, and what waits for a length of time has not been looked at since.
    set_back: Option<Duration>,
    making: JoinSet<()>,
    left: (mpsc::UnboundedSender<Left>, mpsc::UnboundedReceiver<Left>),
    reads: JoinSet<Heard>,
    stop: CancellationToken,
}

/// What was heard from the store; `None` where it could not be read.
enum Heard {
    Tenants(Option<Vec<TenantId>>, u64),
    Answer(TenantId, Option<Answer>),
}

impl Dispatcher {
    async fn work(mut self, shutdown: Shutdown) {
        const BATCH: usize = 128;
        let mut handed = Vec::with_capacity(BATCH);
        let mut left = Vec::with_capacity(BATCH);
        let due = self.handover.messages_due.clone();
        let missed = self.inlet.missed();
        let clock = self.parts.clock.clone();
        let mut clock_set_back = clock.set_back();
        let mut known_ms = *clock_set_back.borrow_and_update();
        // By the machine's time: hints are lost in that time, whatever the host's clock says.
        let mut sweep = tokio::time::interval(self.parts.settings.sweep());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = clock.now();
            if now >= self.look_at {
                self.look_again(now).await;
            }
            self.read_what_can();
            if let Some(by) = self.set_back {
                self.look_at_what_waits(now, by).await;
            }
            self.start_what_can();
            let wake_at = self.look_at.min(self.queue.next_wake());
            tokio::select! {
                _ = shutdown.stop.cancelled() => break,
                _ = self.left.1.recv_many(&mut left, BATCH) => left.drain(..).for_each(|one| self.queue.left(one)),
                // Whatever there is no room for is dropped here and left in the store, so one tenant never blocks another.
                taken = self.inlet.queue.recv_many(&mut handed, BATCH) => {
                    if taken == 0 {
                        break; // The store is closed.
                    }
                    handed.drain(..).for_each(|record| self.queue.hand_over(record));
                }
                Some(heard) = self.reads.join_next() => {
                    if let Ok(heard) = heard {
                        self.hear(heard);
                    }
                }
                _ = missed.notified() => {
                    // Asked before reading: what is missed during the reading raises the flag again.
                    self.inlet.take_missed();
                    self.queue.missed();
                    self.misses += 1;
                    self.list = true;
                }
                _ = due.earlier() => self.look_at = Timestamp(0),
                Ok(()) = clock_set_back.changed() => {
                    let total_ms = *clock_set_back.borrow_and_update();
                    let by = u64::try_from(total_ms.saturating_sub(known_ms)).unwrap_or(0);
                    known_ms = total_ms;
                    self.clock_was_set_back(Duration::from_millis(by));
                }
                _ = clock.sleep_until(wake_at) => self.queue.wake(clock.now()),
                _ = sweep.tick() => {
                    self.queue.sweep();
                    self.list = true;
                    // Nobody may have told of a message that waits, either.
                    self.look_at = Timestamp(0);
                }
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

    /// Has messages taken up whose time has come: a fallback, a doubt, a deadline. Tenant by tenant, so that those of one that
    /// its pace holds back do not stand before the others'.
    async fn look_again(&mut self, now: Timestamp) {
        let written = self.handover.messages_due.forget();
        self.queue.written_due(written);
        match self.parts.store.due_tenants(now).await {
            Ok((tenants, next)) => {
                self.queue.come_due(tenants, now);
                self.look_at = next.unwrap_or(Timestamp::NEVER).max(now.plus(LOOK_PAUSE));
                self.handover.messages_due.known(self.look_at);
            }
            Err(error) => {
                tracing::warn!(%error, "due messages cannot be read now; trying again in a second");
                self.look_at = now.plus(TROUBLE_PAUSE);
            }
        }
    }

    fn read_what_can(&mut self) {
        while self.reads.len() < READS_MAX {
            let store = self.parts.store.clone();
            if std::mem::take(&mut self.list) {
                let misses = self.misses;
                self.reads.spawn(async move { Heard::Tenants(told(store.open_message_tenants().await).await, misses) });
                continue;
            }
            let Some((tenant, read)) = self.queue.ask() else { return };
            self.reads.spawn(async move {
                let answer = told(answer(&*store, &tenant, read).await).await;
                Heard::Answer(tenant, answer)
            });
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Tenants(Some(tenants), misses) => self.queue.listed(tenants, misses == self.misses),
            Heard::Tenants(None, _) => self.list = true,
            Heard::Answer(tenant, answer) => self.queue.answered(&tenant, answer),
        }
    }

    /// Nothing waits longer for it: neither what is held in memory by a pace, nor what the store holds until a time.
    fn clock_was_set_back(&mut self, by: Duration) {
        self.queue.wake(Timestamp::NEVER);
        self.look_at = Timestamp(0);
        self.set_back = Some(self.set_back.unwrap_or_default().saturating_add(by));
    }

    /// Plans anew what would have come due soon by the clock as it was: a plan made now waits from now on. What waits for a
    /// time of day is planned as it was, and what waits for days may wait for an hour more.
    async fn look_at_what_waits(&mut self, now: Timestamp, by: Duration) {
        let until = now.plus(by).plus(self.parts.settings.longest_wait());
        match due_until(&*self.parts.store, until, self.parts.settings.in_memory_max).await {
            Ok(records) => {
                self.set_back = None;
                records.into_iter().for_each(|record| self.queue.due(record));
            }
            Err(error) => {
                tracing::warn!(%error, "what waits cannot be read now; trying again in a second");
                tokio::time::sleep(TROUBLE_PAUSE).await;
            }
        }
    }

    fn start_what_can(&mut self) {
        let store = self.parts.store.clone();
        let ours = |tenant: &TenantId, lane: &str| store.owns(Shard::of_lane(tenant, lane));
        while let Some(record) = self.queue.next(ours) {
            let (parts, left, stop) = (self.parts.clone(), self.left.0.clone(), self.stop.clone());
            self.making.spawn(async move {
                let end = deliver::deliver(&parts, record, &stop).await;
                // The receiver only goes away with this loop, which then does not need to know.
                let _ = left.send(end);
            });
        }
    }
}

/// The earliest that are due until then, of each tenant as many as its share of memory.
async fn due_until(store: &dyn Store, until: Timestamp, most: usize) -> store::Result<Vec<MessageRecord>> {
    let (tenants, _) = store.due_tenants(until).await?;
    let share = u32::try_from((most / tenants.len().max(1)).max(1)).unwrap_or(u32::MAX);
    let mut found = Vec::new();
    for tenant in tenants {
        found.extend(store.due_messages(&tenant, (Timestamp(i64::MIN), 0), until, share).await?);
    }
    Ok(found)
}

async fn answer(store: &dyn Store, tenant: &TenantId, read: Read) -> store::Result<Answer> {
    match read {
        Read::Due { after, until, limit } => {
            store.due_messages(tenant, after, until, limit).await.map(Answer::Messages)
        }
        Read::Page { after, limit } => store.open_messages(tenant, after, limit).await.map(Answer::Messages),
        Read::Lane { lane, after, limit } => {
            store.open_messages_of(tenant, &lane, after, limit).await.map(Answer::Messages)
        }
        Read::Sweep { after, through, limit } => {
            store.open_message_seqs(tenant, after, through, limit).await.map(Answer::Seqs)
        }
    }
}

/// What was read. Where it could not be, the place among the reads is kept for a moment, so that the next is no storm.
async fn told<T>(read: store::Result<T>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::warn!(%error, "messages cannot be read now; trying again in a second");
            tokio::time::sleep(TROUBLE_PAUSE).await;
            None
        }
    }
}
