//! What would become of a message, found by the plan that decides for real: nothing is sent, stored or taken from a pace.
//!
//! The message is planned as it would be now. Where that is an attempt, what may come of it is supposed in turn (it is taken and no
//! receipt comes, it cannot arrive, the provider is busy, …) and planned again, at the time at which the plan says that it is
//! looked at. So what is shown here cannot differ from what happens.

use serde_json::{Value, json};

use super::{
    Parts,
    deliver::facts,
    plan::{Facts, Plan, Planned, plan},
    route,
};
use crate::{
    channel::Rendition,
    clock::Timestamp,
    domain::{
        customer::{Channel, Customer},
        message::{Attempt, AttemptFailure, MessageRecord, NewMessage, Next, Remember, Retry, SmsVerdict},
        status::{AttemptState, MessageState},
    },
    rules::allowed,
};

/// Waits that are followed one after another: a pause, its end, and what comes then. More would be a plan that goes round.
const STEPS_MAX: usize = 16;

/// What would happen, and what after that.
pub fn foresee(parts: &Parts, message: NewMessage, customer: Option<&Customer>) -> Value {
    let now = parts.clock.now();
    let policy = parts.settings.fallback.policy(&message);
    let record = MessageRecord {
        message,
        seq: 0,
        revision: 0,
        state: MessageState::Pending,
        settled: false,
        code: None,
        decision: None,
        next: Next::Now,
        cancel: false,
        attempts: Vec::new(),
    };
    let facts = facts(parts, customer, None, now);
    let first = plan(&record, &facts);
    let mut seen = step(&first, now);
    let after: Vec<Value> = match &first {
        Plan::Attempt(planned) => supposed(&record, planned, &facts),
        _ => Vec::new(),
    };
    if let Some(members) = seen.as_object_mut() {
        members.insert("shown".to_owned(), shown(&record, &facts));
        members.insert("then".to_owned(), Value::Array(after));
        let fallback = json!({
            "after_s": policy.after.as_secs(), "from": policy.after_from, "on": policy.on, "lead_s": policy.lead.as_secs(),
            "near_deadline": policy.near_deadline, "doubt_wait_s": policy.doubt_wait.as_secs(),
            "doubt_whatsapp": policy.doubt_whatsapp, "doubt_sms": policy.doubt_sms,
            "late_receipt": "counts: nothing more is sent, and two arrivals are a double delivery",
        });
        members.insert("fallback".to_owned(), fallback);
    }
    seen
}

/// What the customer would see on each channel that is open, whether or not it is taken first.
fn shown(record: &MessageRecord, facts: &Facts<'_>) -> Value {
    let on = |channel: Channel| match route::open(record, channel, facts) {
        Ok((planned, _)) => body(&planned.body),
        Err(closed) => json!({ "nothing": closed.code, "why": closed.why }),
    };
    allowed::channels(&record.message)
        .map(|channel| (channel.as_str().to_owned(), on(channel)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn body(body: &Rendition) -> Value {
    match body {
        Rendition::Sms(text) => json!({
            "text": text.text, "encoding": text.encoding.as_str(), "units": text.units, "parts": text.parts, "changed": text.changed,
        }),
        Rendition::Whatsapp(rendered) => json!({ "kind": rendered.kind, "payload": rendered.payload }),
    }
}

/// One step of a plan, in words and figures.
fn step(plan: &Plan, at: Timestamp) -> Value {
    match plan {
        Plan::Attempt(planned) => json!({
            "at": at.rfc3339(), "would": "send", "channel": planned.channel, "account": route::account_key(&*planned.provider),
            "rendition": planned.rendition, "parts": planned.parts, "price_micros": planned.price_micros, "decision": planned.decision,
        }),
        Plan::Wait { until, code, decision } => {
            json!({ "at": at.rfc3339(), "would": "wait", "until": until.rfc3339(), "code": code, "decision": decision })
        }
        Plan::Settle { state, code, decision } => {
            json!({ "at": at.rfc3339(), "would": "end", "state": state, "code": code, "decision": decision })
        }
        Plan::Close { code } => json!({ "at": at.rfc3339(), "would": "end", "state": "as it stands", "code": code }),
        Plan::Doubt { no } => json!({ "at": at.rfc3339(), "would": "doubt", "attempt": no }),
    }
}

/// What may come of an attempt. The words are what happens, not a provider's codes: those are many, and lead to one of these.
fn suppositions() -> [(&'static str, AttemptState, Option<AttemptFailure>); 7] {
    let failed = |code: &str, retry, sms| {
        let code = code.to_owned();
        let failure =
            AttemptFailure { code, provider_code: None, detail: None, retry, sms, remember: Remember::Nothing };
        Some(failure)
    };
    let (no, later) = (Retry::Never, Retry::Later { after_ms: 0 });
    let (yes, late) = (SmsVerdict::Yes, SmsVerdict::Late);
    [
        ("no receipt of delivery comes", AttemptState::Accepted, None),
        ("the provider's answer is lost", AttemptState::Uncertain, None),
        ("it cannot arrive there", AttemptState::Failed, failed("not-on-whatsapp", no, yes)),
        ("the window is closed", AttemptState::Failed, failed("window-closed", Retry::AsTemplate, yes)),
        ("the provider is busy", AttemptState::Failed, failed("provider-down", later, late)),
        ("the provider holds it back", AttemptState::Failed, failed("held-back", no, SmsVerdict::Transactional)),
        ("the customer has blocked it", AttemptState::Failed, failed("blocked", no, SmsVerdict::No)),
    ]
}

/// What follows each thing that may come of this attempt: the next that would be sent, or how it ends.
fn supposed(record: &MessageRecord, planned: &Planned, facts: &Facts<'_>) -> Vec<Value> {
    let follow = |(what, state, failure): (&str, AttemptState, Option<AttemptFailure>)| {
        let mut supposed = record.clone();
        supposed.attempts.push(attempt(planned, state, failure, facts.now));
        json!({ "if": what, "follows": followed(&mut supposed, facts) })
    };
    suppositions().into_iter().map(follow).collect()
}

/// The steps from here to the next attempt or the end.
fn followed(record: &mut MessageRecord, facts: &Facts<'_>) -> Vec<Value> {
    let mut at = facts.now;
    let mut steps = Vec::new();
    for _ in 0..STEPS_MAX {
        let next = plan(record, &Facts { now: at, ..*facts });
        steps.push(step(&next, at));
        match next {
            Plan::Wait { until, .. } if until > at => {
                record.next = Next::At(until);
                at = until;
            }
            _ => break,
        }
    }
    steps
}

fn attempt(planned: &Planned, state: AttemptState, failure: Option<AttemptFailure>, now: Timestamp) -> Attempt {
    Attempt {
        no: 1,
        channel: planned.channel,
        provider: planned.provider.name().to_owned(),
        account: planned.provider.account().to_owned(),
        address: planned.address.clone(),
        state,
        provider_id: None,
        rendition: planned.rendition.clone(),
        parts: planned.parts,
        price_micros: planned.price_micros,
        planned: now,
        answered: Some(now),
        failure,
        decision: planned.decision.clone(),
        tally: planned.tally.clone(),
    }
}
