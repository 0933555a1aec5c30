//! What comes with a message beyond its content: what it was forwarded from, the advertisement that brought the customer, why it
//! cannot be shown, and what a kind has that no other has. It becomes attributes, whose names are those of the registry.
//!
//! Nothing in here names the sender: a plugin gets these whether it may have numbers or not.

use serde_json::Value;

use super::inbound::some_text;
use crate::channel::failure::shortened;

/// What is longer is left out whole: a part of a JSON text is none.
const JSON_BYTES_MAX: usize = 16 << 10;

/// `contact` is whoever wrote, as far as the webhook says.
pub(super) fn attributes(message: &Value, contact: Option<&Value>) -> Vec<(String, String)> {
    let mut all = Attributes(Vec::new());
    if let Some(contact) = contact {
        all.text("username", contact, "/profile/username");
    }
    all.flag("forwarded", message, "/context/forwarded");
    all.flag("frequently-forwarded", message, "/context/frequently_forwarded");
    all.json("referred-product", message, "/context/referred_product");
    for (name, pointer) in [
        ("referral-source-url", "/referral/source_url"),
        ("referral-source-id", "/referral/source_id"),
        ("referral-source-type", "/referral/source_type"),
        ("referral-headline", "/referral/headline"),
        ("referral-body", "/referral/body"),
        ("referral-media-type", "/referral/media_type"),
        ("referral-ctwa-clid", "/referral/ctwa_clid"),
        ("referral-welcome", "/referral/welcome_message/text"),
    ] {
        all.text(name, message, pointer);
    }
    of_kind(&mut all, message);
    all.0
}

fn of_kind(all: &mut Attributes, message: &Value) {
    match message.get("type").and_then(Value::as_str).unwrap_or_default() {
        "audio" => all.flag("voice", message, "/audio/voice"),
        "sticker" => all.flag("animated", message, "/sticker/animated"),
        "location" => all.text("url", message, "/location/url"),
        "contacts" => all.json("contacts", message, "/contacts"),
        "interactive" => {
            all.text("description", message, "/interactive/list_reply/description");
            all.text("form", message, "/interactive/nfm_reply/name");
            all.text_whole("form-response", message, "/interactive/nfm_reply/response_json");
        }
        "order" => {
            all.text("catalog", message, "/order/catalog_id");
            all.json("items", message, "/order/product_items");
        }
        "unsupported" | "unknown" => {
            let error = message.pointer("/errors/0").unwrap_or(&Value::Null);
            if let Some(code) = error.get("code").and_then(Value::as_i64) {
                all.0.push(("error-code".to_owned(), code.to_string()));
            }
            all.text("error-title", error, "/title");
            all.text("error-details", error, "/error_data/details");
        }
        _ => {}
    }
}

struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn text(&mut self, name: &str, of: &Value, pointer: &str) {
        self.0.extend(some_text(of, pointer).map(|text| (name.to_owned(), shortened(&text))));
    }

    /// A text that is of no use in part.
    fn text_whole(&mut self, name: &str, of: &Value, pointer: &str) {
        let text = some_text(of, pointer).filter(|text| text.len() <= JSON_BYTES_MAX);
        self.0.extend(text.map(|text| (name.to_owned(), text)));
    }

    fn flag(&mut self, name: &str, of: &Value, pointer: &str) {
        if of.pointer(pointer).and_then(Value::as_bool) == Some(true) {
            self.0.push((name.to_owned(), "true".to_owned()));
        }
    }

    fn json(&mut self, name: &str, of: &Value, pointer: &str) {
        let text = of.pointer(pointer).filter(|value| !value.is_null()).map(Value::to_string);
        self.0.extend(text.filter(|text| text.len() <= JSON_BYTES_MAX).map(|text| (name.to_owned(), text)));
    }
}
