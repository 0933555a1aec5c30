//! Messages to customers, and what becomes of them.
//!
//! A plugin says to whom, why and what; the host finds the channel, checks consent and falls back to SMS. `send`
//! only asks: the message leaves once the run has ended well.

mod received;
mod send_error;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, encode};
use crate::{Instant, host};

pub use received::{Delivery, DeliveryState, Incoming, IncomingMedia};
pub use send_error::SendError;

/// The identifier of a message, in either direction. A run that is executed again gets the same ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    /// As the host wrote it.
    pub fn new(id: impl Into<String>) -> MessageId {
        MessageId(id.into())
    }

    /// As the host wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the customer expects a message. There is no case for promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It answers what the customer asked.
    Reply,
    /// It confirms what the customer did.
    Confirmation,
    /// It tells of something that happened and that concerns the customer.
    Alert,
    /// It reminds of something that is about to happen.
    Reminder,
}

/// A place, in WGS 84 degrees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// North of the equator.
    pub latitude: f64,
    /// East of Greenwich.
    pub longitude: f64,
    /// What it is called.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it is.
    #[serde(default)]
    pub address: Option<String>,
}

/// An answer to tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Comes back in [`Incoming::choice`].
    pub id: String,
    /// What the customer reads.
    pub label: String,
}

/// Asks that a message not be sent, or not fall back, where it can still be stopped.
pub fn cancel(id: &MessageId) {
    host::messages_cancel(id);
}

/// What is known of a message that this plugin sent.
pub fn status(id: &MessageId) -> Option<Delivery> {
    host::messages_status(id)
}

/// The bytes of a file that a customer sent; none where it is gone, too large or not this plugin's to read.
pub fn media(id: &str) -> Option<Vec<u8>> {
    host::messages_media(id)
}

