//! What customers write, by Meta's types of messages.

use serde::Deserialize;
use serde_json::Value;

use super::{
    context,
    webhook::{address, notice, time},
};
use crate::{
    channel::{IncomingReport, Report, failure::shortened},
    domain::{
        customer::{Channel, is_user_id},
        message::Place,
        run::IncomingMedia,
    },
};

/// A type is a word; a longer one is not Meta's.
const KIND_CHARS_MAX: usize = 40;

#[derive(Deserialize)]
struct Message {
    /// Absent where the customer hides the number.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    from_user_id: Option<String>,
    id: String,
    #[serde(default)]
    timestamp: Value,
    #[serde(rename = "type")]
    kind: String,
}

/// One of `messages[]`, with the `contacts[]` beside it for the sender's name and `metadata` for the number that was written to.
pub(super) fn message(value: &Value, metadata: Option<&Value>, contacts: &[Value]) -> Report {
    let message = match Message::deserialize(value) {
        Ok(message) => message,
        Err(error) => return notice("unreadable", format!("a message: {error}")),
    };
    // It comes from Meta, not from the customer: taken as a message it would open a window that is not open.
    if message.kind == "system" {
        return system(&message, value);
    }
    let known = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    let sender_id = known(&message.from_user_id).filter(|id| is_user_id(id));
    let Some(sender) = known(&message.from).or_else(|| known(&message.from_user_id)) else {
        return notice("unreadable", "a message names no sender".to_owned());
    };
    let said = said(&message.kind, value.get(&message.kind).unwrap_or(&Value::Null));
    Report::Incoming(IncomingReport {
        channel: Channel::Whatsapp,
        to: metadata.and_then(|metadata| some_text(metadata, "/phone_number_id")),
        attributes: context::attributes(value, contact(contacts, &sender)),
        sender_name: name(contacts, &sender),
        sender: address(&sender),
        sender_id,
        provider_id: message.id,
        time: time(&message.timestamp),
        kind: said.kind,
        text: said.text,
        choice: said.choice,
        media: said.media,
        location: said.location,
        quoted: said.quoted.or_else(|| some_text(value, "/context/id")),
    })
}

/// A number or an id of a customer that has changed. The words for it have changed as well, so what is told is what is there.
fn system(message: &Message, value: &Value) -> Report {
    let what = some_text(value, "/system/type").unwrap_or_else(|| "system".to_owned());
    let said = |pointers: &[&str]| pointers.iter().find_map(|pointer| some_text(value, pointer));
    let of_id = what.contains("user_id");
    let (from, to) = if of_id {
        let old = message.from_user_id.clone().or_else(|| said(&["/system/old_user_id", "/from"]));
        (old, said(&["/system/user_id", "/system/new_user_id"]))
    } else {
        (message.from.clone().or_else(|| said(&["/system/customer"])), said(&["/system/wa_id", "/system/new_wa_id"]))
    };
    let usable = |id: &String| if of_id { is_user_id(id) } else { address(id).starts_with('+') };
    match (from.filter(usable), to.filter(usable)) {
        (Some(from), Some(to)) => Report::Moved {
            channel: Channel::Whatsapp,
            provider_id: message.id.clone(),
            from: address(&from),
            to: address(&to),
            time: time(&message.timestamp),
        },
        _ => notice(&what, "a customer's number or id on WhatsApp has changed, and it does not say to what".to_owned()),
    }
}

#[derive(Default)]
struct Said {
    kind: String,
    text: String,
    choice: Option<String>,
    media: Vec<IncomingMedia>,
    location: Option<Place>,
    quoted: Option<String>,
}

/// `part` is what stands under the key that is named like the type.
fn said(kind: &str, part: &Value) -> Said {
    let said = Said { kind: kind.chars().take(KIND_CHARS_MAX).collect(), ..Said::default() };
    match kind {
        "text" => Said { text: text(part, "/body"), ..said },
        "image" | "audio" | "video" | "document" | "sticker" => {
            Said { text: text(part, "/caption"), media: media(part).into_iter().collect(), ..said }
        }
        "location" => Said { text: text(part, "/name"), location: place(part), ..said },
        // A tap on a template's quick reply, and below one on a button or a row of a list: the same to a plugin.
        "button" => tapped(said, text(part, "/text"), text(part, "/payload")),
        "interactive" => match part.get("button_reply").or_else(|| part.get("list_reply")) {
            Some(reply) => tapped(said, text(reply, "/title"), text(reply, "/id")),
            // A form that was filled in: what stands in it is an attribute.
            None if part.get("nfm_reply").is_some() => {
                Said { kind: "form".to_owned(), text: text(part, "/nfm_reply/body"), ..said }
            }
            None => said,
        },
        "reaction" => Said { text: text(part, "/emoji"), quoted: some_text(part, "/message_id"), ..said },
        "order" => Said { text: text(part, "/text"), ..said },
        "contacts" => Said { text: cards(part), ..said },
        "edit" | "revoke" => {
            Said { text: text(part, "/message/text/body"), quoted: some_text(part, "/original_message_id"), ..said }
        }
        // `unknown` is Meta's older word.
        "unknown" => Said { kind: "unsupported".to_owned(), ..said },
        _ => said,
    }
}

fn tapped(said: Said, label: String, id: String) -> Said {
    // A quick reply without a payload of its own answers with its label.
    let choice = if id.is_empty() { label.clone() } else { id };
    Said { kind: "choice".to_owned(), text: label, choice: Some(choice), ..said }
}

fn media(part: &Value) -> Option<IncomingMedia> {
    Some(IncomingMedia {
        id: some_text(part, "/id")?,
        mime_type: some_text(part, "/mime_type").unwrap_or_else(|| "application/octet-stream".to_owned()),
        size: part.get("file_size").and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok()),
        filename: some_text(part, "/filename").map(|name| shortened(&name)),
        sha256: some_text(part, "/sha256").map(|digest| shortened(&digest)),
    })
}

fn place(part: &Value) -> Option<Place> {
    // Some versions write the numbers as text.
    let number = |key| part.get(key).and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let (latitude, longitude): (f64, f64) = (number("latitude")?, number("longitude")?);
    let real = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    real.then(|| Place { latitude, longitude, name: some_text(part, "/name"), address: some_text(part, "/address") })
}

/// The names on shared contact cards.
fn cards(part: &Value) -> String {
    let cards = part.as_array().map_or(&[][..], Vec::as_slice);
    cards.iter().filter_map(|card| some_text(card, "/name/formatted_name")).collect::<Vec<_>>().join(", ")
}

/// Whoever wrote, by number or by id; a lone contact is the sender whatever it is called.
fn contact<'a>(contacts: &'a [Value], sender: &str) -> Option<&'a Value> {
    let is_sender = |contact: &&Value| {
        ["/wa_id", "/user_id"].iter().any(|id| contact.pointer(id).and_then(Value::as_str) == Some(sender))
    };
    contacts.iter().find(is_sender).or(match contacts {
        [only] => Some(only),
        _ => None,
    })
}

fn name(contacts: &[Value], sender: &str) -> Option<String> {
    some_text(contact(contacts, sender)?, "/profile/name").map(|name| shortened(&name))
}

fn text(part: &Value, pointer: &str) -> String {
    some_text(part, pointer).unwrap_or_default()
}

pub(super) fn some_text(part: &Value, pointer: &str) -> Option<String> {
    part.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
