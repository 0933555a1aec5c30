//! A WhatsApp message as Twilio takes it: fields of the form, made from the bodies of the Cloud API.
//!
//! Text, media and places go as they are. A template goes by the content that the account's settings name for it. Buttons
//! need a content of their own at Twilio, so outside of templates they become numbered lines: the number that is answered is
//! mapped back to the choice, as it is on SMS. Bytes go as a link to the host itself, where it has a public URL. Reactions have
//! no form.

use serde_json::{Map, Value, json};

use crate::channel::{ContentTemplate, whatsapp::Rendered};

type Fields = Vec<(&'static str, String)>;

pub(super) fn fields(rendered: &Rendered, templates: &[ContentTemplate]) -> Result<Fields, String> {
    let linked = rendered.with_link().ok_or(
        "Twilio takes media as a link only, and this is given as bytes; with server.public-url the host has a link to it",
    )?;
    let rendered = &*linked;
    let payload = &rendered.payload;
    match rendered.kind {
        "text" => Ok(vec![("Body", text(payload, "/body"))]),
        "image" | "video" | "audio" | "document" | "sticker" => media(payload),
        "location" => Ok(place(payload)),
        "interactive" => Ok(interactive(payload)),
        "template" => template(payload, templates),
        other => Err(format!("Twilio has no form for a WhatsApp message of the type `{other}`")),
    }
}

fn media(object: &Value) -> Result<Fields, String> {
    let link = text(object, "/link");
    if link.is_empty() {
        return Err("Twilio takes media as a link only".to_owned());
    }
    let caption = text(object, "/caption");
    let caption = (!caption.is_empty()).then_some(("Body", caption));
    Ok(caption.into_iter().chain([("MediaUrl", link)]).collect())
}

/// `geo:48.8606,2.3376|Point relais`, and below it where that is.
fn place(payload: &Value) -> Fields {
    let degrees = |name: &str| payload.get(name).and_then(Value::as_f64).unwrap_or_default();
    let (name, address) = (text(payload, "/name"), text(payload, "/address"));
    let label = if name.is_empty() { address.clone() } else { name.clone() };
    // The bar ends the label.
    let label = label.replace('|', " ");
    let (latitude, longitude) = (degrees("latitude"), degrees("longitude"));
    let words: Vec<String> = [name, address].into_iter().filter(|part| !part.is_empty()).collect();
    let body = if words.is_empty() { format!("{latitude},{longitude}") } else { words.join(", ") };
    vec![("Body", body), ("PersistentAction", format!("geo:{latitude},{longitude}|{label}"))]
}

fn interactive(payload: &Value) -> Fields {
    let mut lines: Vec<String> = Vec::new();
    let shown = ["/header/text", "/body/text", "/footer/text"].map(|pointer| text(payload, pointer));
    lines.extend(shown.into_iter().filter(|line| !line.is_empty()));
    let buttons = payload.pointer("/action/buttons").and_then(Value::as_array).into_iter().flatten();
    let sections = payload.pointer("/action/sections").and_then(Value::as_array).into_iter().flatten();
    let rows = sections.flat_map(|section| section.get("rows").and_then(Value::as_array).into_iter().flatten());
    let labels = buttons.map(|button| text(button, "/reply/title")).chain(rows.map(|row| text(row, "/title")));
    lines.extend(labels.enumerate().map(|(at, label)| format!("{} = {label}", at + 1)));
    let link = text(payload, "/action/parameters/url");
    if !link.is_empty() {
        lines.push(format!("{}: {link}", text(payload, "/action/parameters/display_text")));
    }
    let header = payload.get("header");
    let media = ["image", "video", "document"].into_iter().find_map(|kind| header?.get(kind)?.get("link")?.as_str());
    let media = media.map(|link| ("MediaUrl", link.to_owned()));
    [("Body", lines.join("\n"))].into_iter().chain(media).collect()
}

/// The content that stands for the template, and its variables: the body's by name or number, and where the settings name
/// variables for them, the header's link and what the buttons answer.
fn template(payload: &Value, templates: &[ContentTemplate]) -> Result<Fields, String> {
    let (name, language) = (text(payload, "/name"), text(payload, "/language/code"));
    let same = |one: &&ContentTemplate| one.name == name && one.language.replace('-', "_") == language;
    let content = templates.iter().find(same).ok_or_else(|| {
        format!("no content at Twilio stands for the template `{name}` in `{language}`; add it to `templates` of the account")
    })?;
    let mut variables = Map::new();
    let mut buttons = content.button_variables.iter();
    for component in payload.get("components").and_then(Value::as_array).into_iter().flatten() {
        let parameters = component.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match component.get("type").and_then(Value::as_str) {
            Some("header") => header(content, parameters, &mut variables)?,
            Some("body") => {
                for (parameter, no) in parameters.iter().zip(1..) {
                    let own = text(parameter, "/parameter_name");
                    let key = if own.is_empty() { format!("{no}") } else { own };
                    variables.insert(key, json!(text(parameter, "/text")));
                }
            }
            // Without a variable the content's own button ids hold.
            Some("button") => {
                let said = parameters.first().map(|one| text(one, "/payload") + &text(one, "/text"));
                if let (Some(said), Some(variable)) = (said, buttons.next()) {
                    variables.insert(variable.clone(), json!(said));
                }
            }
            _ => {}
        }
    }
    let sid = ("ContentSid", content.content_sid.clone());
    let variables = (!variables.is_empty()).then(|| ("ContentVariables", Value::Object(variables).to_string()));
    Ok([sid].into_iter().chain(variables).collect())
}

fn header(content: &ContentTemplate, parameters: &[Value], variables: &mut Map<String, Value>) -> Result<(), String> {
    let Some(parameter) = parameters.first() else { return Ok(()) };
    let kind = text(parameter, "/type");
    let shown = if kind == "text" { text(parameter, "/text") } else { text(parameter, &format!("/{kind}/link")) };
    match &content.header_variable {
        Some(variable) if !shown.is_empty() => drop(variables.insert(variable.clone(), json!(shown))),
        Some(_) => return Err("Twilio takes media as a link only".to_owned()),
        None => {
            return Err(format!(
                "the header of the template `{}` has a value; say in `header-variable` which variable at Twilio it is",
                content.name
            ));
        }
    }
    Ok(())
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
