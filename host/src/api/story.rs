//! Every message explains itself: what made it expected, what was tried, why, what came of it, in the order of time.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::view::{self, Time};
use crate::{
    clock::Timestamp,
    domain::{
        message::{Attempt, Because, MessageRecord, Next, Recipient},
        status::AttemptState,
    },
    ids::TenantId,
    store::{self, ReceiptLine, Store},
};

/// One line of the story.
#[derive(Serialize)]
pub(super) struct Line {
    /// `null` for how it stands now.
    time: Option<Time>,
    kind: &'static str,
    text: String,
    #[serde(flatten)]
    facts: Map<String, Value>,
    #[serde(skip)]
    at: Timestamp,
}

pub(super) async fn tell(store: &dyn Store, tenant: &TenantId, record: &MessageRecord) -> store::Result<Vec<Line>> {
    let mut lines = vec![expected(store, tenant, record).await?, asked(record)];
    for attempt in &record.attempts {
        lines.push(planned(attempt));
        lines.extend(answered(attempt));
    }
    let receipts = store.receipts(tenant, record.message.id).await?;
    lines.extend(receipts.iter().map(receipt));
    // Stable: what happened in the same millisecond stays in the order in which it can have happened.
    lines.sort_by_key(|line| line.at);
    lines.push(now(record));
    Ok(lines)
}

fn line(at: Timestamp, kind: &'static str, text: String, facts: Value) -> Line {
    let facts = match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    };
    Line { time: Some(Time(at)), kind, text, facts, at }
}

async fn expected(store: &dyn Store, tenant: &TenantId, record: &MessageRecord) -> store::Result<Line> {
    let message = &record.message;
    let gone = "is not kept any more";
    let (at, text) = match &message.because {
        Because::Event(id) => match store.event(tenant, *id).await? {
            Some(event) => {
                let text = format!("`{}` happened ({} of {}).", event.event_type, event.source_id, event.source);
                (event.time, text)
            }
            None => (message.created, format!("It was expected because of event {id}, which {gone}.")),
        },
        Because::Incoming(id) => match store.incoming(tenant, *id).await? {
            Some(incoming) => (incoming.time, format!("The customer wrote: \u{201c}{}\u{201d}.", incoming.text)),
            None => (message.created, format!("It answers message {id} of the customer, which {gone}.")),
        },
        Because::Message(id) => match store.message(tenant, *id).await? {
            Some(earlier) => (earlier.message.created, format!("It follows message {id}.")),
            None => (message.created, format!("It follows message {id}, which {gone}.")),
        },
        Because::Timer { key, set_by } => {
            (message.created, format!("The timer `{key}` came due, which run {set_by} had set."))
        }
        Because::Reference(text) => (message.created, format!("The shop gave its own reference for it: `{text}`.")),
    };
    // An event may carry a time that lies ahead of us; what makes a message expected still comes first.
    let at = at.min(message.created);
    Ok(line(at, "expected", text, json!({"because": view::because(&message.because)})))
}

fn asked(record: &MessageRecord) -> Line {
    let message = &record.message;
    let to = match &message.to {
        Recipient::Customer(id) => format!("customer `{id}`"),
        Recipient::Phone(number) => number.clone(),
    };
    let purpose = message.purpose.as_str();
    match &message.author {
        Some(author) => {
            let (plugin, entity) = (&author.plugin, &author.entity);
            let text = format!("Plugin `{plugin}`, in a run about `{entity}`, asked for this {purpose} to {to}.");
            line(message.created, "asked", text, json!({"run": author.run, "plugin": plugin}))
        }
        None => line(message.created, "asked", format!("This {purpose} to {to} was asked for over HTTP."), Value::Null),
    }
}

fn planned(attempt: &Attempt) -> Line {
    let parts = if attempt.parts == 1 { String::new() } else { format!(" in {} parts", attempt.parts) };
    let price = attempt.price_micros.map_or(String::new(), |micros| format!(", expected to cost {}", price(micros)));
    let why = attempt.decision.get("why").and_then(Value::as_str).map_or(String::new(), |why| format!(" Why: {why}."));
    let text = format!(
        "Attempt {}: by {} with {} (account `{}`) to {} as {}{parts}{price}.{why}",
        attempt.no,
        attempt.channel.as_str(),
        attempt.provider,
        attempt.account,
        attempt.address,
        attempt.rendition,
    );
    let facts = json!({
        "attempt": attempt.no,
        "channel": attempt.channel,
        "provider": attempt.provider,
        "price_micros": attempt.price_micros,
        "decision": attempt.decision,
    });
    line(attempt.planned, "attempt", text, facts)
}

fn answered(attempt: &Attempt) -> Option<Line> {
    let at = attempt.answered?;
    let provider = &attempt.provider;
    let text = match (&attempt.failure, &attempt.provider_id) {
        // A receipt may report the failure of an attempt that the provider had taken.
        (_, Some(id)) => format!("{provider} took it as {id}."),
        (Some(failure), None) => {
            let code = failure.provider_code.as_ref().map_or(String::new(), |code| format!(", its code {code}"));
            let detail = failure.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            format!("{provider} did not take it ({}{code}){detail}.", failure.code)
        }
        (None, None) if attempt.state == AttemptState::Uncertain => {
            format!("The answer of {provider} was lost: it may have been sent.")
        }
        (None, None) => format!("{provider} answered."),
    };
    let failure = attempt.failure.as_ref().map(view::failure);
    Some(line(
        at,
        "answer",
        text,
        json!({"attempt": attempt.no, "provider_id": attempt.provider_id, "failure": failure}),
    ))
}

fn receipt(receipt: &ReceiptLine) -> Line {
    let why = receipt.failure.as_ref().map_or(String::new(), |failure| {
        let detail = failure.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
        format!(" ({}{detail})", failure.code)
    });
    let text = format!("Receipt for attempt {}: {}{why}.", receipt.attempt, receipt.state.as_str());
    let facts = json!({
        "attempt": receipt.attempt,
        "state": receipt.state,
        "received": view::time(receipt.received),
        "failure": receipt.failure.as_ref().map(view::failure),
        "pricing": receipt.pricing,
    });
    // Providers say whole seconds, which can lie before what they report on: the place in the story is that of the arrival.
    Line { at: receipt.received, ..line(receipt.time, "receipt", text, facts) }
}

fn now(record: &MessageRecord) -> Line {
    let state = view::state_word(record.state);
    let code = record.code.as_ref().map_or(String::new(), |code| format!(" ({code})"));
    let text = match (record.settled, record.next) {
        (true, _) => format!("It is settled: {state}{code}."),
        (false, Next::At(at)) => format!("It stands at {state}{code}; it is looked at again at {at}."),
        (false, _) => format!("It stands at {state}{code}."),
    };
    let facts = json!({
        "state": record.state,
        "settled": record.settled,
        "code": record.code,
        "decision": record.decision,
        "next_at": view::time_or_null(view::next_at(record.next)),
    });
    Line { time: None, ..line(Timestamp::NEVER, "state", text, facts) }
}

/// Millionths of the currency unit as a decimal number: four places, as providers' price lists have.
fn price(micros: i64) -> String {
    format!("{}.{:04}", micros / 1_000_000, micros % 1_000_000 / 100)
}
