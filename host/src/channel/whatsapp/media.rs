//! Files: alone with a caption, and as the header of buttons, of a link or of a template.

use serde_json::{Map, Value, json};

use super::{Error, Rendered, limit};
use crate::{
    domain::{
        content::Sticker,
        message::{Attachment, MediaKind, MediaSource},
    },
    rules::content::{
        CAPTION_CHARS_MAX,
        media::{STICKER_TYPE, is_taken},
    },
};

pub(super) fn media(attachment: &Attachment, caption: Option<&str>) -> Result<Rendered, Error> {
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

pub(super) fn sticker(sticker: &Sticker) -> Rendered {
    let object = match &sticker.source {
        MediaSource::Url(url) => json!({ "link": url }),
        MediaSource::Bytes(_) => json!({}),
    };
    Rendered::new("sticker", object).uploading_bytes(&sticker.source, STICKER_TYPE, "sticker.webp", "")
}

/// `{"type": "image", "image": {…}}`: a header of buttons or of a template.
pub(super) fn header(attachment: &Attachment) -> Result<Value, Error> {
    let kind = checked_kind(attachment)?;
    if kind == MediaKind::Audio {
        return Err(Error::AudioAlone);
    }
    let mut header = Map::new();
    header.insert("type".to_owned(), json!(kind.as_str()));
    header.insert(kind.as_str().to_owned(), Value::Object(media_object(attachment, kind)));
    Ok(Value::Object(header))
}

/// Where the id of an uploaded header goes, in an interactive message.
pub(super) fn place_in_frame(attachment: &Attachment) -> &'static str {
    match attachment.kind() {
        MediaKind::Image => "/header/image",
        MediaKind::Video => "/header/video",
        MediaKind::Audio | MediaKind::Document => "/header/document",
    }
}

/// The same in a template, whose header is its first component.
pub(super) fn place_in_template(attachment: &Attachment) -> &'static str {
    match attachment.kind() {
        MediaKind::Image => "/components/0/parameters/0/image",
        MediaKind::Video => "/components/0/parameters/0/video",
        MediaKind::Audio | MediaKind::Document => "/components/0/parameters/0/document",
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

fn checked_kind(attachment: &Attachment) -> Result<MediaKind, Error> {
    let kind = attachment.kind();
    if is_taken(attachment) {
        return Ok(kind);
    }
    let takes = match kind {
        MediaKind::Image => "image/jpeg and image/png",
        MediaKind::Audio => "audio/aac, audio/amr, audio/mpeg, audio/mp4 and audio/ogg",
        MediaKind::Video | MediaKind::Document => "video/mp4 and video/3gpp",
    };
    Err(Error::MediaType { mime_type: attachment.mime_type.clone(), kind: kind.as_str(), takes })
}
