//! The telephones: who has WhatsApp, who is online, who reads, who blocks, and what each writes back by itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Keep, Strangers, delivery::Waiting, lock, threads::Thread};
use crate::clock::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    #[serde(alias = "WhatsApp")]
    Whatsapp,
    #[serde(alias = "SMS")]
    Sms,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Meta,
    Cm,
    Twilio,
    Smpp,
}

/// A telephone as it is set up. Its number is E.164 with a plus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phone {
    pub number: String,
    pub name: String,
    pub locale: String,
    pub whatsapp: bool,
    /// Has internet. Without it WhatsApp messages wait; SMS does not need it.
    pub online: bool,
    pub sms: bool,
    /// Sends read receipts.
    pub reads: bool,
    /// Blocks the business on WhatsApp.
    pub blocks: bool,
    /// Took a username on WhatsApp: the business learns an id, and no number.
    pub hides_number: bool,
    /// Said STOP by SMS to Twilio, which refuses further messages itself.
    pub stopped: bool,
    pub answers: Vec<Rule>,
}

impl Default for Phone {
    fn default() -> Phone {
        Phone {
            number: String::new(),
            name: String::new(),
            locale: "fr-FR".into(),
            whatsapp: true,
            online: true,
            sms: true,
            reads: true,
            blocks: false,
            hides_number: false,
            stopped: false,
            answers: Vec::new(),
        }
    }
}

impl Phone {
    pub fn new(number: impl Into<String>, name: impl Into<String>) -> Phone {
        Phone { number: number.into(), name: name.into(), ..Phone::default() }
    }
}

/// What a phone does by itself when something reaches its screen. The first rule that fits is used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The message's text contains this, whatever the case. Without it every message fits.
    pub on: Option<String>,
    pub channel: Option<Channel>,
    /// Writes this text.
    pub answer: Option<String>,
    /// Taps the button with this id or title; the rule does not fit a message without it.
    pub tap: Option<String>,
    pub after_ms: u64,
    /// How many times more; without it always.
    pub times: Option<u64>,
}

/// What a phone sends.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Write {
    pub channel: Option<Channel>,
    /// Whom it writes to. Without it: who wrote to this phone last on the channel, else Meta on WhatsApp and CM.com by SMS.
    pub provider: Option<Provider>,
    pub text: Option<String>,
    /// An image: a link that the simulator passes on (Twilio, CM.com), or a caption alone for a small picture of its own.
    pub image: Option<Picture>,
    pub location: Option<Spot>,
    /// The id of the message that is quoted.
    pub quotes: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Picture {
    pub url: Option<String>,
    pub caption: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spot {
    pub latitude: f64,
    pub longitude: f64,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub address: Option<String>,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("there is no phone {0}; add it with PUT /sim/phones/{0}")]
    NoPhone(String),
    #[error("field `{field}`: {problem}")]
    Field { field: &'static str, problem: String },
    #[error("{0}")]
    Refused(String),
}

/// A phone with what happened to it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) phone: Phone,
    pub(crate) whatsapp: Thread,
    pub(crate) sms: Thread,
    /// When it last wrote on WhatsApp, by provider: what opens the 24-hour window.
    pub(crate) wrote_at: HashMap<Provider, Timestamp>,
    pub(crate) last_provider: HashMap<Channel, Provider>,
    /// WhatsApp messages that wait for the phone to come online.
    pub(crate) waiting: VecDeque<Waiting>,
    /// When the next message to it is free of the pair rate, in milliseconds (a leaky bucket).
    pub(crate) pair_free_at_ms: i64,
}

impl State {
    pub(crate) fn thread_mut(&mut self, channel: Channel) -> &mut Thread {
        match channel {
            Channel::Whatsapp => &mut self.whatsapp,
            Channel::Sms => &mut self.sms,
        }
    }
}

pub(crate) struct PhoneBook {
    keep: Keep,
    strangers: Strangers,
    phones: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    by_number: HashMap<String, State>,
    by_user_id: HashMap<String, String>,
}

impl PhoneBook {
    pub(crate) fn new(keep: Keep, strangers: Strangers) -> PhoneBook {
        PhoneBook { keep, strangers, phones: Mutex::default() }
    }

    pub(crate) fn entries_max(&self) -> usize {
        self.keep.thread_entries_max
    }

