//! How a commit hands new work to whoever does it, in memory.
//!
//! Safe to lose: what does not fit is left in the store, a flag says so, and the worker reads it there. So the length of
//! these queues bounds memory, never what is accepted.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use tokio::sync::{Notify, broadcast, mpsc};

use super::QueuedRun;
use crate::{clock::Timestamp, domain::message::MessageRecord, ids::TenantId};

/// The sending ends, held by the store.
#[derive(Clone)]
pub struct Handover {
    runs: Outlet<QueuedRun>,
    messages: Outlet<MessageRecord>,
    /// Told the due time of every timer that a commit sets.
    pub timers_due: Arc<Due>,
    /// Told the time of every `Next::At` that a commit sets.
    pub messages_due: Arc<Due>,
    /// Told when a commit makes something that an endpoint is to be told.
    pub notices_due: Arc<Due>,
    /// What happened, for whoever watches (the page, `?wait=`). Lagging watchers lose the oldest.
    pub changes: broadcast::Sender<Arc<Change>>,
}

/// The receiving ends, one for each worker.
pub struct Inlets {
    pub runs: Inlet<QueuedRun>,
    pub messages: Inlet<MessageRecord>,
}

/// Something that was committed, for watchers. Never needed for correctness.
#[derive(Clone, Debug)]
pub enum Change {
    EventAccepted(Arc<crate::domain::event::Event>, usize),
    /// A run that ended, well or not.
    Run {
        tenant: TenantId,
        run: Box<super::RunStory>,
    },
    Message(Box<MessageRecord>),
    Receipt {
        message: Box<MessageRecord>,
        receipt: Box<super::Receipt>,
    },
    Incoming(Arc<crate::domain::run::Incoming>),
}

/// `capacity` is how many rows of each kind may wait in memory; `watched` how many changes a slow watcher may lag behind.
pub fn handover(capacity: usize, watched: usize) -> (Handover, Inlets) {
    let (runs, runs_in) = queue(capacity);
    let (messages, messages_in) = queue(capacity);
    let (changes, _) = broadcast::channel(watched);
    (
        Handover {
            runs,
            messages,
            timers_due: Arc::default(),
            messages_due: Arc::default(),
            notices_due: Arc::default(),
            changes,
        },
        Inlets { runs: runs_in, messages: messages_in },
    )
}

impl Handover {
    pub fn run(&self, run: QueuedRun) {
        self.runs.give(run);
    }

    pub fn message(&self, message: MessageRecord) {
        self.messages.give(message);
    }

    /// There may be work in the store that was not handed over: whoever works reads it there.
    pub fn read_the_store(&self) {
        self.runs.miss();
        self.messages.miss();
        self.timers_due.at(Timestamp(0));
        self.messages_due.at(Timestamp(0));
        self.notices_due.at(Timestamp(0));
    }

    /// Whether building a [`Change`] is worth while.
    pub fn watched(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    pub fn changed(&self, change: Change) {
        // Nobody listening is the usual case and no error.
        let _ = self.changes.send(Arc::new(change));
    }
}

/// Wakes who waits for the earliest of many times, only when an earlier one turns up.
pub struct Due {
    earliest: AtomicI64,
    wake: Notify,
}

impl Default for Due {
    fn default() -> Self {
        Due { earliest: AtomicI64::new(i64::MAX), wake: Notify::new() }
    }
}

impl Due {
    /// Something is due at `at`.
    pub fn at(&self, at: Timestamp) {
        if self.earliest.fetch_min(at.0, Ordering::AcqRel) > at.0 {
            self.wake.notify_one();
        }
    }

    /// Forgets what was told before, and says what the earliest of it was; call it before reading the store, so that what is
    /// told meanwhile is kept.
    pub fn forget(&self) -> Timestamp {
        Timestamp(self.earliest.swap(i64::MAX, Ordering::AcqRel))
    }

    /// Takes note, without waking anybody, of what the store says is due next: who is told of a later time sleeps on.
    pub fn known(&self, next: Timestamp) {
        self.earliest.fetch_min(next.0, Ordering::AcqRel);
    }

    /// Returns when an earlier time was told.
    pub async fn earlier(&self) {
        self.wake.notified().await;
    }
}

struct Outlet<T> {
    queue: mpsc::Sender<T>,
    missed: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

// Derived `Clone` would ask for `T: Clone`.
impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Outlet { queue: self.queue.clone(), missed: self.missed.clone(), wake: self.wake.clone() }
    }
}

/// What a worker takes work from.
pub struct Inlet<T> {
    pub queue: mpsc::Receiver<T>,
    missed: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

fn queue<T>(capacity: usize) -> (Outlet<T>, Inlet<T>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let missed = Arc::new(AtomicBool::new(false));
    let wake = Arc::new(Notify::new());
    (Outlet { queue: sender, missed: missed.clone(), wake: wake.clone() }, Inlet { queue: receiver, missed, wake })
}

impl<T> Outlet<T> {
    fn give(&self, item: T) {
        // Once something was missed everything is left in the store until the worker has caught up, or order would be lost.
        if self.missed.load(Ordering::Acquire) || self.queue.try_send(item).is_err() {
            self.miss();
        }
    }

    fn miss(&self) {
        self.missed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

impl<T> Inlet<T> {
    /// Whether something was left in the store. Cleared by asking; ask before reading the store, so that what is missed
    /// during the reading is noticed the next time.
    pub fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    /// Notified when something was left in the store.
    pub fn missed(&self) -> Arc<Notify> {
        self.wake.clone()
    }
}
