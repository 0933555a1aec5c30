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
    /// E.164 with the plus; on WhatsApp also the id of somebody who hides the number (see [`is_user_id`]).
    pub address: String,
    /// The customer last wrote from it then; free content is allowed on WhatsApp for 24 hours from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_incoming: Option<Timestamp>,
    /// The provider said that it cannot be reached on this channel, until this time (a number may join WhatsApp later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable_until: Option<Timestamp>,
    /// The customer came by an advertisement, and what goes to them on WhatsApp until then is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_until: Option<Timestamp>,
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

/// Whether an address is WhatsApp's own id of a person, `FR.13491208655302741918`: two letters of a country, a dot, letters and
/// digits; `FR.ENT.…` where portfolios are linked. It means this person to this business alone, and no SMS goes to it.
pub fn is_user_id(text: &str) -> bool {
    // Twenty digits are usual; the longest that is documented has a word more.
    const CHARS_MAX: usize = 128;
    let Some((country, id)) = text.split_once('.') else { return false };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= CHARS_MAX
        && country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && plain(id.strip_prefix("ENT.").unwrap_or(id))
}

impl Customer {
    /// Where the channel reaches the customer. The number, where both it and WhatsApp's id are known: it can do more.
    pub fn address(&self, channel: Channel) -> Option<&Address> {
        let mut of_channel = self.addresses.iter().filter(|address| address.channel == channel);
        let first = of_channel.next()?;
        if !is_user_id(&first.address) {
            return Some(first);
        }
        Some(of_channel.find(|address| !is_user_id(&address.address)).unwrap_or(first))
    }

    pub fn consent(&self, channel: Channel, scope: ConsentScope) -> Option<&Consent> {
        self.consents.iter().find(|consent| consent.channel == channel && consent.scope == scope)
    }

    /// Until when everything on WhatsApp is free because of how the customer came; `None` where it is not at `now`.
    pub fn free_until(&self, now: Timestamp) -> Option<Timestamp> {
        let on_whatsapp = self.addresses.iter().filter(|address| address.channel == Channel::Whatsapp);
        on_whatsapp.filter_map(|address| address.free_until).max().filter(|until| *until > now)
    }

    /// Until when free content may be sent on WhatsApp; `None` where the window is closed at `now`.
    pub fn window_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let on_whatsapp = self.addresses.iter().filter(|address| address.channel == Channel::Whatsapp);
        // Number and id are the same person, whichever of them the message came with.
        let ends = on_whatsapp.filter_map(|address| address.last_incoming).max()?.plus(WINDOW);
        (ends > now).then_some(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_number_and_from_a_name() {
        for id in ["FR.13491208655302741918", "US.a1B2", "FR.ENT.11815799212886844830"] {
            assert!(is_user_id(id), "{id}");
        }
        for other in
            ["+33639981201", "33639981201", "FR", "FR.", "fr.134", "FRA.134", "FR.ENT.", "FR.1.2", "FR.1 2", ""]
        {
            assert!(!is_user_id(other), "{other}");
        }
        assert!(!is_user_id(&format!("FR.{}", "1".repeat(200))));
    }

    #[test]
    fn the_number_is_written_to_and_the_window_is_the_persons() {
        let at = |address: &str, heard| Address {
            channel: Channel::Whatsapp,
            address: address.to_owned(),
            last_incoming: heard,
            unusable_until: None,
            free_until: None,
        };
        let customer = |addresses| Customer {
            tenant: TenantId::default_tenant(),
            id: CustomerId::from("paul"),
            name: None,
            locale: None,
            timezone: None,
            attributes: BTreeMap::new(),
            addresses,
            consents: Vec::new(),
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        let both = customer(vec![at("FR.1", Some(Timestamp(5))), at("+33639981201", None)]);
        assert_eq!(both.address(Channel::Whatsapp).unwrap().address, "+33639981201");
        assert_eq!(both.window_ends(Timestamp(6)), Some(Timestamp(5).plus(WINDOW)));
        let hidden = customer(vec![at("FR.1", None)]);
        assert_eq!(hidden.address(Channel::Whatsapp).unwrap().address, "FR.1");
        assert_eq!((hidden.address(Channel::Sms), hidden.window_ends(Timestamp(6))), (None, None));
    }
}
