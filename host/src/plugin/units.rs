//! Lengths of time and sizes as people write them: `500ms`, `5m`, `64MiB`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Reads `ms`, `s`, `m`, `h` or `d` after a whole number.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let amount: u64 = number.parse().map_err(|_| not_a_duration(text))?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        _ => return Err(not_a_duration(text)),
    };
    amount.checked_mul(ms).map(Duration::from_millis).ok_or_else(|| not_a_duration(text))
}

/// Reads bytes, or a whole number of `KiB` or `MiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let amount: u64 = number.parse().map_err(|_| not_a_size(text))?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(not_a_size(text)),
    };
    amount.checked_mul(bytes).ok_or_else(|| not_a_size(text))
}

/// The largest unit that says it exactly, for messages that a person reads.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn not_a_duration(text: &str) -> String {
    format!("`{text}` is no length of time; write a whole number and ms, s, m, h or d, as in \"500ms\"")
}

fn not_a_size(text: &str) -> String {
    format!("`{text}` is no size; write bytes or a whole number of KiB or MiB, as in \"64MiB\"")
}

/// A length of time in TOML or JSON: a text with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// From milliseconds.
impl From<u64> for Span {
    fn from(ms: u64) -> Span {
        Span(Duration::from_millis(ms))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(Span).map_err(de::Error::custom)
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show_duration(self.0))
    }
}

/// A number of bytes in TOML or JSON: a text with its unit, or a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl From<u64> for Bytes {
    fn from(bytes: u64) -> Bytes {
        Bytes(bytes)
    }
}

impl Bytes {
    /// As the machine counts, for libraries that do.
    pub(super) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show_size(self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size: bytes, or a text as in \"64MiB\"")]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(bytes) => Ok(Bytes(bytes)),
            Form::Text(text) => size(&text).map(Bytes).map_err(de::Error::custom),
        }
    }
}

impl serde::Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show_size(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_and_sizes_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2 h"), Ok(Duration::from_secs(7200)));
        assert!(duration("5").is_err() && duration("-1s").is_err() && duration("99999999999999999d").is_err());
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("512"), Ok(512));
        assert!(size("1GB").is_err());
    }
}
