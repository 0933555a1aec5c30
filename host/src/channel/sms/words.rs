//! The few words that the host itself puts into an SMS, in the languages it knows.
//!
//! All of them are written in the GSM alphabet (hence no Spanish `número`), so that no word of ours makes a text longer.

use crate::domain::message::MediaKind;

pub(super) struct Words {
    pub(super) reply: &'static str,
    /// What opens a list on WhatsApp: 20 characters at most.
    choose: &'static str,
    /// Before a file's name where there is no link to it.
    pub(super) not_sent: &'static str,
    image: &'static str,
    audio: &'static str,
    video: &'static str,
    document: &'static str,
    /// French sets a space before its colons.
    pub(super) colon: &'static str,
}

impl Words {
    pub(super) fn media(&self, kind: MediaKind) -> &'static str {
        match kind {
            MediaKind::Image => self.image,
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
            MediaKind::Document => self.document,
        }
    }
}

/// The words of a language tag such as `fr`, `fr-CA` or `pt_BR`; `None` for a language that is not known here.
pub(super) fn words(tag: &str) -> Option<&'static Words> {
    let language = tag.split(['-', '_']).next().unwrap_or(tag).to_ascii_lowercase();
    ALL.iter().find(|(known, _)| *known == language).map(|(_, words)| words)
}

/// What opens a list, in this language where it is known here.
pub fn choose(language: Option<&str>) -> &'static str {
    language.and_then(words).unwrap_or(&ENGLISH).choose
}

/// Where neither the message nor the settings name a language that is known.
pub(super) fn english() -> &'static Words {
    &ENGLISH
}

const ENGLISH: Words = Words {
    reply: "Reply with the number.",
    choose: "Choose",
    not_sent: "Attachment not sent by SMS",
    image: "Photo",
    audio: "Audio",
    video: "Video",
    document: "Document",
    colon: ": ",
};

const ALL: [(&str, Words); 6] = [
    ("en", ENGLISH),
    (
        "fr",
        Words {
            reply: "Répondez par le numéro.",
            choose: "Choisir",
            not_sent: "Pièce jointe non transmise par SMS",
            image: "Photo",
            audio: "Audio",
            video: "Vidéo",
            document: "Document",
            colon: " : ",
        },
    ),
    (
        "de",
        Words {
            reply: "Antworten Sie mit der Nummer.",
            choose: "Auswählen",
            not_sent: "Anhang nicht per SMS gesendet",
            image: "Foto",
            audio: "Audio",
            video: "Video",
            document: "Dokument",
            colon: ": ",
        },
    ),
    (
        "nl",
        Words {
            reply: "Antwoord met het nummer.",
            choose: "Kiezen",
            not_sent: "Bijlage niet per sms verzonden",
            image: "Foto",
            audio: "Audio",
            video: "Video",
            document: "Document",
            colon: ": ",
        },
    ),
    (
        "es",
        Words {
            reply: "Responda con la cifra.",
            choose: "Elegir",
            not_sent: "Adjunto no enviado por SMS",
            image: "Foto",
            audio: "Audio",
            video: "Video",
            document: "Documento",
            colon: ": ",
        },
    ),
    (
        "it",
        Words {
            reply: "Risponda con il numero.",
            choose: "Scegli",
            not_sent: "Allegato non inviato per SMS",
            image: "Foto",
            audio: "Audio",
            video: "Video",
            document: "Documento",
            colon: ": ",
        },
    ),
];

#[cfg(test)]
mod tests {
    use super::{super::gsm, *};

    #[test]
    fn no_word_of_ours_makes_a_text_longer() {
        for (language, words) in &ALL {
            let Words { reply, choose, not_sent, image, audio, video, document, colon } = words;
            assert!(choose.chars().count() <= 20, "{language}");
            for word in [reply, choose, not_sent, image, audio, video, document, colon] {
                assert_eq!(gsm::encoding(word), gsm::Encoding::Gsm7, "{language}: {word}");
            }
        }
    }

    #[test]
    fn a_language_is_found_by_its_first_part() {
        assert_eq!(words("fr_FR").unwrap().reply, "Répondez par le numéro.");
        assert_eq!(words("DE-at").unwrap().colon, ": ");
        assert!(words("pl").is_none());
    }
}
