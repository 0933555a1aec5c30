//! What the tenant knows of its customers, as far as the manifest permits.

use crate::{Event, Instant, host};

/// A customer, with the fields that the manifest names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Customer {
    /// The tenant's own identifier.
    pub id: String,
    /// How to address them.
    pub name: Option<String>,
    /// BCP 47: `fr-FR`.
    pub locale: Option<String>,
    /// IANA: `Europe/Paris`.
    pub timezone: Option<String>,
    /// The attributes that the manifest names, where they are known.
    pub attributes: Vec<(String, String)>,
}

impl Customer {
    /// The language alone, `fr` of `fr-FR`; `fallback` where none is known.
    pub fn language<'a>(&'a self, fallback: &'a str) -> &'a str {
        self.locale.as_deref().and_then(|tag| tag.split(['-', '_']).next()).unwrap_or(fallback)
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Whether the customer has agreed to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Nothing is recorded.
    Unknown,
    /// Given.
    Granted,
    /// Refused, or withdrawn by STOP.
    Refused,
}

/// One way to reach a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `whatsapp`, `sms`, or what a later host adds.
    pub channel: String,
    /// There is an address on it.
    pub addressable: bool,
    /// The consent to messages of the four purposes.
    pub consent: Consent,
    /// Free content is allowed until then.
    pub window_ends: Option<Instant>,
    /// What this version has no field for.
    pub attributes: Vec<(String, String)>,
}

/// The customer, where there is one with this identifier.
pub fn get(id: &str) -> Option<Customer> {
    host::customers_get(id)
}

/// The ways to reach the customer, the preferred one first.
pub fn routes(id: &str) -> Vec<Route> {
    host::customers_routes(id)
}

/// What the customer has agreed to on a channel: `service` for messages of the four purposes, `marketing` for templates
/// that the provider files so.
pub fn consent(id: &str, channel: &str, scope: &str) -> Consent {
    host::customers_consent(id, channel, scope)
}

/// The customer's latest events of one type, or of any type that begins with it where it ends in `.*`, the latest
/// first.
pub fn history(id: &str, event_type: &str, limit: u32) -> Vec<Event> {
    host::customers_history(id, event_type, limit)
}
