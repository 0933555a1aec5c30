//! What a run used of each limit.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

/// The limits whose use is counted, in the order in which people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Cpu,
    Time,
    Memory,
    Memories,
    Tables,
    TableElements,
    HostCalls,
    RandomBytes,
    LogBytes,
    Messages,
    Timers,
    Events,
    State,
    EffectBytes,
    HttpRequests,
}

/// What a limit is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microseconds,
    Bytes,
    Number,
}

const LIMITS: usize = Limit::ALL.len();

impl Limit {
    pub const ALL: [Limit; 15] = [
        Limit::Cpu,
        Limit::Time,
        Limit::Memory,
        Limit::Memories,
        Limit::Tables,
        Limit::TableElements,
        Limit::HostCalls,
        Limit::RandomBytes,
        Limit::LogBytes,
        Limit::Messages,
        Limit::Timers,
        Limit::Events,
        Limit::State,
        Limit::EffectBytes,
        Limit::HttpRequests,
    ];

    /// As in `[limits]` of a manifest, and as a run's failure names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Cpu => "cpu",
            Limit::Time => "time",
            Limit::Memory => "memory",
            Limit::Memories => "memories",
            Limit::Tables => "tables",
            Limit::TableElements => "table-elements",
            Limit::HostCalls => "host-calls",
            Limit::RandomBytes => "random-bytes",
            Limit::LogBytes => "log-bytes",
            Limit::Messages => "messages",
            Limit::Timers => "timers",
            Limit::Events => "events",
            Limit::State => "state",
            Limit::EffectBytes => "effect-bytes",
            Limit::HttpRequests => "http-requests",
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Limit::Cpu | Limit::Time => Unit::Microseconds,
            Limit::Memory | Limit::RandomBytes | Limit::LogBytes | Limit::State | Limit::EffectBytes => Unit::Bytes,
            _ => Unit::Number,
        }
    }
}

impl Unit {
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Microseconds => "us",
            Unit::Bytes => "bytes",
            Unit::Number => "number",
        }
    }
}

/// One limit: what was used of what was allowed, in its unit. As text: `cpu 1.2 ms of 500 ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub limit: Limit,
    pub used: u64,
    pub allowed: u64,
}

impl Serialize for Used {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("limit", self.limit.as_str())?;
        map.serialize_entry("unit", self.limit.unit().as_str())?;
        map.serialize_entry("used", &self.used)?;
        map.serialize_entry("allowed", &self.allowed)?;
        map.end()
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.limit.as_str())?;
        amount(f, self.limit.unit(), self.used)?;
        f.write_str(" of ")?;
        amount(f, self.limit.unit(), self.allowed)
    }
}

/// Two digits are enough to see how near something is.
fn amount(f: &mut fmt::Formatter<'_>, unit: Unit, amount: u64) -> fmt::Result {
    let units: &[(u64, &str)] = match unit {
        Unit::Microseconds => &[(1, "µs"), (1_000, "ms"), (1_000_000, "s")],
        Unit::Bytes => &[(1, "B"), (1 << 10, "KiB"), (1 << 20, "MiB")],
        Unit::Number => return write!(f, "{amount}"),
    };
    if amount == 0 {
        return f.write_str("0");
    }
    let (size, name) = units.iter().rev().find(|(size, _)| amount >= *size).copied().unwrap_or((1, ""));
    match (amount / size, amount % size * 10 / size) {
        (whole, tenths) if whole < 10 && tenths > 0 => write!(f, "{whole}.{tenths} {name}"),
        (whole, _) => write!(f, "{whole} {name}"),
    }
}

/// What a run used of each limit. It is kept without what was not touched: `{"cpu": [1200, 500000], …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage([(u64, u64); LIMITS]);

impl Default for Usage {
    fn default() -> Self {
        Usage([(0, 0); LIMITS])
    }
}

impl Usage {
    pub fn set(&mut self, limit: Limit, used: u64, allowed: u64) {
        if let Some(place) = self.0.get_mut(limit as usize) {
            *place = (used, allowed);
        }
    }

    /// Each limit with what was used and allowed. Of a run that was read from the store, those of which something was used.
    pub fn rows(&self) -> impl Iterator<Item = Used> {
        let rows = Limit::ALL.into_iter().zip(self.0).map(|(limit, (used, allowed))| Used { limit, used, allowed });
        rows.filter(|row| row.allowed > 0 || row.used > 0)
    }

    pub fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for row in self.rows().filter(|row| row.used > 0) {
            map.serialize_entry(row.limit.as_str(), &[row.used, row.allowed])?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> de::Visitor<'de> for Rows {
            type Value = Usage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("limits by name, with what was used and what was allowed")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Usage, A::Error> {
                let mut usage = Usage::default();
                while let Some((name, [used, allowed])) = map.next_entry::<String, [u64; 2]>()? {
                    // A later version may count what this one does not know.
                    if let Some(limit) = Limit::ALL.into_iter().find(|limit| limit.as_str() == name) {
                        usage.set(limit, used, allowed);
                    }
                }
                Ok(usage)
            }
        }
        deserializer.deserialize_map(Rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_survives_the_store_and_is_shown_with_its_unit() {
        let mut usage = Usage::default();
        usage.set(Limit::Cpu, 1250, 500_000);
        usage.set(Limit::Memory, 2 << 20, 64 << 20);
        usage.set(Limit::Messages, 0, 100);
        let kept = serde_json::to_string(&usage).unwrap();
        assert_eq!(kept, r#"{"cpu":[1250,500000],"memory":[2097152,67108864]}"#);
        let read: Usage =
            serde_json::from_str(r#"{"cpu":[1250,500000],"later":[1,2],"memory":[2097152,67108864]}"#).unwrap();
        let shown: Vec<String> = read.rows().map(|row| row.to_string()).collect();
        assert_eq!(shown, ["cpu 1.2 ms of 500 ms", "memory 2 MiB of 64 MiB"]);
        assert_eq!(usage.rows().last().unwrap().to_string(), "messages 0 of 100");
        assert!(Usage::default().is_empty() && !usage.is_empty());
    }

    #[test]
    fn every_limit_has_a_place_and_a_name_of_its_own() {
        for (no, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, no);
            assert!(Limit::ALL.iter().skip(no + 1).all(|other| other.as_str() != limit.as_str()));
        }
    }
}
