//! The only place that reads the time.
//!
//! Everything else is handed a [`Clock`]. Two exist: [`SystemClock`], which a host in production runs on, and
//! [`AdjustableClock`], which can be moved forward and stands behind `relais demo`, `relais dev` and the tests: a reminder
//! that is due in 22 hours is sent a moment after the clock was moved, by the same code that sends it in production.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later than any time that is ever stored.
    pub const NEVER: Timestamp = Timestamp(i64::MAX);

    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(duration)))
    }

    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this is; nothing where it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1000))
    }

    /// Reads an RFC 3339 time with an offset.
    pub fn parse(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
    }

    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// RFC 3339 in UTC with milliseconds, `2026-01-15T10:30:00.000Z`.
    pub fn rfc3339(self) -> String {
        format!("{:.3}", self.to_jiff())
    }
}

impl std::fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.rfc3339())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.rfc3339())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where the time comes from.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// Returns once `now()` is `until` or later, and not before.
    async fn sleep_until(&self, until: Timestamp);

    /// Moves the clock forward to `to`, where this clock can be moved. Says whether it was.
    fn advance_to(&self, _to: Timestamp) -> bool {
        false
    }
}

/// The machine's own clock.
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since))
    }

    async fn sleep_until(&self, until: Timestamp) {
        // In steps, because the machine's clock may be set while we sleep: a timer is late by at most one step then.
        const STEP: Duration = Duration::from_secs(5);
        loop {
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(STEP)).await;
        }
    }
}

/// A clock that runs like the machine's from a given time on, and can be moved forward.
pub struct AdjustableClock {
    epoch: Instant,
    ahead: Mutex<i64>,
    moved: watch::Sender<()>,
}

impl AdjustableClock {
    pub fn starting_at(start: Timestamp) -> AdjustableClock {
        AdjustableClock { epoch: Instant::now(), ahead: Mutex::new(start.0), moved: watch::Sender::new(()) }
    }
}

#[async_trait]
impl Clock for AdjustableClock {
    fn now(&self) -> Timestamp {
        let ahead = *self.ahead.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Timestamp(ahead).plus(self.epoch.elapsed())
    }

    async fn sleep_until(&self, until: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            // The sender lives as long as `self`, so `changed` only ends when the clock was moved.
            let _ = tokio::time::timeout(left, moved.changed()).await;
        }
    }

    fn advance_to(&self, to: Timestamp) -> bool {
        let mut ahead = self.ahead.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Timestamp(*ahead).plus(self.epoch.elapsed());
        *ahead = ahead.saturating_add(millis(to.since(now)));
        drop(ahead);
        self.moved.send_replace(());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moved_clock_wakes_who_sleeps() {
        let clock = AdjustableClock::starting_at(Timestamp(0));
        let due = Timestamp(0).plus(Duration::from_secs(24 * 3600));
        let sleep = clock.sleep_until(due);
        tokio::pin!(sleep);
        assert!(tokio::time::timeout(Duration::ZERO, &mut sleep).await.is_err());
        assert!(clock.advance_to(due));
        sleep.await;
        assert!(clock.now() >= due);
    }

    #[test]
    fn times_are_read_and_written_as_rfc3339() {
        let at = Timestamp::parse("2026-01-15T11:30:00.25+01:00").unwrap();
        assert_eq!(at.rfc3339(), "2026-01-15T10:30:00.250Z");
        assert_eq!(Timestamp::parse("2026-01-15 10:30"), None);
    }
}
