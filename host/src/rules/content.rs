//! Is the content well formed for at least one channel that it may take?
//!
//! Limits are those of the WhatsApp Cloud API (`channels.md` §1.4 and §1.12) and of SMS; a message that every channel would
//! refuse is refused when it is asked for, with the field's name, and not by a provider an hour later.

pub mod choices;
pub mod media;
mod special;

use super::Refusal;
use crate::domain::{
    content::Special,
    message::{Content, MediaSource, NewMessage, SmsPolicy, Template},
    text::nul_in,
};

/// `text.body` of the Cloud API, in characters.
pub const TEXT_CHARS_MAX: usize = 4096;
/// A caption, and the body of an interactive message, in characters. Sources disagree whether a list may have 4096.
pub const CAPTION_CHARS_MAX: usize = 1024;
/// What the Cloud API takes as a template's body after its parameters were put in, in characters.
pub const TEMPLATE_CHARS_MAX: usize = 1024;
/// The line above a body and the one below it, in characters, of a template too.
pub const FRAME_CHARS_MAX: usize = 60;
/// An address that a button opens, in characters.
pub const URL_CHARS_MAX: usize = 2000;

/// Checks what `message` says, whoever asked for it.
pub fn check(message: &NewMessage) -> Result<(), Refusal> {
    let content = &message.content;
    if !content.has_free() && content.template.is_none() && content.sms_text.is_none() {
        return bad("there is nothing to send: give a text, a template, an attachment or a place");
    }
    if message.sms == SmsPolicy::Only
        && let Some(why) = content.mute()
    {
        return bad(format!("{why}; call `text` or `sms-text`"));
    }
    if message.sms == SmsPolicy::Only && content.sms_text.is_none() && content.text.is_none() && says_nothing(content) {
        return bad("an SMS needs a text: call `text` or `sms-text`");
    }
    no_nul(content)?;
    texts(content)?;
    content.template.as_ref().map_or(Ok(()), template)?;
    choices::check(content)?;
    special::check(message)?;
    media::check(content)?;
    if let Some(place) = &content.location
        && !(place.latitude.abs() <= 90.0 && place.longitude.abs() <= 180.0)
    {
        return bad(format!("there is no place at latitude {}, longitude {}", place.latitude, place.longitude));
    }
    Ok(())
}

fn bad<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::BadContent(why.into()))
}

/// A file or a place alone is too little for an SMS that was asked for as such.
fn says_nothing(content: &Content) -> bool {
    content.template.is_none() && content.special.is_none()
}

/// Every text of it, by its name: a database that refuses one of them would refuse it again and again.
fn no_nul(content: &Content) -> Result<(), Refusal> {
    let bad = texts_of(content).into_iter().find_map(|(name, text)| nul_in(name, text?));
    bad.map_or(Ok(()), |why| Err(Refusal::BadContent(why)))
}

fn texts_of(content: &Content) -> Vec<(&'static str, Option<&str>)> {
    let (attachment, place, frame) = (&content.attachment, &content.location, &content.frame);
    let mut all = vec![
        ("text", content.text.as_deref()),
        ("sms-text", content.sms_text.as_deref()),
        ("language", content.language.as_deref()),
        ("header", frame.header.as_deref()),
        ("footer", frame.footer.as_deref()),
        ("list-button", frame.list_button.as_deref()),
        ("attachment.filename", attachment.as_ref().and_then(|file| file.filename.as_deref())),
        ("attachment.mime-type", attachment.as_ref().map(|file| file.mime_type.as_str())),
        ("location.name", place.as_ref().and_then(|place| place.name.as_deref())),
        ("location.address", place.as_ref().and_then(|place| place.address.as_deref())),
    ];
    for choice in &content.choices {
        all.extend([
            ("choices.id", Some(choice.id.as_str())),
            ("choices.label", Some(choice.label.as_str())),
            ("choices.description", choice.description.as_deref()),
            ("choices.section", choice.section.as_deref()),
        ]);
    }
    all.extend(content.template.iter().flat_map(texts_of_template));
    all.extend(content.special.iter().flat_map(texts_of_special));
    all
}

fn texts_of_template(template: &Template) -> Vec<(&'static str, Option<&str>)> {
    let mut all = vec![
        ("template.name", Some(template.name.as_str())),
        ("template.language", Some(template.language.as_str())),
        ("template", Some(template.body.as_str())),
    ];
    all.extend(template.params.iter().map(|(_, value)| ("template.params", Some(value.as_str()))));
    all.extend(template.header_text.iter().map(|header| ("template.header", Some(header.text.as_str()))));
    all.extend(template.links.iter().map(|link| ("template.links.url", Some(link.url.as_str()))));
    all.extend(template.links.iter().map(|link| ("template.links.label", link.label.as_deref())));
    all
}

fn texts_of_special(special: &Special) -> Vec<(&'static str, Option<&str>)> {
    match special {
        Special::Sticker(sticker) => {
            let (MediaSource::Url(source) | MediaSource::Bytes(source)) = &sticker.source;
            vec![("sticker", Some(source.as_str())), ("sticker.text", sticker.text.as_deref())]
        }
        Special::Link(link) => vec![("link.label", Some(link.label.as_str())), ("link.url", Some(link.url.as_str()))],
        Special::Reaction { emoji } => vec![("reaction.emoji", Some(emoji.as_str()))],
        Special::ContactCard(card) => vec![
            ("contact-card.name", Some(card.name.as_str())),
            ("contact-card.phone", Some(card.phone.as_str())),
            ("contact-card.organization", card.organization.as_deref()),
            ("contact-card.email", card.email.as_deref()),
        ],
    }
}

fn texts(content: &Content) -> Result<(), Refusal> {
    let captioned = content.attachment.is_some() || !content.choices.is_empty() || content.special.is_some();
    let limit = if captioned { CAPTION_CHARS_MAX } else { TEXT_CHARS_MAX };
    for (field, text, limit) in [("text", &content.text, limit), ("sms-text", &content.sms_text, TEXT_CHARS_MAX)] {
        let Some(text) = text else { continue };
        let chars = text.chars().count();
        if text.trim().is_empty() {
            return bad(format!("`{field}` is empty"));
        }
        if chars > limit {
            return bad(format!("`{field}` has {chars} characters, {limit} at most are allowed here"));
        }
    }
    Ok(())
}

fn template(template: &Template) -> Result<(), Refusal> {
    let header = template.header_text.as_ref().map_or("", |header| &header.text);
    let links = template.links.iter().map(|link| ("link", link.url.as_str(), URL_CHARS_MAX));
    let parts = [("body", template.body.as_str(), TEMPLATE_CHARS_MAX), ("header", header, FRAME_CHARS_MAX)];
    for (part, text, limit) in parts.into_iter().chain(links) {
        let chars = text.chars().count();
        if chars > limit {
            return Err(Refusal::BadTemplate(format!(
                "the {part} of `{}` has {chars} characters with its parameters, {limit} at most are allowed",
                template.name
            )));
        }
    }
    Ok(())
}

/// A text of 1 to `max` characters.
fn within(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > max {
        return bad(format!("`{field}` is `{text}`, of {chars} characters; it has to have 1 to {max}"));
    }
    Ok(())
}

fn https(field: &str, url: &str) -> Result<(), Refusal> {
    match url::Url::parse(url) {
        Err(error) => bad(format!("`{field}`: `{url}` is no URL: {error}")),
        Ok(parsed) if parsed.scheme() != "https" => {
            bad(format!("`{field}`: `{url}` does not begin with https://, which WhatsApp asks for"))
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
