//! Interactive messages: reply buttons, lists, and links as buttons.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Button, Content,
    meta_body::{Problem, required},
};

pub(crate) fn check(own: &Value) -> Result<Content, Problem> {
    let kind = required(own, "type")?;
    let action = own.get("action").ok_or_else(|| Problem::missing("interactive['action']"))?;
    let mut content = frame(own)?;
    match kind {
        "button" => {
            content.kind = "buttons".into();
            content.buttons = reply_buttons(action)?;
        }
        "list" => {
            content.kind = "list".into();
            content.buttons = rows(action)?;
        }
        "cta_url" => {
            content.kind = "cta-url".into();
            content.buttons = vec![link(action)?];
        }
        "location_request_message"
        | "flow"
        | "product"
        | "product_list"
        | "catalog_message"
        | "order_details"
        | "order_status"
        | "request_contact_info"
        | "call_permission_request"
        | "voice_call"
        | "carousel" => content.kind = kind.into(),
        other => return Err(Problem::value(format!("interactive['type'] is not valid: {other}"))),
    }
    Ok(content)
}

/// Header, body and footer. Media headers are shown by their link.
fn frame(own: &Value) -> Result<Content, Problem> {
    let part = |name: &str, pointer: &str, characters_max: usize| match own.pointer(pointer).and_then(Value::as_str) {
        Some(text) if text.chars().count() > characters_max => Err(Problem::value(format!(
            "interactive['{name}']: length invalid. Min length: 1, Max length: {characters_max}"
        ))),
        text => Ok(text.map(str::to_owned)),
    };
    // The bound for lists is said to be 4096; 1024 is what all sources agree on for the rest.
    let body_max = if own.get("type").and_then(Value::as_str) == Some("list") { 4096 } else { 1024 };
    let text = part("body", "/body/text", body_max)?.filter(|text| !text.is_empty());
    // A product is shown by itself; everything else needs words.
    let bare = own.get("type").and_then(Value::as_str) == Some("product");
    if text.is_none() && !bare {
        return Err(Problem::missing("interactive['body']['text']"));
    }
    Ok(Content {
        text,
        header: part("header", "/header/text", 60)?,
        footer: part("footer", "/footer/text", 60)?,
        media: header_media(own),
        ..Content::default()
    })
}

fn header_media(own: &Value) -> Vec<super::EntryMedia> {
    let read = || {
        let header = own.get("header")?;
        let kind = header.get("type")?.as_str()?;
        let file = header.get(kind)?;
        let text = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = text("id");
        let url = text("link").or_else(|| id.as_ref().map(|id| format!("/sim/media/{id}")))?;
        Some(super::EntryMedia { kind: kind.into(), url: Some(url), id, filename: text("filename"), mime_type: None })
    };
    read().into_iter().collect()
}

fn reply_buttons(action: &Value) -> Result<Vec<Button>, Problem> {
    let buttons = action.get("buttons").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !(1..=3).contains(&buttons.len()) {
        return Err(Problem::value("Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3"));
    }
    let buttons = buttons.iter().map(reply_button).collect::<Result<Vec<_>, _>>()?;
    distinct("Button titles", buttons.iter().map(|button| &button.title))?;
    distinct("Button ids", buttons.iter().map(|button| &button.id))?;
    Ok(buttons)
}

fn reply_button(button: &Value) -> Result<Button, Problem> {
    if button.get("type").and_then(Value::as_str) != Some("reply") {
        return Err(Problem::value("A button of a message with reply buttons must be of type 'reply'"));
    }
    let reply = button.get("reply").ok_or_else(|| Problem::missing("reply"))?;
    Ok(Button {
        id: bounded("Button id", required(reply, "id")?, 256)?,
        title: bounded("Button title", required(reply, "title")?, 20)?,
        kind: "reply".into(),
        description: None,
    })
}

fn rows(action: &Value) -> Result<Vec<Button>, Problem> {
    bounded("List button", required(action, "button")?, 20)?;
    let sections = action.get("sections").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !(1..=10).contains(&sections.len()) {
        return Err(Problem::value("Invalid sections count. Min allowed sections: 1, Max allowed sections: 10"));
    }
    let mut rows = Vec::new();
    for section in sections {
        if sections.len() > 1 {
            bounded("Section title", required(section, "title")?, 24)?;
        }
        for row in section.get("rows").and_then(Value::as_array).into_iter().flatten() {
            rows.push(list_row(row)?);
        }
    }
    if !(1..=10).contains(&rows.len()) {
        return Err(Problem::value("Total row count exceed max allowed count: 10, or there is none"));
    }
    distinct("Row ids", rows.iter().map(|row| &row.id))?;
    Ok(rows)
}

fn list_row(row: &Value) -> Result<Button, Problem> {
    let description = row.get("description").and_then(Value::as_str);
    Ok(Button {
        id: bounded("Row id", required(row, "id")?, 200)?,
        title: bounded("Row title", required(row, "title")?, 24)?,
        kind: "row".into(),
        description: description.map(|text| bounded("Row description", text, 72)).transpose()?,
    })
}

fn link(action: &Value) -> Result<Button, Problem> {
    let parameters = action.get("parameters").ok_or_else(|| Problem::missing("parameters"))?;
    Ok(Button {
        id: required(parameters, "url")?.to_owned(),
        title: bounded("Display text", required(parameters, "display_text")?, 20)?,
        kind: "url".into(),
        description: None,
    })
}

fn bounded(what: &str, text: &str, characters_max: usize) -> Result<String, Problem> {
    if text.chars().count() > characters_max {
        return Err(Problem::value(format!("{what} length invalid. Min length: 1, Max length: {characters_max}")));
    }
    Ok(text.to_owned())
}

fn distinct<'a>(what: &str, texts: impl Iterator<Item = &'a String>) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    for text in texts {
        if !seen.insert(text) {
            return Err(Problem::value(format!("{what} must be unique: {text:?} is there twice")));
        }
    }
    Ok(())
}
