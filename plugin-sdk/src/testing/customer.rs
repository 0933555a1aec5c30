//! The customers of a test.

use std::collections::BTreeMap;

use crate::Instant;

/// A customer as a test describes one: reachable by WhatsApp and SMS, silent for the last 24 hours, with consent to
/// everything but marketing.
#[derive(Debug, Clone)]
pub struct Customer {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) whatsapp: bool,
    pub(crate) sms: bool,
    pub(crate) stopped: bool,
    pub(crate) marketing: bool,
    pub(crate) window_ends: Option<Instant>,
}

impl Customer {
    /// A customer with this identifier.
    pub fn new(id: impl Into<String>) -> Customer {
        Customer {
            id: id.into(),
            name: None,
            locale: None,
            timezone: None,
            attributes: BTreeMap::new(),
            whatsapp: true,
            sms: true,
            stopped: false,
            marketing: false,
            window_ends: None,
        }
    }

    /// How to address them.
    pub fn name(mut self, name: impl Into<String>) -> Customer {
        self.name = Some(name.into());
        self
    }

    /// BCP 47: `fr-FR`.
    pub fn locale(mut self, tag: impl Into<String>) -> Customer {
        self.locale = Some(tag.into());
        self
    }

    /// IANA: `Europe/Paris`.
    pub fn timezone(mut self, zone: impl Into<String>) -> Customer {
        self.timezone = Some(zone.into());
        self
    }

    /// An attribute, which a plugin sees if its manifest names it.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Customer {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Is not on WhatsApp.
    pub fn without_whatsapp(mut self) -> Customer {
        self.whatsapp = false;
        self
    }

    /// Has no number for SMS.
    pub fn without_sms(mut self) -> Customer {
        self.sms = false;
        self
    }

    /// Has said STOP.
    pub fn said_stop(mut self) -> Customer {
        self.stopped = true;
        self
    }

    /// Has agreed to messages that the provider counts as marketing.
    pub fn agreed_to_marketing(mut self) -> Customer {
        self.marketing = true;
        self
    }
}
