//! Files: which types and sizes WhatsApp takes (`channels.md` §1.12), and what can be checked of one before it is sent.
//!
//! A size is refused here, because nothing can be done about it later. A type that WhatsApp does not take is not: the file
//! can still go as a link, on either channel.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{bad, https};
use crate::{
    domain::message::{Attachment, Content, MediaKind, MediaSource},
    rules::Refusal,
};

/// What a kind of file may be.
#[derive(Debug)]
pub struct Takes {
    /// Empty where any will do: Meta shows an icon for a document that it does not know.
    pub types: &'static [&'static str],
    pub bytes_max: usize,
}

const IMAGE: Takes = Takes { types: &["image/jpeg", "image/png"], bytes_max: 5 << 20 };
const AUDIO: Takes =
    Takes { types: &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"], bytes_max: 16 << 20 };
const VIDEO: Takes = Takes { types: &["video/mp4", "video/3gpp"], bytes_max: 16 << 20 };
const DOCUMENT: Takes = Takes { types: &[], bytes_max: 100 << 20 };
/// A sticker is WebP; one that moves may be larger.
const STICKER_BYTES_MAX: usize = 100 << 10;
const MOVING_STICKER_BYTES_MAX: usize = 500 << 10;
/// The type of a sticker.
pub const STICKER_TYPE: &str = "image/webp";

pub fn takes(kind: MediaKind) -> &'static Takes {
    match kind {
        MediaKind::Image => &IMAGE,
        MediaKind::Audio => &AUDIO,
        MediaKind::Video => &VIDEO,
        MediaKind::Document => &DOCUMENT,
    }
}

/// Whether WhatsApp takes a file of this type as what it is.
pub fn is_taken(attachment: &Attachment) -> bool {
    let takes = takes(attachment.kind());
    takes.types.is_empty() || takes.types.contains(&attachment.bare_type().as_ref())
}

/// The size of what is written in base64.
pub fn bytes_of(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

pub(super) fn check(content: &Content) -> Result<(), Refusal> {
    let Some(attachment) = &content.attachment else { return Ok(()) };
    if content.location.is_some() {
        return bad("an attachment and a place do not fit one message; send two");
    }
    match &attachment.source {
        MediaSource::Url(url) => https("attachment.url", url),
        MediaSource::Bytes(base64) => {
            let (kind, bytes) = (attachment.kind(), bytes_of(base64));
            let limit = takes(kind).bytes_max;
            match bytes {
                0 => bad(format!("the {} is empty", kind.as_str())),
                bytes if bytes > limit => {
                    bad(format!("the {} has {bytes} bytes, {limit} at most are allowed", kind.as_str()))
                }
                _ => Ok(()),
            }
        }
    }
}

pub(super) fn sticker(base64: &str) -> Result<(), Refusal> {
    let bytes = bytes_of(base64);
    // The size is looked at first, so that nothing large is decoded to be refused.
    if bytes > MOVING_STICKER_BYTES_MAX {
        return bad(format!("the sticker has {bytes} bytes, {MOVING_STICKER_BYTES_MAX} at most are allowed"));
    }
    let Ok(picture) = STANDARD.decode(base64) else { return bad("the sticker's bytes are no base64") };
    match moves(&picture) {
        None => bad("the sticker is no WebP picture; a sticker is image/webp, 512 by 512"),
        Some(false) if bytes > STICKER_BYTES_MAX => {
            bad(format!("the sticker has {bytes} bytes; one that does not move may have {STICKER_BYTES_MAX} at most"))
        }
        Some(_) => Ok(()),
    }
}

/// Whether a WebP picture moves; `None` where it is none. Its extended header has a bit for that.
fn moves(picture: &[u8]) -> Option<bool> {
    const ANIMATION: u8 = 0b10;
    let is_webp = picture.starts_with(b"RIFF") && picture.get(8..12) == Some(b"WEBP");
    let extended = picture.get(12..16) == Some(b"VP8X");
    is_webp.then(|| extended && picture.get(20).is_some_and(|flags| flags & ANIMATION != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webp(chunk: &[u8], flags: u8, bytes: usize) -> String {
        let mut picture = [&b"RIFF\0\0\0\0WEBP"[..], chunk, &[0, 0, 0, 0, flags]].concat();
        picture.resize(bytes, 0);
        STANDARD.encode(picture)
    }

    #[test]
    fn a_sticker_that_moves_may_be_larger() {
        let still = STICKER_BYTES_MAX;
        assert!(sticker(&webp(b"VP8 ", 0, still - 2)).is_ok());
        assert!(sticker(&webp(b"VP8 ", 2, still + 9)).is_err(), "only the extended header has the bit");
        assert!(sticker(&webp(b"VP8X", 0, still + 9)).is_err());
        assert!(sticker(&webp(b"VP8X", 2, MOVING_STICKER_BYTES_MAX - 2)).is_ok());
        assert!(sticker(&webp(b"VP8X", 2, MOVING_STICKER_BYTES_MAX + 9)).is_err());
        for wrong in [STANDARD.encode("\u{89}PNG nonsense"), "no base64!".to_owned(), String::new()] {
            assert!(sticker(&wrong).is_err(), "{wrong}");
        }
    }

    /// The table of `channels.md` §1.12: every type by its kind, with the largest file that is taken and one that is not.
    #[test]
    fn every_type_has_its_kind_and_the_size_of_that_kind() {
        const MB: usize = 1 << 20;
        let table = [
            (MediaKind::Audio, 16 * MB, &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"][..]),
            (MediaKind::Document, 100 * MB, &["text/plain", "application/pdf", "application/msword"][..]),
            (MediaKind::Image, 5 * MB, &["image/jpeg", "image/png"][..]),
            (MediaKind::Video, 16 * MB, &["video/3gpp", "video/mp4"][..]),
        ];
        for (kind, bytes_max, types) in table {
            assert_eq!(takes(kind).bytes_max, bytes_max, "{kind:?}");
            for mime_type in types {
                let file = |base64: String| Attachment {
                    source: MediaSource::Bytes(base64),
                    mime_type: (*mime_type).to_owned(),
                    filename: None,
                };
                let small = file("AAAA".to_owned());
                assert_eq!((small.kind(), is_taken(&small)), (kind, true), "{mime_type}");
                // Three bytes are four letters; a document's hundred megabytes are believed after the others.
                if bytes_max <= 16 * MB {
                    let with = |bytes: usize| Content {
                        attachment: Some(file("A".repeat(bytes.div_ceil(3) * 4))),
                        ..Content::default()
                    };
                    assert_eq!(check(&with(bytes_max - 3)), Ok(()), "{mime_type}");
                    let refused = check(&with(bytes_max + 3)).unwrap_err().to_string();
                    assert!(refused.contains(&format!("{bytes_max} at most are allowed")), "{refused}");
                }
            }
        }
    }

    #[test]
    fn types_are_compared_without_their_parameters() {
        let file = |mime_type: &str| Attachment {
            source: MediaSource::Url(String::new()),
            mime_type: mime_type.to_owned(),
            filename: None,
        };
        for taken in ["image/jpeg", "IMAGE/PNG", "audio/ogg; codecs=opus", "video/mp4", "application/x-anything"] {
            assert!(is_taken(&file(taken)), "{taken}");
        }
        for refused in ["image/webp", "image/svg+xml", "audio/wav", "video/webm"] {
            assert!(!is_taken(&file(refused)), "{refused}");
        }
    }
}
