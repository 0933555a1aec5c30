//! The only place that reads the time.
//!
//! Everything else is handed a [`Clock`]. Three exist: [`SystemClock`], which a host in production runs on,
//! [`AdjustableClock`], which can be moved and stands behind `relais demo`, `relais dev` and the tests: a reminder that is due
//! in 22 hours is sent a moment after the clock was moved, by the same code that sends it in production; and [`StandingClock`],
//! which only goes when it is moved, behind `relais plugin test`.
//!
//! A wall clock jumps: it is set by hand, by a time server, by a machine that wakes up. What is due at a time of day follows
//! it. What waits for a length of time must not wait an hour longer because the clock was set back by one: whoever waits so
//! listens to [`Clock::set_back`] and begins to wait anew, or measures with the monotonic clock, which knows no time of day.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
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

    /// By how many milliseconds altogether this clock was set back since it began. Changes when it is.
    fn set_back(&self) -> watch::Receiver<i64>;

    /// Goes by another clock from now on, which shows `now`: that of the database, so that hosts agree on the time. `false` for a
    /// clock that goes by nobody's, because tests and demos move it.
    fn follow(&self, _now: Timestamp) -> bool {
        false
    }

    /// Moves the clock forward to `to`, where this clock can be moved. Says whether it was.
    fn advance_to(&self, _to: Timestamp) -> bool {
        false
    }

    /// Makes the clock jump as a machine's does that is set wrong or right, where this clock can be moved. Says whether it did.
    fn jump(&self, _by_ms: i64) -> bool {
        false
    }
}

/// Time servers slew a clock by half a millisecond a second; what strays from the monotonic clock by this much at once was set.
const JUMP_MS: i64 = 2_000;
/// Slewing is followed in steps of this size, so that reading the time seldom writes.
const SLEW_MS: i64 = 100;
/// How long a sleeper sleeps before it looks at the clock again: a timer is late by at most this much after a jump forward.
const STEP: Duration = Duration::from_secs(1);

/// The machine's own clock.
pub struct SystemClock {
    began: Instant,
    jumps: Jumps,
    /// By how much the clock that is followed is ahead.
    ahead_ms: AtomicI64,
}

/// How far two clocks may be apart before one follows the other: asking for the time takes some of it.
const APART_MS: i64 = 100;

impl SystemClock {
    pub fn new() -> SystemClock {
        let began = Instant::now();
        SystemClock { began, jumps: Jumps::new(wall_ms()), ahead_ms: AtomicI64::new(0) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl SystemClock {
    fn shown(&self, wall_ms: i64) -> Timestamp {
        Timestamp(wall_ms.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }
}

fn wall_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let (wall, elapsed) = (wall_ms(), millis(self.began.elapsed()));
        // A thread that was put aside between the two looks would see a jump that there was not: it looks again.
        if self.jumps.by(wall, elapsed).abs() >= JUMP_MS {
            let (wall, elapsed) = (wall_ms(), millis(self.began.elapsed()));
            self.jumps.notice(wall, elapsed);
            return self.shown(wall);
        }
        self.jumps.notice(wall, elapsed);
        self.shown(wall)
    }

    fn follow(&self, now: Timestamp) -> bool {
        let by_ms = now.0.saturating_sub(wall_ms());
        let before_ms = self.ahead_ms.load(Ordering::Relaxed);
        let moved_ms = by_ms.saturating_sub(before_ms);
        if moved_ms.abs() > APART_MS {
            tracing::warn!(
                ahead_ms = by_ms,
                "the database's clock and this machine's differ; the host goes by the database's"
            );
            self.ahead_ms.store(by_ms, Ordering::Relaxed);
            // Set back is set back, whichever of the two clocks was: this one shows an earlier time than before.
            if moved_ms <= -JUMP_MS {
                self.jumps.back(moved_ms);
            }
        }
        true
    }

    async fn sleep_until(&self, until: Timestamp) {
        loop {
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(STEP)).await;
        }
    }

    fn set_back(&self) -> watch::Receiver<i64> {
        self.jumps.set_back.subscribe()
    }
}

/// Notices where a wall clock and the monotonic one part.
struct Jumps {
    /// The wall clock when the monotonic one stood at 0, as it was last seen.
    base_ms: AtomicI64,
    set_back: watch::Sender<i64>,
}

impl Jumps {
    fn new(base_ms: i64) -> Jumps {
        Jumps { base_ms: AtomicI64::new(base_ms), set_back: watch::Sender::new(0) }
    }