/// A message being written.
///
/// It has a text, a template or both: with both, the text is sent while the customer's 24-hour window is open, and
/// the template otherwise.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "nothing is sent before `send`"]
pub struct Message {
    pub(crate) recipient: Recipient,
    pub(crate) because: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) template: Option<String>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) filename: Option<String>,
    pub(crate) location: Option<Place>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) content: Vec<(String, String)>,
    pub(crate) sms_text: Option<String>,
    pub(crate) no_sms: bool,
    pub(crate) sms_only: bool,
    pub(crate) fallback_after: Option<Duration>,
    pub(crate) expires: Option<Instant>,
    pub(crate) dedup_key: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) quote: Option<MessageId>,
    pub(crate) settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recipient {
    Customer(String, Purpose),
    Phone(String, Purpose),
    Answer(MessageId),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attachment {
    Url { url: String, mime_type: String },
    Asset(String),
    Bytes { content: Vec<u8>, mime_type: String },
}

impl Message {
    /// To a known customer: the host finds the addresses and checks consent.
    pub fn to(customer: impl Into<String>, purpose: Purpose) -> Message {
        Message::new(Recipient::Customer(customer.into(), purpose))
    }

    /// To a telephone number in E.164 form, where the manifest has the permission `phone`.
    pub fn to_phone(number: impl Into<String>, purpose: Purpose) -> Message {
        Message::new(Recipient::Phone(number.into(), purpose))
    }

    /// To whoever sent a message, known or not; its purpose is [`Purpose::Reply`].
    pub fn answer(to: &Incoming) -> Message {
        Message::new(Recipient::Answer(to.id.clone()))
    }

    /// What makes it expected, where that is not what set off this run: an earlier event that concerns the customer, by
    /// its [`Event::reference`](crate::Event::reference), or a message of the conversation, by its identifier. It need
    /// not be called where the entity keeps an entry about the customer: that will do.
    pub fn because(mut self, reference: impl Into<String>) -> Message {
        self.because = Some(reference.into());
        self
    }

    /// The text, or the caption of the attachment.
    pub fn text(mut self, text: impl Into<String>) -> Message {
        self.text = Some(text.into());
        self
    }

    /// A template that the manifest names; [`Message::param`] fills it in.
    pub fn template(mut self, name: impl Into<String>) -> Message {
        self.template = Some(name.into());
        self
    }

    /// A parameter of the template.
    pub fn param(mut self, name: impl Into<String>, value: impl fmt::Display) -> Message {
        self.params.push((name.into(), value.to_string()));
        self
    }

    /// A picture, a sound, a film or a document at an https URL; its MIME type says which of them it is.
    pub fn attach_url(mut self, url: impl Into<String>, mime_type: impl Into<String>) -> Message {
        self.attachment = Some(Attachment::Url { url: url.into(), mime_type: mime_type.into() });
        self
    }

    /// A file of the plugin's package.
    pub fn attach_asset(mut self, path: impl Into<String>) -> Message {
        self.attachment = Some(Attachment::Asset(path.into()));
        self
    }

    /// The bytes themselves.
    pub fn attach_bytes(mut self, content: Vec<u8>, mime_type: impl Into<String>) -> Message {
        self.attachment = Some(Attachment::Bytes { content, mime_type: mime_type.into() });
        self
    }

    /// How the attached file is called; a file of the package has a name already.
    pub fn filename(mut self, name: impl Into<String>) -> Message {
        self.filename = Some(name.into());
        self
    }

    /// A place on the map.
    pub fn location(mut self, place: Place) -> Message {
        self.location = Some(place);
        self
    }

    /// One more answer to tap, or to number where there is no tapping.
    pub fn choice(mut self, id: impl Into<String>, label: impl Into<String>) -> Message {
        self.choices.push(Choice { id: id.into(), label: label.into() });
        self
    }

    /// Content of a kind that has no method here, by the registry's name.
    pub fn content<T: Serialize + ?Sized>(mut self, kind: impl Into<String>, data: &T) -> Result<Message, Error> {
        let kind = kind.into();
        let data = encode(&format!("content `{kind}`"), data)?;
        self.content.push((kind, data));
        Ok(self)
    }

    /// How it reads as SMS; derived from the content where this is not called.
    pub fn sms_text(mut self, text: impl Into<String>) -> Message {
        self.sms_text = Some(text.into());
        self
    }

    /// It is not for SMS.
    pub fn no_sms(mut self) -> Message {
        self.no_sms = true;
        self
    }

    /// SMS at once, without trying WhatsApp.
    pub fn sms_only(mut self) -> Message {
        self.sms_only = true;
        self
    }

    /// Falls back to SMS when it is not delivered after this time, and not only when it cannot be.
    pub fn fallback_after(mut self, wait: Duration) -> Message {
        self.fallback_after = Some(wait);
        self
    }

    /// Not worth delivering later than this, on any channel.
    pub fn expires(mut self, at: Instant) -> Message {
        self.expires = Some(at);
        self
    }

    /// At most one message with this key from this plugin to this recipient.
    pub fn dedup_key(mut self, key: impl Into<String>) -> Message {
        self.dedup_key = Some(key.into());
        self
    }

    /// The language, BCP 47, where it is not the customer's own.
    pub fn locale(mut self, tag: impl Into<String>) -> Message {
        self.locale = Some(tag.into());
        self
    }

    /// Given back in [`Delivery::tag`] and [`Incoming::tag`].
    pub fn tag(mut self, tag: impl Into<String>) -> Message {
        self.tag = Some(tag.into());
        self
    }

    /// Quotes a message of the conversation.
    pub fn quote(mut self, id: MessageId) -> Message {
        self.quote = Some(id);
        self
    }

    /// A setting that has no method here, by the registry's name.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Message {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Asks for the message, to be sent once the run has ended well.
    ///
    /// A refusal is an answer and no failure of the run: `?` makes it one, and
    /// [`or_skip`](crate::SendResult::or_skip) goes on where it lies with the customer.
    pub fn send(self) -> Result<MessageId, SendError> {
        host::messages_send(self)
    }

    fn new(recipient: Recipient) -> Message {
        Message {
            recipient,
            because: None,
            text: None,
            template: None,
            params: Vec::new(),
            attachment: None,
            filename: None,
            location: None,
            choices: Vec::new(),
            content: Vec::new(),
            sms_text: None,
            no_sms: false,
            sms_only: false,
            fallback_after: None,
            expires: None,
            dedup_key: None,
            locale: None,
            tag: None,
            quote: None,
            settings: Vec::new(),
        }
    }
}
