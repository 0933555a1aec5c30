//! A run as a file: everything that it was given and looked up, so that it can be executed again elsewhere, without the store.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    customer::Customer,
    event::Event,
    exchange::Exchange,
    message::MessageRecord,
    run::{Asked, Cause, EntitySnapshot, FiredTimer, Incoming, LogLine, QueuedRun, RunFailure, StateEntry},
};
use crate::{
    clock::Timestamp,
    ids::{CustomerId, EntityKey, RunId},
};

/// The version of the format.
pub const BUNDLE: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub bundle: u32,
    /// The host that wrote it, and the contract that it offers.
    pub host: String,
    pub contract: String,
    pub plugin: BuildOf,
    pub run: RunOf,
    pub cause: Cause,
    /// The run's time, at which its clock stands.
    pub now: Timestamp,
    /// What its chance follows from, in hexadecimal: of this run and no other.
    pub seed: String,
    /// The plugin's settings as they were.
    pub config: serde_json::Value,
    pub state: StateOf,
    pub read: Read,
    /// Its requests to services, in order, with the answers that it got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<Exchange>,
    pub failure: RunFailure,
    /// The end of its log, stderr included.
    pub log: Vec<LogLine>,
    /// Permissions that were refused, and messages.
    pub denied: Vec<String>,
    pub refused: Vec<String>,
    /// What stands for personal data, by kind; empty where nothing was masked.
    pub masked: BTreeMap<String, u32>,
    /// In what it may differ from what the run saw.
    pub notes: Vec<String>,
}

/// Which build of the plugin it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildOf {
    pub name: String,
    pub version: String,
    /// `sha256:` and the component's digest.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOf {
    pub id: RunId,
    pub tenant: String,
    pub entity: String,
    pub customer: Option<CustomerId>,
    /// Executions before the one that failed last.
    pub attempts: u32,
    pub accepted: Timestamp,
}

/// What the entity kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateOf {
    pub version: i64,
    pub entries: BTreeMap<String, EntryOf>,
    pub timers: BTreeMap<String, FiredTimer>,
}

/// An entry: as text where it is text, else as bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryOf {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
    pub customer: Option<CustomerId>,
    pub expires: Option<Timestamp>,
}

/// What the run looked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    pub asked: Vec<Asked>,
    pub customers: Vec<Customer>,
    pub events: Vec<Event>,
    pub incoming: Vec<Incoming>,
    pub messages: Vec<MessageRecord>,
}

impl StateOf {
    pub fn of(snapshot: &EntitySnapshot) -> StateOf {
        let entry = |entry: &StateEntry| {
            let text = std::str::from_utf8(&entry.value).ok().map(str::to_owned);
            let bytes = if text.is_some() { Vec::new() } else { entry.value.to_vec() };
            EntryOf { text, bytes, customer: entry.customer.clone(), expires: entry.expires }
        };
        StateOf {
            version: snapshot.version,
            entries: snapshot.state.iter().map(|(key, value)| (key.clone(), entry(value))).collect(),
            timers: snapshot.timers.clone(),
        }
    }

    pub fn snapshot(&self) -> EntitySnapshot {
        let entry = |entry: &EntryOf| StateEntry {
            value: entry.text.as_ref().map_or(entry.bytes.as_slice(), |text| text.as_bytes()).into(),
            customer: entry.customer.clone(),
            expires: entry.expires,
        };
        EntitySnapshot {
            version: self.version,
            state: self.entries.iter().map(|(key, value)| (key.clone(), entry(value))).collect(),
            timers: self.timers.clone(),
        }
    }
}

impl Bundle {
    /// The run as it was when it was executed last.
    pub fn queued(&self) -> QueuedRun {
        let run = &self.run;
        let key = EntityKey {
            tenant: run.tenant.as_str().into(),
            plugin: self.plugin.name.as_str().into(),
            entity: run.entity.as_str().into(),
        };
        QueuedRun {
            seq: 1,
            attempts: run.attempts,
            not_before: run.accepted,
            accepted: run.accepted,
            run: super::run::NewRun {
                id: run.id,
                key,
                customer: run.customer.clone(),
                cause: self.cause.clone(),
                hold_up: true,
            },
        }
    }

    /// The events that the run can name: what set it off, and what it looked up.
    pub fn events(&self) -> Vec<Arc<Event>> {
        let own = match &self.cause {
            Cause::Event(event) => Some(event.clone()),
            Cause::Timer(_) | Cause::Delivery(_) | Cause::Message(_) => None,
        };
        let mut events: Vec<Arc<Event>> = own.into_iter().collect();
        events.extend(self.read.events.iter().cloned().map(Arc::new));
        events.sort_by_key(|event| event.received);
        events.dedup_by_key(|event| event.id);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entity_kept_comes_back_as_it_was() {
        let entry = |bytes: &[u8]| StateEntry { value: bytes.into(), customer: None, expires: Some(Timestamp(7)) };
        let snapshot = EntitySnapshot {
            version: 3,
            state: [("text".to_owned(), entry(b"{}")), ("bytes".to_owned(), entry(&[0xff, 0]))].into(),
            timers: BTreeMap::new(),
        };
        let written = serde_json::to_string(&StateOf::of(&snapshot)).unwrap();
        let read: StateOf = serde_json::from_str(&written).unwrap();
        assert_eq!(read.snapshot(), snapshot);
    }
}
