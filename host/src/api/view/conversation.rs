use serde_json::{Map, Value, json};

use super::{incoming, message::content, time, time_or_null};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Customer, is_user_id},
        message::{Attempt, Because, MessageRecord},
        run::Incoming,
        status::MessageState,
    },
    ids::MessageId,
    store::Conversation,
};

/// A conversation in a list.
pub(crate) fn line(line: &Conversation, owner: Option<&Customer>, now: Timestamp) -> Value {
    let last = &line.last;
    let name = owner.and_then(|owner| owner.name.as_ref()).or(last.sender_name.as_ref());
    let ends = match owner {
        Some(owner) => owner.window_ends(now),
        None => last.window_ends.filter(|ends| *ends > now),
    };
    json!({
        "id": last.id,
        "seq": line.seq,
        "customer": line.owner,
        "name": name,
        "to": to(line.owner.as_deref(), &last.sender),
        "channel": last.channel,
        "unread": line.unread,
        "window_ends": time_or_null(ends),
        "last": { "time": time(last.time), "kind": last.kind, "text": last.text },
    })
}

/// Whom a reply goes to, as `POST /v1/messages` takes it.
pub(crate) fn to(customer: Option<&str>, sender: &str) -> Value {
    match customer {
        Some(id) => json!({"customer": id}),
        None if is_user_id(sender) => json!({"whatsapp_id": sender}),
        None => json!({"phone": sender}),
    }
}

/// What a customer wrote, in a thread.
pub(crate) fn incoming_entry(written: &Incoming) -> Value {
    let mut entry = Map::from_iter([("direction".to_owned(), json!("in"))]);
    if let Value::Object(fields) = incoming(written) {
        entry.extend(fields);
    }
    // What it quotes is one of ours, or else something that they wrote themselves: that one's id follows from the provider's.
    let own = |quoted: &String| MessageId::of_incoming(&written.tenant, &written.provider, quoted);
    let quotes = written.quoted.as_ref().map(|quoted| written.in_reply_to.unwrap_or_else(|| own(quoted)));
    entry.insert("quotes".to_owned(), json!(quotes));
    Value::Object(entry)
}

/// What was sent, in a thread.
pub(crate) fn outgoing_entry(record: &MessageRecord) -> Value {
    let message = &record.message;
    let last = record.attempts.last();
    let sent_by = match (&message.author, &message.because) {
        (Some(author), _) => json!({"kind": "plugin", "plugin": author.plugin}),
        // Asked for over HTTP in answer to what was written: by whoever sits at the page, or a help desk behind the API.
        (None, Because::Incoming(_)) => json!({"kind": "operator"}),
        (None, _) => json!({"kind": "shop"}),
    };
    json!({
        "direction": "out",
        "id": message.id,
        "time": time(message.created),
        "sent_by": sent_by,
        "purpose": message.purpose,
        "state": record.state,
        "settled": record.settled,
        "code": record.code,
        "why": why(record),
        "channel": last.map(|attempt| attempt.channel),
        "rendition": last.map(|attempt| &attempt.rendition),
        "content": content(&message.content),
        "quotes": message.quote,
        "tag": message.tag,
        "attempts": record.attempts.iter().map(attempt).collect::<Vec<_>>(),
    })
}

/// Why it has not arrived, in a sentence.
fn why(record: &MessageRecord) -> Option<String> {
    if matches!(record.state, MessageState::Delivered | MessageState::Read | MessageState::Sent) {
        return None;
    }
    let refused = record.decision.as_ref().and_then(|decision| decision.get("routes")?.as_array());
    let closed: Vec<String> = refused
        .into_iter()
        .flatten()
        .filter(|route| route.get("taken") == Some(&Value::Bool(false)))
        .filter_map(|route| Some(format!("{}: {}", route.get("channel")?.as_str()?, route.get("why")?.as_str()?)))
        .collect();
    if !closed.is_empty() {
        return Some(closed.join(" · "));
    }
    let said = record.decision.as_ref().and_then(|decision| decision.get("why")?.as_str());
    let failed = || record.attempts.last()?.failure.as_ref()?.detail.clone();
    said.map(str::to_owned).or_else(failed)
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "no": attempt.no,
        "channel": attempt.channel,
        "provider": attempt.provider,
        "account": attempt.account,
        "state": attempt.state,
        "rendition": attempt.rendition,
        "parts": attempt.parts,
        "price_micros": attempt.price_micros,
        "code": attempt.failure.as_ref().map(|failure| &failure.code),
        "detail": attempt.failure.as_ref().and_then(|failure| failure.detail.as_ref()),
    })
}