    fn by(&self, wall_ms: i64, elapsed_ms: i64) -> i64 {
        wall_ms.saturating_sub(elapsed_ms).saturating_sub(self.base_ms.load(Ordering::Relaxed))
    }

    fn notice(&self, wall_ms: i64, elapsed_ms: i64) {
        let by = self.by(wall_ms, elapsed_ms);
        if by.abs() < SLEW_MS {
            return;
        }
        let (base, seen) = (wall_ms.saturating_sub(elapsed_ms), wall_ms.saturating_sub(elapsed_ms).saturating_sub(by));
        // Several threads see the same jump; one of them reports it.
        let first = self.base_ms.compare_exchange(seen, base, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first && by.abs() >= JUMP_MS {
            self.report(by);
        }
    }

    fn report(&self, by_ms: i64) {
        tracing::warn!(by_ms, "the clock was set; what is due at a time of day follows it");
        if by_ms < 0 {
            self.back(by_ms);
        }
    }

    /// By how much below zero it was set back.
    fn back(&self, by_ms: i64) {
        self.set_back.send_modify(|total| *total = total.saturating_add(by_ms.saturating_neg()));
    }
}

/// A clock that runs like the machine's from a given time on, and can be moved.
pub struct AdjustableClock {
    epoch: Instant,
    ahead: Mutex<i64>,
    moved: watch::Sender<()>,
    set_back: watch::Sender<i64>,
}

impl AdjustableClock {
    pub fn starting_at(start: Timestamp) -> AdjustableClock {
        AdjustableClock {
            epoch: Instant::now(),
            ahead: Mutex::new(start.0),
            moved: watch::Sender::new(()),
            set_back: watch::Sender::new(0),
        }
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

    fn set_back(&self) -> watch::Receiver<i64> {
        self.set_back.subscribe()
    }

    fn jump(&self, by_ms: i64) -> bool {
        let mut ahead = self.ahead.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *ahead = ahead.saturating_add(by_ms);
        drop(ahead);
        tracing::warn!(by_ms, "the clock was made to jump");
        self.moved.send_replace(());
        if by_ms < 0 {
            self.set_back.send_modify(|total| *total = total.saturating_add(by_ms.saturating_neg()));
        }
        true
    }
}

/// A clock that stands until it is moved: simulated time, in which nothing takes any.
pub struct StandingClock {
    now: AtomicI64,
    moved: watch::Sender<()>,
    set_back: watch::Sender<i64>,
}

impl StandingClock {
    pub fn at(start: Timestamp) -> StandingClock {
        StandingClock { now: AtomicI64::new(start.0), moved: watch::Sender::new(()), set_back: watch::Sender::new(0) }
    }
}

#[async_trait]
impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, until: Timestamp) {
        let mut moved = self.moved.subscribe();
        while self.now() < until {
            // The sender lives as long as `self`, so `changed` only ends when the clock was moved.
            let _ = moved.changed().await;
        }
    }

    fn advance_to(&self, to: Timestamp) -> bool {
        self.now.fetch_max(to.0, Ordering::SeqCst);
        self.moved.send_replace(());
        true
    }

