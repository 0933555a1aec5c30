//! An endpoint: where a tenant's own system is told what happens. A notice: one thing that is told to one endpoint.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    message::{MessageRecord, is_double},
    status::{AttemptState, MessageState},
};
use crate::{
    clock::Timestamp,
    ids::{EndpointId, NoticeId, TenantId},
};

/// Everything that can be told. Standard Webhooks allows letters, digits and `_` between dots.
pub const KINDS: [&str; 14] = [
    "relais.message.accepted",
    "relais.message.sent",
    "relais.message.delivered",
    "relais.message.read",
    "relais.message.fell_back",
    "relais.message.failed",
    "relais.message.expired",
    "relais.message.cancelled",
    "relais.message.uncertain",
    "relais.message.delivered_twice",
    INCOMING,
    CONSENT,
    ADDRESS,
    TEST,
];
pub const INCOMING: &str = "relais.message.received";
pub const CONSENT: &str = "relais.customer.consent_changed";
pub const ADDRESS: &str = "relais.customer.address_changed";
/// Told to one endpoint when somebody asks for it, whatever it subscribes to.
pub const TEST: &str = "relais.endpoint.test";

/// What of personal data an endpoint is told. Without either, a notice has ids, states and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Include {
    /// The text of messages, in both directions.
    Content,
    /// Telephone numbers, and WhatsApp's ids of those who hide theirs.
    Addresses,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    pub tenant: TenantId,
    pub id: EndpointId,
    pub url: String,
    #[serde(default)]
    pub description: String,
    /// Exact, or a prefix that ends in `.*`. Everything where none is named.
    #[serde(default)]
    pub types: Vec<String>,
    #[serde(default)]
    pub include: Vec<Include>,
    #[serde(default)]
    pub disabled: Option<Disabled>,
    /// The numbers of its secrets, from which they are derived: the newest, and those before it that are still good for a while.
    pub secrets: Vec<SecretNo>,
    /// Nothing was taken since then.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretNo {
    pub no: u32,
    /// Signed with until then; the newest has no end.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Disabled {
    pub why: DisabledWhy,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisabledWhy {
    /// Whoever has the API key wanted it so.
    Asked,
    /// It answered 410.
    Gone,
    /// It has taken nothing for `endpoints.disable-after-days`.
    Failing,
}

/// Secrets that are signed with at once: a signature for each goes into a header.
pub const SECRETS_MAX: usize = 4;

impl Endpoint {
    pub fn enabled(&self) -> bool {
        self.disabled.is_none()
    }

    pub fn wants(&self, kind: &str) -> bool {
        self.enabled() && (self.types.is_empty() || self.types.iter().any(|wanted| fits(wanted, kind)))
    }

    pub fn includes(&self, what: Include) -> bool {
        self.include.contains(&what)
    }

    /// The numbers of the secrets to sign with, the newest first.
    pub fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = u32> {
        self.secrets
            .iter()
            .rev()
            .filter(move |secret| secret.until.is_none_or(|until| until > now))
            .map(|secret| secret.no)
    }

    /// With a new secret; the one before is signed with until `keep_until`.
    pub fn rotated(&self, keep_until: Timestamp, now: Timestamp) -> Endpoint {
        let mut next = Endpoint { updated: now, ..self.clone() };
        next.secrets.retain(|secret| secret.until.is_none_or(|until| until > now));
        for secret in next.secrets.iter_mut().filter(|secret| secret.until.is_none()) {
            secret.until = Some(keep_until);
        }
        let no = self.secrets.iter().map(|secret| secret.no).max().unwrap_or(0).saturating_add(1);
        next.secrets.push(SecretNo { no, until: None });
        let too_many = next.secrets.len().saturating_sub(SECRETS_MAX);
        next.secrets.drain(..too_many);
        next
    }
}

/// Whether a type is the one that is wanted, or begins as the prefix does.
pub fn fits(wanted: &str, kind: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => wanted == kind,
    }
}

/// All endpoints of a store, by tenant.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(HashMap<TenantId, Vec<Endpoint>>);

