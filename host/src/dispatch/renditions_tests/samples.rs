//! One message of each kind of content, as a shop would send it.

use serde_json::{Value, json};

use crate::{
    domain::{
        content::Special,
        message::{Because, NewMessage, Recipient, SmsPolicy},
        purpose::Purpose,
    },
    ids::{CustomerId, MessageId, TenantId},
};

pub(super) struct Sample {
    pub(super) title: &'static str,
    /// What is special about it, in a sentence.
    pub(super) story: &'static str,
    pub(super) message: NewMessage,
}

fn sample(title: &'static str, story: &'static str, content: Value) -> Sample {
    let tenant = TenantId::default_tenant();
    let content: crate::domain::message::Content = serde_json::from_value(content).unwrap();
    let quotes = matches!(content.special, Some(Special::Reaction { .. })) || title.contains("quotes");
    let message = NewMessage {
        id: MessageId::of_request(&tenant, title),
        quote: quotes.then(|| MessageId::of_incoming(&tenant, "meta", "wamid.1")),
        tenant,
        author: None,
        to: Recipient::Customer(CustomerId::from("paul")),
        purpose: Purpose::Confirmation,
        because: Because::Reference("order/4821".to_owned()),
        content,
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: None,
        created: super::now(),
    };
    crate::rules::content::check(&message).unwrap();
    Sample { title, story, message }
}

/// An approved text with its places filled.
fn template(category: &str, more: Value) -> Value {
    let mut template = json!({
        "name": "order_ready", "category": category, "language": "en",
        "params": [["order", "4821"]], "body": "Your order 4821 is ready.",
    });
    for (name, value) in more.as_object().unwrap() {
        template[name] = value.clone();
    }
    template
}

fn url(mime_type: &str, file: &str) -> Value {
    json!({"source": {"url": format!("https://cdn.shop.example/{file}")}, "mime-type": mime_type})
}

fn bytes(mime_type: &str, filename: &str) -> Value {
    json!({"source": {"bytes": "MDEyMzQ1Njc4OQ=="}, "mime-type": mime_type, "filename": filename})
}

pub(super) fn samples() -> Vec<Sample> {
    let mut all = texts();
    all.extend(files());
    all.extend(choices());
    all.extend(others());
    all
}

fn texts() -> Vec<Sample> {
    let french = "Bonjour Zoé, votre commande est prête ! Elle vous attend au comptoir « Retrait » jusqu’à 19 h… Pensez à votre \
                  pièce d’identité. À très bientôt, l’équipe.";
    vec![
        sample(
            "Text",
            "Free text, without a template for the time when the window is closed.",
            json!({
                "text": "Your order 4821 is ready.",
            }),
        ),
        sample(
            "Text in French",
            "Typographic quotes, an ellipsis and `ê` would have it sent as UCS-2, in 3 parts.",
            json!({
                "text": french, "language": "fr", "template": template("utility", json!({"language": "fr", "body": "Votre commande 4821 est prête."})),
            }),
        ),
        sample(
            "Text with an SMS of its own",
            "What the author wrote for SMS goes out as it is.",
            json!({
                "text": "Your order 4821 is ready. See you soon at the counter!", "sms-text": "Order 4821 ready. STOP: 36111",
            }),
        ),
        sample("Text that quotes", "WhatsApp shows what is answered above the text.", json!({"text": "Until 8 p.m."})),
        sample(
            "Template",
            "Header, body, two quick replies and a button that opens a page.",
            json!({
                "template": template("utility", json!({
                    "header-text": {"text": "Order 4821", "param": ["order", "4821"]},
                    "buttons": ["order:4821:coming", "order:4821:later"],
                    "links": [{"index": 2, "label": "Follow it", "url": "https://shop.example/o/4821", "param": "4821"}],
                })),
                "choices": [{"id": "order:4821:coming", "label": "On my way"}, {"id": "order:4821:later", "label": "Later"}],
            }),
        ),
        sample(
            "Template that is advertising",
            "What is held back as advertising is not sent by another way.",
            json!({
                "template": template("marketing", json!({"name": "spring", "params": [], "body": "Our spring bread is here."})),
            }),
        ),
    ]
}

