//! How late timers run: from when each was due to when it was first given to its plugin.
//!
//! Counted in a histogram with fixed bounds, without a lock and in a fixed amount of memory, since the host's start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::{
    clock::Timestamp,
    domain::run::{Cause, QueuedRun},
};

/// The upper bounds of the buckets, in milliseconds; what is later than the last is counted beyond it.
const BOUNDS_MS: [u64; 14] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000, 60_000, 600_000, 3_600_000];

#[derive(Default)]
pub struct Lateness {
    buckets: [AtomicU64; BOUNDS_MS.len()],
    beyond: AtomicU64,
    sum_ms: AtomicU64,
    max_ms: AtomicU64,
}

/// What was counted. A percentile is the upper bound of the bucket that it falls into, or the largest where that is less.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub count: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
}

impl Lateness {
    /// Takes note of a run that was executed from `now` on, where a timer set it off and it was its first execution. Asked
    /// once its end is known: an execution that the host has to repeat for reasons of its own is not another one.
    pub(super) fn note(&self, run: &QueuedRun, now: Timestamp) {
        // What an operator replays is late by what the operator took.
        let first = run.attempts == 0 && run.not_before <= run.accepted;
        if let (Cause::Timer(timer), true) = (&run.run.cause, first) {
            self.add(u64::try_from(now.since(timer.due).as_millis()).unwrap_or(u64::MAX));
        }
    }

    fn add(&self, late_ms: u64) {
        let bucket = BOUNDS_MS.iter().position(|bound| late_ms <= *bound);
        let bucket = bucket.and_then(|bucket| self.buckets.get(bucket)).unwrap_or(&self.beyond);
        // Relaxed throughout: nobody decides anything by these.
        bucket.fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(late_ms, Ordering::Relaxed);
        self.max_ms.fetch_max(late_ms, Ordering::Relaxed);
    }

    /// How many were at most as late as each bound, and how many there are.
    pub fn at_most(&self) -> (Vec<(u64, u64)>, u64) {
        let mut count = 0;
        let counted = self.buckets.iter().zip(BOUNDS_MS).map(|(bucket, bound)| {
            count += bucket.load(Ordering::Relaxed);
            (bound, count)
        });
        let counted = counted.collect();
        (counted, count + self.beyond.load(Ordering::Relaxed))
    }

    pub fn sum_ms(&self) -> u64 {
        self.sum_ms.load(Ordering::Relaxed)
    }

    pub fn summary(&self) -> Summary {
        let (at_most, count) = self.at_most();
        let max = self.max_ms.load(Ordering::Relaxed);
        let percentile = |percent: u64| {
            let wanted = (count * percent).div_ceil(100);
            let bucket = at_most.iter().find(|(_, so_far)| *so_far >= wanted);
            bucket.map_or(max, |(bound, _)| (*bound).min(max))
        };
        Summary { count, p50: percentile(50), p90: percentile(90), p99: percentile(99), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_bounds_that_hold_them_and_never_more_than_the_largest() {
        let lateness = Lateness::default();
        assert_eq!(lateness.summary(), Summary { count: 0, p50: 0, p90: 0, p99: 0, max: 0 });
        (0..90).for_each(|_| lateness.add(3));
        (0..9).for_each(|_| lateness.add(30));
        lateness.add(7_200_000);
        assert_eq!(lateness.summary(), Summary { count: 100, p50: 5, p90: 5, p99: 50, max: 7_200_000 });
        assert_eq!(lateness.at_most().0.last(), Some(&(3_600_000, 99)));
        lateness.add(4);
        assert_eq!((lateness.summary().count, lateness.sum_ms()), (101, 90 * 3 + 9 * 30 + 7_200_000 + 4));
    }
}
