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
use crate::{
    domain::{
        content::{Card, Special},
        message::{Attachment, Choice, Content, MediaSource, NewMessage, Place, Template},
    },
    links::Links,
    rules::content::choices::sections,
};

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
    /// Links to files, where the host has a public URL. Made from that and no setting of its own.
    #[serde(skip)]
    pub(crate) links: Option<Links>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            transliterate: false,
            parts_max: 6,
            language: "en".to_owned(),
            map_url: "https://maps.google.com/?q={latitude},{longitude}".to_owned(),
            replies: true,
            links: None,
        }
    }
}

/// How the message reads as SMS.
pub fn render(message: &NewMessage, settings: &Settings) -> Text {
    let mut changed = Vec::new();
    let (mut head, mut tail) = written(message, settings, &mut changed);
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
fn written(message: &NewMessage, settings: &Settings, changed: &mut Vec<String>) -> (String, String) {
    let content = &message.content;
    if let Some(text) = &content.sms_text {
        return (clean(text, changed), String::new());
    }
    let language = content.spoken().and_then(words::words);
    let words = language.or_else(|| words::words(&settings.language)).unwrap_or(words::english());
    // A text says what the template would: the template's own lines go with its body alone.
    let template = content.template.as_ref().filter(|_| content.text.is_none());
    let mut lines = Vec::new();
    lines.extend(content.attachment.as_ref().map(|attachment| {
        let short = settings.links.as_ref().map(|links| links.url(message));
        attachment_line(attachment, short, words, changed)
    }));
    lines.extend(content.location.as_ref().map(|place| place_lines(place, &settings.map_url)));
    lines.extend(content.special.as_ref().and_then(|special| special_lines(special, words)));
    lines.extend(template.and_then(|template| link_lines(template, words)));
    lines.extend(choice_lines(&content.choices, words, settings.replies, changed));
    if message.quote.is_some() {
        changed.push("what it quotes is left out: an SMS stands alone".to_owned());
    }
    if content.frame.footer.is_some() {
        changed.push("the footer is left out: an SMS has its sender's name".to_owned());
    }
    (clean(&head(content, template), changed), clean(&lines.join("\n"), changed))
}

/// The header above the text. A sticker says what its author has it say.
fn head(content: &Content, template: Option<&Template>) -> String {
    let header = content.frame.header.as_deref();
    let header = header.or(template.and_then(|template| Some(template.header_text.as_ref()?.text.as_str())));
    let stands_for = match &content.special {
        Some(Special::Sticker(sticker)) => sticker.text.as_deref(),
        _ => None,
    };
    let body = content.text.as_deref().or(stands_for).or(template.map(|template| template.body.as_str()));
    header.into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

/// `Follow it: https://…` for a button that opens a page, and whom to call for a card.
fn special_lines(special: &Special, words: &Words) -> Option<String> {
    match special {
        Special::Link(link) => Some(format!("{}{}{}", link.label, words.colon, link.url)),
        Special::ContactCard(card) => Some(card_lines(card, words)),
        Special::Sticker(_) | Special::Reaction { .. } => None,
    }
}

/// `Dr Example (Practice): +33139980001`, and the address for mail below it.
fn card_lines(card: &Card, words: &Words) -> String {
    let name = match &card.organization {
        Some(organization) => format!("{} ({organization})", card.name),
        None => card.name.clone(),
    };
    let line = format!("{name}{}{}", words.colon, card.phone);
    [Some(line.as_str()), card.email.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// The buttons of a template that open a page.
fn link_lines(template: &Template, words: &Words) -> Option<String> {
    let line = |link: &crate::domain::content::TemplateLink| match &link.label {
        Some(label) => format!("{label}{}{}", words.colon, link.url),
        None => link.url.clone(),
    };
    let lines: Vec<String> = template.links.iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// `invoice.pdf: https://…`: the author's own link where it is no longer than the host's, because customers know the shop's
/// name. What is given as bytes is at the host's link; a host without a public URL has none, and then an honest line stands
/// there, because SMS carries no files.
fn attachment_line(attachment: &Attachment, short: Option<String>, words: &Words, changed: &mut Vec<String>) -> String {
    let kind = words.media(attachment.kind());
    let label = attachment.filename.as_deref().unwrap_or(kind);
    match (&attachment.source, short) {
        (MediaSource::Url(url), Some(short)) if short.len() < url.len() => {
            changed.push(format!("the link to `{label}` is a shorter one, which leads there"));
            format!("{label}{}{short}", words.colon)
        }
        (MediaSource::Url(url), _) => format!("{label}{}{url}", words.colon),
        (MediaSource::Bytes(_), Some(short)) => format!("{label}{}{short}", words.colon),
        (MediaSource::Bytes(_), None) => {
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

/// `1 = Yes`, `2 = No` and how to answer. In the order of the choices, from 1: the answer `2` means the second, whatever
/// heading it stands under.
fn choice_lines(choices: &[Choice], words: &Words, replies: bool, changed: &mut Vec<String>) -> Option<String> {
    if choices.is_empty() {
        return None;
    }
    if !replies {
        changed.push("the choices are left out: the sender of the SMS cannot be answered".to_owned());
        return None;
    }
    let mut lines = Vec::with_capacity(choices.len() + 1);
    let mut numbers = 1..;
    for (title, rows) in sections(choices) {
        lines.extend(title.map(str::to_owned));
        for (choice, number) in rows.iter().zip(numbers.by_ref()) {
            lines.push(match &choice.description {
                Some(description) => format!("{number} = {} ({description})", choice.label),
                None => format!("{number} = {}", choice.label),
            });
        }
    }
    lines.push(words.reply.to_owned());
    Some(lines.join("\n"))
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
            content::{Frame, HeaderText, Link, Sticker, TemplateLink},
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
            named: false,
            header: None,
            header_text: None,
            buttons: Vec::new(),
            links: Vec::new(),
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
    fn a_file_is_behind_a_link_of_the_hosts_where_that_is_the_only_or_the_shorter_one() {
        let links = Links::new("https://r.example", &[0; 32], std::time::Duration::from_secs(60));
        let linked = Settings { links: Some(links), ..Settings::default() };
        let sms = |source| {
            let content =
                Content { attachment: attachment(source, "application/pdf", Some("a.pdf")), ..Content::default() };
            rendered(content, &linked)
        };
        let made = sms(MediaSource::Bytes("JVBERi0=".into()));
        assert!(made.text.starts_with("a.pdf: https://r.example/m/"), "{}", made.text);
        assert_eq!((made.units, made.parts, made.changed.len()), (7 + 20 + 43, 1, 0));
        assert_eq!(made.encoding, Encoding::Gsm7);
        let short = sms(MediaSource::Url("https://shop.example/a.pdf".into()));
        assert_eq!(short.text, "a.pdf: https://shop.example/a.pdf");
        let long = sms(MediaSource::Url(format!("https://shop.example/{}.pdf", "a".repeat(150))));
        assert_eq!(
            (&long.text, long.changed.as_slice()),
            (&made.text, &["the link to `a.pdf` is a shorter one, which leads there".to_owned()][..])
        );
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
        let choices = || ["Oui", "Non"].iter().map(|label| Choice::new(label.to_lowercase(), *label)).collect();
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
    fn a_list_is_numbered_through_its_headings() {
        let row = |id: &str, label: &str, section: &str| Choice {
            description: (id == "am").then(|| "gratuit".to_owned()),
            section: text(section),
            ..Choice::new(id, label)
        };
        let choices =
            vec![row("am", "8 h - 12 h", "Demain"), row("pm", "14 h - 18 h", "Demain"), row("x", "9 h", "Lundi")];
        let sms = rendered(Content { text: text("Quel moment ?"), choices, ..Content::default() }, &french());
        let expected =
            "Quel moment ?\nDemain\n1 = 8 h - 12 h (gratuit)\n2 = 14 h - 18 h\nLundi\n3 = 9 h\nRépondez par le numéro.";
        assert_eq!((sms.text.as_str(), sms.encoding), (expected, Encoding::Gsm7));
    }

    #[test]
    fn a_link_a_card_and_a_sticker_are_said_in_words() {
        let link = Special::Link(Link { label: "Suivre".into(), url: "https://colis.example/4821".into() });
        let content = Content {
            text: text("Votre colis est parti."),
            special: Some(link),
            frame: Frame { header: text("Colis 4821"), footer: text("La Poste"), ..Frame::default() },
            ..Content::default()
        };
        let sms = rendered(content, &french());
        assert_eq!(sms.text, "Colis 4821\nVotre colis est parti.\nSuivre : https://colis.example/4821");
        assert_eq!(sms.changed, ["the footer is left out: an SMS has its sender's name"]);
        let card = Card {
            name: "Dr Exemple".into(),
            phone: "+33139980001".into(),
            organization: text("Cabinet"),
            email: text("dr@example.com"),
        };
        let content = Content { special: Some(Special::ContactCard(card)), ..Content::default() };
        assert_eq!(rendered(content, &french()).text, "Dr Exemple (Cabinet) : +33139980001\ndr@example.com");
        let sticker = |text| Special::Sticker(Sticker { source: MediaSource::Bytes(String::new()), text });
        let content = |said| Content { special: Some(sticker(said)), ..Content::default() };
        assert_eq!(rendered(content(text("Merci !")), &french()).text, "Merci !");
        assert!(content(None).mute().is_some() && content(text("Merci !")).mute().is_none());
        let reaction = Content { special: Some(Special::Reaction { emoji: "👍".into() }), ..Content::default() };
        assert!(reaction.mute().unwrap().contains("a reaction has no SMS"));
    }

    #[test]
    fn a_templates_header_and_links_go_with_its_body_and_not_with_a_text() {
        let mut own = template("fr", "Prête.").unwrap();
        own.header_text = Some(HeaderText { text: "Commande 4821".into(), param: None });
        let url = "https://boulangerie.example/4821";
        own.links = vec![TemplateLink { index: 0, label: text("Voir"), url: url.into(), param: None }];
        let content = Content { template: Some(own), ..Content::default() };
        assert_eq!(rendered(content.clone(), &french()).text, format!("Commande 4821\nPrête.\nVoir : {url}"));
        assert_eq!(rendered(Content { text: text("Libre"), ..content }, &french()).text, "Libre");
    }

    #[test]
    fn a_sender_that_cannot_be_answered_offers_no_choices() {
        let choices = vec![Choice::new("y", "Oui")];
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
