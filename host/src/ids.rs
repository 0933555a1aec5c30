//! Every identifier is a type of its own, and those of the host are derived, not drawn.
//!
//! An event's id is a hash of who says so and what they call it, a run's of what set it off, a message's of its run and
//! its place in it. So the same thing done twice (a repeated POST, a run executed again after a crash) has the same id, and
//! a unique index is all that is needed to notice.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so an id can be read out on the telephone. Only letters and
/// digits, because CM.com takes nothing else in a `reference`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn encode(prefix: char, bytes: &[u8; 16]) -> String {
    let number = u128::from_be_bytes(*bytes);
    let mut text = String::with_capacity(27);
    text.push(prefix);
    for place in (0..26).rev() {
        let digit = ((number >> (place * 5)) & 31) as usize;
        text.push(ALPHABET.get(digit).map_or('0', |c| char::from(*c)));
    }
    text
}

fn decode(prefix: char, text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix(prefix)?;
    if digits.len() != 26 {
        return None;
    }
    let mut number: u128 = 0;
    for c in digits.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == c)?;
        number = number.checked_mul(32)?.checked_add(digit as u128)?;
    }
    Some(number.to_be_bytes())
}

/// Hashes the parts with their lengths, so that `("ab", "c")` and `("a", "bc")` differ.
fn derive(kind: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("relais 2026 ids");
    hasher.update(kind.as_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// An id in the wrong form.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no {kind} id: those are `{prefix}` and 26 letters and digits")]
pub struct Malformed {
    text: String,
    kind: &'static str,
    prefix: char,
}

macro_rules! derived_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode($prefix, &self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                decode($prefix, text).map(Self).ok_or_else(|| Malformed {
                    text: text.chars().take(64).collect(),
                    kind: $kind,
                    prefix: $prefix,
                })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

derived_id!(
    /// An event that was accepted.
    EventId, 'e', "event"
);
derived_id!(
    /// One event, timer, delivery or incoming message given to one plugin.
    RunId, 'r', "run"
);
derived_id!(
    /// A message, in either direction.
    MessageId, 'm', "message"
);

derived_id!(
    /// Where a tenant's own system is told what happens.
    EndpointId, 'h', "endpoint"
);
derived_id!(
    /// One thing that is told to one endpoint.
    NoticeId, 'n', "notice"
);

impl NoticeId {
    /// What is told, word for word, and to whom: the same in every repetition.
    pub fn of(endpoint: EndpointId, body: &str) -> NoticeId {
        NoticeId(derive("notice", &[&endpoint.0, body.as_bytes()]))
    }
}

impl EventId {
    /// CloudEvents: `source` and `id` together name an event.
    pub fn of(tenant: &TenantId, source: &str, id: &str) -> EventId {
        EventId(derive("event", &[tenant.as_bytes(), source.as_bytes(), id.as_bytes()]))
    }
}

impl RunId {
    /// The run that an event sets off. One plugin may have two subscriptions that match; they are two runs.
    pub fn of_event(event: EventId, plugin: &PluginName, subscription: usize) -> RunId {
        RunId(derive("run/event", &[&event.0, plugin.as_bytes(), &(subscription as u64).to_le_bytes()]))
    }

    /// The run that a timer sets off. The generation tells a timer that was set again from the one before it.
    pub fn of_timer(key: &EntityKey, timer: &str, generation: i64) -> RunId {
        let parts: [&[u8]; 5] = [
            key.tenant.as_bytes(),
            key.plugin.as_bytes(),
            key.entity.as_bytes(),
            timer.as_bytes(),
            &generation.to_le_bytes(),
        ];
        RunId(derive("run/timer", &parts))
    }

    /// The run that tells a plugin what became of its message.
    pub fn of_delivery(message: MessageId, attempt: u32, state: &str) -> RunId {
        RunId(derive("run/delivery", &[&message.0, &attempt.to_le_bytes(), state.as_bytes()]))
    }

    /// The run that gives a plugin what a customer wrote.
    pub fn of_incoming(message: MessageId, plugin: &PluginName) -> RunId {
        RunId(derive("run/incoming", &[&message.0, plugin.as_bytes()]))
    }
}

impl MessageId {
    /// The message that a run asked for as its `ordinal`-th.
    pub fn of_run(run: RunId, ordinal: u32) -> MessageId {
        MessageId(derive("message/run", &[&run.0, &ordinal.to_le_bytes()]))
    }

    /// The message that was asked for over HTTP under this idempotency key.
    pub fn of_request(tenant: &TenantId, key: &str) -> MessageId {
        MessageId(derive("message/request", &[tenant.as_bytes(), key.as_bytes()]))
    }

    /// The message that a customer sent, by the provider's own id for it.
    pub fn of_incoming(tenant: &TenantId, provider: &str, provider_id: &str) -> MessageId {
        MessageId(derive("message/incoming", &[tenant.as_bytes(), provider.as_bytes(), provider_id.as_bytes()]))
    }
}

/// What goes out with an attempt and comes back in its receipts: the message's id and the attempt's number.
///
/// At most 32 letters and digits, which is all that CM.com's `reference` holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AttemptToken {
    pub message: MessageId,
    pub attempt: u32,
}

impl fmt::Display for AttemptToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}a{}", self.message, self.attempt)
    }
}

impl FromStr for AttemptToken {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed { text: text.chars().take(64).collect(), kind: "attempt", prefix: 'm' };
        let (message, attempt) = text.split_at_checked(27).ok_or_else(malformed)?;
        let attempt = attempt.strip_prefix('a').and_then(|no| no.parse().ok()).ok_or_else(malformed)?;
        Ok(AttemptToken { message: message.parse()?, attempt })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

name!(
    /// Whose data this is: `default` where nothing is configured.
    TenantId
);
name!(
    /// A plugin's name, as in its manifest.
    PluginName
);
name!(
    /// The tenant's own identifier of a customer.
    CustomerId
);
name!(
    /// What a run is about and in whose order it is: `customer/4711`, `sku/SHOE-42`.
    Entity
);

/// Names the entity of a plugin: the unit of order, of state and of conflict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityKey {
    pub tenant: TenantId,
    pub plugin: PluginName,
    pub entity: Entity,
}

/// Shards are fixed for a store's life; they say which of several hosts should run an entity.
pub const SHARDS: u16 = 1024;

impl EntityKey {
    pub fn shard(&self) -> u16 {
        let mut hasher = blake3::Hasher::new();
        for part in [self.tenant.as_str(), self.plugin.as_str(), self.entity.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let [low, high, ..] = *hasher.finalize().as_bytes();
        u16::from_le_bytes([low, high]) % SHARDS
    }
}

impl TenantId {
    /// The tenant of an installation that configures none.
    pub fn default_tenant() -> TenantId {
        TenantId::new("default")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_written_and_read() {
        let id = EventId::of(&TenantId::default_tenant(), "/shop", "e-1");
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        assert_eq!(id.to_string().len(), 27);
        assert!("e-1".parse::<EventId>().is_err());
        assert!(id.to_string().parse::<RunId>().is_err());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let tenant = TenantId::default_tenant();
        assert_ne!(EventId::of(&tenant, "ab", "c"), EventId::of(&tenant, "a", "bc"));
    }

    #[test]
    fn a_token_fits_the_narrowest_provider() {
        let message = MessageId::of_request(&TenantId::default_tenant(), "k");
        let token = AttemptToken { message, attempt: 9999 };
        let text = token.to_string();
        assert!(text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}");
        assert_eq!(text.parse::<AttemptToken>().unwrap(), token);
    }
}
