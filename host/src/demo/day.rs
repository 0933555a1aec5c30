//! The demo day's file: who the customers are, what happens, and how each story has to end.

use serde::Deserialize;
use serde_json::Value;

/// The day that is compiled in.
pub(super) const DAY: &str = include_str!("day.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Day {
    pub title: String,
    /// RFC 3339; the stories' times of day are read in its offset.
    pub start: String,
    #[serde(rename = "customer")]
    pub customers: Vec<Person>,
    #[serde(rename = "story")]
    pub stories: Vec<Story>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    pub id: String,
    pub name: String,
    pub locale: String,
    pub timezone: String,
    pub phone: PhoneSetup,
    /// Agreed to what providers file as marketing.
    #[serde(default)]
    pub marketing: bool,
    pub about: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhoneSetup {
    pub number: String,
    #[serde(default = "yes")]
    pub whatsapp: bool,
    #[serde(default = "yes")]
    pub online: bool,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Story {
    pub name: String,
    /// `08:12`, by the day's offset.
    pub at: String,
    /// The plugin that it is about, where the day goes on without: it is in a language whose tools may not be there.
    pub plugin: Option<String>,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    #[serde(default, rename = "expect")]
    pub expectations: Vec<Expectation>,
}

/// One thing that happens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum Step {
    /// Posted to the host's public endpoint.
    Event(EventStep),
    /// A customer writes.
    Write { customer: String, channel: String, text: String },
    /// A customer taps a button of the newest message that has it.
    Tap { customer: String, button: String },
    /// A phone comes online.
    Online { customer: String },
    /// Time passes: `31m`.
    Advance(String),
    /// Until so many messages of this story are there and stand so, or have gone further.
    Wait {
        customer: String,
        channel: Option<String>,
        state: String,
        #[serde(default = "one")]
        messages: usize,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventStep {
    #[serde(rename = "type")]
    pub event_type: String,
    pub source: String,
    pub subject: Option<String>,
    pub customer: Option<String>,
    pub data: Value,
}

/// A message that has to be there at the end of its story, or a refusal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    pub customer: String,
    pub channel: Option<String>,
    pub state: Option<String>,
    /// The story whose message it is, where that is an earlier one.
    pub story: Option<String>,
    /// Why an earlier attempt was not enough: the failure's code, or `no-receipt`.
    pub after: Option<String>,
    /// It arrived on two channels.
    #[serde(default)]
    pub double: bool,
    /// No message was taken, with this code.
    pub refused: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_that_is_compiled_in_can_be_played() {
        let day: Day = toml::from_str(DAY).unwrap();
        let known = |id: &str| day.customers.iter().any(|person| person.id == id);
        for story in &day.stories {
            assert!(story.expectations.iter().all(|expectation| known(&expectation.customer)), "{}", story.name);
        }
        assert!(day.stories.len() >= 7, "the white paper's day has seven stories");
    }
}
