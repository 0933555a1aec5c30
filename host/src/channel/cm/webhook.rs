//! What CM posts: status reports, and what customers write.
//!
//! Reports are filled into a template at CM, so numbers come as text or not, one message as an object or a list, and names
//! in any case. All of it is taken.

use serde_json::{Value, json};

use crate::{
    channel::{
        IncomingReport, ParseError, Report, StatusReport, failure,
        failure::Hint,
        phone,
        signature::{Refused, fits_any, same},
    },
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{AttemptFailure, MediaKind, Place, Remember},
        run::IncomingMedia,
        status::AttemptState,
    },
    ids::AttemptToken,
    secret::Secret,
};

/// CM has three of them.
const GROUPINGS_MAX: usize = 3;
/// What is longer than this is left out whole: a part of a JSON text is none.
const CUSTOM_BYTES_MAX: usize = 16 << 10;

/// Whether the last part of the URL that was called is one of the secrets. CM signs nothing, so this is all there is.
pub fn verify(secrets: &[Secret], given: &str) -> Result<(), Refused> {
    let fits = fits_any(secrets, |secret| same(secret.reveal().as_bytes(), given.as_bytes()))?;
    if fits { Ok(()) } else { Err(Refused::Mismatch("the last part of the URL")) }
}

/// Reads a report or an incoming message.
pub fn parse(raw: &[u8]) -> Result<Vec<Report>, ParseError> {
    let refused = |reason: String| ParseError { provider: super::NAME, reason };
    let body: Value = serde_json::from_slice(raw).map_err(|error| refused(format!("its body is no JSON: {error}")))?;
    if let Some(messages) = field(&body, "messages") {
        return match field(messages, "msg") {
            Some(Value::Array(list)) => Ok(list.iter().map(status).collect()),
            Some(one @ Value::Object(_)) => Ok(vec![status(one)]),
            _ => Err(refused("`messages` holds no `msg`".to_owned())),
        };
    }
    if field(&body, "message").is_some() && field(&body, "from").is_some() {
        return Ok(vec![incoming(&body)]);
    }
    Err(refused("it has neither `messages` (a report) nor `from` and `message` (an incoming message)".to_owned()))
}

fn status(message: &Value) -> Report {
    let status = field(message, "status").unwrap_or(&Value::Null);
    let code = text(status, "code");
    let state = match code.as_str() {
        "0" => AttemptState::Sent,
        "1" | "3" => AttemptState::Failed,
        "2" => AttemptState::Delivered,
        // As two secondary sources say; SMS has no such state, so it only comes where CM carries something else.
        "4" => AttemptState::Read,
        _ => return notice("unknown-status", format!("a report has the status code `{code}`, which is not known")),
    };
    let reference = text(message, "reference");
    // A message that was not sent by relais has another reference: it is kept, and matches nothing.
    let token: Option<AttemptToken> = reference.parse().ok();
    if reference.is_empty() {
        return notice("no-reference", format!("a report of status {code} has no `reference`, so it is about nothing"));
    }
    let attempt = token.map_or(0, |token| token.attempt);
    Report::Status(StatusReport {
        token,
        provider_id: Some(reference),
        state,
        time: utc(&text(message, "received")),
        failure: (state == AttemptState::Failed).then(|| failure(status, &code, attempt)),
        // Where CM chose between WhatsApp and SMS, it tells which. The place of it is not documented.
        pricing: carried_by(message).or_else(|| carried_by(status)).map(|channel| json!({ "channel": channel })),
    })
}

fn carried_by(object: &Value) -> Option<String> {
    Some(text(object, "channel")).filter(|channel| !channel.is_empty())
}

/// What follows from a report of status 1 or 3. Whether its `errorCode` is one of those that an answer has is not documented,
/// so one that the table knows is believed, unless it would stop the account: that was good enough to take the message.
fn failure(status: &Value, code: &str, attempt: u32) -> AttemptFailure {
    let (error_code, words) = (text(status, "errorCode"), text(status, "errorDescription"));
    let words = (!words.is_empty()).then_some(words);
    let by = |code: &str| super::table().classify(code, words.as_deref(), Hint::attempt(attempt));
    let own = by(&error_code);
    if super::table().knows(&error_code) && own.remember != Remember::AccountBroken {
        return own;
    }
    let mut failure = by(&format!("status{code}"));
    if !error_code.is_empty() {
        failure.provider_code = own.provider_code;
    }
    failure
}

