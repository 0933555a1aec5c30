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
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::Timestamp,
        domain::{
            customer::Channel,
            message::{Attempt, is_double, state_of},
        },
    };

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

    /// What is reported of a message with up to three attempts: of which one, what, and when it is said to have happened.
    type Report = (usize, AttemptState, i64);

    /// The attempts as receipts leave them, heard in this order; the time of a report decides nothing.
    fn heard(reports: &[Report], attempts: &[Attempt]) -> Vec<Attempt> {
        let mut attempts = attempts.to_vec();
        for (of, state, _) in reports {
            if let Some(attempt) = attempts.get_mut(*of) {
                attempt.state = attempt.state.after(*state);
            }
        }
        attempts
    }

    fn attempt(no: u32, channel: Channel) -> Attempt {
        Attempt {
            no,
            channel,
            provider: "meta".into(),
            account: "main".into(),
            address: "+33639981201".into(),
            state: AttemptState::Planned,
            provider_id: None,
            rendition: "text".into(),
            parts: 1,
            price_micros: None,
            planned: Timestamp(0),
            answered: None,
            failure: None,
            decision: serde_json::Value::Null,
            tally: Default::default(),
        }
    }

    fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
        let channel = prop_oneof![Just(Channel::Whatsapp), Just(Channel::Sms)];
        proptest::collection::vec(channel, 1..4)
            .prop_map(|channels| (1..).zip(channels).map(|(no, channel)| attempt(no, channel)).collect())
    }

    fn reports() -> impl Strategy<Value = Vec<Report>> {
        let report = (0_usize..3, proptest::sample::select(AttemptState::ALL.to_vec()), -3_600_000_i64..3_600_000);
        proptest::collection::vec(report, 0..12)
    }

    fn ended() -> impl Strategy<Value = Option<MessageState>> {
        proptest::option::of(proptest::sample::select(vec![
            MessageState::Failed,
            MessageState::Expired,
            MessageState::Cancelled,
        ]))
    }

    /// The same reports in another order, some of them several times.
    fn shuffled() -> impl Strategy<Value = (Vec<Report>, Vec<Report>)> {
        reports().prop_flat_map(|once| {
            let again = proptest::sample::subsequence(once.clone(), 0..=once.len());
            (Just(once), again).prop_flat_map(move |(once, again)| {
                let all: Vec<Report> = once.iter().chain(&again).copied().collect();
                (Just(once), Just(all).prop_shuffle())
            })
        })
    }

    proptest! {
        #[test]
        fn reports_in_any_order_and_repeated_end_alike(
            attempts in attempts(), (once, otherwise) in shuffled(), ended in ended(),
        ) {
            let (one, other) = (heard(&once, &attempts), heard(&otherwise, &attempts));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(state_of(&one, ended), state_of(&other, ended));
            prop_assert_eq!(is_double(&one), is_double(&other));
            prop_assert_eq!(heard(&otherwise, &one), other, "to hear all of it once more changes nothing");
        }

        #[test]
        fn what_has_arrived_stays_so_whatever_is_heard_later(
            attempts in attempts(), reports in reports(), ended in ended(),
        ) {
            let mut attempts = attempts;
            let rank = |state| match state {
                MessageState::Read => 2,
                MessageState::Delivered => 1,
                _ => 0,
            };
            let mut before = (state_of(&attempts, ended), is_double(&attempts));
            for report in reports {
                attempts = heard(&[report], &attempts);
                let now = (state_of(&attempts, ended), is_double(&attempts));
                prop_assert!(rank(now.0) >= rank(before.0), "{before:?} became {now:?} by {report:?}");
                prop_assert!(now.1 || !before.1, "a message that arrived twice did so");
                before = now;
            }
            let arrived = attempts.iter().any(|attempt| attempt.state.arrived());
            prop_assert_eq!(rank(before.0) > 0, arrived, "arrival outranks how it was ended");
        }
    }
}
