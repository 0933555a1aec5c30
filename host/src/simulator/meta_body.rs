//! Checks the body of a message to Meta, with the code that Meta has for each fault, and reads it.

use serde_json::{Map, Value};

use super::{Content, EntryMedia, Place, Simulator, meta_interactive, meta_templates, phones};

/// A fault of the request: Meta's code, and `error_data.details`.
#[derive(Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) code: i64,
    pub(crate) details: String,
}

impl Problem {
    pub(crate) fn new(code: i64, details: impl Into<String>) -> Problem {
        Problem { code, details: details.into() }
    }

    pub(crate) fn missing(name: &str) -> Problem {
        Problem::new(131008, format!("Required parameter is missing: {name}"))
    }

    pub(crate) fn too_long(name: &str, characters_max: usize) -> Problem {
        Problem::new(100, format!("Param {name} must be at most {characters_max} characters long."))
    }

    pub(crate) fn value(details: impl Into<String>) -> Problem {
        Problem::new(131009, details)
    }
}

/// A message that may be sent.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) content: Content,
    /// Category and time to live of the template; nothing for free content.
    pub(crate) template: Option<meta_templates::Facts>,
}

const KEYS: [&str; 8] = [
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "context",
    "biz_opaque_callback_data",
    "recipient_identity_key_hash",
];

const TYPES: [&str; 11] = [
    "text",
    "template",
    "image",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "reaction",
];

/// Whom the message is for. A number without a plus gets the country of the business, as Meta does it.
pub(crate) fn recipient(simulator: &Simulator, body: &Value) -> Option<String> {
    let Some(to) = body.get("to").and_then(Value::as_str) else {
        return simulator.phones.number_of_user(body.get("recipient")?.as_str()?);
    };
    if to.trim_start().starts_with('+') {
        return phones::e164(to);
    }
    let digits: String = to.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let country = simulator.options.meta.display_phone_number.get(..2).unwrap_or_default();
    let bare = if digits.starts_with(country) { digits } else { format!("{country}{digits}") };
    phones::e164(&format!("+{bare}"))
}

pub(crate) fn check(simulator: &Simulator, body: &Value) -> Result<Checked, Problem> {
    let fields = body.as_object().ok_or_else(|| Problem::new(100, "The body must be a JSON object"))?;
    if fields.get("messaging_product").and_then(Value::as_str) != Some("whatsapp") {
        return Err(Problem::new(100, "The parameter messaging_product is required and must be 'whatsapp'."));
    }
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or("text");
    if !TYPES.contains(&kind) {
        return Err(Problem::new(131051, format!("Param type must be one of {TYPES:?} - got {kind:?}.")));
    }
    if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str()) && *key != kind) {
        return Err(Problem::new(100, format!("Unexpected key \"{unknown}\" on param root.")));
    }
    check_token(fields)?;
    let own = fields.get(kind).ok_or_else(|| Problem::missing(kind))?;
    // The Graph API takes an object as JSON and as a text that holds its JSON.
    let written: Option<Value> = own.as_str().and_then(|text| serde_json::from_str(text).ok());
    let mut checked = check_own(simulator, kind, written.as_ref().unwrap_or(own))?;
    if let Some(quoted) = fields.get("context") {
        checked.content.quotes = Some(required(quoted, "message_id")?.to_owned());
    }
    Ok(checked)
}

fn check_token(fields: &Map<String, Value>) -> Result<(), Problem> {
    let Some(token) = fields.get("biz_opaque_callback_data") else { return Ok(()) };
    let token = token.as_str().ok_or_else(|| Problem::value("biz_opaque_callback_data must be a string"))?;
    if token.chars().count() > 512 {
        return Err(Problem::too_long("biz_opaque_callback_data", 512));
    }
    Ok(())
}

fn check_own(simulator: &Simulator, kind: &str, own: &Value) -> Result<Checked, Problem> {
    let content = match kind {
        "text" => text(own)?,
        "location" => location(own)?,
        "interactive" => meta_interactive::check(own)?,
        "template" => return meta_templates::check(simulator, own),
        "reaction" => {
            let quotes = Some(required(own, "message_id")?.to_owned());
            let emoji = own.get("emoji").and_then(Value::as_str).unwrap_or_default();
            Content { kind: kind.into(), quotes, ..Content::text(emoji) }
        }
        "contacts" => {
            own.as_array().filter(|cards| !cards.is_empty()).ok_or_else(|| Problem::missing("contacts"))?;
            Content { kind: kind.into(), text: Some(names(own)), ..Content::default() }
        }
        _ => media(simulator, kind, own)?,
    };
    Ok(Checked { content, template: None })
}

