//! What a run came to, as sums: enough to tell whether two versions of a plugin agree and where they do not, and nothing that could
//! name a customer or quote what one is told.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Write as _},
    hash::{DefaultHasher, Hasher},
};

use super::{Execution, Finished};
use crate::domain::{
    message::NewMessage,
    run::{EmittedEvent, Outcome, RunFailure, StateChange, TimerChange},
};

/// Small whatever the outcome holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// `well`, or the kind of failure.
    ended: &'static str,
    messages: Vec<Fields>,
    timers: BTreeMap<u64, Fields>,
    state: BTreeMap<u64, Fields>,
    events: Vec<(String, Fields)>,
    cancels: u64,
}

/// The sum of each field by its name.
type Fields = Vec<(&'static str, u64)>;

/// One thing in which two shapes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// `result`, `messages`, `timers`, `state`, `events` or `cancels`.
    pub part: &'static str,
    pub what: String,
}

impl Shape {
    pub(super) fn of(execution: &Execution) -> Shape {
        match &execution.result {
            Ok(Finished { outcome, .. }) => Shape::well(outcome),
            Err(failure) => Shape { ended: failure.kind(), ..Shape::well(&Outcome::default()) },
        }
    }

    /// Whether it says anything of the plugin: the host's own trouble does not.
    pub(super) fn counts(execution: &Execution) -> bool {
        !matches!(execution.result, Err(RunFailure::Host { .. }))
    }

    fn well(outcome: &Outcome) -> Shape {
        Shape {
            ended: "well",
            messages: outcome.messages.iter().map(message).collect(),
            timers: outcome.timers.iter().map(|(key, change)| (sum(key), timer(change))).collect(),
            state: outcome.state.iter().map(|(key, change)| (sum(key), state(change))).collect(),
            events: outcome.events.iter().map(|event| (event.event_type.clone(), emitted(event))).collect(),
            cancels: sum(&outcome.cancels),
        }
    }

    /// In what `other` differs from this one. Nothing where they agree.
    pub(super) fn against(&self, other: &Shape) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut add = |part: &'static str, what: Option<String>| {
            found.extend(what.map(|what| Difference { part, what }));
        };
        if self.ended != other.ended {
            add("result", Some(format!("ended {} in place of {}", other.ended, self.ended)));
            // What each asked for follows from that.
            return found;
        }
        add("messages", rows("message", self.messages.iter().enumerate(), other.messages.iter().enumerate()));
        add("timers", rows("timer", self.timers.iter(), other.timers.iter()));
        add("state", rows("entry", self.state.iter(), other.state.iter()));
        let types = |shape: &Shape| shape.events.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>().join(", ");
        if types(self) != types(other) {
            add("events", Some(format!("raises [{}] in place of [{}]", types(other), types(self))));
        } else if self.events != other.events {
            add("events", Some("what an event says differs".to_owned()));
        }
        add("cancels", (self.cancels != other.cancels).then(|| "other messages are cancelled".to_owned()));
        found
    }
}

/// The first way in which two sets of rows differ, in words that quote nothing.
fn rows<'f, K: Eq + std::hash::Hash>(
    name: &str,
    ours: impl Iterator<Item = (K, &'f Fields)>,
    theirs: impl Iterator<Item = (K, &'f Fields)>,
) -> Option<String> {
    let theirs: Vec<(K, &Fields)> = theirs.collect();
    let ours: Vec<(K, &Fields)> = ours.collect();
    if ours.len() != theirs.len() {
        return Some(format!("number of {name}: {} in place of {}", theirs.len(), ours.len()));
    }
    for (key, fields) in &ours {
        let Some((_, others)) = theirs.iter().find(|(other, _)| other == key) else {
            return Some(format!("another {name} is set"));
        };
        let differing: Vec<&str> = fields
            .iter()
            .filter(|(field, value)| {
                others.iter().find(|(other, _)| other == field).is_none_or(|(_, other)| other != value)
            })
            .map(|(field, _)| *field)
            .collect();
        if !differing.is_empty() || fields.len() != others.len() {
            return Some(format!("{name}: {} differ", differing.join(", ")));
        }
    }
    None
}

fn message(message: &NewMessage) -> Fields {
    vec![
        ("to", sum(&message.to)),
        ("purpose", sum(&message.purpose)),
        ("because", sum(&message.because)),
        ("content", sum(&message.content)),
        ("sms", sum(&message.sms)),
        ("fallback-after", sum(&message.fallback_after)),
        ("expires", sum(&message.expires)),
        ("dedup-key", sum(&message.dedup_key)),
        ("tag", sum(&message.tag)),
        ("quote", sum(&message.quote)),
    ]
}

fn timer(change: &TimerChange) -> Fields {
    match change {
        TimerChange::Set { due, expires, data } => {
            vec![("due", sum(due)), ("expires", sum(expires)), ("data", sum(data))]
        }
        TimerChange::Cancel => vec![("cancelled", 0)],
    }
}

fn state(change: &StateChange) -> Fields {
    match change {
        StateChange::Set(entry) => {
            vec![("value", sum(&entry.value)), ("customer", sum(&entry.customer)), ("expires", sum(&entry.expires))]
        }
        StateChange::Remove => vec![("removed", 0)],
    }
}

fn emitted(event: &EmittedEvent) -> Fields {
    vec![("event", sum(event))]
}

/// Of a value as it is shown for debugging, which has every part of it. Written into the sum, not into memory.
fn sum(value: &impl Debug) -> u64 {
    struct Sum(DefaultHasher);
    impl fmt::Write for Sum {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sum = Sum(DefaultHasher::new());
    // Writing into a sum does not fail.
    let _ = write!(sum, "{value:?}");
    sum.0.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        domain::run::{RunReport, StateEntry},
        plugin::RetryPolicy,
    };

    fn execution(result: Result<Outcome, RunFailure>) -> Execution {
        let result = result.map(|outcome| Finished { outcome, origin: None });
        Execution { result, report: RunReport::default(), retry: RetryPolicy::default() }
    }

    fn outcome(value: &str, due: i64) -> Outcome {
        let entry = StateEntry { value: value.as_bytes().into(), customer: None, expires: None };
        let timer = TimerChange::Set { due: Timestamp(due), expires: None, data: "{}".into() };
        Outcome {
            state: [("phone/+33611111111".to_owned(), StateChange::Set(entry))].into(),
            timers: [("t".to_owned(), timer)].into(),
            ..Outcome::default()
        }
    }

    fn differences(ours: Result<Outcome, RunFailure>, theirs: Result<Outcome, RunFailure>) -> Vec<String> {
        let (ours, theirs) = (Shape::of(&execution(ours)), Shape::of(&execution(theirs)));
        ours.against(&theirs).into_iter().map(|found| format!("{}: {}", found.part, found.what)).collect()
    }

    #[test]
    fn what_differs_is_named_and_nothing_is_quoted() {
        assert_eq!(differences(Ok(outcome("a", 1)), Ok(outcome("a", 1))), [""; 0]);
        assert_eq!(
            differences(Ok(outcome("a", 1)), Ok(outcome("+33622222222", 2))),
            ["timers: timer: due differ", "state: entry: value differ"]
        );
        assert_eq!(
            differences(Ok(outcome("a", 1)), Ok(Outcome::default())),
            ["timers: number of timer: 0 in place of 1", "state: number of entry: 0 in place of 1"]
        );
        let fault = RunFailure::Fault { message: "unreachable".into(), backtrace: Vec::new() };
        assert_eq!(differences(Ok(outcome("a", 1)), Err(fault)), ["result: ended fault in place of well"]);
    }
}
