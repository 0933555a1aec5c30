//! A message's content as WhatsApp shows it: the bodies of the Cloud API, without recipient and token.
//!
//! Exactly one provider message comes of a content, so that an attempt has one id, one price and one story. Where the
//! content holds what does not fit one of WhatsApp's messages together, it is decided here what is kept and how:
//!
//! - text with a place: a location has no caption, so the text is sent and the place follows it as a link to a map;
//! - text with audio: audio has no caption either, so the text cannot go along and the content is refused by name;
//! - up to three choices are buttons, and an attachment becomes their header, which audio cannot;
//! - more choices, or choices with descriptions or headings, are a list, which has no room for an attachment;
//! - a template with an attachment: it goes into the template's header, if the template has one;
//! - a sticker, a reaction or a contact card is alone; a template beside it is what goes out while the window is closed.
//!
//! Limits are those that `rules::content` has already checked. They are checked again because a message may have been
//! asked for by an older version of this host, and a refusal with a field's name helps more than Meta's.

mod interactive;
mod media;
mod template;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    domain::{
        content::{Card, Special},
        message::{Attachment, Content, MediaSource, Place},
    },
    rules::content::TEXT_CHARS_MAX,
};

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
    /// Where the host itself serves the file, for providers that take links alone.
    pub link: Option<String>,
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
    #[error("`{field}` is missing, which a list of several sections needs")]
    Missing { field: &'static str },
    #[error("a list has no room for an attachment; send two messages")]
    ListWithAttachment,
    #[error("the attachment stands where the `header` does; give one of them")]
    TwoHeaders,
    #[error("a link is a button below a text, and there is no text")]
    LinkWithoutText,
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
        Form::Template => {
            template::template(content.template.as_ref().ok_or(Error::NoTemplate)?, content.attachment.as_ref())
        }
        Form::Free => free(content),
    }
}

fn free(content: &Content) -> Result<Rendered, Error> {
    match &content.special {
        Some(Special::Sticker(sticker)) => return Ok(media::sticker(sticker)),
        Some(Special::Reaction { emoji }) => return Ok(Rendered::new(REACTION, json!({ "emoji": emoji }))),
        Some(Special::ContactCard(card)) => return Ok(contact(card)),
        Some(Special::Link(_)) | None => {}
    }
    // Where only a template was given, its text is what the customer is to read; inside the window it may go as free text.
    let body = content.text.as_deref().or_else(|| content.template.as_ref().map(|template| template.body.as_str()));
    if content.attachment.is_some() && content.location.is_some() {
        return Err(Error::AttachmentAndPlace);
    }
    match (&content.special, &content.attachment, &content.location, body) {
        (Some(Special::Link(link)), ..) => interactive::link(content, link, body),
        _ if !content.choices.is_empty() && content.is_list() => interactive::list(content, body),
        _ if !content.choices.is_empty() => interactive::buttons(content, body),
        (_, Some(attachment), _, _) => media::media(attachment, body),
        (_, None, Some(place), None) => Ok(location(place)),
        (_, None, Some(place), Some(text)) => plain(&with_map(text, place)),
        (_, None, None, Some(text)) => plain(text),
        (_, None, None, None) => Err(Error::Nothing),
    }
}

/// A rendition that names the message it is put on: whoever sends it puts the id of what is quoted into its payload.
pub const REACTION: &str = "reaction";

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

/// Meta wants a name of the parts beside the formatted one.
fn contact(card: &Card) -> Rendered {
    let mut contact = Map::new();
    contact.insert("name".to_owned(), json!({ "formatted_name": card.name, "first_name": card.name }));
    contact.insert("phones".to_owned(), json!([{ "phone": card.phone, "type": "WORK" }]));
    if let Some(organization) = &card.organization {
        contact.insert("org".to_owned(), json!({ "company": organization }));
    }
    if let Some(email) = &card.email {
        contact.insert("emails".to_owned(), json!([{ "email": email, "type": "WORK" }]));
    }
    Rendered::new("contacts", json!([contact]))
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

    /// With a link in place of the bytes; `None` where the host has none to give.
    pub fn with_link(&self) -> Option<Cow<'_, Rendered>> {
        let Some(upload) = &self.upload else { return Some(Cow::Borrowed(self)) };
        let link = upload.link.as_ref()?;
        let mut payload = self.payload.clone();
        payload.pointer_mut(upload.place)?.as_object_mut()?.insert("link".to_owned(), json!(link));
        Some(Cow::Owned(Rendered { kind: self.kind, payload, upload: None }))
    }

    fn uploading(self, attachment: &Attachment, place: &'static str) -> Rendered {
        // Meta wants a name in the upload even where the customer never sees it.
        let filename = attachment.filename.as_deref().unwrap_or("attachment");
        self.uploading_bytes(&attachment.source, &attachment.mime_type, filename, place)
    }

    fn uploading_bytes(
        mut self,
        source: &MediaSource,
        mime_type: &str,
        filename: &str,
        place: &'static str,
    ) -> Rendered {
        if let MediaSource::Bytes(base64) = source {
            self.upload = Some(Upload {
                base64: base64.clone(),
                mime_type: mime_type.to_owned(),
                filename: filename.to_owned(),
                place,
                link: None,
            });
        }
        self
    }
}

#[cfg(test)]
#[path = "whatsapp_tests.rs"]
mod tests;