fn text(own: &Value) -> Result<Content, Problem> {
    only(own, "text", &["body", "preview_url"])?;
    let body = required(own, "body")?;
    if body.chars().count() > 4096 {
        return Err(Problem::too_long("text['body']", 4096));
    }
    Ok(Content::text(body))
}

fn media(simulator: &Simulator, kind: &str, own: &Value) -> Result<Content, Problem> {
    let keys: &[&str] = match kind {
        "document" => &["id", "link", "caption", "filename", "provider"],
        "image" | "video" => &["id", "link", "caption", "provider"],
        "audio" => &["id", "link", "provider", "voice"],
        _ => &["id", "link", "provider"],
    };
    only(own, kind, keys)?;
    let caption = own.get("caption").and_then(Value::as_str);
    if caption.is_some_and(|caption| caption.chars().count() > 1024) {
        return Err(Problem::too_long(&format!("{kind}['caption']"), 1024));
    }
    let media = attachment(simulator, kind, own)?;
    Ok(Content { kind: kind.into(), text: caption.map(str::to_owned), media: vec![media], ..Content::default() })
}

/// A file by link or by id: one of the two, and one that exists.
pub(crate) fn attachment(simulator: &Simulator, kind: &str, own: &Value) -> Result<EntryMedia, Problem> {
    let link = own.get("link").and_then(Value::as_str);
    let id = own.get("id").and_then(Value::as_str);
    let (url, mime_type) = match (link, id) {
        (Some(link), None) => (web_link(kind, link)?, None),
        (None, Some(id)) => {
            let file = simulator.media.get(id).ok_or_else(|| {
                Problem::value(format!("{kind}['id']: no media with ID {id} was uploaded, or it has expired"))
            })?;
            (format!("/sim/media/{id}"), Some(file.mime_type))
        }
        _ => return Err(Problem::new(100, format!("Param {kind} must have exactly one of 'id' and 'link'."))),
    };
    Ok(EntryMedia {
        kind: kind.into(),
        url: Some(url),
        id: id.map(str::to_owned),
        filename: own.get("filename").and_then(Value::as_str).map(str::to_owned),
        mime_type,
    })
}

fn web_link(kind: &str, link: &str) -> Result<String, Problem> {
    let is_web = url::Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    is_web
        .then(|| link.to_owned())
        .ok_or_else(|| Problem::new(100, format!("Param {kind}['link'] is not a valid URL.")))
}

fn location(own: &Value) -> Result<Content, Problem> {
    only(own, "location", &["latitude", "longitude", "name", "address"])?;
    let place = Place {
        latitude: degrees(own, "latitude", 90.0)?,
        longitude: degrees(own, "longitude", 180.0)?,
        name: own.get("name").and_then(Value::as_str).map(str::to_owned),
        address: own.get("address").and_then(Value::as_str).map(str::to_owned),
    };
    Ok(Content { kind: "location".into(), place: Some(place), ..Content::default() })
}

/// Meta takes a number and a number in a string.
fn degrees(own: &Value, name: &str, most: f64) -> Result<f64, Problem> {
    let value = own.get(name).ok_or_else(|| Problem::missing(name))?;
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number
        .filter(|number| number.abs() <= most)
        .ok_or_else(|| Problem::value(format!("location['{name}'] must be between -{most} and {most}")))
}

/// The names on contact cards, one a line.
fn names(cards: &Value) -> String {
    let names =
        cards.as_array().into_iter().flatten().filter_map(|card| card.pointer("/name/formatted_name")?.as_str());
    names.collect::<Vec<_>>().join("\n")
}

/// A text that must be there and not be empty.
pub(crate) fn required<'a>(own: &'a Value, name: &str) -> Result<&'a str, Problem> {
    let value = own.get(name).ok_or_else(|| Problem::missing(name))?;
    value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| Problem::missing(name))
}

pub(crate) fn only(own: &Value, name: &str, keys: &[&str]) -> Result<(), Problem> {
    let fields = own.as_object().ok_or_else(|| Problem::new(100, format!("Param {name} must be a JSON object.")))?;
    match fields.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(unknown) => Err(Problem::new(100, format!("Unexpected key \"{unknown}\" on param {name}."))),
        None => Ok(()),
    }
}
