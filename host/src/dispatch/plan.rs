//! What to do with a message now. Reads everything, changes nothing.
//!
//! One function decides for a new message, a failed attempt, a receipt that did not come, a lost answer, a cancellation and a
//! deadline alike, from the message's attempts and the time. So a message that is planned twice, or on another host, is
//! planned the same.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{Cause, Doubt, NearDeadline, Policy, Settings, account, circuit::Circuits, route};
use crate::{
    channel::{Provider, Rendition, price, sms, standing::Standing},
    clock::Timestamp,
    domain::{
        customer::{Channel, Customer},
        message::{Attempt, AttemptFailure, MessageRecord, Next, Remember, Retry, SmsPolicy},
        status::{AttemptState, MessageState},
        tally::Tally,
    },
    rules::{allowed, allowed::is_marketing},
};

/// What the plan is made from, besides the message.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub now: Timestamp,
    pub customer: Option<&'a Customer>,
    /// The provider and account that the customer wrote to, where this message is an answer.
    pub written_to: Option<(&'a str, &'a str)>,
    pub providers: &'a [Arc<dyn Provider>],
    pub circuits: &'a Circuits,
    pub standing: &'a Standing,
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
    Wait { until: Timestamp, code: &'static str, decision: serde_json::Value },
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
    pub tally: Tally,
}

/// Decides. A settled message is the caller's mistake to ask about, and closes again.
pub(super) fn plan(record: &MessageRecord, facts: &Facts<'_>) -> Plan {
    let now = facts.now;
    let Some(last) = record.attempts.last() else {
        if record.cancel {
            return settle(MessageState::Cancelled, "cancelled", "it was cancelled before anything was sent");
        }
        return deadline(record, now).unwrap_or_else(|| first(record, facts));
    };
    match last.state {
        AttemptState::Delivered | AttemptState::Read => Plan::Close { code: None },
        AttemptState::Planned => Plan::Doubt { no: last.no },
        AttemptState::Uncertain => after_doubt(record, last, facts),
        AttemptState::Accepted | AttemptState::Sent => after_acceptance(record, last, facts),
        AttemptState::Failed => after_failure(record, last, facts),
    }
}

/// Nothing was sent yet. Where the deadline leaves WhatsApp no time, the policy says which way it goes.
fn first(record: &MessageRecord, facts: &Facts<'_>) -> Plan {
    let policy = policy(record, facts);
    let near = record.message.sms == SmsPolicy::Fallback && policy.is_near(facts.now, record.message.expires);
    match policy.near_deadline {
        NearDeadline::Sms if near => {
            let why = format!("less than {} s are left before its deadline: SMS first", policy.lead.as_secs());
            route::sms_first(record, facts, &why)
        }
        NearDeadline::Both | NearDeadline::Whatsapp | NearDeadline::Sms => route::first(record, facts),
    }
}

fn policy(record: &MessageRecord, facts: &Facts<'_>) -> Policy {
    facts.settings.fallback.policy(&record.message)
}

/// The provider has it. Only a receipt ends the fallback timer.
fn after_acceptance(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> Plan {
    let now = facts.now;
    let since = since(record, last, facts);
    let close_at = since.plus(facts.settings.close_after());
    if record.cancel {
        let why = format!("{}; nothing more is done", too_late_to_cancel(last));
        return if now >= close_at {
            Plan::Close { code: Some("cancelled") }
        } else {
            wait(close_at, "cancelled", &why)
        };
    }
    let policy = policy(record, facts);
    if let Some(at) = fallback_at(record, last, &policy, facts) {
        let from = policy.after_from;
        if now >= at {
            let waited = now.since(since).as_secs();
            let why = format!("no receipt of delivery {waited} s after {} took it ({from})", last.provider);
            return route::sms(record, facts, &why);
        }
        let after = at.since(since).as_secs();
        let why = format!("SMS follows if no receipt of delivery comes within {after} s ({from})");
        return wait(at, "waiting-for-receipt", &why);
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
    let policy = policy(record, facts);
    let cleared_by = since(record, last, facts).plus(policy.doubt_wait);
    if now < cleared_by {
        return wait(cleared_by, "uncertain", "the provider's answer was lost; a receipt may still clear it up");
    }
    if record.cancel {
        return after_acceptance(record, last, facts);
    }
    if policy.doubt(last.channel) == Doubt::FallBack && last.channel == Channel::Whatsapp && sms_is_left(record) {
        return route::sms(record, facts, "the provider's answer was lost and no receipt came: it may arrive twice");
    }
    let resend = policy.doubt(last.channel) == Doubt::Resend
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
            let too_late = last_moment(record, last, &policy(record, facts)).is_some_and(|moment| at > moment);
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
    if sms_helps(record, last, failure, &policy(record, facts)) {
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

/// Whether SMS is the next step after this failure. That a provider is busy is only asked once trying again is over.
fn sms_helps(record: &MessageRecord, last: &Attempt, failure: &AttemptFailure, policy: &Policy) -> bool {
    let possible = last.channel == Channel::Whatsapp && sms_is_left(record);
    possible
        && Cause::of(failure.sms).is_some_and(|cause| {
            // What is held back as advertising is not sent by another way.
            policy.follows(cause) && !(cause == Cause::HeldBack && is_marketing(&record.message))
        })
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
fn fallback_at(record: &MessageRecord, last: &Attempt, policy: &Policy, facts: &Facts<'_>) -> Option<Timestamp> {
    if last.channel != Channel::Whatsapp || !sms_is_left(record) || !policy.follows(Cause::NoReceipt) {
        return None;
    }
    // It had no time of its own from the beginning, and the policy says that it goes by WhatsApp all the same.
    let near = policy.is_near(last.planned, record.message.expires);
    if near && policy.near_deadline == NearDeadline::Whatsapp {
        return None;
    }
    Some(policy.at(since(record, last, facts), record.message.expires))
}

/// After this moment trying again on WhatsApp would cost the SMS its chance to be in time.
fn last_moment(record: &MessageRecord, last: &Attempt, policy: &Policy) -> Option<Timestamp> {
    let first = record.attempts.first().map_or(last.planned, |attempt| attempt.planned);
    let fallback = (last.channel == Channel::Whatsapp && sms_is_left(record) && policy.follows(Cause::Busy))
        .then(|| first.plus(policy.after));
    match (fallback, record.message.expires) {
        (Some(fallback), Some(expires)) => Some(fallback.min(expires)),
        (fallback, expires) => fallback.or(expires),
    }
}

/// Why an attempt stays as it is although its message was cancelled.
fn too_late_to_cancel(last: &Attempt) -> String {
    let what = match last.state {
        AttemptState::Uncertain => "may have taken it",
        _ => "had taken it",
    };
    format!(
        "it was cancelled after {} {what} (attempt {} by {}), which cannot be called back",
        last.provider,
        last.no,
        last.channel.as_str()
    )
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
    Plan::Wait { until, code, decision: json!({ "why": why }) }
}

fn wait_or_close(close_at: Timestamp, now: Timestamp, code: &'static str) -> Plan {
    if now >= close_at { Plan::Close { code: Some(code) } } else { wait(close_at, code, "nothing more is done") }
}

pub(super) fn settle(state: MessageState, code: &str, why: &str) -> Plan {
    Plan::Settle { state, code: code.to_owned(), decision: json!({ "why": why }) }
}
