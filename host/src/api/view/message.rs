use serde_json::{Map, Value, json};

use super::{time, time_or_null};
use crate::{
    clock::Timestamp,
    domain::{
        content::{Frame, Special},
        customer::is_user_id,
        message::{
            Attachment, Attempt, AttemptFailure, Because, Content, MediaSource, MessageRecord, Next, Recipient, Retry,
            Template,
        },
        status::MessageState,
    },
};

/// A message as it was asked for and as it stands.
pub(crate) fn message(record: &MessageRecord) -> Value {
    let message = &record.message;
    let author = message
        .author
        .as_ref()
        .map(|author| json!({"run": author.run, "plugin": author.plugin, "entity": author.entity}));
    let to = match &message.to {
        Recipient::Customer(id) => json!({"customer": id}),
        Recipient::Phone(id) if is_user_id(id) => json!({"whatsapp_id": id}),
        Recipient::Phone(number) => json!({"phone": number}),
    };
    json!({
        "id": message.id,
        "seq": record.seq,
        "state": record.state,
        "settled": record.settled,
        "code": record.code,
        "decision": record.decision,
        "next_at": time_or_null(next_at(record.next)),
        "cancel": record.cancel,
        "created": time(message.created),
        "author": author,
        "to": to,
        "purpose": message.purpose,
        "because": because(&message.because),
        "content": content(&message.content),
        "sms": message.sms,
        "fallback_after_ms": message.fallback_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        "expires": time_or_null(message.expires),
        "dedup_key": message.dedup_key,
        "tag": message.tag,
        "quote": message.quote,
        "attempts": record.attempts.iter().map(attempt).collect::<Vec<_>>(),
    })
}

/// When the dispatcher looks at it again, where it waits for a time.
pub(crate) fn next_at(next: Next) -> Option<Timestamp> {
    match next {
        Next::At(at) => Some(at),
        Next::Now | Next::Nothing => None,
    }
}

pub(crate) fn because(because: &Because) -> Value {
    match because {
        Because::Event(id) => json!({"event": id}),
        Because::Incoming(id) => json!({"incoming": id}),
        Because::Message(id) => json!({"message": id}),
        Because::Timer { key, set_by } => json!({"timer": {"key": key, "set_by": set_by}}),
        Because::Reference(text) => json!({"reference": text}),
    }
}

/// A message's state in the words of a sentence.
pub(crate) fn state_word(state: MessageState) -> &'static str {
    match state {
        MessageState::FallingBack => "falling back to the next channel",
        other => other.as_str(),
    }
}

pub(crate) fn content(content: &Content) -> Value {
    let mut view = json!({
        "text": content.text,
        "template": content.template.as_ref().map(template),
        "attachment": content.attachment.as_ref().map(attachment),
        "location": content.location,
        "choices": content.choices,
        "sms_text": content.sms_text,
    });
    if let Some(members) = view.as_object_mut() {
        members.extend(content.special.as_ref().map(special));
        let Frame { header, footer, list_button, list } = &content.frame;
        let lines =
            [("header", header), ("footer", footer), ("list_button", list_button), ("language", &content.language)];
        members.extend(lines.iter().filter_map(|(name, line)| Some(((*name).to_owned(), json!((*line).as_ref()?)))));
        members.extend(list.then(|| ("list".to_owned(), json!(true))));
    }
    view
}

/// Under its name, as it is asked for.
fn special(special: &Special) -> (String, Value) {
    let view = match special {
        Special::Sticker(sticker) => {
            let mut view = Map::new();
            source(&mut view, &sticker.source);
            view.insert("text".to_owned(), json!(sticker.text));
            Value::Object(view)
        }
        Special::Link(link) => json!(link),
        Special::Reaction { emoji } => json!({ "emoji": emoji }),
        Special::ContactCard(card) => json!(card),
    };
    (special.kind().replace('-', "_"), view)
}

fn template(template: &Template) -> Value {
    // An array, because their order is the template's and an object in JSON has none.
    let params: Vec<Value> =
        template.params.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": template.name,
        "category": template.category,
        "language": template.language,
        "params": params,
        "body": template.body,
        "named": template.named,
        "header": template.header,
        "header_text": template.header_text.as_ref().map(|header| &header.text),
        "buttons": template.buttons,
        "links": template.links,
    })
}

/// Bytes are not repeated: they may be megabytes, and whoever lists messages wants none of them.
fn attachment(attachment: &Attachment) -> Value {
    let mut view = Map::new();
    source(&mut view, &attachment.source);
    view.insert("mime_type".to_owned(), json!(attachment.mime_type));
    view.insert("filename".to_owned(), json!(attachment.filename));
    Value::Object(view)
}

fn source(view: &mut Map<String, Value>, source: &MediaSource) {
    match source {
        MediaSource::Url(url) => view.insert("url".to_owned(), json!(url)),
        MediaSource::Bytes(base64) => view.insert("bytes".to_owned(), json!(bytes_of(base64))),
    };
}

fn bytes_of(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "no": attempt.no,
        "channel": attempt.channel,
        "provider": attempt.provider,
        "account": attempt.account,
        "address": attempt.address,
        "state": attempt.state,
        "provider_id": attempt.provider_id,
        "rendition": attempt.rendition,
        "parts": attempt.parts,
        "price_micros": attempt.price_micros,
        "cost": attempt.tally.cost,
        "planned": time(attempt.planned),
        "answered": time_or_null(attempt.answered),
        "failure": attempt.failure.as_ref().map(failure),
        "decision": attempt.decision,
    })
}

pub(crate) fn failure(failure: &AttemptFailure) -> Value {
    let (retry, after_ms) = match failure.retry {
        Retry::Never => ("never", None),
        Retry::Later { after_ms } => ("later", Some(after_ms)),
        Retry::AsTemplate => ("as-template", None),
    };
    json!({
        "code": failure.code,
        "provider_code": failure.provider_code,
        "detail": failure.detail,
        "retry": retry,
        "retry_after_ms": after_ms,
        "sms": failure.sms,
        "remember": failure.remember,
    })
}
