//! What a person sends that is not text: small files of the simulator's own, contact cards and reactions, in Meta's words.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Content, Error, Picture, Write, set};

/// The smallest picture there is, one transparent point.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac\xfc\xff\xff?\x03\0\x08\xfc\x02\xfe\xa7\x9a\xa0\xa0\0\0\0\0IEND\xaeB`\x82";
/// The same as a sticker.
const WEBP: &[u8] = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";
/// The beginnings of a film and of a recording: enough to tell what they are, and nothing to see or to hear.
const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
const OGG: &[u8] = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0";
const PDF: &[u8] = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

/// Takes the one file that is written out of `write`; two are a mistake.
pub(crate) fn of(write: &mut Write) -> Result<Option<(&'static str, Picture)>, Error> {
    let named = [
        ("image", write.image.take()),
        ("video", write.video.take()),
        ("audio", write.audio.take()),
        ("document", write.document.take()),
        ("sticker", write.sticker.take()),
    ];
    let mut given = named.into_iter().filter_map(|(kind, picture)| Some((kind, picture?)));
    let first = given.next();
    match given.next() {
        Some((field, _)) => Err(Error::Field { field, problem: "is a second file; a message carries one".into() }),
        None => Ok(first),
    }
}

/// What a phone sends of each kind where nothing is given.
pub(crate) fn sample(kind: &str) -> (&'static str, Bytes) {
    let (mime_type, bytes) = match kind {
        "video" => ("video/mp4", MP4),
        "audio" => ("audio/ogg; codecs=opus", OGG),
        "document" => ("application/pdf", PDF),
        "sticker" => ("image/webp", WEBP),
        _ => ("image/png", PNG),
    };
    (mime_type, Bytes::from_static(bytes))
}

/// A file in Meta's words; its id and its hash are added by whoever keeps it.
pub(crate) fn message(content: &Content) -> Value {
    let Some(media) = content.media.first() else { return Value::Null };
    let mut file = json!({"mime_type": media.mime_type});
    match media.kind.as_str() {
        // What is recorded in WhatsApp is a voice message.
        "audio" => set(&mut file, "voice", true),
        "sticker" => set(&mut file, "animated", false),
        "document" => set(&mut file, "filename", media.filename.as_deref().unwrap_or("document.pdf")),
        _ => {}
    }
    if let Some(caption) = content.text.as_deref().filter(|_| !matches!(media.kind.as_str(), "audio" | "sticker")) {
        set(&mut file, "caption", caption);
    }
    json!({"type": media.kind, &media.kind: file})
}

/// The card's number is kept where another message has its header.
pub(crate) fn contacts(content: &Content) -> Value {
    let name = content.text.clone().unwrap_or_default();
    let phone = content.header.clone().unwrap_or_default();
    let first = name.split(' ').next().unwrap_or_default();
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    json!({"type": "contacts", "contacts": [{
        "name": {"first_name": first, "formatted_name": name},
        "phones": [{"phone": phone, "wa_id": digits, "type": "CELL"}],
    }]})
}

pub(crate) fn reaction(content: &Content) -> Value {
    let mut reaction = json!({"message_id": content.quotes});
    if let Some(emoji) = &content.text {
        set(&mut reaction, "emoji", emoji.as_str());
    }
    json!({"type": "reaction", "reaction": reaction})
}
