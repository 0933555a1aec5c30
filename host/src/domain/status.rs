//! How attempts and messages move forward, whatever order receipts arrive in.
//!
//! An attempt's state is the highest that was ever reported of it, and a message's state is computed from all of its
//! attempts ([`super::message::state_of`]). So neither depends on the order or the repetition of what was reported, and both databases agree.

use serde::{Deserialize, Serialize};

/// How far an attempt has come. The order of the variants is their rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptState {
    /// Written down; the request may or may not have been made.
    Planned,
    /// The provider's answer was lost: it may have been sent.
    Uncertain,
    /// The provider has taken it.
    Accepted,
    /// It has left the provider.
    Sent,
    /// It will not arrive this way. Only a proof of arrival outranks it.
    Failed,
    /// It is on the customer's device.
    Delivered,
    /// The customer has opened it.
    Read,
}

impl AttemptState {
    pub const ALL: [AttemptState; 7] = [
        AttemptState::Planned,
        AttemptState::Uncertain,
        AttemptState::Accepted,
        AttemptState::Sent,
        AttemptState::Failed,
        AttemptState::Delivered,
        AttemptState::Read,
    ];

    /// The state after `reported` was heard of it: never a lower one.
    pub fn after(self, reported: AttemptState) -> AttemptState {
        self.max(reported)
    }

    pub fn arrived(self) -> bool {
        self >= AttemptState::Delivered
    }

    pub fn as_str(self) -> &'static str {
        match self {
            AttemptState::Planned => "planned",
            AttemptState::Uncertain => "uncertain",
            AttemptState::Accepted => "accepted",
            AttemptState::Sent => "sent",
            AttemptState::Failed => "failed",
            AttemptState::Delivered => "delivered",
            AttemptState::Read => "read",
        }
    }

    pub fn parse(text: &str) -> Option<AttemptState> {
        AttemptState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageState {
    /// Taken by the host, not yet by a provider.
    Pending,
    /// A provider has taken it.
    Sent,
    Delivered,
    Read,
    /// It will not arrive on this channel; the next one is being tried.
    FallingBack,
    Failed,
    /// It was not delivered in time.
    Expired,
    Cancelled,
}

/// The same in the words of the contract: plugins ask to be told of these.
pub type DeliveryState = MessageState;

impl MessageState {
    pub const ALL: [MessageState; 8] = [
        MessageState::Pending,
        MessageState::Sent,
        MessageState::Delivered,
        MessageState::Read,
        MessageState::FallingBack,
        MessageState::Failed,
        MessageState::Expired,
        MessageState::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            MessageState::Pending => "pending",
            MessageState::Sent => "sent",
            MessageState::Delivered => "delivered",
            MessageState::Read => "read",
            MessageState::FallingBack => "falling-back",
            MessageState::Failed => "failed",
            MessageState::Expired => "expired",
            MessageState::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<MessageState> {
        MessageState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Ended without having arrived. A proof of arrival still overrules it.
    pub fn gave_up(self) -> bool {
        matches!(self, MessageState::Failed | MessageState::Expired | MessageState::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_never_falls_back_to_a_lower_state() {
        for a in AttemptState::ALL {
            for b in AttemptState::ALL {
                assert!(a.after(b) >= a && a.after(b) >= b);
                assert_eq!(a.after(b), b.after(a), "order must not matter");
            }
        }
        assert_eq!(AttemptState::Delivered.after(AttemptState::Sent), AttemptState::Delivered);
        assert_eq!(AttemptState::Failed.after(AttemptState::Sent), AttemptState::Failed);
        assert_eq!(AttemptState::Failed.after(AttemptState::Delivered), AttemptState::Delivered);
    }
}
