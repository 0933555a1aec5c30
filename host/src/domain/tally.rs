//! What is counted of messages, by day, plugin, purpose, channel and country. Nothing of it says who anybody is.
//!
//! What a message adds to the figures follows from how it stands and from nothing else ([`lines`]). Whoever changes a message
//! takes off what it added before and puts on what it adds now, in the same transaction; so a receipt that is repeated adds
//! nothing, and receipts in any order end in the same figures. What an attempt needs for that it keeps in a [`Tally`], which
//! stays when the customer is erased: the address goes, the country does not.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    customer::Channel,
    message::{Attempt, MessageRecord, is_double},
    purpose::Purpose,
    status::{AttemptState, MessageState},
};
use crate::{clock::Timestamp, ids::PluginName};

/// What is remembered of an attempt for the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// The country of the address, ISO 3166; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Arc<str>>,
    /// The currency that the price was planned in, ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Arc<str>>,
    /// A provider has taken it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
    /// The earliest time at which it is said to have arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Timestamp>,
    /// What it cost, where its provider has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// What a provider charges. Of two that are said of one attempt the larger holds, whichever was heard first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cost {
    pub micros: i64,
    pub currency: Arc<str>,
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        *self == Tally::default()
    }

    /// Takes note of what a provider reports.
    pub fn hear(&mut self, state: AttemptState, at: Timestamp, pricing: Option<&serde_json::Value>) {
        // Whoever reports on it has had it.
        self.taken |= state >= AttemptState::Accepted;
        if state.arrived() {
            self.arrived = Some(self.arrived.map_or(at, |known| known.min(at)));
        }
        let cost = pricing.and_then(|said| {
            let micros = said.get("micros")?.as_i64()?;
            Some(Cost { micros, currency: said.get("currency")?.as_str()?.into() })
        });
        self.cost = self.cost.take().max(cost);
    }
}

/// Under what something is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatKey {
    /// The day on which the message was asked for, in days since 1970 (UTC). What becomes of it later counts there as well.
    pub day: i64,
    pub plugin: Option<PluginName>,
    pub purpose: Purpose,
    /// Absent where nothing was tried.
    pub channel: Option<Channel>,
    pub country: Option<Arc<str>>,
}

impl StatKey {
    /// Plugin, purpose, channel and country as they are stored: empty where there is none.
    pub fn texts(&self) -> [&str; 4] {
        [
            self.plugin.as_deref().unwrap_or_default(),
            self.purpose.as_str(),
            self.channel.map_or("", Channel::as_str),
            self.country.as_deref().unwrap_or_default(),
        ]
    }
}

/// What is counted. Money is counted in millionths, under a name for each currency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Messages of which something was sent, or that ended without. Under the channel of the first attempt.
    Messages,
    /// Ended without having arrived: failed or too late.
    GivenUp,
    Cancelled,
    FellBack,
    Double,
    /// On a channel: a provider took it, it arrived, it was read, it did not arrive there.
    Sent,
    Delivered,
    Read,
    Failed,
    /// Parts of SMS.
    Parts,
    Planned(Arc<str>),
    Actual(Arc<str>),
    /// Messages that arrived within [`BOUNDS_S`]'s number of seconds, and not within the one before it.
    Within(usize),
}

/// The histogram of times to deliver. What took longer than the last is counted behind it.
pub const BOUNDS_S: [i64; 12] = [1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 21_600, 86_400];

const PLAIN: [(&str, Measure); 10] = [
    ("messages", Measure::Messages),
    ("given-up", Measure::GivenUp),
    ("cancelled", Measure::Cancelled),
    ("fell-back", Measure::FellBack),
    ("double", Measure::Double),
    ("sent", Measure::Sent),
    ("delivered", Measure::Delivered),
    ("read", Measure::Read),
    ("failed", Measure::Failed),
    ("parts", Measure::Parts),
];

impl Measure {
    /// As it is stored.
    pub fn name(&self) -> String {
        match self {
            Measure::Planned(currency) => format!("planned/{currency}"),
            Measure::Actual(currency) => format!("actual/{currency}"),
            Measure::Within(bucket) => format!("within/{bucket}"),
            plain => PLAIN.iter().find(|(_, one)| one == plain).map_or("", |(name, _)| name).to_owned(),
        }
    }

    pub fn parse(name: &str) -> Option<Measure> {
        match name.split_once('/') {
            None => PLAIN.iter().find(|(plain, _)| *plain == name).map(|(_, measure)| measure.clone()),
            Some(("planned", currency)) => Some(Measure::Planned(currency.into())),
            Some(("actual", currency)) => Some(Measure::Actual(currency.into())),
            Some(("within", bucket)) => bucket.parse().ok().map(Measure::Within),
            Some(_) => None,
        }
    }
}

/// What a message adds to the figures, as it stands.
pub type Lines = BTreeMap<(StatKey, Measure), i64>;