    /// Adds a phone, or changes the one that has this number; its threads stay.
    pub(crate) fn put(&self, phone: Phone) {
        let mut book = lock(&self.phones);
        book.by_user_id.insert(user_id(&phone.number), phone.number.clone());
        let number = phone.number.clone();
        book.by_number.entry(number).or_default().phone = phone;
    }

    /// Changes or reads a phone that exists.
    pub(crate) fn with<T>(&self, number: &str, work: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut book = lock(&self.phones);
        book.by_number.get_mut(number).map(work).ok_or_else(|| Error::NoPhone(number.to_owned()))
    }

    /// The same for whoever is called, known or not.
    pub(crate) fn reach<T>(&self, number: &str, work: impl FnOnce(&mut State) -> T) -> T {
        let mut book = lock(&self.phones);
        if let Some(state) = book.by_number.get_mut(number) {
            return work(state);
        }
        let mut state = State { phone: self.stranger(number), ..State::default() };
        let result = work(&mut state);
        if book.by_number.len() < self.keep.phones_max {
            book.by_user_id.insert(user_id(number), number.to_owned());
            book.by_number.insert(number.to_owned(), state);
        }
        result
    }

    pub(crate) fn number_of_user(&self, user_id: &str) -> Option<String> {
        lock(&self.phones).by_user_id.get(user_id).cloned()
    }

    pub(crate) fn remove(&self, number: &str) -> Result<(), Error> {
        let mut book = lock(&self.phones);
        book.by_user_id.remove(&user_id(number));
        book.by_number.remove(number).map(drop).ok_or_else(|| Error::NoPhone(number.to_owned()))
    }

    pub(crate) fn all(&self) -> Vec<Phone> {
        let mut phones: Vec<Phone> = lock(&self.phones).by_number.values().map(|state| state.phone.clone()).collect();
        phones.sort_by(|a, b| a.number.cmp(&b.number));
        phones
    }

    pub(crate) fn clear(&self) {
        *lock(&self.phones) = Book::default();
    }

    fn stranger(&self, number: &str) -> Phone {
        let (whatsapp, sms) = match self.strangers {
            Strangers::Reachable => (true, true),
            Strangers::SmsOnly => (false, true),
            Strangers::Unreachable => (false, false),
        };
        Phone { whatsapp, sms, ..Phone::new(number, number) }
    }
}

/// A number in any of the notations that the providers take (`+33…`, `0033…`, with blanks and brackets) as `+33…`.
/// Nothing where it cannot be a telephone number: E.164 has at most 15 digits, and no country has fewer than 7.
pub(crate) fn e164(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let digits = plain.strip_prefix('+').or_else(|| plain.strip_prefix("00"))?;
    let valid =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    valid.then(|| format!("+{digits}"))
}

/// The business-scoped user id of a number: always the same one, and of the form that Meta uses.
pub(crate) fn user_id(number: &str) -> String {
    let digits = number.trim_start_matches('+');
    let country = COUNTRIES.iter().find(|(code, _)| digits.starts_with(code)).map_or("ZZ", |(_, country)| country);
    let hash = blake3::hash(digits.as_bytes());
    let tail = hash.as_bytes().iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{country}.13{:018}", tail % 1_000_000_000_000_000_000)
}

/// Enough for the numbers that appear in tests and demonstrations; all others are `ZZ`.
const COUNTRIES: [(&str, &str); 10] = [
    ("351", "PT"),
    ("352", "LU"),
    ("31", "NL"),
    ("32", "BE"),
    ("33", "FR"),
    ("34", "ES"),
    ("39", "IT"),
    ("41", "CH"),
    ("44", "GB"),
    ("49", "DE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_each_notation() {
        for text in ["+33639981201", "0033639981201", "+33 6 39 98 12 01", "+33 (6) 39-98-12-01"] {
            assert_eq!(e164(text).as_deref(), Some("+33639981201"), "{text}");
        }
        for text in ["0639981201", "", "+", "+33abc", "+0123456789", "+1234567890123456"] {
            assert_eq!(e164(text), None, "{text}");
        }
    }

    #[test]
    fn a_stranger_is_what_the_setting_says() {
        let book = PhoneBook::new(Keep::default(), Strangers::SmsOnly);
        assert!(book.reach("+33639981299", |state| !state.phone.whatsapp && state.phone.sms));
        assert_eq!(book.number_of_user(&user_id("+33639981299")).as_deref(), Some("+33639981299"));
    }
}
