//! Contents and the bodies that come of them, compared whole.

use serde_json::json;

use super::*;
use crate::domain::{
    content::{Frame, HeaderText, Link, Sticker, TemplateLink},
    message::{Choice, MediaKind, Template},
    purpose::Category,
};

fn text(text: &str) -> Content {
    Content { text: Some(text.to_owned()), ..Content::default() }
}

fn by_link(mime_type: &str, url: &str) -> Attachment {
    Attachment { source: MediaSource::Url(url.to_owned()), mime_type: mime_type.to_owned(), filename: None }
}

fn by_bytes(mime_type: &str) -> Attachment {
    Attachment {
        source: MediaSource::Bytes("aGVsbG8=".to_owned()),
        mime_type: mime_type.to_owned(),
        filename: Some("ticket.pdf".to_owned()),
    }
}

fn choice(id: &str, label: &str) -> Choice {
    Choice::new(id, label)
}

fn ready() -> Template {
    Template {
        name: "commande_prete".to_owned(),
        category: Category::Utility,
        language: "fr".to_owned(),
        params: [("name", "Paul"), ("order", "4821")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        named: false,
        body: "Bonjour Paul, votre commande 4821 est prête.".to_owned(),
        header: None,
        header_text: None,
        buttons: vec!["coming".to_owned()],
        links: Vec::new(),
    }
}

#[track_caller]
fn check(content: Content, form: Form, kind: &str, payload: Value) -> Rendered {
    let rendered = render(&content, form).unwrap();
    assert_eq!((rendered.kind, &rendered.payload), (kind, &payload));
    rendered
}

#[test]
fn a_text_is_a_text() {
    check(
        text("Votre commande 4821 est prête."),
        Form::Free,
        "text",
        json!({"preview_url": false, "body": "Votre commande 4821 est prête."}),
    );
    check(
        text("Voir https://boulangerie.example/4821"),
        Form::Free,
        "text",
        json!({"preview_url": true, "body": "Voir https://boulangerie.example/4821"}),
    );
}

#[test]
fn media_by_link_carry_the_text_as_caption() {
    let link = "https://cdn.boulangerie.example/4821.jpg";
    let content = Content { attachment: Some(by_link("image/jpeg", link)), ..text("Votre gâteau") };
    check(content, Form::Free, "image", json!({"link": link, "caption": "Votre gâteau"}));
    let link = "https://cdn.salle.example/chemin.mp4";
    let content = Content { attachment: Some(by_link("video/mp4", link)), ..Content::default() };
    check(content, Form::Free, "video", json!({"link": link}));
}

#[test]
fn a_document_by_bytes_is_uploaded_and_keeps_its_name() {
    let content = Content { attachment: Some(by_bytes("application/pdf")), ..text("Voiture 12, place 45") };
    let rendered =
        check(content, Form::Free, "document", json!({"filename": "ticket.pdf", "caption": "Voiture 12, place 45"}));
    let upload = rendered.upload.unwrap();
    assert_eq!((upload.place, upload.mime_type.as_str()), ("", "application/pdf"));
    assert!(rendered.payload.pointer(upload.place).unwrap().is_object());
}

#[test]
fn audio_goes_alone_or_not_at_all() {
    let link = "https://cdn.example/a.ogg";
    let audio = by_link("audio/ogg; codecs=opus", link);
    let content = Content { attachment: Some(audio.clone()), ..Content::default() };
    check(content, Form::Free, "audio", json!({ "link": link }));
    let content = Content { attachment: Some(audio), ..text("Écoutez") };
    assert_eq!(render(&content, Form::Free), Err(Error::AudioAlone));
}

fn place() -> Place {
    Place {
        latitude: 48.8606,
        longitude: 2.3376,
        name: Some("Point relais du Marché".to_owned()),
        address: Some("12 rue Exemple, 75001 Paris".to_owned()),
    }
}

#[test]
fn a_place_alone_is_a_location_and_with_a_text_a_link_below_it() {
    check(
        Content { location: Some(place()), ..Content::default() },
        Form::Free,
        "location",
        json!({"latitude": 48.8606, "longitude": 2.3376, "name": "Point relais du Marché", "address": "12 rue Exemple, 75001 Paris"}),
    );
    check(
        Content { location: Some(place()), ..text("Votre colis vous attend.") },
        Form::Free,
        "text",
        json!({
            "preview_url": true,
            "body": "Votre colis vous attend.\n\nPoint relais du Marché, 12 rue Exemple, 75001 Paris\nhttps://maps.google.com/?q=48.8606,2.3376",
        }),
    );
}

#[test]
fn choices_are_reply_buttons() {
    let choices = vec![choice("rdv:77:oui", "Je viens"), choice("rdv:77:non", "J'annule")];
    check(
        Content { choices, ..text("Mardi à 14 h 30. Vous venez ?") },
        Form::Free,
        "interactive",
        json!({
            "type": "button",
            "body": {"text": "Mardi à 14 h 30. Vous venez ?"},
            "action": {"buttons": [
                {"type": "reply", "reply": {"id": "rdv:77:oui", "title": "Je viens"}},
                {"type": "reply", "reply": {"id": "rdv:77:non", "title": "J'annule"}},
            ]},
        }),
    );
}

#[test]
fn an_image_stands_above_the_choices() {
    let choices = vec![choice("keep", "Je le garde")];
    let link = "https://cdn.shop.example/shoe.png";
    let content =
        Content { choices: choices.clone(), attachment: Some(by_link("image/png", link)), ..text("Il en reste un.") };
    let body = json!({
        "type": "button",
        "header": {"type": "image", "image": {"link": link}},
        "body": {"text": "Il en reste un."},
        "action": {"buttons": [{"type": "reply", "reply": {"id": "keep", "title": "Je le garde"}}]},
    });
    check(content, Form::Free, "interactive", body);
    let content = Content { choices, attachment: Some(by_bytes("image/png")), ..text("Il en reste un.") };
    let rendered = render(&content, Form::Free).unwrap();
    assert!(rendered.payload.pointer(rendered.upload.unwrap().place).unwrap().is_object());
}

#[test]
fn a_template_names_its_parameters_by_place_and_its_quick_replies_by_index() {
    check(
        Content { template: Some(ready()), ..Content::default() },
        Form::Template,
        "template",
        json!({
            "name": "commande_prete",
            "language": {"code": "fr"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Paul"}, {"type": "text", "text": "4821"}]},
                {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "coming"}]},
            ],
        }),
    );
}