/// One that nothing was tried of and that has not ended adds nothing yet: most are there for milliseconds only.
pub fn lines(record: &MessageRecord) -> Lines {
    let mut lines = Lines::new();
    let first = record.attempts.first();
    if first.is_none() && !record.settled {
        return lines;
    }
    let mut count = |key: &StatKey, measure: Measure, by: i64| {
        if by != 0 {
            *lines.entry((key.clone(), measure)).or_default() += by;
        }
    };
    let head = key(record, first);
    let channels = channels(&record.attempts);
    count(&head, Measure::Messages, 1);
    count(&head, Measure::FellBack, i64::from(channels.len() > 1));
    count(&head, Measure::Double, i64::from(is_double(&record.attempts)));
    let ended = |state| i64::from(record.settled && record.state == state);
    count(&head, Measure::GivenUp, ended(MessageState::Failed) + ended(MessageState::Expired));
    count(&head, Measure::Cancelled, ended(MessageState::Cancelled));
    for channel in channels {
        let own: Vec<&Attempt> = record.attempts.iter().filter(|attempt| attempt.channel == channel).collect();
        let key = key(record, own.first().copied());
        let any = |is: fn(&Attempt) -> bool| i64::from(own.iter().any(|attempt| is(attempt)));
        count(&key, Measure::Sent, any(|attempt| attempt.tally.taken));
        count(&key, Measure::Delivered, any(|attempt| attempt.state.arrived()));
        count(&key, Measure::Read, any(|attempt| attempt.state == AttemptState::Read));
        let last_failed = own.last().is_some_and(|attempt| attempt.state == AttemptState::Failed);
        count(&key, Measure::Failed, i64::from(last_failed) * (1 - any(|attempt| attempt.state.arrived())));
        for attempt in own.iter().filter(|attempt| attempt.tally.taken) {
            if channel == Channel::Sms {
                count(&key, Measure::Parts, i64::from(attempt.parts));
            }
            if let (Some(micros), Some(currency)) = (attempt.price_micros, &attempt.tally.currency) {
                count(&key, Measure::Planned(currency.clone()), micros);
            }
        }
        for cost in own.iter().filter_map(|attempt| attempt.tally.cost.as_ref()) {
            count(&key, Measure::Actual(cost.currency.clone()), cost.micros);
        }
    }
    let arrivals = record.attempts.iter().filter_map(|attempt| Some((attempt.tally.arrived?, attempt.no, attempt)));
    if let Some((at, _, attempt)) = arrivals.min_by_key(|(at, no, _)| (*at, *no)) {
        let took_ms = at.0.saturating_sub(record.message.created.0);
        let bucket = BOUNDS_S.iter().position(|bound| took_ms <= bound * 1000).unwrap_or(BOUNDS_S.len());
        count(&key(record, Some(attempt)), Measure::Within(bucket), 1);
    }
    lines
}

/// In the order in which they were tried.
fn channels(attempts: &[Attempt]) -> Vec<Channel> {
    let mut channels = Vec::new();
    for attempt in attempts {
        if !channels.contains(&attempt.channel) {
            channels.push(attempt.channel);
        }
    }
    channels
}

fn key(record: &MessageRecord, attempt: Option<&Attempt>) -> StatKey {
    let message = &record.message;
    StatKey {
        day: day(message.created),
        plugin: message.author.as_ref().map(|author| author.plugin.clone()),
        purpose: message.purpose,
        channel: attempt.map(|attempt| attempt.channel),
        country: attempt.and_then(|attempt| attempt.tally.country.clone()),
    }
}

/// Days since 1970.
pub fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(86_400_000)
}

/// What to take off and put on where a message stood as `before` and stands as `after`.
pub fn difference(before: Lines, after: Lines) -> Lines {
    let mut by = after;
    for (key, value) in before {
        *by.entry(key).or_default() -= value;
    }
    by.retain(|_, value| *value != 0);
    by
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_measure_is_read_as_it_is_written() {
        let of_money = [Measure::Planned("EUR".into()), Measure::Actual("USD".into()), Measure::Within(12)];
        for measure in PLAIN.into_iter().map(|(_, measure)| measure).chain(of_money) {
            assert_eq!(Measure::parse(&measure.name()), Some(measure));
        }
        assert_eq!(Measure::parse("something/else"), None);
    }

    #[test]
    fn an_attempt_arrived_when_it_first_did_and_costs_the_most_that_was_said() {
        let said = |micros: i64| json!({"micros": micros, "currency": "EUR", "category": "utility"});
        let mut heard = [
            (AttemptState::Read, Timestamp(50), Some(said(40))),
            (AttemptState::Delivered, Timestamp(20), Some(said(60))),
            (AttemptState::Sent, Timestamp(10), Some(json!({"category": "utility"}))),
        ];
        let tally = |heard: &[(AttemptState, Timestamp, Option<serde_json::Value>)]| {
            let mut tally = Tally::default();
            heard.iter().for_each(|(state, at, pricing)| tally.hear(*state, *at, pricing.as_ref()));
            tally
        };
        let one = tally(&heard);
        assert_eq!((one.taken, one.arrived), (true, Some(Timestamp(20))));
        assert_eq!(one.cost, Some(Cost { micros: 60, currency: "EUR".into() }));
        heard.reverse();
        assert_eq!(tally(&heard), one);
    }
}
