//! A message to a customer: what was asked for, and how it stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    content::{Frame, HeaderText, Special, TemplateLink},
    customer::Channel,
    purpose::{Category, Purpose},
    quota::Caps,
    status::{AttemptState, DeliveryState, MessageState},
    text::{strip_nul, strip_nul_of},
};
use crate::{
    clock::Timestamp,
    ids::{CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
};

/// A message as it was asked for, by a plugin's run or over HTTP. Nothing in it ever changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    pub id: MessageId,
    pub tenant: TenantId,
    /// The run that asked for it, with its plugin and entity; absent where it came over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    pub to: Recipient,
    pub purpose: Purpose,
    pub because: Because,
    pub content: Content,
    #[serde(default)]
    pub sms: SmsPolicy,
    /// Falls back to SMS when no receipt came after this time; the tenant's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis")]
    pub fallback_after: Option<Duration>,
    /// Not worth delivering later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The message of the conversation that it quotes, or that its reaction is put on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<MessageId>,
    pub created: Timestamp,
}

/// Which run asked for a message, and what its plugin wants to hear of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Author {
    pub run: RunId,
    pub plugin: PluginName,
    pub entity: Entity,
    /// The states that the manifest's `[on-delivery]` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<DeliveryState>,
    /// Whether answers go to this plugin.
    #[serde(default)]
    pub answers: bool,
    /// How much its plugin may send and spend.
    #[serde(default, skip_serializing_if = "Caps::is_none")]
    pub caps: Caps,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// The host finds the addresses.
    Customer(CustomerId),
    /// E.164 with the plus, where no customer is named; or WhatsApp's id of somebody who hides the number.
    Phone(String),
}

impl Recipient {
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Recipient::Customer(id) => Some(id),
            Recipient::Phone(_) => None,
        }
    }

    /// Messages to one recipient are handed over one at a time, in the order of their commits; this names the queue.
    pub fn lane(&self) -> &str {
        match self {
            Recipient::Customer(id) => id.as_str(),
            Recipient::Phone(number) => number,
        }
    }
}

/// What makes a message expected. The host has found it before it took the message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// An event that concerns the customer.
    Event(EventId),
    /// Something that the customer wrote.
    Incoming(MessageId),
    /// An earlier message to the customer.
    Message(MessageId),
    /// A timer that a run about this customer set, with the event that it goes back to where there is one.
    Timer { key: String, set_by: RunId },
    /// The tenant's own reference, `order/12345`: given over HTTP by whoever holds the API key, and recorded as such.
    Reference(String),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Content {
    /// The text, or the caption of the attachment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What goes out on WhatsApp where free content is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// A sticker, a link, a reaction or a contact card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<Special>,
    /// What stands around choices or a link.
    #[serde(default, skip_serializing_if = "Frame::is_none")]
    pub frame: Frame,
    /// The language that it is written in, BCP 47: the customer's own where the author says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How it reads as SMS, where the author wrote that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms_text: Option<String>,
}

