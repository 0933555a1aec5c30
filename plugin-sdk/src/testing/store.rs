//! What outlives a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::customer::Customer;
use crate::messages::{Attachment, Choice, Delivery, DeliveryState, Message, MessageId, Place, Purpose, SendError};
use crate::timers::Timer;
use crate::{Event, Instant};

/// Everything that a run reads and changes. A run works on a copy, which takes the place of the original if it ends
/// well: that is the whole of the fake's transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) customers: BTreeMap<String, Customer>,
    pub(crate) state: BTreeMap<(String, String), Kept>,
    pub(crate) timers: BTreeMap<(String, String), SetTimer>,
    pub(crate) messages: Vec<Sent>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) history: Vec<Event>,
    pub(crate) emitted: Vec<Event>,
    pub(crate) emitted_keys: BTreeMap<String, String>,
    pub(crate) unhandled: Vec<Event>,
}

#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) value: Vec<u8>,
    /// Whom it is about.
    pub(crate) customer: Option<String>,
    pub(crate) until: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(crate) struct SetTimer {
    pub(crate) timer: Timer,
    pub(crate) expires: Option<Instant>,
}

/// A message that a run asked for, and how it would read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sent {
    /// Its identifier.
    pub id: MessageId,
    /// The customer; none where it went to a number.
    pub customer: Option<String>,
    /// The entity whose run sent it.
    pub entity: String,
    /// When.
    pub time: Instant,
    /// Why it is expected.
    pub purpose: Purpose,
    /// `whatsapp`, or `sms` where that is the only way.
    pub channel: String,
    /// It goes as this template: the window is closed.
    pub template: Option<String>,
    /// What the customer reads on that channel.
    pub body: String,
    /// What the customer reads if it falls back to SMS; none where it is not for SMS.
    pub sms: Option<String>,
    /// What was attached: an address, or the path of an asset, with its MIME type where it was given.
    pub attachment: Option<String>,
    /// The place.
    pub location: Option<Place>,
    /// The answers to tap.
    pub choices: Vec<Choice>,
    /// Not worth delivering later than this.
    pub expires: Option<Instant>,
    /// Falls back after this time.
    pub fallback_after: Option<Duration>,
    /// At most one with this.
    pub dedup_key: Option<String>,
    /// Comes back with deliveries and answers.
    pub tag: Option<String>,
    /// What makes it expected.
    pub because: Option<String>,
    /// How far it has come.
    pub state: DeliveryState,
}

impl Sent {
    pub(crate) fn delivery(&self, time: Instant, code: Option<&str>) -> Delivery {
        Delivery {
            id: self.id.clone(),
            tag: self.tag.clone(),
            customer: self.customer.clone(),
            state: self.state,
            settled: !matches!(self.state, DeliveryState::Pending | DeliveryState::Sent | DeliveryState::FallingBack),
            channel: self.channel.clone(),
            time,
            code: code.map(str::to_owned),
            detail: None,
            attributes: Vec::new(),
        }
    }
}

/// A message that was not taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// To whom.
    pub customer: Option<String>,
    /// When.
    pub time: Instant,
    /// The tag that it had.
    pub tag: Option<String>,
    /// Why.
    pub reason: SendError,
}

pub(crate) fn attachment_name(message: &Message) -> Option<String> {
    message.attachment.as_ref().map(|attachment| match attachment {
        Attachment::Url { url, mime_type } => format!("{url} ({mime_type})"),
        Attachment::Asset(path) => path.clone(),
        Attachment::Bytes { content, mime_type } => format!("{} bytes ({mime_type})", content.len()),
    })
}
