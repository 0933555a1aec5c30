//! Points in time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, to the millisecond. It goes into state and timers as milliseconds since 1970, and is read from
/// those or, as events have it, from an RFC 3339 text with an offset: `2018-08-01T20:30:00+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// Beyond this, a double no longer holds every whole number of milliseconds, and the year is past 285,000.
const MILLIS_MAX: i64 = 1 << 53;

impl Instant {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn from_millis(millis: i64) -> Instant {
        Instant(millis.clamp(-MILLIS_MAX, MILLIS_MAX))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this; nothing where `earlier` is the later one.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn from_wire(millis: f64) -> Instant {
        Instant::from_millis(millis as i64)
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn to_wire(self) -> f64 {
        self.0 as f64
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, length: Duration) -> Instant {
        Instant::from_millis(self.0.saturating_add(millis(length)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, length: Duration) -> Instant {
        Instant::from_millis(self.0.saturating_sub(millis(length)))
    }
}

pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(MILLIS_MAX)
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        deserializer.deserialize_any(InstantVisitor)
    }
}

struct InstantVisitor;

impl Visitor<'_> for InstantVisitor {
    type Value = Instant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time with an offset such as `2018-08-01T20:30:00+02:00`")
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Instant, E> {
        Ok(Instant::from_millis(millis))
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Instant, E> {
        Ok(Instant::from_millis(i64::try_from(millis).unwrap_or(MILLIS_MAX)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Instant, E> {
        if !has_offset(text) {
            // The host would take it in a zone of our choosing, and whichever we chose would be a guess.
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        crate::calendar::parse(text, "UTC").ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// An offset is a `Z` or a `+hh:mm` after the `T`; the date's own hyphens come before it.
fn has_offset(text: &str) -> bool {
    text.split_once(['T', 't', ' ']).is_some_and(|(_, time)| time.ends_with(['Z', 'z']) || time.contains(['+', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_is_not_guessed_at() {
        assert!(!has_offset("2018-08-01T20:30:00"));
        assert!(has_offset("2018-08-01T20:30:00-04:00"));
        assert!(has_offset("2018-08-01T20:30:00Z"));
    }

    #[test]
    fn time_since_a_later_instant_is_nothing() {
        assert_eq!(Instant::from_millis(1).since(Instant::from_millis(5)), Duration::ZERO);
    }
}
