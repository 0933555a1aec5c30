//! A rendition for WhatsApp as it stands on the customer's screen, in letters.

use serde_json::Value;

use crate::domain::message::Content;

/// What is shown, or why nothing is.
pub(super) fn whatsapp(shown: &Value, content: &Content, quote: bool) -> Result<String, String> {
    if shown["nothing"].is_string() {
        return Err(super::sentence(shown["why"].as_str().unwrap()));
    }
    let (kind, payload) = (shown["kind"].as_str().unwrap(), &shown["payload"]);
    let mut lines = Vec::new();
    // The envelope has the quote, and it is no part of the rendition; a reaction is put on a message instead.
    if quote && kind != "reaction" && kind != "template" {
        lines.push("│ the message that is quoted".to_owned());
    }
    match kind {
        "text" => lines.extend(at(payload, "/body")),
        "image" | "audio" | "video" | "document" | "sticker" => {
            lines.push(media(kind, payload));
            lines.extend(at(payload, "/caption"));
        }
        "location" => {
            lines.push(format!("[map: {}, {}]", payload["latitude"], payload["longitude"]));
            lines.extend(["/name", "/address"].iter().filter_map(|pointer| at(payload, pointer)));
        }
        "contacts" => {
            lines.push(format!("[card: {}]", at(payload, "/0/name/formatted_name").unwrap()));
            let more = ["/0/org/company", "/0/phones/0/phone", "/0/emails/0/email"];
            lines.extend(more.iter().filter_map(|pointer| at(payload, pointer)));
        }
        "reaction" => lines.push(format!("{} on the message", at(payload, "/emoji").unwrap())),
        "template" => template(payload, content, &mut lines),
        "interactive" => interactive(payload, &mut lines),
        other => panic!("how is `{other}` shown?"),
    }
    Ok(lines.join("\n"))
}

fn at(payload: &Value, pointer: &str) -> Option<String> {
    payload.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn media(kind: &str, object: &Value) -> String {
    let from = at(object, "/link").unwrap_or_else(|| "uploaded".to_owned());
    match at(object, "/filename") {
        Some(name) => format!("[{kind} {name}, {from}]"),
        None => format!("[{kind}, {from}]"),
    }
}

fn template(payload: &Value, content: &Content, lines: &mut Vec<String>) {
    let template = content.template.as_ref().unwrap();
    let header = &payload["components"][0]["parameters"][0];
    match at(header, "/type").filter(|kind| kind != "text") {
        Some(kind) if payload["components"][0]["type"] == "header" => lines.push(media(&kind, &header[&kind])),
        _ => lines.extend(template.header_text.iter().map(|header| format!("*{}*", header.text))),
    }
    lines.push(template.body.clone());
    // The label of a quick reply is the template's own; the message has only what its answer means.
    let mut buttons: Vec<(usize, String)> =
        template.quick_replies().map(|(index, id)| (index, format!("( answers {id} )"))).collect();
    let label = |link: &crate::domain::content::TemplateLink| link.label.clone().unwrap_or_else(|| link.url.clone());
    buttons.extend(template.links.iter().map(|link| (link.index, format!("( {} → {} )", label(link), link.url))));
    buttons.sort();
    lines.extend(buttons.into_iter().map(|(_, button)| button));
}

fn interactive(payload: &Value, lines: &mut Vec<String>) {
    match at(payload, "/header/type").as_deref() {
        Some("text") => lines.push(format!("*{}*", at(payload, "/header/text").unwrap())),
        Some(kind) => lines.push(media(kind, &payload["header"][kind])),
        None => {}
    }
    lines.extend(at(payload, "/body/text"));
    lines.extend(at(payload, "/footer/text").map(|footer| format!("_{footer}_")));
    let buttons = payload.pointer("/action/buttons").and_then(Value::as_array).into_iter().flatten();
    lines.extend(buttons.map(|button| format!("( {} )", at(button, "/reply/title").unwrap())));
    if let Some(url) = at(payload, "/action/parameters/url") {
        lines.push(format!("( {} → {url} )", at(payload, "/action/parameters/display_text").unwrap()));
    }
    let Some(sections) = payload.pointer("/action/sections").and_then(Value::as_array) else { return };
    lines.push(format!("( {} ), which opens:", at(payload, "/action/button").unwrap()));
    for section in sections {
        lines.extend(at(section, "/title").map(|title| format!("  {title}")));
        for row in section["rows"].as_array().unwrap() {
            let more = at(row, "/description").map_or(String::new(), |more| format!(" ({more})"));
            lines.push(format!("  • {}{more}", at(row, "/title").unwrap()));
        }
    }
}
