//! A message's content as WhatsApp shows it: the bodies of the Cloud API, without recipient and token.
//!
//! Exactly one provider message comes of a content, so that an attempt has one id, one price and one story. Where the
//! content holds what does not fit one of WhatsApp's messages together, it is decided here what is kept and how:
//!
//! - text with a place: a location has no caption, so the text is sent and the place follows it as a link to a map;
//! - text with audio: audio has no caption either, so the text cannot go along and the content is refused by name;
//! - choices with an attachment: the attachment becomes the header of the buttons, which audio cannot;
//! - a template with an attachment: it goes into the template's header, if the template has one.
//!
//! Limits are those that `rules::content` has already checked. They are checked again because a message may have been
//! asked for by an older version of this host, and a refusal with a field's name helps more than Meta's.

use serde_json::{Map, Value, json};

use crate::{
    domain::message::{Attachment, Choice, Content, MediaKind, MediaSource, Place, Template},
    rules::content::{
        CAPTION_CHARS_MAX, CHOICE_ID_CHARS_MAX, CHOICE_LABEL_CHARS_MAX, CHOICES_MAX, TEMPLATE_CHARS_MAX, TEXT_CHARS_MAX,
    },
};

/// Quick replies that a template can have (§1.7: ten buttons).
const TEMPLATE_BUTTONS_MAX: usize = 10;

/// Free content, which needs an open window, or the content's template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Free,
    Template,
}

/// A body of the Cloud API, complete but for the envelope and the id of what has to be uploaded first.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// `text`, `template`, `image`, `interactive`, …: Meta's `type`, and the attempt's rendition.
    pub kind: &'static str,
    /// What stands under the key of that name.
    pub payload: Value,
    pub upload: Option<Upload>,
}

/// Media that is given as bytes: uploaded before the message is sent, and then named by its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    pub base64: String,
    pub mime_type: String,
    pub filename: String,
    /// JSON pointer, within the payload, to the object that gets the `id`.
    pub place: &'static str,
}

