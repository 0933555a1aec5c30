//! From the content model to the one text that an SMS is.
//!
//! What the author wrote for SMS goes out as it is. Otherwise the text (or the template's body) comes first, and what SMS
//! cannot show follows as lines: a link for media, a map for a place, numbers for choices.

use serde::Deserialize;

use super::{
    cut,
    gsm::{self, Encoding},
    transliterate,
    words::{self, Words},
};
use crate::domain::message::{Attachment, Choice, Content, MediaKind, MediaSource, NewMessage, Place};

/// A message as it goes out, with what it takes and what was changed to get there.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub text: String,
    pub encoding: Encoding,
    /// Septets, or UTF-16 units.
    pub units: u32,
    pub parts: u32,
    /// What the author wrote and the customer will not read so, one sentence each. Empty where nothing was changed.
    pub changed: Vec<String>,
}

/// How a tenant wants messages to read as SMS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Write `prête` as `prete` where that saves a part. Off, because it changes what the author wrote.
    pub transliterate: bool,
    /// What is longer is cut. Gateways stop at 6 to 10 parts, and nobody reads a longer SMS.
    pub parts_max: u32,
    /// For the host's own words where the message names no language that it knows.
    pub language: String,
    /// The map that a place is shown on, with `{latitude}` and `{longitude}` in it.
    pub map_url: String,
    /// Whether customers can answer the sender. A sender that is a name cannot be answered: choices are left out then.
    pub replies: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            transliterate: false,
            parts_max: 6,
            language: "en".to_owned(),
            map_url: "https://maps.google.com/?q={latitude},{longitude}".to_owned(),
            replies: true,
        }
    }
}

/// How the message reads as SMS.
pub fn render(message: &NewMessage, settings: &Settings) -> Text {
    let mut changed = Vec::new();
    let (mut head, mut tail) = written(&message.content, settings, &mut changed);
    if settings.transliterate
        && let Some(replaced) = transliterate::saving(&cut::join(&head, &tail))
    {
        head = transliterate::rewrite(&head);
        tail = transliterate::rewrite(&tail);
        changed.extend(replaced);
    }
    let text = cut::fit(&head, &tail, settings.parts_max.max(1), &mut changed);
    let gsm::Count { encoding, units, parts } = gsm::count(&text);
    Text { text, encoding, units, parts, changed }
}

/// The author's text, which may be cut, and the lines after it, which are of no use when cut.
fn written(content: &Content, settings: &Settings, changed: &mut Vec<String>) -> (String, String) {
    if let Some(text) = &content.sms_text {
        return (clean(text, changed), String::new());
    }
    let template = content.template.as_ref();
    let head = content.text.as_deref().or(template.map(|template| template.body.as_str())).unwrap_or_default();
    let words = template
        .and_then(|template| words::words(&template.language))
        .or_else(|| words::words(&settings.language))
        .unwrap_or(words::english());
    let mut lines = Vec::new();
    lines.extend(content.attachment.as_ref().map(|attachment| attachment_line(attachment, words, changed)));
    lines.extend(content.location.as_ref().map(|place| place_lines(place, &settings.map_url)));
    lines.extend(choice_lines(&content.choices, words, settings.replies, changed));
    (clean(head, changed), clean(&lines.join("\n"), changed))
}

/// `invoice.pdf: https://…`; without a link an honest line, because SMS carries no files.
fn attachment_line(attachment: &Attachment, words: &Words, changed: &mut Vec<String>) -> String {
    let kind = words.media(MediaKind::of(&attachment.mime_type));
    let label = attachment.filename.as_deref().unwrap_or(kind);
    match &attachment.source {
        MediaSource::Url(url) => format!("{label}{}{url}", words.colon),
        MediaSource::Bytes(_) => {
            changed.push(format!("the attachment `{label}` is named only: there is no link to it"));
            format!("[{}{}{label}]", words.not_sent, words.colon)
        }
    }
}