fn files() -> Vec<Sample> {
    vec![
        sample(
            "Image at a link",
            "With a caption, and a template with the image in its header.",
            json!({
                "text": "Your cake", "attachment": url("image/jpeg", "4821.jpg"), "template": template("utility", json!({"header": "image"})),
            }),
        ),
        sample(
            "Image given as bytes",
            "Uploaded once for WhatsApp; behind a short link in the SMS.",
            json!({
                "text": "Your cake", "attachment": bytes("image/png", "cake.png"),
            }),
        ),
        sample("Audio", "WhatsApp has no caption for it.", json!({"attachment": url("audio/ogg", "4821.ogg")})),
        sample(
            "Video",
            "Given as bytes, as an asset of a package is.",
            json!({
                "text": "The way to room 7", "attachment": bytes("video/mp4", "way.mp4"),
            }),
        ),
        sample(
            "Document",
            "A ticket, made by a plugin.",
            json!({
                "text": "Coach 12, seat 45", "attachment": bytes("application/pdf", "ticket.pdf"),
            }),
        ),
        sample(
            "Document at a long link",
            "The shop's own link, where it is longer than the host's, is a redirect.",
            json!({
                "text": "Your invoice",
                "attachment": {
                    "source": {"url": format!("https://files.shop.example/invoices/2026/11/4821.pdf?signature={}", "0123456789abcdef".repeat(8))},
                    "mime-type": "application/pdf", "filename": "invoice.pdf",
                },
            }),
        ),
        sample(
            "Sticker",
            "It says in words what it stands for.",
            json!({
                "special": {"sticker": {"source": {"url": "https://cdn.shop.example/thanks.webp"}, "text": "Thank you!"}},
            }),
        ),
        sample(
            "Sticker without words",
            "There is nothing that an SMS could say.",
            json!({
                "special": {"sticker": {"source": {"url": "https://cdn.shop.example/thanks.webp"}}},
            }),
        ),
    ]
}

fn choices() -> Vec<Sample> {
    vec![
        sample(
            "Reply buttons",
            "The number that is answered by SMS is the choice.",
            json!({
                "text": "Tuesday at 2.30 p.m. with Dr Example. Will you come?",
                "choices": [{"id": "77:yes", "label": "Yes"}, {"id": "77:no", "label": "No"}],
                "frame": {"header": "Your appointment", "footer": "Example Practice"},
                "template": template("utility", json!({
                    "name": "appointment", "params": [], "body": "Tuesday at 2.30 p.m. with Dr Example. Will you come?", "buttons": ["77:yes", "77:no"],
                })),
            }),
        ),
        sample(
            "List",
            "Numbered through its sections.",
            json!({
                "text": "When may we deliver?", "frame": {"list-button": "Choose"},
                "choices": [
                    {"id": "am", "label": "8 to 12", "description": "Free", "section": "Tomorrow"},
                    {"id": "pm", "label": "14 to 18", "description": "Free", "section": "Tomorrow"},
                    {"id": "sat", "label": "9 to 12", "description": "€4.90", "section": "Saturday"},
                ],
            }),
        ),
        sample(
            "Call to action",
            "A button that opens a page.",
            json!({
                "text": "Your parcel is on its way.", "special": {"link": {"label": "Follow it", "url": "https://shop.example/o/4821"}},
            }),
        ),
    ]
}

fn others() -> Vec<Sample> {
    let place = json!({
        "latitude": 48.8606, "longitude": 2.3376, "name": "Example Market", "address": "12 rue Exemple, 75001 Paris",
    });
    vec![
        sample("Place", "Shown on a map.", json!({"location": place})),
        sample(
            "Text with a place",
            "A place on WhatsApp has no caption, so the text is sent with a link to a map.",
            json!({
                "text": "Your parcel waits for you.", "location": place,
            }),
        ),
        sample(
            "Contact card",
            "Kept in the telephone with a tap.",
            json!({
                "special": {"contact-card": {"name": "Dr Example", "phone": "+33139980001", "organization": "Example Practice"}},
            }),
        ),
        sample("Reaction", "It belongs to a message on WhatsApp.", json!({"special": {"reaction": {"emoji": "👍"}}})),
    ]
}
