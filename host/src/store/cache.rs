//! What is read all the time, in memory: entities, customers, messages that are under way.
//!
//! The writer is the only one who changes the file, and puts what it committed in here; so what is found here is what a
//! query would find. A reader that missed may offer what it read, but only while nothing in the same shard was committed
//! meanwhile: otherwise it could put back what the writer had just replaced.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard},
};

/// Enough that readers and the writer seldom meet in one.
const SHARDS: usize = 32;

pub(in crate::store) struct Cache<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: RandomState,
}

/// Two generations: what is used stays in the young one; when that is full the old one is dropped and the young becomes old.
/// Nearly as good as a list in order of use, and a lookup writes nothing.
struct Shard<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
    young_bytes_max: usize,
    /// Raised by whatever the writer puts in or takes out.
    epoch: u64,
}

/// Says that nothing had been committed in the shard when it was drawn.
#[derive(Clone, Copy)]
pub(in crate::store) struct Ticket(u64);

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(in crate::store) fn of_bytes(bytes_max: usize) -> Self {
        // Half for each generation.
        let young_bytes_max = bytes_max / SHARDS / 2;
        let shard = || Shard { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, young_bytes_max, epoch: 0 };
        Cache { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), hasher: RandomState::new() }
    }

    fn shard(&self, key: &K) -> Option<MutexGuard<'_, Shard<K, V>>> {
        let place = (self.hasher.hash_one(key) % SHARDS as u64) as usize;
        // A thread that panicked in here left a map that is whole: every change is one call.
        self.shards.get(place).map(|shard| shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(in crate::store) fn get(&self, key: &K) -> Option<V> {
        let mut shard = self.shard(key)?;
        if let Some((value, _)) = shard.young.get(key) {
            return Some(value.clone());
        }
        let (value, bytes) = shard.old.remove(key)?;
        shard.keep(key.clone(), value.clone(), bytes);
        Some(value)
    }

    /// To be drawn before reading what will be offered.
    pub(in crate::store) fn ticket(&self, key: &K) -> Ticket {
        Ticket(self.shard(key).map_or(0, |shard| shard.epoch))
    }

    pub(in crate::store) fn offer(&self, key: K, value: V, bytes: usize, ticket: Ticket) {
        if let Some(mut shard) = self.shard(&key)
            && shard.epoch == ticket.0
        {
            shard.keep(key, value, bytes);
        }
    }

    /// What the writer committed; `None` where it is to be read anew.
    pub(in crate::store) fn set(&self, key: K, value: Option<V>, bytes: usize) {
        let Some(mut shard) = self.shard(&key) else { return };
        shard.epoch += 1;
        match value {
            Some(value) => shard.keep(key, value, bytes),
            None => shard.forget(&key),
        }
    }

    pub(in crate::store) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            shard.epoch += 1;
            shard.young = HashMap::new();
            shard.old = HashMap::new();
            shard.young_bytes = 0;
        }
    }
}

impl<K: Hash + Eq, V> Shard<K, V> {
    fn keep(&mut self, key: K, value: V, bytes: usize) {
        self.forget(&key);
        if bytes > self.young_bytes_max {
            return;
        }
        if self.young_bytes + bytes > self.young_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, (value, bytes));
    }

    fn forget(&mut self, key: &K) {
        if let Some((_, bytes)) = self.young.remove(key) {
            self.young_bytes = self.young_bytes.saturating_sub(bytes);
        }
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_outlives_what_is_not_and_the_bytes_are_bounded() {
        let cache = Cache::<u32, u32>::of_bytes(SHARDS * 2 * 100);
        for n in 0..10_000 {
            cache.set(7, cache.get(&7).or(Some(7)), 10);
            cache.set(n + 100, Some(n), 10);
        }
        assert_eq!(cache.get(&7), Some(7));
        let kept = (0..10_000).filter(|n| cache.get(&(n + 100)).is_some()).count();
        assert!(kept <= SHARDS * 20, "{kept}");
    }

    #[test]
    fn what_was_read_before_a_commit_does_not_replace_what_was_committed() {
        let cache = Cache::<u32, &str>::of_bytes(1 << 20);
        let ticket = cache.ticket(&1);
        cache.set(1, Some("committed"), 1);
        cache.set(1, None, 0);
        cache.offer(1, "read before", 1, ticket);
        assert_eq!(cache.get(&1), None);
        let ticket = cache.ticket(&1);
        cache.offer(1, "read after", 1, ticket);
        assert_eq!(cache.get(&1), Some("read after"));
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_kept() {
        let cache = Cache::<u32, u32>::of_bytes(SHARDS * 2 * 100);
        cache.set(1, Some(1), 101);
        assert_eq!(cache.get(&1), None);
    }
}
