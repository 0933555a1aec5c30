//! Templates: the components in their order, header, body and buttons.

use serde_json::{Map, Value, json};

use super::{Error, Rendered, at_most, limit, media};
use crate::{
    domain::message::{Attachment, Template},
    rules::content::{FRAME_CHARS_MAX, TEMPLATE_CHARS_MAX, URL_CHARS_MAX, choices::CHOICE_ID_CHARS_MAX},
};

/// Buttons that a template can have, of all kinds together (§1.7).
const BUTTONS_MAX: usize = 10;

pub(super) fn template(template: &Template, attachment: Option<&Attachment>) -> Result<Rendered, Error> {
    limit("template", &template.body, TEMPLATE_CHARS_MAX)?;
    at_most("template buttons", template.buttons.len() + template.links.len(), BUTTONS_MAX)?;
    let mut components = Vec::new();
    let picture = attachment.filter(|_| template.header.is_some());
    components.extend(header(template, picture)?);
    if !template.params.is_empty() {
        let params: Vec<Value> = template.params.iter().map(|(name, value)| parameter(template, name, value)).collect();
        components.push(json!({ "type": "body", "parameters": params }));
    }
    components.extend(buttons(template)?);
    let mut payload = Map::new();
    payload.insert("name".to_owned(), json!(template.name));
    payload.insert("language".to_owned(), json!({ "code": template.language.replace('-', "_") }));
    if !components.is_empty() {
        payload.insert("components".to_owned(), Value::Array(components));
    }
    let rendered = Rendered::new("template", Value::Object(payload));
    Ok(match picture {
        Some(attachment) => rendered.uploading(attachment, media::place_in_template(attachment)),
        None => rendered,
    })
}

/// A header without a parameter is part of the template, and nothing is sent for it.
fn header(template: &Template, picture: Option<&Attachment>) -> Result<Option<Value>, Error> {
    let header = |parameter: Value| json!({ "type": "header", "parameters": [parameter] });
    if let Some(attachment) = picture {
        fits_header(template, attachment)?;
        return Ok(Some(header(media::header(attachment)?)));
    }
    let Some(text) = &template.header_text else { return Ok(None) };
    limit("template header", &text.text, FRAME_CHARS_MAX)?;
    Ok(text.param.as_ref().map(|(name, value)| header(parameter(template, name, value))))
}

fn parameter(template: &Template, name: &str, value: &str) -> Value {
    let mut parameter = Map::new();
    parameter.insert("type".to_owned(), json!("text"));
    if template.named {
        parameter.insert("parameter_name".to_owned(), json!(name));
    }
    parameter.insert("text".to_owned(), json!(one_line(value)));
    Value::Object(parameter)
}

/// In the order of their places. A link that is always the same needs nothing.
fn buttons(template: &Template) -> Result<Vec<Value>, Error> {
    let button = |index: usize, sub_type: &str, parameter: Value| {
        let index = index.to_string();
        json!({ "type": "button", "sub_type": sub_type, "index": index, "parameters": [parameter] })
    };
    let mut placed = Vec::new();
    for (index, id) in template.quick_replies() {
        limit("button id", id, CHOICE_ID_CHARS_MAX)?;
        placed.push((index, button(index, "quick_reply", json!({ "type": "payload", "payload": id }))));
    }
    for link in &template.links {
        limit("link", &link.url, URL_CHARS_MAX)?;
        let parameter = link.param.as_ref().map(|text| json!({ "type": "text", "text": one_line(text) }));
        placed.extend(parameter.map(|parameter| (link.index, button(link.index, "url", parameter))));
    }
    placed.sort_by_key(|(index, _)| *index);
    Ok(placed.into_iter().map(|(_, button)| button).collect())
}

fn fits_header(template: &Template, attachment: &Attachment) -> Result<(), Error> {
    let given = attachment.kind();
    match template.header {
        Some(expected) if expected != given => {
            Err(Error::Header { template: template.name.clone(), expected: expected.as_str(), given: given.as_str() })
        }
        _ => Ok(()),
    }
}

/// A parameter must hold no line break, no tab and no five spaces in a row, or Meta refuses the message. The customer
/// loses nothing by one space instead.
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}
