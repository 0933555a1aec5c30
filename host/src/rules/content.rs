//! Is the content well formed for at least one channel that it may take?
//!
//! Limits are those of the WhatsApp Cloud API (`channels.md` §1.4) and of SMS; a message that every channel would refuse is
//! refused when it is asked for, with the field's name, and not by a provider an hour later.

use super::Refusal;
use crate::domain::{
    message::{Content, MediaKind, MediaSource, NewMessage, SmsPolicy},
    text::nul_in,
};

/// `text.body` of the Cloud API, in characters.
pub const TEXT_CHARS_MAX: usize = 4096;
/// A caption, and the body of an interactive message, in characters.
pub const CAPTION_CHARS_MAX: usize = 1024;
/// Reply buttons of one message.
pub const CHOICES_MAX: usize = 3;
/// A button's label, in characters, and its id.
pub const CHOICE_LABEL_CHARS_MAX: usize = 20;
pub const CHOICE_ID_CHARS_MAX: usize = 256;
/// What the Cloud API takes as a template's body after its parameters were put in, in characters.
pub const TEMPLATE_CHARS_MAX: usize = 1024;
/// Bytes of an attachment given as bytes, per kind: images are the narrowest.
pub const IMAGE_BYTES_MAX: usize = 5 << 20;
pub const MEDIA_BYTES_MAX: usize = 16 << 20;

/// Checks what `message` says, whoever asked for it.
pub fn check(message: &NewMessage) -> Result<(), Refusal> {
    let content = &message.content;
    let bad = |text: String| Err(Refusal::BadContent(text));
    let nothing = content.text.is_none()
        && content.template.is_none()
        && content.attachment.is_none()
        && content.location.is_none()
        && content.sms_text.is_none();
    if nothing {
        return bad("there is nothing to send: give a text, a template, an attachment or a place".to_owned());
    }
    if message.sms == SmsPolicy::Only
        && content.sms_text.is_none()
        && content.text.is_none()
        && content.template.is_none()
    {
        return bad("an SMS needs a text: call `text` or `sms-text`".to_owned());
    }
    no_nul(content)?;
    texts(content)?;
    choices(content)?;
    attachment(content)?;
    if let Some(place) = &content.location
        && !(place.latitude.abs() <= 90.0 && place.longitude.abs() <= 180.0)
    {
        return bad(format!("there is no place at latitude {}, longitude {}", place.latitude, place.longitude));
    }
    Ok(())
}

/// Every text of it, by its name: a database that refuses one of them would refuse it again and again.
fn no_nul(content: &Content) -> Result<(), Refusal> {
    let (attachment, place, template) = (&content.attachment, &content.location, &content.template);
    let some = [
        ("text", content.text.as_deref()),
        ("sms-text", content.sms_text.as_deref()),
        ("attachment.filename", attachment.as_ref().and_then(|file| file.filename.as_deref())),
        ("attachment.mime-type", attachment.as_ref().map(|file| file.mime_type.as_str())),
        ("location.name", place.as_ref().and_then(|place| place.name.as_deref())),
        ("location.address", place.as_ref().and_then(|place| place.address.as_deref())),
        ("template.name", template.as_ref().map(|template| template.name.as_str())),
        ("template.language", template.as_ref().map(|template| template.language.as_str())),
        ("template", template.as_ref().map(|template| template.body.as_str())),
    ];
    let params = template.iter().flat_map(|template| &template.params);
    let params = params.map(|(_, value)| ("template.params", Some(value.as_str())));
    let choices = content
        .choices
        .iter()
        .flat_map(|choice| [("choices.id", Some(choice.id.as_str())), ("choices.label", Some(choice.label.as_str()))]);
    let bad = params.chain(some).chain(choices).find_map(|(name, text)| nul_in(name, text?));
    bad.map_or(Ok(()), |why| Err(Refusal::BadContent(why)))
}

fn texts(content: &Content) -> Result<(), Refusal> {
    let captioned = content.attachment.is_some() || !content.choices.is_empty();
    let limit = if captioned { CAPTION_CHARS_MAX } else { TEXT_CHARS_MAX };
    for (field, text, limit) in [("text", &content.text, limit), ("sms-text", &content.sms_text, TEXT_CHARS_MAX)] {
        let Some(text) = text else { continue };
        let chars = text.chars().count();
        if text.trim().is_empty() {
            return Err(Refusal::BadContent(format!("`{field}` is empty")));
        }
        if chars > limit {
            return Err(Refusal::BadContent(format!(
                "`{field}` has {chars} characters, {limit} at most are allowed here"
            )));
        }
    }
    if let Some(template) = &content.template {
        let chars = template.body.chars().count();
        if chars > TEMPLATE_CHARS_MAX {
            return Err(Refusal::BadTemplate(format!(
                "`{}` has {chars} characters with its parameters, {TEMPLATE_CHARS_MAX} at most are allowed",
                template.name
            )));
        }
    }
    Ok(())
}

fn choices(content: &Content) -> Result<(), Refusal> {
    let choices = &content.choices;
    if choices.len() > CHOICES_MAX {
        return Err(Refusal::BadContent(format!("{} choices, {CHOICES_MAX} at most fit a message", choices.len())));
    }
    for (index, choice) in choices.iter().enumerate() {
        let label = choice.label.chars().count();
        if label == 0 || label > CHOICE_LABEL_CHARS_MAX {
            return Err(Refusal::BadContent(format!(
                "the label `{}` has {label} characters; a choice has 1 to {CHOICE_LABEL_CHARS_MAX}",
                choice.label
            )));
        }
        if choice.id.is_empty() || choice.id.chars().count() > CHOICE_ID_CHARS_MAX {
            return Err(Refusal::BadContent(format!("a choice's id has 1 to {CHOICE_ID_CHARS_MAX} characters")));
        }
        let again = choices.iter().take(index).any(|other| other.id == choice.id || other.label == choice.label);
        if again {
            return Err(Refusal::BadContent(format!("the choice `{}` is there twice", choice.label)));
        }
    }
    if !choices.is_empty() && content.text.is_none() && content.template.is_none() {
        return Err(Refusal::BadContent("choices need a text above them".to_owned()));
    }
    Ok(())
}

fn attachment(content: &Content) -> Result<(), Refusal> {
    let Some(attachment) = &content.attachment else { return Ok(()) };
    if content.location.is_some() {
        return Err(Refusal::BadContent("an attachment and a place do not fit one message; send two".to_owned()));
    }
    let kind = MediaKind::of(&attachment.mime_type);
    match &attachment.source {
        MediaSource::Url(url) => {
            let parsed =
                url::Url::parse(url).map_err(|error| Refusal::BadContent(format!("`{url}` is no URL: {error}")))?;
            if parsed.scheme() != "https" {
                return Err(Refusal::BadContent(format!(
                    "`{url}` does not begin with https://, which WhatsApp asks for"
                )));
            }
        }
        MediaSource::Bytes(base64) => {
            let bytes = base64.len() / 4 * 3;
            let limit = if kind == MediaKind::Image { IMAGE_BYTES_MAX } else { MEDIA_BYTES_MAX };
            if bytes > limit {
                return Err(Refusal::BadContent(format!(
                    "the {} has {bytes} bytes, {limit} at most are allowed",
                    kind.as_str()
                )));
            }
        }
    }
    Ok(())
}
