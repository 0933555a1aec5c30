//! What comes back: receipts and answers.

use super::{MessageId, Place};
use crate::Instant;
use crate::error::Error;

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Taken by the host, not yet by a provider.
    Pending,
    /// A provider has taken it.
    Sent,
    /// It is on the customer's device.
    Delivered,
    /// The customer has opened it.
    Read,
    /// It will not arrive on this channel; the next one is being tried.
    FallingBack,
    /// It will not arrive.
    Failed,
    /// It was not delivered in time.
    Expired,
    /// It was cancelled.
    Cancelled,
}

/// What has become of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The message.
    pub id: MessageId,
    /// The tag it was sent with.
    pub tag: Option<String>,
    /// To whom it went.
    pub customer: Option<String>,
    /// How far it has come.
    pub state: DeliveryState,
    /// Nothing follows but `Read`.
    pub settled: bool,
    /// The channel that this is about.
    pub channel: String,
    /// When.
    pub time: Instant,
    /// Why it failed or falls back, a code of the registry: `not-on-whatsapp`, `unreachable`, …
    pub code: Option<String>,
    /// The provider's own words.
    pub detail: Option<String>,
    /// What this version has no field for.
    pub attributes: Vec<(String, String)>,
}

/// A file that a customer sent.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingMedia {
    /// For [`media`](super::media).
    pub id: String,
    /// What kind of file it says it is.
    pub mime_type: String,
    /// In bytes.
    pub size: Option<u32>,
    /// As the customer named it.
    pub filename: Option<String>,
    /// What this version has no field for.
    pub attributes: Vec<(String, String)>,
}

/// What a customer wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The message.
    pub id: MessageId,
    /// Absent where the sender is no known customer.
    pub customer: Option<String>,
    /// The number, or the channel's name for the sender, with the permission `phone`. Nobody needs it to answer.
    pub sender: Option<String>,
    /// Where it came from.
    pub channel: String,
    /// When.
    pub time: Instant,
    /// `text`, `choice`, `image`, `audio`, `video`, `document`, `location`, or another name of the registry.
    pub kind: String,
    /// What was written, the label tapped, or the caption; empty if none.
    pub text: String,
    /// The identifier of the choice tapped.
    pub choice: Option<String>,
    /// The files that came with it.
    pub media: Vec<IncomingMedia>,
    /// The place that was sent.
    pub location: Option<Place>,
    /// The message that it answers.
    pub in_reply_to: Option<MessageId>,
    /// The tag which that one was sent with.
    pub tag: Option<String>,
    /// Nothing was exchanged with this sender in the last 24 hours.
    pub opening: bool,
    /// Free content is allowed on this channel until then.
    pub window_ends: Option<Instant>,
    /// What this version has no field for.
    pub attributes: Vec<(String, String)>,
}

impl Incoming {
    /// The customer, or a rejection.
    pub fn customer_id(&self) -> Result<&str, Error> {
        let unknown = || Error::reject(format!("message {} is from nobody who is known", self.id));
        self.customer.as_deref().ok_or_else(unknown)
    }
}
