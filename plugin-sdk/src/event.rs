//! Events as they come in.

use serde::de::DeserializeOwned;

use crate::Instant;
use crate::error::{Error, decode};

/// Something that happened, as CloudEvents 1.0 describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Unique together with `source`.
    pub id: String,
    /// Who says so, a URI reference: `/shop/paris`.
    pub source: String,
    /// What happened: `com.example.order.ready`.
    pub event_type: String,
    /// What it happened to, by the source's own name for it.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Instant,
    /// The customer concerned, where the host could tell.
    pub customer: Option<String>,
    /// The data as JSON text; [`Event::data`] reads it.
    pub data: String,
    /// CloudEvents extension attributes, `datacontenttype` and `dataschema`.
    pub attributes: Vec<(String, String)>,
}

impl Event {
    /// The data in a form of the plugin's own; what does not fit is rejected with the field's path.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode("data", &self.data)
            .map_err(|error| Error::reject(format!("event {} of {}: {}", self.id, self.event_type, error.message())))
    }

    /// The customer, or a rejection that says how to name one.
    pub fn customer_id(&self) -> Result<&str, Error> {
        self.customer.as_deref().ok_or_else(|| {
            Error::reject(format!(
                "event {} of {} names no customer: give it the extension attribute `customer`, or say in the manifest \
                 where the customer stands",
                self.id, self.event_type
            ))
        })
    }

    /// What [`Message::because`](crate::Message::because) takes where an earlier event makes a message expected. Keep
    /// it in the state when that event comes in.
    pub fn reference(&self) -> String {
        format!("{}#{}", self.source, self.id)
    }

    /// An extension attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The last part of the type: `ready` of `com.example.order.ready`.
    pub fn verb(&self) -> &str {
        self.event_type.rsplit('.').next().unwrap_or(&self.event_type)
    }
}
