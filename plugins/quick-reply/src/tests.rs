use relais_plugin::testing::{Customer, World};
use serde_json::{Value, json};

use super::{QuickReply, Reply, fitting};

fn replies() -> Value {
    json!([
        {"keywords": ["menu", "la carte"], "text": "Today: tart.", "file": {"url": "https://shop.example/menu.pdf", "mime_type": "application/pdf", "name": "menu.pdf"}},
        {"keywords": ["horaires", "opening hours"], "text": {"en": "8 to 7.", "fr": "De 8 h à 19 h."}},
    ])
}

fn found(text: &str) -> Option<String> {
    let replies: Vec<Reply> = serde_json::from_value(replies()).unwrap();
    fitting(&replies, text).unwrap().map(|reply| reply.keywords[0].clone())
}

#[test]
fn a_keyword_is_a_whole_word_in_any_case_with_or_without_accents() {
    for text in ["Menu", "le menu, SVP !", "MÉNU?", "a la carte", "À LA CARTE"] {
        assert_eq!(found(text).as_deref(), Some("menu"), "{text}");
    }
    assert_eq!(found("What are your opening  hours?").as_deref(), Some("horaires"));
    for text in ["menuisier", "the opening of your hours", "la grande carte", "", "👍"] {
        assert_eq!(found(text), None, "{text}");
    }
}

#[test]
fn the_first_that_fits_is_sent_and_it_alone() {
    let mut world = World::from_manifest::<QuickReply>(include_str!("../plugin.toml"));
    world.add(Customer::new("lea").locale("fr-FR"));
    world.set_config("replies", replies());
    world.write("lea", "Vos horaires et le menu ?");
    assert_eq!(world.messages().len(), 1);
    let sent = world.last_message();
    assert_eq!(sent.attachment.as_deref(), Some("https://shop.example/menu.pdf (application/pdf)"));
    world.write("lea", "Vos horaires ?");
    assert_eq!(world.last_message().body, "De 8 h à 19 h.");
}

#[test]
fn a_keyword_of_signs_alone_is_told() {
    let replies: Vec<Reply> = serde_json::from_value(json!([{"keywords": ["?"], "text": "…"}])).unwrap();
    let why = fitting(&replies, "Hello?").err().unwrap().to_string();
    assert!(why.contains("config.replies[0].keywords"), "{why}");
}
