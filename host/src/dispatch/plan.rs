//! What to do with a message now. Reads everything, changes nothing.
//!
//! One function decides for a new message, a failed attempt, a receipt that did not come, a lost answer, a cancellation and a
//! deadline alike, from the message's attempts and the time. So a message that is planned twice, or on another host, is
//! planned the same.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{Doubt, Settings, account, circuit::Circuits, route};
use crate::{
    channel::{Provider, Rendition, price, sms},
    clock::Timestamp,
    domain::{
        customer::{Channel, Customer},
        message::{Attempt, AttemptFailure, MessageRecord, Next, Remember, Retry, SmsPolicy, SmsVerdict},
        status::{AttemptState, MessageState},
    },
    rules::{allowed, allowed::is_marketing},
};

/// What the plan is made from, besides the message.
pub(super) struct Facts<'a> {
    pub now: Timestamp,
    pub customer: Option<&'a Customer>,
    /// The provider and account that the customer wrote to, where this message is an answer.
    pub written_to: Option<(&'a str, &'a str)>,
    pub providers: &'a [Arc<dyn Provider>],
    pub circuits: &'a Circuits,
    pub prices: &'a price::Table,
    pub sms: &'a sms::Settings,
    pub rules: &'a allowed::Settings,
    pub settings: &'a Settings,
}