/// Why a content cannot be a WhatsApp message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to send on WhatsApp: give a text, an attachment or a place")]
    Nothing,
    #[error("there is no template, and only a template may be sent now")]
    NoTemplate,
    #[error("`{field}` is empty; WhatsApp refuses that")]
    Empty { field: &'static str },
    #[error("`{field}` has {chars} characters on WhatsApp; {max} at most are allowed")]
    TooLong { field: &'static str, chars: usize, max: usize },
    #[error("{count} {what}; WhatsApp takes {max} at most")]
    TooMany { what: &'static str, count: usize, max: usize },
    #[error("choices need a text above them on WhatsApp")]
    ChoicesWithoutText,
    #[error("the choice `{0}` is there twice")]
    SameChoice(String),
    #[error("an audio message takes neither text nor choices on WhatsApp; send them as a message of their own")]
    AudioAlone,
    #[error("an attachment and a place do not fit one message; send two")]
    AttachmentAndPlace,
    #[error("the attachment's type {mime_type} is not one that WhatsApp takes as {kind}; it takes {takes}")]
    MediaType { mime_type: String, kind: &'static str, takes: &'static str },
    #[error("the template `{template}` has {expected} in its header, and the attachment is {given}")]
    Header { template: String, expected: &'static str, given: &'static str },
}

/// Renders the content in this form.
pub fn render(content: &Content, form: Form) -> Result<Rendered, Error> {
    match form {
        Form::Template => template(content.template.as_ref().ok_or(Error::NoTemplate)?, content.attachment.as_ref()),
        Form::Free => free(content),
    }
}

fn free(content: &Content) -> Result<Rendered, Error> {
    // Where only a template was given, its text is what the customer is to read; inside the window it may go as free text.
    let body = content.text.as_deref().or_else(|| content.template.as_ref().map(|template| template.body.as_str()));
    if content.attachment.is_some() && content.location.is_some() {
        return Err(Error::AttachmentAndPlace);
    }
    match (&content.attachment, &content.location, body) {
        _ if !content.choices.is_empty() => interactive(content, body),
        (Some(attachment), _, _) => media(attachment, body),
        (None, Some(place), None) => Ok(location(place)),
        (None, Some(place), Some(text)) => plain(&with_map(text, place)),
        (None, None, Some(text)) => plain(text),
        (None, None, None) => Err(Error::Nothing),
    }
}

fn plain(text: &str) -> Result<Rendered, Error> {
    limit("text", text, TEXT_CHARS_MAX)?;
    // A preview is only asked for where there is a link to be shown: Meta fetches it, which costs time.
    let preview_url = text.contains("https://") || text.contains("http://");
    Ok(Rendered::new("text", json!({ "preview_url": preview_url, "body": text })))
}

fn location(place: &Place) -> Rendered {
    let mut payload = Map::new();
    payload.insert("latitude".to_owned(), json!(place.latitude));
    payload.insert("longitude".to_owned(), json!(place.longitude));
    for (key, value) in [("name", &place.name), ("address", &place.address)] {
        if let Some(value) = value {
            payload.insert(key.to_owned(), json!(value));
        }
    }
    Rendered::new("location", Value::Object(payload))
}

/// The text with the place below it: name and address where they are known, and a link that every map opens.
fn with_map(text: &str, place: &Place) -> String {
    let words: Vec<&str> = [&place.name, &place.address].into_iter().filter_map(|part| part.as_deref()).collect();
    let words = if words.is_empty() { String::new() } else { format!("{}\n", words.join(", ")) };
    format!("{text}\n\n{words}https://maps.google.com/?q={},{}", place.latitude, place.longitude)
}

fn media(attachment: &Attachment, caption: Option<&str>) -> Result<Rendered, Error> {
    let kind = checked_kind(attachment)?;
    let mut object = media_object(attachment, kind);
    match caption {
        Some(_) if kind == MediaKind::Audio => return Err(Error::AudioAlone),
        Some(caption) => {
            limit("text", caption, CAPTION_CHARS_MAX)?;
            object.insert("caption".to_owned(), json!(caption));
        }
        None => {}
    }
    let rendered = Rendered::new(kind.as_str(), Value::Object(object));
    Ok(rendered.uploading(attachment, ""))
}

fn interactive(content: &Content, body: Option<&str>) -> Result<Rendered, Error> {
    let body = match (body, &content.location) {
        (Some(text), Some(place)) => with_map(text, place),
        (Some(text), None) => text.to_owned(),
        (None, _) => return Err(Error::ChoicesWithoutText),
    };
    limit("text", &body, CAPTION_CHARS_MAX)?;
    let mut payload = Map::new();
    payload.insert("type".to_owned(), json!("button"));
    if let Some(attachment) = &content.attachment {
        payload.insert("header".to_owned(), header_parameter(attachment)?);
    }
    payload.insert("body".to_owned(), json!({ "text": body }));
    payload.insert("action".to_owned(), json!({ "buttons": buttons(&content.choices)? }));
    let rendered = Rendered::new("interactive", Value::Object(payload));
    Ok(match &content.attachment {
        Some(attachment) => rendered.uploading(attachment, header_place("/header", attachment)),
        None => rendered,
    })
}

fn buttons(choices: &[Choice]) -> Result<Vec<Value>, Error> {
    at_most("choices", choices.len(), CHOICES_MAX)?;
    let mut buttons = Vec::with_capacity(choices.len());
    for (index, choice) in choices.iter().enumerate() {
        limit("choice label", &choice.label, CHOICE_LABEL_CHARS_MAX)?;
        limit("choice id", &choice.id, CHOICE_ID_CHARS_MAX)?;
        if choices.iter().take(index).any(|other| other.id == choice.id || other.label == choice.label) {
            return Err(Error::SameChoice(choice.label.clone()));
        }
        buttons.push(json!({ "type": "reply", "reply": { "id": choice.id, "title": choice.label } }));
    }
    Ok(buttons)
}

fn template(template: &Template, attachment: Option<&Attachment>) -> Result<Rendered, Error> {
    limit("template", &template.body, TEMPLATE_CHARS_MAX)?;
    at_most("template buttons", template.buttons.len(), TEMPLATE_BUTTONS_MAX)?;
    let mut components = Vec::new();
    let header = attachment.filter(|_| template.header.is_some());
    if let Some(attachment) = header {
        fits_header(template, attachment)?;
        components.push(json!({ "type": "header", "parameters": [header_parameter(attachment)?] }));
    }
    if !template.params.is_empty() {
        let params: Vec<Value> =
            template.params.iter().map(|(_, value)| json!({ "type": "text", "text": one_line(value) })).collect();
        components.push(json!({ "type": "body", "parameters": params }));
    }
    for (index, id) in template.buttons.iter().enumerate() {
        limit("button id", id, CHOICE_ID_CHARS_MAX)?;
        components.push(json!({
            "type": "button", "sub_type": "quick_reply", "index": index.to_string(),
            "parameters": [{ "type": "payload", "payload": id }],
        }));
    }
    let mut payload = Map::new();
    payload.insert("name".to_owned(), json!(template.name));
    payload.insert("language".to_owned(), json!({ "code": template.language.replace('-', "_") }));
    if !components.is_empty() {
        payload.insert("components".to_owned(), Value::Array(components));
    }
    let rendered = Rendered::new("template", Value::Object(payload));
    Ok(match header {
        Some(attachment) => rendered.uploading(attachment, header_place("/components/0/parameters/0", attachment)),
        None => rendered,
    })
}

fn fits_header(template: &Template, attachment: &Attachment) -> Result<(), Error> {
    let given = MediaKind::of(&attachment.mime_type);
    match template.header {
        Some(expected) if expected != given => {
            Err(Error::Header { template: template.name.clone(), expected: expected.as_str(), given: given.as_str() })
        }
        _ => Ok(()),
    }
}

/// A parameter must hold no line break, no tab and no five spaces in a row, or Meta refuses the message. The customer
/// loses nothing by one space instead.
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `{"type": "image", "image": {…}}`: a header of buttons or of a template.
fn header_parameter(attachment: &Attachment) -> Result<Value, Error> {
    let kind = checked_kind(attachment)?;
    if kind == MediaKind::Audio {
        return Err(Error::AudioAlone);
    }
    let mut header = Map::new();
    header.insert("type".to_owned(), json!(kind.as_str()));
    header.insert(kind.as_str().to_owned(), Value::Object(media_object(attachment, kind)));
    Ok(Value::Object(header))
}

fn header_place(parent: &'static str, attachment: &Attachment) -> &'static str {
    match (parent, MediaKind::of(&attachment.mime_type)) {
        ("/header", MediaKind::Image) => "/header/image",
        ("/header", MediaKind::Video) => "/header/video",
        ("/header", _) => "/header/document",
        (_, MediaKind::Image) => "/components/0/parameters/0/image",
        (_, MediaKind::Video) => "/components/0/parameters/0/video",
        _ => "/components/0/parameters/0/document",
    }
}

/// The media's link, and a document's name. What is given as bytes gets its `id` once it is uploaded.
fn media_object(attachment: &Attachment, kind: MediaKind) -> Map<String, Value> {
    let mut object = Map::new();
    if let MediaSource::Url(url) = &attachment.source {
        object.insert("link".to_owned(), json!(url));
    }
    if kind == MediaKind::Document
        && let Some(filename) = &attachment.filename
    {
        object.insert("filename".to_owned(), json!(filename));
    }
    object
}

/// What each kind may be (§1.12). Documents may be anything: Meta shows an icon for what it does not know.
fn checked_kind(attachment: &Attachment) -> Result<MediaKind, Error> {
    let kind = MediaKind::of(&attachment.mime_type);
    // `audio/ogg; codecs=opus` is the same type with a parameter.
    let mime_type = attachment.mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let takes: &'static [&'static str] = match kind {
        MediaKind::Image => &["image/jpeg", "image/png"],
        MediaKind::Audio => &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"],
        MediaKind::Video => &["video/mp4", "video/3gpp"],
        MediaKind::Document => return Ok(kind),
    };
    if takes.contains(&mime_type.as_str()) {
        return Ok(kind);
    }
    let takes = match kind {
        MediaKind::Image => "image/jpeg and image/png",
        MediaKind::Audio => "audio/aac, audio/amr, audio/mpeg, audio/mp4 and audio/ogg",
        MediaKind::Video | MediaKind::Document => "video/mp4 and video/3gpp",
    };
    Err(Error::MediaType { mime_type: attachment.mime_type.clone(), kind: kind.as_str(), takes })
}

fn limit(field: &'static str, text: &str, max: usize) -> Result<(), Error> {
    let chars = text.chars().count();
    if text.trim().is_empty() {
        return Err(Error::Empty { field });
    }
    if chars > max { Err(Error::TooLong { field, chars, max }) } else { Ok(()) }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Error> {
    if count > max { Err(Error::TooMany { what, count, max }) } else { Ok(()) }
}

impl Rendered {
    fn new(kind: &'static str, payload: Value) -> Rendered {
        Rendered { kind, payload, upload: None }
    }

    fn uploading(mut self, attachment: &Attachment, place: &'static str) -> Rendered {
        if let MediaSource::Bytes(base64) = &attachment.source {
            self.upload = Some(Upload {
                base64: base64.clone(),
                mime_type: attachment.mime_type.clone(),
                // Meta wants a name in the upload even where the customer never sees it.
                filename: attachment.filename.clone().unwrap_or_else(|| "attachment".to_owned()),
                place,
            });
        }
        self
    }
}

#[cfg(test)]
#[path = "whatsapp_tests.rs"]
mod tests;
