//! A WhatsApp message as CM.com writes it: `richContent.conversation[]`, made from the bodies of the Cloud API.
//!
//! Text, media, places, buttons and templates have a form of CM's own. Bytes cannot be uploaded: they go as a link to the host
//! itself, where it has a public URL. Reactions have no form: such a message goes by another account or another channel.

use serde_json::{Map, Value, json};

use crate::channel::whatsapp::Rendered;

/// The entries of `conversation`, in the order in which they are shown.
pub(super) fn conversation(
    rendered: &Rendered,
    namespace: Option<&str>,
    mime_type: Option<&str>,
) -> Result<Vec<Value>, String> {
    let linked = rendered.with_link().ok_or(
        "CM.com takes media as a link only, and this is given as bytes; with server.public-url the host has a link to it",
    )?;
    let rendered = &*linked;
    let payload = &rendered.payload;
    match rendered.kind {
        "text" => Ok(vec![json!({"text": text(payload, "/body")})]),
        "image" | "video" | "audio" | "document" | "sticker" => {
            let media = media(payload, rendered.kind, mime_type)?;
            // A caption is no field of media at CM: it is the text before it.
            let caption = text(payload, "/caption");
            let caption = (!caption.is_empty()).then(|| json!({"text": caption}));
            Ok(caption.into_iter().chain([json!({"media": media})]).collect())
        }
        "location" => Ok(vec![json!({"location": place(payload)})]),
        "interactive" => Ok(vec![json!({"interactive": payload})]),
        "contacts" => Ok(vec![json!({"contacts": payload})]),
        "template" => Ok(vec![json!({"template": {"whatsapp": template(payload, namespace, mime_type)?}})]),
        other => Err(format!("CM.com has no form for a WhatsApp message of the type `{other}`")),
    }
}

fn template(payload: &Value, namespace: Option<&str>, mime_type: Option<&str>) -> Result<Value, String> {
    let mut own = Map::new();
    if let Some(namespace) = namespace {
        own.insert("namespace".to_owned(), json!(namespace));
    }
    own.insert("element_name".to_owned(), json!(text(payload, "/name")));
    let language = text(payload, "/language/code");
    own.insert("language".to_owned(), json!({"policy": "deterministic", "code": language}));
    let mut components = payload.get("components").and_then(Value::as_array).cloned().unwrap_or_default();
    for parameter in components.iter_mut().filter_map(|component| component.get_mut("parameters")?.as_array_mut()) {
        for parameter in parameter {
            let kind = text(parameter, "/type");
            if matches!(kind.as_str(), "image" | "video" | "document") {
                let inner = parameter.get(&kind).cloned().unwrap_or_default();
                *parameter = json!({"type": kind, "media": media(&inner, &kind, mime_type)?});
            }
        }
    }
    own.insert("components".to_owned(), Value::Array(components));
    Ok(Value::Object(own))
}

fn media(object: &Value, kind: &str, mime_type: Option<&str>) -> Result<Value, String> {
    let link = text(object, "/link");
    if link.is_empty() {
        return Err("CM.com takes media as a link only".to_owned());
    }
    let own_name = text(object, "/filename");
    let name = if own_name.is_empty() { last_part(&link) } else { own_name };
    let mime_type = mime_type.unwrap_or(usual_type(kind));
    Ok(json!({"mediaName": name, "mediaUri": link, "mimeType": mime_type}))
}

/// What the file of a link is called.
fn last_part(link: &str) -> String {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().filter(|name| !name.is_empty());
    name.unwrap_or("attachment").to_owned()
}

/// Where nobody says the type: what most files of the kind are.
fn usual_type(kind: &str) -> &'static str {
    match kind {
        "image" => "image/jpeg",
        "video" => "video/mp4",
        "audio" => "audio/mpeg",
        "sticker" => "image/webp",
        _ => "application/pdf",
    }
}

fn place(payload: &Value) -> Value {
    let mut place = Map::new();
    for (from, to) in [("latitude", "latitude"), ("longitude", "longitude"), ("name", "label"), ("address", "address")]
    {
        if let Some(value) = payload.get(from) {
            place.insert(to.to_owned(), value.clone());
        }
    }
    Value::Object(place)
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