/// What to do.
pub(super) enum Plan {
    /// Write down this attempt, then make it.
    Attempt(Box<Planned>),
    /// Nothing before then.
    Wait { until: Timestamp, code: &'static str, why: String },
    /// An attempt was written down and its answer never: it may have been made.
    Doubt { no: u32 },
    /// It ends here.
    Settle { state: MessageState, code: String, decision: serde_json::Value },
    /// Nothing more is to be done: it stays as it stands.
    Close { code: Option<&'static str> },
}

/// An attempt that is ready to be made.
pub(super) struct Planned {
    pub provider: Arc<dyn Provider>,
    pub channel: Channel,
    pub address: String,
    pub body: Rendition,
    /// The SMS that the provider sends by itself when WhatsApp does not deliver.
    pub instead: Option<sms::Text>,
    /// `text`, `template`, `image`, …: what it is on the channel.
    pub rendition: String,
    pub parts: u32,
    pub price_micros: Option<i64>,
    pub decision: serde_json::Value,
}

/// Decides. A settled message is the caller's mistake to ask about, and closes again.
pub(super) fn plan(record: &MessageRecord, facts: &Facts<'_>) -> Plan {
    let now = facts.now;
    let Some(last) = record.attempts.last() else {
        if record.cancel {
            return settle(MessageState::Cancelled, "cancelled", "it was cancelled before anything was sent");
        }
        return deadline(record, now).unwrap_or_else(|| route::first(record, facts));
    };
    match last.state {
        AttemptState::Delivered | AttemptState::Read => Plan::Close { code: None },
        AttemptState::Planned => Plan::Doubt { no: last.no },
        AttemptState::Uncertain => after_doubt(record, last, facts),
        AttemptState::Accepted | AttemptState::Sent => after_acceptance(record, last, facts),
        AttemptState::Failed => after_failure(record, last, facts),
    }
}

/// The provider has it. Only a receipt ends the fallback timer.
fn after_acceptance(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> Plan {
    let now = facts.now;
    let since = since(record, last, facts);
    let close_at = since.plus(facts.settings.close_after());
    if record.cancel {
        return wait_or_close(close_at, now, "cancelled");
    }
    if let Some(at) = fallback_at(record, last, facts) {
        if now >= at {
            let waited = now.since(since).as_secs();
            let why = format!("no receipt of delivery {waited} s after {} took it", last.provider);
            return route::sms(record, facts, &why);
        }
        return wait(at, "waiting-for-receipt", "SMS follows if no receipt of delivery comes");
    }
    match record.message.expires {
        Some(expires) if now >= expires => settle(
            MessageState::Expired,
            "no-receipt",
            &format!("its deadline {expires} has passed without a receipt of delivery"),
        ),
        Some(expires) if expires < close_at => wait(expires, "waiting-for-receipt", "until its deadline"),
        _ => wait_or_close(close_at, now, "no-receipt"),
    }
}

/// The answer was lost: first a receipt may clear it up, then the operator's policy decides.
fn after_doubt(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> Plan {
    let now = facts.now;
    let cleared_by = since(record, last, facts).plus(Duration::from_secs(facts.settings.doubt_wait_s));
    if now < cleared_by {
        return wait(cleared_by, "uncertain", "the provider's answer was lost; a receipt may still clear it up");
    }
    if record.cancel {
        return after_acceptance(record, last, facts);
    }
    let resend = facts.settings.doubt(last.channel) == Doubt::Resend
        && tries(record, last.channel) < facts.settings.attempts_max
        && deadline(record, now).is_none();
    if resend {
        let why = format!("the answer to attempt {} was lost and no receipt came: it may arrive twice", last.no);
        return route::again(record, last.channel, facts, &why);
    }
    after_acceptance(record, last, facts)
}

/// The provider will not deliver it.
fn after_failure(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> Plan {
    let now = facts.now;
    let Some(failure) = &last.failure else {
        return settle(MessageState::Failed, "unknown", "the provider gave no reason");
    };
    if record.cancel {
        return settle(MessageState::Cancelled, "cancelled", "it was cancelled before the next attempt");
    }
    if let Some(expired) = deadline(record, now) {
        return expired;
    }
    // What is wrong with one account is no reason to fail while another can send it.
    if failure.remember == Remember::AccountBroken
        && tries(record, last.channel) < facts.settings.attempts_max
        && account::another(record, last, facts)
    {
        return route::again(record, last.channel, facts, "the account cannot be used now: with another one");
    }
    match failure.retry {
        Retry::AsTemplate if record.message.content.template.is_some() && last.rendition != "template" => {
            return route::again(record, last.channel, facts, "the window is closed: as a template");
        }
        Retry::Later { after_ms } if account::tries_with(record, last) < facts.settings.attempts_max => {
            let at = retry_at(record, last, after_ms, facts);
            let too_late = last_moment(record, last, facts.settings).is_some_and(|moment| at > moment);
            if !too_late {
                if now < at {
                    return wait(at, "busy", &format!("{} is busy ({}): again then", last.provider, failure.code));
                }
                return route::again(record, last.channel, facts, "trying again");
            }
        }
        Retry::Later { .. } | Retry::AsTemplate | Retry::Never => {}
    }
    if matches!(failure.retry, Retry::Later { .. }) && account::another(record, last, facts) {
        return route::again(record, last.channel, facts, "the account is busy for too long: with another one");
    }
    if sms_helps(record, last, failure) {
        let why =
            format!("{}: {}", failure.code, failure.detail.as_deref().unwrap_or("it will not arrive on WhatsApp"));
        return route::sms(record, facts, &why);
    }
    let detail = failure.detail.as_deref().unwrap_or("no further words");
    settle(MessageState::Failed, &failure.code, &format!("{} says {}: {detail}", last.provider, provider_code(failure)))
}

fn provider_code(failure: &AttemptFailure) -> &str {
    failure.provider_code.as_deref().unwrap_or(&failure.code)
}

/// Whether SMS is the next step after this failure.
fn sms_helps(record: &MessageRecord, last: &Attempt, failure: &AttemptFailure) -> bool {
    let possible = last.channel == Channel::Whatsapp && sms_is_left(record);
    possible
        && match failure.sms {
            // `Late` is only asked once trying again on WhatsApp is over.
            SmsVerdict::Yes | SmsVerdict::Late => true,
            SmsVerdict::Transactional => !is_marketing(&record.message),
            SmsVerdict::No => false,
        }
}

fn sms_is_left(record: &MessageRecord) -> bool {
    record.message.sms != SmsPolicy::Never
        && record.attempts.iter().all(|attempt| attempt.channel != Channel::Sms && !carries_sms(attempt))
}

/// Whether the provider has the SMS as well, and sends it by itself. One that took nothing has nothing.
fn carries_sms(attempt: &Attempt) -> bool {
    let carried = attempt.decision.pointer("/fallback/by").and_then(serde_json::Value::as_str) == Some("provider");
    carried && (attempt.state != AttemptState::Failed || attempt.provider_id.is_some())
}

/// When SMS follows an attempt on WhatsApp of whose delivery nothing is heard.
fn fallback_at(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> Option<Timestamp> {
    if last.channel != Channel::Whatsapp || !sms_is_left(record) {
        return None;
    }
    let (since, settings) = (since(record, last, facts), facts.settings);
    let at = since.plus(record.message.fallback_after.unwrap_or(settings.fallback_after()));
    match record.message.expires {
        // An SMS at the deadline would be late: it goes out a little before, but gives WhatsApp its chance.
        Some(expires) => Some(at.min(expires.minus(Duration::from_secs(settings.deadline_lead_s)).max(since))),
        None => Some(at),
    }
}

/// After this moment trying again on WhatsApp would cost the SMS its chance to be in time.
fn last_moment(record: &MessageRecord, last: &Attempt, settings: &Settings) -> Option<Timestamp> {
    let first = record.attempts.first().map_or(last.planned, |attempt| attempt.planned);
    let fallback = (last.channel == Channel::Whatsapp && sms_is_left(record))
        .then(|| first.plus(record.message.fallback_after.unwrap_or(settings.fallback_after())));
    match (fallback, record.message.expires) {
        (Some(fallback), Some(expires)) => Some(fallback.min(expires)),
        (fallback, expires) => fallback.or(expires),
    }
}

fn retry_at(record: &MessageRecord, last: &Attempt, after_ms: u64, facts: &Facts<'_>) -> Timestamp {
    let pause = facts.settings.retry_pause(tries(record, last.channel)).max(Duration::from_millis(after_ms));
    since(record, last, facts).plus(pause)
}

/// From when waits after an attempt are counted. One of the future was made before the clock was set back: what follows it is
/// counted from now, once; when the time comes that was planned so, it has waited long enough.
fn since(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> Timestamp {
    let began = last.answered.unwrap_or(last.planned);
    if began <= facts.now {
        return began;
    }
    match record.next {
        Next::At(at) if at <= facts.now => facts.now.minus(longest_wait(record, last, facts.settings)),
        Next::At(_) | Next::Now | Next::Nothing => facts.now,
    }
}

fn longest_wait(record: &MessageRecord, last: &Attempt, settings: &Settings) -> Duration {
    let asked_for = match last.failure.as_ref().map(|failure| failure.retry) {
        Some(Retry::Later { after_ms }) => Duration::from_millis(after_ms),
        _ => Duration::ZERO,
    };
    settings.longest_wait().max(asked_for).max(record.message.fallback_after.unwrap_or_default())
}

fn tries(record: &MessageRecord, channel: Channel) -> u32 {
    let tries = record.attempts.iter().filter(|attempt| attempt.channel == channel).count();
    u32::try_from(tries).unwrap_or(u32::MAX)
}

fn deadline(record: &MessageRecord, now: Timestamp) -> Option<Plan> {
    let expires = record.message.expires.filter(|expires| *expires <= now)?;
    Some(settle(MessageState::Expired, "expired", &format!("its deadline {expires} has passed")))
}

fn wait(until: Timestamp, code: &'static str, why: &str) -> Plan {
    Plan::Wait { until, code, why: why.to_owned() }
}

fn wait_or_close(close_at: Timestamp, now: Timestamp, code: &'static str) -> Plan {
    if now >= close_at { Plan::Close { code: Some(code) } } else { wait(close_at, code, "nothing more is done") }
}

pub(super) fn settle(state: MessageState, code: &str, why: &str) -> Plan {
    Plan::Settle { state, code: code.to_owned(), decision: json!({ "why": why }) }
}
