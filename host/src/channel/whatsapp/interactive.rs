//! What can be tapped inside the window: reply buttons, lists, and a link as a button.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Error, Rendered, at_most, limit, media, with_map};
use crate::{
    channel::sms::choose,
    domain::{
        content::{BUTTONS_MAX, Link},
        message::{Choice, Content},
    },
    rules::content::{
        CAPTION_CHARS_MAX, FRAME_CHARS_MAX, URL_CHARS_MAX,
        choices::{
            CHOICE_ID_CHARS_MAX, CHOICE_LABEL_CHARS_MAX, LIST_BUTTON_CHARS_MAX, ROW_DESCRIPTION_CHARS_MAX,
            ROW_ID_CHARS_MAX, ROW_LABEL_CHARS_MAX, ROWS_MAX, SECTION_CHARS_MAX, sections,
        },
    },
};

pub(super) fn buttons(content: &Content, body: Option<&str>) -> Result<Rendered, Error> {
    at_most("choices", content.choices.len(), BUTTONS_MAX)?;
    let mut titles = HashSet::new();
    let mut buttons = Vec::with_capacity(content.choices.len());
    distinct(&content.choices)?;
    for choice in &content.choices {
        limit("choice label", &choice.label, CHOICE_LABEL_CHARS_MAX)?;
        limit("choice id", &choice.id, CHOICE_ID_CHARS_MAX)?;
        if !titles.insert(choice.label.as_str()) {
            return Err(Error::SameChoice(choice.label.clone()));
        }
        buttons.push(json!({ "type": "reply", "reply": { "id": choice.id, "title": choice.label } }));
    }
    framed(content, "button", body.ok_or(Error::ChoicesWithoutText)?, json!({ "buttons": buttons }))
}

pub(super) fn list(content: &Content, body: Option<&str>) -> Result<Rendered, Error> {
    if content.attachment.is_some() {
        return Err(Error::ListWithAttachment);
    }
    at_most("choices", content.choices.len(), ROWS_MAX)?;
    distinct(&content.choices)?;
    let button = content.frame.list_button.as_deref().unwrap_or_else(|| choose(content.spoken()));
    limit("list-button", button, LIST_BUTTON_CHARS_MAX)?;
    let grouped = sections(&content.choices);
    let several = grouped.len() > 1;
    let mut sections = Vec::with_capacity(grouped.len());
    for (title, rows) in grouped {
        let mut section = Map::new();
        match title {
            Some(title) => {
                limit("section", title, SECTION_CHARS_MAX)?;
                section.insert("title".to_owned(), json!(title));
            }
            None if several => return Err(Error::Missing { field: "section" }),
            None => {}
        }
        section.insert("rows".to_owned(), rows.iter().map(row).collect::<Result<_, _>>()?);
        sections.push(Value::Object(section));
    }
    let action = json!({ "button": button, "sections": sections });
    framed(content, "list", body.ok_or(Error::ChoicesWithoutText)?, action)
}

fn row(choice: &Choice) -> Result<Value, Error> {
    limit("choice label", &choice.label, ROW_LABEL_CHARS_MAX)?;
    limit("choice id", &choice.id, ROW_ID_CHARS_MAX)?;
    let mut row = Map::new();
    row.insert("id".to_owned(), json!(choice.id));
    row.insert("title".to_owned(), json!(choice.label));
    if let Some(description) = &choice.description {
        limit("choice description", description, ROW_DESCRIPTION_CHARS_MAX)?;
        row.insert("description".to_owned(), json!(description));
    }
    Ok(Value::Object(row))
}

pub(super) fn link(content: &Content, link: &Link, body: Option<&str>) -> Result<Rendered, Error> {
    limit("link label", &link.label, CHOICE_LABEL_CHARS_MAX)?;
    limit("link url", &link.url, URL_CHARS_MAX)?;
    let parameters = json!({ "display_text": link.label, "url": link.url });
    let action = json!({ "name": "cta_url", "parameters": parameters });
    framed(content, "cta_url", body.ok_or(Error::LinkWithoutText)?, action)
}

fn distinct(choices: &[Choice]) -> Result<(), Error> {
    let mut ids = HashSet::new();
    match choices.iter().find(|choice| !ids.insert(choice.id.as_str())) {
        Some(again) => Err(Error::SameChoice(again.label.clone())),
        None => Ok(()),
    }
}

/// Header, body and footer around what is tapped.
fn framed(content: &Content, kind: &str, body: &str, action: Value) -> Result<Rendered, Error> {
    let body = match &content.location {
        Some(place) => with_map(body, place),
        None => body.to_owned(),
    };
    limit("text", &body, CAPTION_CHARS_MAX)?;
    let mut payload = Map::new();
    payload.insert("type".to_owned(), json!(kind));
    match (&content.frame.header, &content.attachment) {
        (Some(_), Some(_)) => return Err(Error::TwoHeaders),
        (Some(header), None) => {
            limit("header", header, FRAME_CHARS_MAX)?;
            payload.insert("header".to_owned(), json!({ "type": "text", "text": header }));
        }
        (None, Some(attachment)) => _ = payload.insert("header".to_owned(), media::header(attachment)?),
        (None, None) => {}
    }
    payload.insert("body".to_owned(), json!({ "text": body }));
    if let Some(footer) = &content.frame.footer {
        limit("footer", footer, FRAME_CHARS_MAX)?;
        payload.insert("footer".to_owned(), json!({ "text": footer }));
    }
    payload.insert("action".to_owned(), action);
    let rendered = Rendered::new("interactive", Value::Object(payload));
    Ok(match &content.attachment {
        Some(attachment) => rendered.uploading(attachment, media::place_in_frame(attachment)),
        None => rendered,
    })
}