/// Name, address and a link that opens a map.
fn place_lines(place: &Place, map_url: &str) -> String {
    // Five decimals are a metre, which is as near as a door; more would only be longer.
    let map = map_url
        .replace("{latitude}", &format!("{:.5}", place.latitude))
        .replace("{longitude}", &format!("{:.5}", place.longitude));
    let lines = [place.name.as_deref(), place.address.as_deref(), Some(map.as_str())];
    lines.into_iter().flatten().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// `1 = Yes`, `2 = No` and how to answer. In the order of the choices, from 1: the answer `2` means the second.
fn choice_lines(choices: &[Choice], words: &Words, replies: bool, changed: &mut Vec<String>) -> Option<String> {
    if choices.is_empty() {
        return None;
    }
    if !replies {
        changed.push("the choices are left out: the sender of the SMS cannot be answered".to_owned());
        return None;
    }
    let numbered = choices.iter().enumerate().map(|(at, choice)| format!("{} = {}", at + 1, choice.label));
    Some(numbered.chain([words.reply.to_owned()]).collect::<Vec<_>>().join("\n"))
}

/// Line ends as SMS has them, and without control characters: telephones show them each in their own way.
fn clean(text: &str, changed: &mut Vec<String>) -> String {
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{2028}'], "\n").replace('\t', " ");
    let kept: String = text.chars().filter(|character| *character == '\n' || !character.is_control()).collect();
    if kept.len() < text.len() {
        changed.push("control characters are left out".to_owned());
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        domain::{
            message::{Because, Recipient, SmsPolicy, Template},
            purpose::{Category, Purpose},
        },
        ids::{MessageId, TenantId},
    };

    fn message(content: Content) -> NewMessage {
        let tenant = TenantId::default_tenant();
        NewMessage {
            id: MessageId::of_request(&tenant, "k"),
            tenant,
            author: None,
            to: Recipient::Phone("+33639981201".into()),
            purpose: Purpose::Confirmation,
            because: Because::Reference("order/4821".into()),
            content,
            sms: SmsPolicy::Fallback,
            fallback_after: None,
            expires: None,
            dedup_key: None,
            tag: None,
            quote: None,
            created: Timestamp(0),
        }
    }

    fn rendered(content: Content, settings: &Settings) -> Text {
        render(&message(content), settings)
    }

    fn french() -> Settings {
        Settings { language: "fr".into(), ..Settings::default() }
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn template(language: &str, body: &str) -> Option<Template> {
        Some(Template {
            name: "commande_prete".into(),
            category: Category::Utility,
            language: language.into(),
            params: Vec::new(),
            body: body.into(),
            header: None,
            buttons: Vec::new(),
        })
    }

    fn attachment(source: MediaSource, mime_type: &str, filename: Option<&str>) -> Option<Attachment> {
        Some(Attachment { source, mime_type: mime_type.into(), filename: filename.map(str::to_owned) })
    }

    #[test]
    fn what_the_author_wrote_for_sms_goes_out_as_it_is() {
        let content = Content { text: text("Long"), sms_text: text("Prete : 4821"), ..Content::default() };
        let sms = rendered(content, &french());
        assert_eq!((sms.text.as_str(), sms.encoding, sms.units, sms.parts), ("Prete : 4821", Encoding::Gsm7, 12, 1));
        assert!(sms.changed.is_empty());
    }

    #[test]
    fn free_text_comes_before_the_template_and_the_template_stands_in_for_it() {
        let both = Content { text: text("Libre"), template: template("fr", "Modèle"), ..Content::default() };
        assert_eq!(rendered(both, &french()).text, "Libre");
        let only = Content { template: template("fr", "Modèle"), ..Content::default() };
        assert_eq!(rendered(only, &french()).text, "Modèle");
    }

    #[test]
    fn media_become_a_line_with_the_link() {
        let link = || MediaSource::Url("https://cdn.boulangerie.example/4821.jpg".into());
        let named = attachment(link(), "image/jpeg", Some("4821.jpg"));
        let sms = rendered(Content { text: text("Prête"), attachment: named, ..Content::default() }, &french());
        assert_eq!(sms.text, "Prête\n4821.jpg : https://cdn.boulangerie.example/4821.jpg");
        for (mime, line) in [
            ("image/png", "Photo: "),
            ("audio/ogg", "Audio: "),
            ("video/mp4", "Video: "),
            ("application/pdf", "Document: "),
        ] {
            let content = Content { attachment: attachment(link(), mime, None), ..Content::default() };
            assert_eq!(
                rendered(content, &Settings::default()).text,
                format!("{line}https://cdn.boulangerie.example/4821.jpg")
            );
        }
    }

    #[test]
    fn a_file_without_a_link_is_named_honestly() {
        let bytes = attachment(MediaSource::Bytes("JVBERi0=".into()), "application/pdf", Some("ticket.pdf"));
        let sms = rendered(Content { text: text("Votre billet"), attachment: bytes, ..Content::default() }, &french());
        assert_eq!(sms.text, "Votre billet\n[Pièce jointe non transmise par SMS : ticket.pdf]");
        assert_eq!(sms.changed, ["the attachment `ticket.pdf` is named only: there is no link to it"]);
    }

    #[test]
    fn a_place_becomes_its_name_its_address_and_a_map() {
        let place = Place {
            latitude: 48.858_370_1,
            longitude: -2.294_481,
            name: text("Boulangerie"),
            address: text("1 rue du Four, Paris"),
        };
        let content = Content { location: Some(place.clone()), ..Content::default() };
        assert_eq!(
            rendered(content.clone(), &Settings::default()).text,
            "Boulangerie\n1 rue du Four, Paris\nhttps://maps.google.com/?q=48.85837,-2.29448"
        );
        let own = Settings { map_url: "https://carte.example/{longitude}/{latitude}".into(), ..Settings::default() };
        assert!(rendered(content, &own).text.ends_with("\nhttps://carte.example/-2.29448/48.85837"));
        let bare = Content { location: Some(Place { name: None, address: None, ..place }), ..Content::default() };
        assert_eq!(rendered(bare, &Settings::default()).text, "https://maps.google.com/?q=48.85837,-2.29448");
    }

    #[test]
    fn choices_become_numbers_in_the_language_of_the_message() {
        let choices = || {
            ["Oui", "Non"].iter().map(|label| Choice { id: label.to_lowercase(), label: (*label).to_owned() }).collect()
        };
        let replies = [
            ("fr_FR", "Répondez par le numéro."),
            ("en", "Reply with the number."),
            ("de", "Antworten Sie mit der Nummer."),
            ("nl", "Antwoord met het nummer."),
            ("es", "Responda con la cifra."),
            ("it-IT", "Risponda con il numero."),
            // A language that we do not know: the one of the settings.
            ("pl", "Répondez par le numéro."),
        ];
        for (language, reply) in replies {
            let content = Content { template: template(language, "OK ?"), choices: choices(), ..Content::default() };
            let sms = rendered(content, &french());
            assert_eq!(sms.text, format!("OK ?\n1 = Oui\n2 = Non\n{reply}"), "{language}");
            assert_eq!(sms.encoding, Encoding::Gsm7);
        }
    }

    #[test]
    fn a_sender_that_cannot_be_answered_offers_no_choices() {
        let choices = vec![Choice { id: "y".into(), label: "Oui".into() }];
        let content = Content { text: text("On vous attend."), choices, ..Content::default() };
        let sms = rendered(content, &Settings { replies: false, ..french() });
        assert_eq!(sms.text, "On vous attend.");
        assert_eq!(sms.changed, ["the choices are left out: the sender of the SMS cannot be answered"]);
    }

    #[test]
    fn accents_go_only_where_the_tenant_allows_it_and_a_part_is_saved() {
        let long = "Votre commande est prête. ".repeat(4);
        let content = Content { text: Some(long), ..Content::default() };
        assert_eq!(rendered(content.clone(), &french()).parts, 2);
        let sms = rendered(content, &Settings { transliterate: true, ..french() });
        assert_eq!((sms.encoding, sms.parts), (Encoding::Gsm7, 1));
        assert_eq!(sms.changed, ["`ê` written as `e`"]);
        let short = Content { text: text("Votre commande est prête, à tout de suite !"), ..Content::default() };
        let sms = rendered(short, &Settings { transliterate: true, ..french() });
        assert_eq!((sms.encoding, sms.units, sms.parts), (Encoding::Ucs2, 43, 1));
    }

    #[test]
    fn control_characters_do_not_go_out() {
        let content = Content { text: text(" a\r\nb\tc\u{1b}\0 "), ..Content::default() };
        let sms = rendered(content, &french());
        assert_eq!((sms.text.as_str(), sms.encoding), ("a\nb c", Encoding::Gsm7));
        assert_eq!(sms.changed, ["control characters are left out"]);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_but_its_link_is_not() {
        let link = MediaSource::Url("https://cdn.boulangerie.example/4821.pdf".into());
        let content = Content {
            text: Some("mot ".repeat(400)),
            attachment: attachment(link, "application/pdf", None),
            ..Content::default()
        };
        let sms = rendered(content, &Settings { parts_max: 2, ..french() });
        assert_eq!((sms.encoding, sms.parts), (Encoding::Gsm7, 2));
        assert!(sms.text.contains("mot...\nDocument : https://cdn.boulangerie.example/4821.pdf"), "{}", sms.text);
        assert_eq!(sms.changed.len(), 1);
    }
}
