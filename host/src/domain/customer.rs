//! Whom messages go to: profile, addresses per channel, consents, and the conversation window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{CustomerId, TenantId},
};

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Whatsapp,
    Sms,
}

impl Channel {
    pub const ALL: [Channel; 2] = [Channel::Whatsapp, Channel::Sms];

    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Whatsapp => "whatsapp",
            Channel::Sms => "sms",
        }
    }

    pub fn parse(text: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.as_str() == text)
    }
}

/// What a consent is about: transactional messages (all four purposes), or what the provider files as marketing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsentScope {
    Service,
    Marketing,
}

impl ConsentScope {
    pub const ALL: [ConsentScope; 2] = [ConsentScope::Service, ConsentScope::Marketing];

    pub fn as_str(self) -> &'static str {
        match self {
            ConsentScope::Service => "service",
            ConsentScope::Marketing => "marketing",
        }
    }

    pub fn parse(text: &str) -> Option<ConsentScope> {
        ConsentScope::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A consent given or withdrawn, with what proves it (GDPR 7(1): who, when, how).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    pub channel: Channel,
    pub scope: ConsentScope,
    pub granted: bool,
    /// How it came about: `checkout form v3`, `STOP by sms`, `provider error 131050`.
    pub source: String,
    pub at: Timestamp,
}

/// An address on a channel and what is known of it. An address is not a customer: it may change hands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Address {
    pub channel: Channel,
    /// E.164 with the plus.
    pub address: String,
    /// The customer last wrote from it then; free content is allowed on WhatsApp for 24 hours from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_incoming: Option<Timestamp>,
    /// The provider said that it cannot be reached on this channel, until this time (a number may join WhatsApp later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable_until: Option<Timestamp>,
}

/// A customer with everything that routing a message needs, read as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub tenant: TenantId,
    pub id: CustomerId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub addresses: Vec<Address>,
    #[serde(default)]
    pub consents: Vec<Consent>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// WhatsApp's customer service window: free content for 24 hours after the customer last wrote.
pub const WINDOW: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

impl Customer {
    pub fn address(&self, channel: Channel) -> Option<&Address> {
        self.addresses.iter().find(|address| address.channel == channel)
    }

    pub fn consent(&self, channel: Channel, scope: ConsentScope) -> Option<&Consent> {
        self.consents.iter().find(|consent| consent.channel == channel && consent.scope == scope)
    }

    /// Until when free content may be sent on WhatsApp; `None` where the window is closed at `now`.
    pub fn window_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.address(Channel::Whatsapp)?.last_incoming?.plus(WINDOW);
        (ends > now).then_some(ends)
    }
}