#[test]
fn the_attachment_goes_into_a_templates_header() {
    let link = "https://cdn.boulangerie.example/4821.jpg";
    let with_header = Template { header: Some(MediaKind::Image), buttons: vec![], ..ready() };
    let content =
        |attachment| Content { template: Some(with_header.clone()), attachment: Some(attachment), ..text("Prête") };
    let rendered = render(&content(by_link("image/jpeg", link)), Form::Template).unwrap();
    assert_eq!(
        rendered.payload["components"][0],
        json!({"type": "header", "parameters": [{"type": "image", "image": {"link": link}}]})
    );
    let rendered = render(&content(by_bytes("image/jpeg")), Form::Template).unwrap();
    assert!(rendered.payload.pointer(rendered.upload.unwrap().place).unwrap().is_object());
    let wrong = render(&content(by_link("video/mp4", link)), Form::Template);
    assert!(matches!(wrong, Err(Error::Header { .. })), "{wrong:?}");
}

#[test]
fn a_parameter_holds_no_line_breaks_and_a_language_has_an_underscore() {
    let template = Template {
        params: vec![("name".to_owned(), "Anne\n\tMarie     Exemple".to_owned())],
        language: "pt-BR".to_owned(),
        ..ready()
    };
    let rendered = render(&Content { template: Some(template), ..Content::default() }, Form::Template).unwrap();
    assert_eq!(rendered.payload["components"][0]["parameters"][0]["text"], "Anne Marie Exemple");
    assert_eq!(rendered.payload["language"]["code"], "pt_BR");
}

#[test]
fn inside_the_window_a_template_alone_goes_as_its_text() {
    let content = Content { template: Some(ready()), ..Content::default() };
    let rendered = render(&content, Form::Free).unwrap();
    assert_eq!((rendered.kind, &rendered.payload["body"]), ("text", &json!(ready().body)));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |content: Content, form| render(&content, form).unwrap_err();
    assert_eq!(refused(Content::default(), Form::Free), Error::Nothing);
    assert_eq!(refused(text("x"), Form::Template), Error::NoTemplate);
    assert_eq!(refused(text("  "), Form::Free), Error::Empty { field: "text" });
    assert_eq!(refused(text(&"é".repeat(4097)), Form::Free), Error::TooLong { field: "text", chars: 4097, max: 4096 });
    assert!(render(&text(&"é".repeat(4096)), Form::Free).is_ok());
    let captioned = Content { attachment: Some(by_bytes("image/png")), ..text(&"é".repeat(1025)) };
    assert!(matches!(refused(captioned, Form::Free), Error::TooLong { max: 1024, .. }));
    let eleven: Vec<Choice> = (0..11).map(|no| choice(&no.to_string(), &no.to_string())).collect();
    assert!(matches!(refused(Content { choices: eleven, ..text("?") }, Form::Free), Error::TooMany { max: 10, .. }));
    let twice = vec![choice("a", "Oui"), choice("b", "Oui")];
    assert!(matches!(refused(Content { choices: twice, ..text("?") }, Form::Free), Error::SameChoice(_)));
    let webp = Content { attachment: Some(by_link("image/webp", "https://x.example/a.webp")), ..Content::default() };
    assert!(matches!(refused(webp, Form::Free), Error::MediaType { .. }));
}