fn incoming(body: &Value) -> Report {
    let channel = match text(body, "channel").to_ascii_lowercase().as_str() {
        "sms" | "" => Channel::Sms,
        "whatsapp" => Channel::Whatsapp,
        other => return notice("other-channel", format!("a message came on {other}, which relais does not carry")),
    };
    let from = field(body, "from").unwrap_or(&Value::Null);
    let number = text(from, "number");
    if number.is_empty() {
        return notice("no-sender", "an incoming message has no `from.number`".to_owned());
    }
    let message = field(body, "message").unwrap_or(&Value::Null);
    let media = media(message);
    let location = location(message);
    let tapped = field(message, "custom").and_then(|custom| field(custom, "buttonReply"));
    let choice = tapped.map(|tapped| text(tapped, "id")).filter(|id| !id.is_empty());
    let kind = match (&choice, &location, media.first()) {
        (Some(_), ..) => "choice",
        (None, Some(_), _) => "location",
        (None, None, Some(media)) => MediaKind::of(&media.mime_type).as_str(),
        (None, None, None) => "text",
    };
    let time = text(body, "timeUtc");
    let words = text(message, "text");
    Report::Incoming(IncomingReport {
        channel,
        to: field(body, "to").map(|to| text(to, "number")).filter(|to| !to.is_empty()),
        provider_id: provider_id(&text(body, "reference"), &[&number, &time, &words]),
        sender: phone::from_cm(&number).map_or(number, phone::E164::into_string),
        sender_id: None,
        sender_name: Some(text(from, "name")).filter(|name| !name.is_empty()),
        time: utc(&time),
        kind: kind.to_owned(),
        text: words,
        choice,
        media,
        location,
        quoted: Some(text(body, "messageContext")).filter(|context| !context.is_empty()),
        attributes: attributes(body, message),
    })
}

/// What CM passes on beside the message: the groupings of the message that it answers, and what the channel gave that has no
/// place of its own.
fn attributes(body: &Value, message: &Value) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let groupings = field(body, "groupings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (no, grouping) in groupings.iter().take(GROUPINGS_MAX).enumerate() {
        let grouping = grouping.as_str().unwrap_or_default();
        if !grouping.is_empty() {
            attributes.push((format!("grouping-{}", no + 1), failure::shortened(grouping)));
        }
    }
    if let Some(custom) = field(message, "custom").filter(|custom| custom.as_object().is_some_and(|of| !of.is_empty()))
    {
        let custom = custom.to_string();
        if custom.len() <= CUSTOM_BYTES_MAX {
            attributes.push(("custom".to_owned(), custom));
        }
    }
    attributes
}

/// CM's own id; where it has none, one made from what was written, so that a repetition is still known as one.
fn provider_id(reference: &str, parts: &[&str]) -> String {
    if !reference.is_empty() {
        return reference.to_owned();
    }
    // The unit separator is in none of them.
    let hash = blake3::hash(parts.join("\u{1f}").as_bytes()).to_hex();
    format!("none-{}", hash.get(..32).unwrap_or(&hash))
}

fn media(message: &Value) -> Vec<IncomingMedia> {
    let Some(media) = field(message, "media") else { return Vec::new() };
    let id = text(media, "mediaUri");
    if id.is_empty() {
        return Vec::new();
    }
    let filename = Some(text(media, "title")).filter(|title| !title.is_empty());
    vec![IncomingMedia { id, mime_type: text(media, "contentType"), size: None, filename, sha256: None }]
}

/// A place is not documented by CM; it is read from `custom` where it is there as numbers.
fn location(message: &Value) -> Option<Place> {
    let place = field(field(message, "custom")?, "location")?;
    let degrees = |name: &str| text(place, name).parse::<f64>().ok().filter(|degrees| degrees.is_finite());
    let named = |name: &str| Some(text(place, name)).filter(|text| !text.is_empty());
    Some(Place {
        latitude: degrees("latitude")?,
        longitude: degrees("longitude")?,
        name: named("name"),
        address: named("address"),
    })
}

fn notice(kind: &str, detail: String) -> Report {
    Report::Notice { kind: kind.to_owned(), detail: crate::channel::failure::shortened(&detail) }
}

/// `2026-01-15T10:30:02`: UTC that does not say so. One that names its offset is taken by its word.
fn utc(time: &str) -> Option<Timestamp> {
    Timestamp::parse(time).or_else(|| Timestamp::parse(&format!("{time}Z")))
}

/// A field as text, whether it is text or a number; empty where there is none.
fn text(object: &Value, name: &str) -> String {
    match field(object, name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A field whatever the case of its name.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.get(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}