/// A template with its parameters, resolved against its declaration when the message was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Template {
    pub name: String,
    pub category: Category,
    /// The language that was chosen of those it exists in.
    pub language: String,
    /// Those of the body, in the template's order.
    pub params: Vec<(String, String)>,
    /// The template was created with named parameters: each is sent with its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    /// The approved body with the parameters put in: what the customer reads, and what SMS is made from.
    pub body: String,
    /// Whether the attachment goes into the template's header.
    #[serde(default)]
    pub header: Option<MediaKind>,
    /// The line above the body, where the header is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_text: Option<HeaderText>,
    /// Ids of its quick replies, in the template's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<String>,
    /// Its buttons that open a page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<TemplateLink>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attachment {
    pub source: MediaSource,
    pub mime_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaSource {
    /// An https URL, which the provider fetches.
    Url(String),
    /// The bytes themselves, in base64: from the plugin's package or made by it.
    Bytes(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    Document,
}

impl MediaKind {
    /// A file is a document unless its MIME type says that it can be shown or played.
    pub fn of(mime_type: &str) -> MediaKind {
        match mime_type.split('/').next() {
            Some("image") => MediaKind::Image,
            Some("audio") => MediaKind::Audio,
            Some("video") => MediaKind::Video,
            _ => MediaKind::Document,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Document => "document",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    pub latitude: f64,
    pub longitude: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub id: String,
    pub label: String,
    /// More about it, below its label in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The heading that it stands under in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
}

impl Choice {
    pub fn new(id: impl Into<String>, label: impl Into<String>) -> Choice {
        Choice { id: id.into(), label: label.into(), ..Choice::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsPolicy {
    /// SMS when WhatsApp cannot deliver.
    #[default]
    Fallback,
    /// SMS at once.
    Only,
    /// Not for SMS.
    Never,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    pub message: NewMessage,
    /// The order in which messages were committed.
    pub seq: i64,
    /// Raised by every change; a change requires the one it was decided on.
    pub revision: i64,
    pub state: MessageState,
    /// Nothing follows but `read`.
    pub settled: bool,
    /// Why it failed, waits or falls back: a code of the registry.
    pub code: Option<String>,
    /// The decision that ended or holds it, where no attempt carries it.
    pub decision: Option<serde_json::Value>,
    /// What the dispatcher has to do next, and when.
    pub next: Next,
    /// Asked to be cancelled.
    pub cancel: bool,
    pub attempts: Vec<Attempt>,
}

/// What is to be done with a message next. Every message that is not settled has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Next {
    /// Plan it, as soon as its recipient's lane and the sender's pace allow.
    Now,
    /// Look at it again then: a fallback, a doubt, the end of quiet hours, its deadline.
    At(Timestamp),
    /// Nothing: it is settled.
    Nothing,
}

/// One try with one provider. Written before the request is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub no: u32,
    pub channel: Channel,
    /// `meta`, `cm`, `twilio`, `smpp`.
    pub provider: String,
    /// The account's name in the configuration.
    pub account: String,
    /// E.164 with the plus.
    pub address: String,
    pub state: AttemptState,
    /// The provider's id for it; those of its parts, joined by spaces, where it was sent in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// `text`, `template`, `sms`, …: what was sent.
    pub rendition: String,
    /// SMS parts, 1 elsewhere.
    pub parts: u32,
    /// Expected price in millionths of the currency unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_micros: Option<i64>,
    pub planned: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<AttemptFailure>,
    /// Which rules were checked, which routes weighed, and why this one.
    pub decision: serde_json::Value,
}

impl Attempt {
    /// The provider's ids of it: one, or one for each part of a long SMS where the parts are sent one by one.
    pub fn provider_ids(&self) -> impl Iterator<Item = &str> {
        // No provider's id holds a space; whoever sends in parts joins their ids by one.
        self.provider_id.iter().flat_map(|ids| ids.split(' '))
    }

    /// Whether its provider knows each of its parts by an id of its own.
    pub fn is_in_parts(&self) -> bool {
        self.provider_ids().nth(1).is_some()
    }
}

/// What is known once the request to a provider was made.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Accepted {
        provider_id: String,
    },
    /// Rejected or busy: it was certainly not taken.
    Failed(AttemptFailure),
    /// The answer was lost: it may have been taken.
    Unknown {
        detail: String,
    },
}

impl Answer {
    /// The same in texts that every store can keep.
    pub fn kept(mut self) -> Answer {
        match &mut self {
            Answer::Accepted { provider_id } => strip_nul(provider_id),
            Answer::Failed(failure) => failure.strip_nul(),
            Answer::Unknown { detail } => strip_nul(detail),
        }
        self
    }
}

/// Why an attempt failed, with what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttemptFailure {
    /// A code of our registry: `not-on-whatsapp`, `blocked`, `rate-limited`, …
    pub code: String,
    /// The provider's code and words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub retry: Retry,
    pub sms: SmsVerdict,
    /// What the failure says beyond this message.
    pub remember: Remember,
}

impl AttemptFailure {
    /// A provider's words lose what a store cannot keep.
    pub fn strip_nul(&mut self) {
        strip_nul(&mut self.code);
        strip_nul_of(&mut self.provider_code);
        strip_nul_of(&mut self.detail);
    }
}

/// Whether the same may be tried again on the same channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    Never,
    /// Later, with growing pauses, not before this many milliseconds.
    Later {
        after_ms: u64,
    },
    /// Only as a template: the window is closed.
    AsTemplate,
}

/// Whether SMS makes sense after a failure on WhatsApp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmsVerdict {
    Yes,
    /// Only when the message would otherwise miss its deadline.
    Late,
    /// For what is not marketing, so as not to get round a refusal.
    Transactional,
    No,
}

/// What a failure teaches about the recipient or the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remember {
    Nothing,
    /// The address cannot be reached on this channel for some time.
    AddressUnusable,
    /// The customer has stopped marketing on this channel.
    MarketingStopped,
    /// The customer has stopped all messages on this channel.
    Stopped,
    /// Every message of this account will fail alike: open its circuit.
    AccountBroken,
}

/// What the attempts alone say of a message. `ended` is how the dispatcher ended it, where it did.
///
/// Arrival outranks everything: a message that was given up and arrives all the same has arrived.
pub fn state_of(attempts: &[Attempt], ended: Option<MessageState>) -> MessageState {
    let best = attempts.iter().map(|attempt| attempt.state).filter(|state| state.arrived()).max();
    match (best, ended, attempts.last()) {
        (Some(AttemptState::Read), _, _) => MessageState::Read,
        (Some(_), _, _) => MessageState::Delivered,
        (None, Some(ended), _) => ended,
        (None, None, None) => MessageState::Pending,
        (None, None, Some(last)) => match last.state {
            AttemptState::Accepted | AttemptState::Sent => MessageState::Sent,
            _ if attempts.iter().any(|attempt| attempt.channel != last.channel) => MessageState::FallingBack,
            // Failed and not ended: the dispatcher is about to decide what comes next.
            _ => MessageState::Pending,
        },
    }
}

/// Whether a customer got the same message twice: on two attempts that both arrived.
pub fn is_double(attempts: &[Attempt]) -> bool {
    attempts.iter().filter(|attempt| attempt.state.arrived()).count() > 1
}

/// Durations as whole milliseconds in JSON.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