fn row(id: &str, label: &str, description: &str, section: &str) -> Choice {
    Choice { description: Some(description.to_owned()), section: Some(section.to_owned()), ..choice(id, label) }
}

/// The list of §1.4.
#[test]
fn choices_with_descriptions_are_a_list() {
    let choices = vec![
        row("liv:4821:am", "8 h – 12 h", "Gratuit", "Demain"),
        row("liv:4821:pm", "14 h – 18 h", "Gratuit", "Demain"),
    ];
    let content = Content {
        choices,
        frame: Frame { list_button: Some("Choisir".to_owned()), ..Frame::default() },
        ..text("Quel créneau pour votre livraison ?")
    };
    let body = json!({
        "type": "list",
        "body": {"text": "Quel créneau pour votre livraison ?"},
        "action": {"button": "Choisir", "sections": [{"title": "Demain", "rows": [
            {"id": "liv:4821:am", "title": "8 h – 12 h", "description": "Gratuit"},
            {"id": "liv:4821:pm", "title": "14 h – 18 h", "description": "Gratuit"},
        ]}]},
    });
    check(content, Form::Free, "interactive", body);
}

#[test]
fn more_than_three_choices_are_a_list_that_is_opened_in_the_messages_language() {
    let four: Vec<Choice> = ["a", "b", "c", "d"].map(|id| choice(id, id)).into();
    let content = |language: Option<&str>| Content {
        choices: four.clone(),
        language: language.map(str::to_owned),
        ..text("Lequel ?")
    };
    for (language, button) in [(Some("fr-FR"), "Choisir"), (Some("pl"), "Choose"), (None, "Choose")] {
        let rendered = render(&content(language), Form::Free).unwrap();
        assert_eq!(rendered.payload["action"]["button"], button, "{language:?}");
        assert_eq!(rendered.payload["action"]["sections"][0]["rows"][3], json!({"id": "d", "title": "d"}));
        assert!(rendered.payload["action"]["sections"][0].get("title").is_none());
    }
    let asked = Content { frame: Frame { list: true, ..Frame::default() }, choices: four[..2].to_vec(), ..text("?") };
    assert_eq!(render(&asked, Form::Free).unwrap().payload["type"], "list");
}

/// The reply buttons of §1.4, with their header and footer.
#[test]
fn header_and_footer_stand_around_what_is_tapped() {
    let frame = Frame {
        header: Some("Rendez-vous demain".to_owned()),
        footer: Some("Cabinet Exemple".to_owned()),
        ..Frame::default()
    };
    let content = Content {
        choices: vec![choice("rdv:77:oui", "Je viens"), choice("rdv:77:non", "J'annule")],
        frame: frame.clone(),
        ..text("Mardi à 14 h 30 avec le Dr Exemple. Vous venez ?")
    };
    let body = json!({
        "type": "button",
        "header": {"type": "text", "text": "Rendez-vous demain"},
        "body": {"text": "Mardi à 14 h 30 avec le Dr Exemple. Vous venez ?"},
        "footer": {"text": "Cabinet Exemple"},
        "action": {"buttons": [
            {"type": "reply", "reply": {"id": "rdv:77:oui", "title": "Je viens"}},
            {"type": "reply", "reply": {"id": "rdv:77:non", "title": "J'annule"}},
        ]},
    });
    check(content, Form::Free, "interactive", body);
    let link = Link { label: "Suivre".to_owned(), url: "https://colis.example/4821".to_owned() };
    let content = Content { special: Some(Special::Link(link)), frame, ..text("Il est parti.") };
    let body = json!({
        "type": "cta_url",
        "header": {"type": "text", "text": "Rendez-vous demain"},
        "body": {"text": "Il est parti."},
        "footer": {"text": "Cabinet Exemple"},
        "action": {"name": "cta_url", "parameters": {"display_text": "Suivre", "url": "https://colis.example/4821"}},
    });
    check(content, Form::Free, "interactive", body);
}

