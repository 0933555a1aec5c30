//! One entity's runs: those in memory, and from where on they are in the store only.

use std::collections::VecDeque;

use crate::domain::run::QueuedRun;

/// Whatever is in `queue` was accepted before whatever was left in the store, so the front may always be executed.
#[derive(Default)]
pub(super) struct Lane {
    /// In the order of acceptance.
    pub queue: VecDeque<QueuedRun>,
    /// Runs that failed and let later ones pass: they wait beside the queue, and count as the lane's.
    pub beside: usize,
    /// From this run on they are in the store only.
    pub spilled: Option<i64>,
    /// One of them executes.
    pub busy: bool,
    /// Its front waits for a time.
    pub waits: bool,
    /// While it waits, its front is in the store as well.
    pub stub: bool,
    /// It is in the line of those that may execute.
    pub ready: bool,
    /// The store is being asked for more of it.
    pub asked: bool,
    /// Something was left in the store after that question, so the answer may not have it.
    pub missed: bool,
}

impl Lane {
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.beside
    }

    pub(super) fn is_over(&self) -> bool {
        self.queue.is_empty() && self.beside == 0 && self.spilled.is_none() && !self.busy && !self.waits
    }

    /// Whether a run belongs to those that stay in the store for now.
    pub(super) fn leaves_out(&self, seq: i64) -> bool {
        self.spilled.is_some_and(|from| seq >= from)
    }

    /// Into its place in the order: a run that is replayed, or whose commit was seen late, is older than what is there.
    pub(super) fn insert(&mut self, run: QueuedRun) {
        let place = self.queue.iter().rposition(|other| other.seq <= run.seq).map_or(0, |last| last + 1);
        self.queue.insert(place, run);
    }

    /// Leaves the last one in the store.
    pub(super) fn spill(&mut self) -> Option<QueuedRun> {
        let last = self.queue.pop_back()?;
        self.spill_from(last.seq);
        Some(last)
    }

    pub(super) fn spill_from(&mut self, seq: i64) {
        self.spilled = Some(self.spilled.map_or(seq, |from| from.min(seq)));
    }
}