    fn set_back(&self) -> watch::Receiver<i64> {
        self.set_back.subscribe()
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

    #[tokio::test]
    async fn a_clock_that_is_set_back_says_by_how_much_and_lets_nobody_go_early() {
        let clock = AdjustableClock::starting_at(Timestamp(10_000_000));
        let mut set_back = clock.set_back();
        let due = clock.now().plus(Duration::from_secs(1800));
        assert!(clock.jump(3_600_000));
        clock.sleep_until(due).await;
        assert!(!set_back.has_changed().unwrap(), "it went forward");
        assert!(clock.jump(-3_600_000));
        set_back.changed().await.unwrap();
        assert_eq!(*set_back.borrow_and_update(), 3_600_000);
        let sleep = clock.sleep_until(due);
        tokio::pin!(sleep);
        assert!(tokio::time::timeout(Duration::ZERO, &mut sleep).await.is_err(), "it is not yet that time again");
    }

    #[test]
    fn a_jump_is_told_once_and_a_slew_is_followed() {
        let jumps = Jumps::new(1_000_000);
        let back = || *jumps.set_back.borrow();
        jumps.notice(1_000_500, 500);
        // An hour in which a time server slows the clock down by half a millisecond a second.
        for second in 1..3_600 {
            jumps.notice(1_000_000 + second * 1_000 - second / 2, second * 1_000);
        }
        assert_eq!(back(), 0);
        assert!(jumps.by(1_000_000 + 3_600_000 - 1_800, 3_600_000).abs() <= SLEW_MS);
        let wall = 1_000_000 + 3_600_000 - 1_800 - 7_200_000;
        (0..3).for_each(|_| jumps.notice(wall, 3_600_000));
        assert!((7_199_900..=7_200_100).contains(&back()), "{}", back());
        jumps.notice(wall + 7_201_000, 3_601_000);
        assert!((7_199_900..=7_200_100).contains(&back()), "forward is not back");
    }

    #[tokio::test]
    async fn the_machines_clock_runs_and_is_not_taken_for_one_that_jumps() {
        let clock = SystemClock::new();
        let began = clock.now();
        clock.sleep_until(began.plus(Duration::from_millis(20))).await;
        assert!(clock.now() >= began.plus(Duration::from_millis(20)));
        assert_eq!(*clock.set_back().borrow(), 0);
        assert!(!clock.jump(1) && !clock.advance_to(Timestamp::NEVER));
    }

    #[tokio::test]
    async fn the_databases_clock_is_followed_and_who_waits_hears_when_it_goes_back() {
        let clock = SystemClock::new();
        let mut set_back = clock.set_back();
        let machine = Timestamp(wall_ms());
        let after = |seconds| machine.plus(Duration::from_secs(seconds));
        assert!(clock.follow(after(30)));
        assert!((after(30)..after(90)).contains(&clock.now()));
        clock.sleep_until(after(30).plus(Duration::from_millis(20))).await;
        // What asking took is no difference.
        let ahead_ms = clock.ahead_ms.load(Ordering::Relaxed);
        assert!(clock.follow(clock.now()));
        assert_eq!(clock.ahead_ms.load(Ordering::Relaxed), ahead_ms);
        assert!(!set_back.has_changed().unwrap(), "it went forward");
        // Another database took over, and its clock is an hour behind.
        assert!(clock.follow(machine.minus(Duration::from_secs(3_600))));
        assert!(clock.now() < machine);
        set_back.changed().await.unwrap();
        assert!(*set_back.borrow_and_update() >= 3_600_000 + 30_000);
    }

    #[tokio::test]
    async fn a_standing_clock_goes_when_it_is_moved_and_not_back() {
        let clock = StandingClock::at(Timestamp(5));
        let sleep = clock.sleep_until(Timestamp(7));
        tokio::pin!(sleep);
        assert!(tokio::time::timeout(Duration::ZERO, &mut sleep).await.is_err());
        assert!(clock.advance_to(Timestamp(8)) && clock.advance_to(Timestamp(6)));
        sleep.await;
        assert_eq!(clock.now(), Timestamp(8));
    }

    #[test]
    fn times_are_read_and_written_as_rfc3339() {
        let at = Timestamp::parse("2026-01-15T11:30:00.25+01:00").unwrap();
        assert_eq!(at.rfc3339(), "2026-01-15T10:30:00.250Z");
        assert_eq!(Timestamp::parse("2026-01-15 10:30"), None);
    }
}
