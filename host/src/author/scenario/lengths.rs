//! Lengths and points of time as a scenario writes them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::clock::Timestamp;

/// `90s`, `2h`, `1d12h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length(pub(super) Duration);

/// RFC 3339, as a text or as TOML's own kind of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Length {
    pub(super) fn parse(text: &str) -> Option<Length> {
        let (mut ms, mut rest) = (0_u64, text);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
            let (unit, left) = after.split_at(letters);
            let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
            ms = ms.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
            rest = left;
        }
        (!text.is_empty()).then_some(Length(Duration::from_millis(ms)))
    }
}

/// The way a scenario would write it: `1h30m`.
impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in UNITS.into_iter().rev() {
            if ms >= factor {
                write!(f, "{}{unit}", ms / factor)?;
                ms %= factor;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || format!("`{text}` is no length of time; write it as \"90s\", \"10m\", \"2h\" or \"1d12h\"");
        Length::parse(&text).ok_or_else(|| de::Error::custom(wrong()))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        let wrong = || format!("`{text}` is no time with its offset; write it as \"2026-11-24T19:00:00+01:00\"");
        Timestamp::parse(&text).map(Moment).ok_or_else(|| de::Error::custom(wrong()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written_the_same() {
        for text in ["90ms", "1s", "10m", "2h", "1d12h", "1h30m", "1m30s500ms"] {
            assert_eq!(Length::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Length::parse("90s").unwrap().to_string(), "1m30s");
        assert_eq!(Length(Duration::ZERO).to_string(), "0s");
        for wrong in ["", "10", "m", "10 m", "10x", "-1s", "1.5h", "99999999999999999999s"] {
            assert_eq!(Length::parse(wrong), None, "{wrong}");
        }
    }
}