impl Endpoints {
    pub fn new(all: impl IntoIterator<Item = Endpoint>) -> Endpoints {
        let mut by_tenant: HashMap<TenantId, Vec<Endpoint>> = HashMap::new();
        for endpoint in all {
            by_tenant.entry(endpoint.tenant.clone()).or_default().push(endpoint);
        }
        Endpoints(by_tenant)
    }

    pub fn of(&self, tenant: &TenantId) -> &[Endpoint] {
        self.0.get(tenant).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What a change of a message is told as; `before` is `None` where the message is new.
pub fn kinds_of(before: Option<&MessageRecord>, after: &MessageRecord) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    if before.is_none() && !after.settled {
        kinds.push("relais.message.accepted");
    }
    if before.is_none_or(|before| before.state != after.state) {
        kinds.extend(kind_of(after.state));
    }
    let uncertain = |record: &MessageRecord| {
        record.attempts.iter().filter(|attempt| attempt.state == AttemptState::Uncertain).count()
    };
    if uncertain(after) > before.map_or(0, uncertain) {
        kinds.push("relais.message.uncertain");
    }
    if is_double(&after.attempts) && !before.is_some_and(|before| is_double(&before.attempts)) {
        kinds.push("relais.message.delivered_twice");
    }
    kinds
}

fn kind_of(state: MessageState) -> Option<&'static str> {
    Some(match state {
        MessageState::Pending => return None,
        MessageState::Sent => "relais.message.sent",
        MessageState::Delivered => "relais.message.delivered",
        MessageState::Read => "relais.message.read",
        MessageState::FallingBack => "relais.message.fell_back",
        MessageState::Failed => "relais.message.failed",
        MessageState::Expired => "relais.message.expired",
        MessageState::Cancelled => "relais.message.cancelled",
    })
}

/// One thing that is told to one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The order in which they were written; 0 for one that is not.
    pub seq: i64,
    pub id: NoticeId,
    pub tenant: TenantId,
    pub endpoint: EndpointId,
    pub kind: String,
    /// Whom it is about, the customer or a number: what it is found by when they are erased.
    pub lane: String,
    pub created: Timestamp,
    /// What is sent, byte for byte, each time.
    pub body: String,
    pub standing: Standing,
}

/// How a notice stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub state: NoticeState,
    /// When it is tried (again); 0 for at once.
    pub due: Option<Timestamp>,
    pub tries: Vec<Try>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeState {
    #[default]
    Waiting,
    Delivered,
    /// It was tried as often as it is tried, or too much waited.
    GivenUp,
}

impl NoticeState {
    pub const ALL: [NoticeState; 3] = [NoticeState::Waiting, NoticeState::Delivered, NoticeState::GivenUp];

    pub fn as_str(self) -> &'static str {
        match self {
            NoticeState::Waiting => "waiting",
            NoticeState::Delivered => "delivered",
            NoticeState::GivenUp => "given-up",
        }
    }

    pub fn parse(text: &str) -> Option<NoticeState> {
        NoticeState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// As rows have it.
    pub fn number(self) -> i64 {
        match self {
            NoticeState::Waiting => 0,
            NoticeState::Delivered => 1,
            NoticeState::GivenUp => 2,
        }
    }

    pub fn of_number(number: i64) -> Option<NoticeState> {
        NoticeState::ALL.into_iter().find(|state| state.number() == number)
    }
}

/// One try to tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Try {
    pub at: Timestamp,
    /// What the endpoint answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer, or nothing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The longest that an endpoint may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// How a notice stands after one more try. `pauses` are those between the tries; after the last it is given up.
pub fn after_try(
    notice: &Notice,
    tried: Try,
    retry_after: Option<Duration>,
    pauses: &[Duration],
    now: Timestamp,
) -> Standing {
    let taken = tried.status.is_some_and(|status| (200..300).contains(&status));
    let mut tries = notice.standing.tries.clone();
    tries.push(tried);
    if taken {
        return Standing { state: NoticeState::Delivered, due: None, tries };
    }
    match pauses.get(tries.len() - 1) {
        None => Standing { state: NoticeState::GivenUp, due: None, tries },
        Some(pause) => {
            let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            let due = now.plus(spread(*pause, notice.id, tries.len()).max(asked));
            Standing { state: NoticeState::Waiting, due: Some(due), tries }
        }
    }
}

