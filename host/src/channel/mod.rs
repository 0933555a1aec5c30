//! The channel layer's edge: providers, and the words they speak.
//!
//! **What comes in.** From the dispatcher an [`Outgoing`]: a message that is rendered, addressed and named by its attempt's
//! token. From the receipt stage the raw bytes of a webhook; over a session with an SMSC what it delivers.
//!
//! **What goes out.** To the dispatcher an [`Answer`]: taken, certainly not taken, or in doubt. To the receipt stage
//! [`Report`]s, the same whoever the provider is.
//!
//! **What can go wrong** is told by what follows from it: the tables under `data/errors` give each provider's code one of
//! ours, and say whether it is worth trying again and whether SMS makes sense (see [`failure`]).
//!
//! **What it never does.** It decides nothing (which channel, whether, when), stores nothing, reads no clock, and sends
//! nothing twice: one call of [`Provider::send`] is one request to send, whatever comes of it.

mod accounts;
pub mod cm;
pub mod exchange;
pub mod failure;
pub mod meta;
pub mod phone;
pub mod price;
pub mod settings;
pub mod signature;
pub mod smpp;
pub mod sms;
pub mod twilio;
pub mod whatsapp;

use std::time::Duration;

use async_trait::async_trait;

pub use self::settings::{
    Accounts, CmSettings, ContentTemplate, Fallback, HttpSettings, MetaSettings, SmppSettings, TwilioSettings,
    http_client,
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{Answer, AttemptFailure, Place},
        run::IncomingMedia,
        status::AttemptState,
    },
    ids::AttemptToken,
};

/// What goes to a provider: rendered, addressed, and named by the attempt's token.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Goes out with the request and comes back in every receipt.
    pub token: AttemptToken,
    /// E.164 with the plus; on WhatsApp perhaps the id of somebody who hides the number.
    pub to: String,
    pub body: Rendition,
    /// The provider's id of the message that is quoted.
    pub quote: Option<String>,
    /// How long it is still of use, for providers that can be told.
    pub expires: Option<Duration>,
    /// The attachment's type, for providers that want it said.
    pub mime_type: Option<String>,
    /// The SMS that goes along, where the provider itself falls back ([`Provider::falls_back`]).
    pub instead: Option<sms::Text>,
}

/// A message in the form of its channel.
#[derive(Clone, Debug)]
pub enum Rendition {
    Whatsapp(whatsapp::Rendered),
    Sms(sms::Text),
}

/// One account with one provider.
#[async_trait]
pub trait Provider: Send + Sync {
    /// `meta`, `cm`, `twilio`, `smpp`.
    fn name(&self) -> &'static str;
    /// The account's name in the configuration.
    fn account(&self) -> &str;
    fn channel(&self) -> Channel;
    /// Countries and calling codes of the numbers that it serves; all of them where there is none.
    fn countries(&self) -> &[String] {
        &[]
    }
    /// Of accounts that cost the same the one with the lower number goes first.
    fn preference(&self) -> u32 {
        0
    }
    /// Why it cannot carry this at all, where it cannot: another account, or another channel, is taken then.
    fn fits(&self, _body: &Rendition) -> Result<(), String> {
        Ok(())
    }
    /// Whether it sends an SMS by itself when WhatsApp does not deliver.
    fn falls_back(&self) -> bool {
        false
    }
    /// Makes one request to send. Dropping the future leaves in doubt whether it was made.
    async fn send(&self, outgoing: &Outgoing) -> Answer;
}

/// Whether a number is one of those countries or calling codes; any number is where none is named.
pub fn serves(countries: &[String], number: &str, country: Option<&str>) -> bool {
    let digits = number.trim_start_matches('+');
    countries.is_empty()
        || countries.iter().any(|one| {
            country == Some(one)
                || (one.ends_with(|c: char| c.is_ascii_digit()) && digits.starts_with(one.trim_start_matches('+')))
        })
}

/// One thing that a provider reports, normalised.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// How far an attempt has come.
    Status(StatusReport),
    /// What a customer wrote.
    Incoming(IncomingReport),
    /// A part of what a customer wrote, of several that come one by one.
    Part(PartReport),
    /// A customer stopped, or allowed again, marketing on WhatsApp.
    MarketingPreference { address: String, stopped: bool, time: Option<Timestamp> },
    /// A customer is reached at another address from now on: a new number, or a new id of the channel's own.
    Moved { channel: Channel, provider_id: String, from: String, to: String, time: Option<Timestamp> },
    /// Something for the operator's log: a template's or an account's change, or a piece that could not be read.
    Notice { kind: String, detail: String },
}

/// A status of an attempt: what becomes a receipt once tenant and time of arrival are added.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusReport {
    /// What we gave the provider, where the report has it.
    pub token: Option<AttemptToken>,
    pub provider_id: Option<String>,
    pub state: AttemptState,
    /// As the provider says; the time of arrival counts where it says none.
    pub time: Option<Timestamp>,
    pub failure: Option<AttemptFailure>,
    /// What the provider says of it: price, category and model, and which channel carried it, where it does.
    pub pricing: Option<serde_json::Value>,
}

/// What a customer wrote, before it is known which customer that is and what it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingReport {
    pub channel: Channel,
    /// The number or id of ours that was written to, where the provider names it.
    pub to: Option<String>,
    /// E.164 with the plus, or the channel's name for the sender where it hides the number.
    pub sender: String,
    /// The channel's own id of the sender, where it tells one.
    pub sender_id: Option<String>,
    pub sender_name: Option<String>,
    /// The provider's id for it: what makes a repetition known as one.
    pub provider_id: String,
    /// As the provider says; the time of arrival counts where it says none.
    pub time: Option<Timestamp>,
    /// `text`, `choice`, `image`, `audio`, `video`, `document`, `location`, …
    pub kind: String,
    /// The text or caption; empty where there is none.
    pub text: String,
    /// The id of the choice that was tapped.
    pub choice: Option<String>,
    pub media: Vec<IncomingMedia>,
    pub location: Option<Place>,
    /// The provider's id of the message that it quotes or whose button was tapped.
    pub quoted: Option<String>,
    /// What its kind has beyond all this, by the registry's names.
    pub attributes: Vec<(String, String)>,
}

/// A part of what a customer wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct PartReport {
    /// What the whole will be, with the part's text.
    pub incoming: IncomingReport,
    /// What the parts of a message have in common.
    pub key: String,
    /// From 1.
    pub no: u8,
    pub total: u8,
}

/// A webhook's body that is not what the provider sends at all. A single unreadable piece is a [`Report::Notice`] instead.
#[derive(Debug, thiserror::Error)]
#[error("this is no webhook of {provider}: {reason}")]
pub struct ParseError {
    pub provider: &'static str,
    pub reason: String,
}