#[test]
fn stickers_reactions_and_cards_stand_alone() {
    let special = |special| Content { special: Some(special), ..Content::default() };
    let sticker = |source| special(Special::Sticker(Sticker { source, text: Some("Merci".to_owned()) }));
    let link = "https://cdn.example/merci.webp";
    check(sticker(MediaSource::Url(link.to_owned())), Form::Free, "sticker", json!({ "link": link }));
    let rendered = check(sticker(MediaSource::Bytes("UklGRg==".to_owned())), Form::Free, "sticker", json!({}));
    let upload = rendered.upload.unwrap();
    assert_eq!((upload.place, upload.mime_type.as_str()), ("", "image/webp"));
    check(special(Special::Reaction { emoji: "👍".to_owned() }), Form::Free, "reaction", json!({"emoji": "👍"}));
    let card = Card {
        name: "Dr Exemple".to_owned(),
        phone: "+33139980001".to_owned(),
        organization: Some("Cabinet Exemple".to_owned()),
        email: Some("dr@cabinet.example".to_owned()),
    };
    let body = json!([{
        "name": {"formatted_name": "Dr Exemple", "first_name": "Dr Exemple"},
        "phones": [{"phone": "+33139980001", "type": "WORK"}],
        "org": {"company": "Cabinet Exemple"},
        "emails": [{"email": "dr@cabinet.example", "type": "WORK"}],
    }]);
    check(special(Special::ContactCard(card)), Form::Free, "contacts", body);
    // While the window is closed it is the template that goes out.
    let beside = Content { template: Some(ready()), ..sticker(MediaSource::Url(link.to_owned())) };
    assert_eq!(render(&beside, Form::Template).unwrap().kind, "template");
    assert_eq!(render(&beside, Form::Free).unwrap().kind, "sticker");
}

/// The template of §1.4, all of it.
#[test]
fn a_template_has_header_body_and_buttons_in_this_order() {
    let param = |text: &str| (text.to_owned(), text.to_owned());
    let template = Template {
        params: vec![param("Paul"), param("4821"), param("2")],
        header: Some(MediaKind::Image),
        buttons: vec!["cmd:4821:j-arrive".to_owned()],
        links: vec![TemplateLink {
            index: 1,
            label: Some("Voir".to_owned()),
            url: "https://boulangerie.example/4821".to_owned(),
            param: Some("4821".to_owned()),
        }],
        ..ready()
    };
    let link = "https://cdn.boulangerie.example/4821.jpg";
    let content =
        Content { template: Some(template), attachment: Some(by_link("image/jpeg", link)), ..Content::default() };
    let body = json!({
        "name": "commande_prete",
        "language": {"code": "fr"},
        "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"link": link}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "Paul"}, {"type": "text", "text": "4821"}, {"type": "text", "text": "2"}]},
            {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "cmd:4821:j-arrive"}]},
            {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "4821"}]},
        ],
    });
    check(content, Form::Template, "template", body);
}

#[test]
fn a_header_of_text_has_a_parameter_and_named_parameters_their_names() {
    let template = Template {
        named: true,
        header_text: Some(HeaderText {
            text: "Commande 4821".to_owned(),
            param: Some(("order".to_owned(), "4821".to_owned())),
        }),
        // The quick reply stands behind a link that is always the same, for which nothing is sent.
        links: vec![TemplateLink { index: 0, label: None, url: "https://boulangerie.example".to_owned(), param: None }],
        ..ready()
    };
    let rendered = render(&Content { template: Some(template), ..Content::default() }, Form::Template).unwrap();
    let components = json!([
        {"type": "header", "parameters": [{"type": "text", "parameter_name": "order", "text": "4821"}]},
        {"type": "body", "parameters": [
            {"type": "text", "parameter_name": "name", "text": "Paul"},
            {"type": "text", "parameter_name": "order", "text": "4821"},
        ]},
        {"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{"type": "payload", "payload": "coming"}]},
    ]);
    assert_eq!(rendered.payload["components"], components);
}

#[test]
fn what_does_not_fit_a_list_or_a_frame_is_refused_by_name() {
    let refused = |content: Content| render(&content, Form::Free).unwrap_err();
    let four: Vec<Choice> = ["a", "b", "c", "d"].map(|id| choice(id, id)).into();
    let image = by_link("image/png", "https://x.example/a.png");
    let with_image = Content { choices: four.clone(), attachment: Some(image.clone()), ..text("?") };
    assert_eq!(refused(with_image), Error::ListWithAttachment);
    let halves = vec![row("a", "A", "x", "One"), Choice { section: None, ..row("b", "B", "x", "") }];
    assert_eq!(refused(Content { choices: halves, ..text("?") }), Error::Missing { field: "section" });
    let framed = |header: &str| Frame { header: Some(header.to_owned()), ..Frame::default() };
    let two = Content { choices: four[..1].to_vec(), attachment: Some(image), frame: framed("x"), ..text("?") };
    assert_eq!(refused(two), Error::TwoHeaders);
    let long = Content { choices: four, frame: framed(&"é".repeat(61)), ..text("?") };
    assert!(matches!(refused(long), Error::TooLong { field: "header", max: 60, .. }));
    let link = Special::Link(Link { label: "x".to_owned(), url: "https://x.example".to_owned() });
    assert_eq!(refused(Content { special: Some(link), ..Content::default() }), Error::LinkWithoutText);
}
