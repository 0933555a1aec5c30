//! What was counted since the host started, for `/metrics`. Relaxed throughout: nobody decides anything by them.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Counters {
    pub events_accepted: Counter,
    pub events_repeated: Counter,
    pub events_refused: Counter,
    pub messages_accepted: Counter,
    pub messages_repeated: Counter,
    pub messages_refused: Counter,
}