/// Up to a tenth longer, so that what failed together does not come back together.
fn spread(pause: Duration, id: NoticeId, tries: usize) -> Duration {
    let [a, b, ..] = id.0;
    let share = u32::from(u16::from_le_bytes([a, b])).wrapping_mul(40_503).wrapping_add(tries as u32) % 1000;
    pause + pause / 10_000 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(types: &[&str]) -> Endpoint {
        Endpoint {
            tenant: TenantId::default_tenant(),
            id: EndpointId([1; 16]),
            url: "https://shop.example/hooks".into(),
            description: String::new(),
            types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            include: Vec::new(),
            disabled: None,
            secrets: vec![SecretNo { no: 1, until: None }],
            failing_since: None,
            created: Timestamp(0),
            updated: Timestamp(0),
        }
    }

    fn notice(tries: usize) -> Notice {
        let tries = vec![Try { at: Timestamp(0), status: Some(500), error: None }; tries];
        Notice {
            seq: 1,
            id: NoticeId([7; 16]),
            tenant: TenantId::default_tenant(),
            endpoint: EndpointId([1; 16]),
            kind: TEST.into(),
            lane: String::new(),
            created: Timestamp(0),
            body: "{}".into(),
            standing: Standing { tries, ..Standing::default() },
        }
    }

    fn answered(status: u16) -> Try {
        Try { at: Timestamp(0), status: Some(status), error: None }
    }

    #[test]
    fn every_type_is_one_that_standard_webhooks_allows() {
        for kind in KINDS {
            let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            assert!(kind.split('.').all(part), "{kind}");
        }
        assert!(MessageState::ALL.into_iter().filter_map(kind_of).all(|kind| KINDS.contains(&kind)));
    }

    #[test]
    fn an_endpoint_wants_what_it_names_by_type_or_prefix_or_everything() {
        assert!(endpoint(&[]).wants("relais.message.read"));
        let some = endpoint(&["relais.message.*", CONSENT]);
        assert!(some.wants("relais.message.read") && some.wants(CONSENT) && !some.wants(ADDRESS));
        let off = Endpoint { disabled: Some(Disabled { why: DisabledWhy::Asked, at: Timestamp(0) }), ..endpoint(&[]) };
        assert!(!off.wants("relais.message.read"));
    }

    #[test]
    fn after_a_rotation_both_secrets_are_signed_with_until_the_old_one_ends() {
        let rotated = endpoint(&[]).rotated(Timestamp(100), Timestamp(10));
        assert_eq!(rotated.secrets_at(Timestamp(99)).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(rotated.secrets_at(Timestamp(100)).collect::<Vec<_>>(), [2]);
        let mut often = rotated;
        for _ in 0..10 {
            often = often.rotated(Timestamp(100), Timestamp(11));
        }
        assert_eq!(often.secrets_at(Timestamp(12)).collect::<Vec<_>>(), [12, 11, 10, 9], "the oldest go");
    }

    #[test]
    fn a_notice_is_tried_again_with_pauses_and_then_given_up() {
        let pauses = [Duration::from_secs(5), Duration::from_secs(300)];
        let after = |tries, status, wait: Option<u64>| {
            after_try(&notice(tries), answered(status), wait.map(Duration::from_secs), &pauses, Timestamp(0))
        };
        assert_eq!(after(0, 204, None).state, NoticeState::Delivered);
        let first = after(0, 500, None);
        assert!((5_000..=5_500).contains(&first.due.unwrap().0), "{first:?}");
        // A redirect is no answer that anything was taken.
        let second = after(1, 301, None);
        assert!((300_000..=330_000).contains(&second.due.unwrap().0), "{second:?}");
        assert_eq!(after(0, 429, Some(60)).due, Some(Timestamp(60_000)), "it asked for a minute");
        assert_eq!(after(0, 503, Some(1_000_000)).due, Some(Timestamp(24 * 3_600_000)), "it may not ask for ever");
        assert_eq!((after(2, 500, None).state, after(2, 500, None).due), (NoticeState::GivenUp, None));
    }
}
