//! Does a template as it is declared or used fit what the provider has approved?
//!
//! Both sides come to a [`Shape`] and an [`Approved`]; [`misfits`] compares them. What would have the message refused holds it back;
//! what is only worth knowing is said and lets it go.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::{
    message::{MediaKind, Template},
    purpose::Category,
};

/// What a message brings for a template, or will bring.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub name: String,
    pub language: String,
    pub category: Category,
    /// Parameters of the body, in their order.
    pub params: Vec<String>,
    /// They are sent by name.
    pub named: bool,
    pub header: HeaderShape,
    pub quick_replies: usize,
    /// Place among all buttons, and whether a parameter goes along.
    pub links: Vec<(usize, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderShape {
    None,
    File(MediaKind),
    /// Whether it has a parameter.
    Text(bool),
}

impl Shape {
    /// What a message uses.
    pub fn of(template: &Template) -> Shape {
        let header = match (&template.header, &template.header_text) {
            (Some(kind), _) => HeaderShape::File(*kind),
            (None, Some(text)) => HeaderShape::Text(text.param.is_some()),
            (None, None) => HeaderShape::None,
        };
        Shape {
            name: template.name.clone(),
            language: template.language.clone(),
            category: template.category,
            params: template.params.iter().map(|(name, _)| name.clone()).collect(),
            named: template.named,
            header,
            quick_replies: template.buttons.len(),
            links: template.links.iter().map(|link| (link.index, link.param.is_some())).collect(),
        }
    }
}

/// A template in one language, as the provider has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Approved {
    pub name: String,
    pub language: String,
    /// `APPROVED`, `PAUSED`, …
    pub status: String,
    /// `UTILITY`, `MARKETING`, `AUTHENTICATION`.
    pub category: String,
    pub components: Vec<Value>,
    pub message_send_ttl_seconds: Option<i64>,
    /// What was said since it was read: its quality, a category to come.
    #[serde(skip)]
    pub told: Vec<String>,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub why: String,
    /// A message with it would be refused.
    pub holds: bool,
}

impl Misfit {
    pub(super) fn holds(why: impl Into<String>) -> Misfit {
        Misfit { why: why.into(), holds: true }
    }

    pub(super) fn warns(why: impl Into<String>) -> Misfit {
        Misfit { why: why.into(), holds: false }
    }
}

/// Everything in which a template differs from what was approved, except for its state.
pub fn misfits(shape: &Shape, approved: &Approved) -> Vec<Misfit> {
    let mut found = Vec::new();
    params(shape, approved, &mut found);
    header(shape, approved, &mut found);
    buttons(shape, approved, &mut found);
    let category = shape.category.as_str();
    if !approved.category.is_empty() && !approved.category.eq_ignore_ascii_case(category) {
        let filed = approved.category.to_lowercase();
        let why = format!("it is filed as {filed}, and declared as {category}");
        // What the provider calls marketing needs a consent that nobody has asked for.
        found.push(if filed == "marketing" { Misfit::holds(why) } else { Misfit::warns(why) });
    }
    found.extend(approved.told.iter().map(|told| Misfit::warns_of(told)));
    found
}

impl Misfit {
    fn warns_of(told: &str) -> Misfit {
        Misfit::warns(told.to_owned())
    }
}

fn component<'a>(approved: &'a Approved, kind: &str) -> Option<&'a Value> {
    let is = |component: &&Value| {
        component.get("type").and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(kind))
    };
    approved.components.iter().find(is)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The names in double braces, in their order and once each.
fn placeholders(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (name, _) in text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")) {
        if !names.contains(&name.trim()) {
            names.push(name.trim());
        }
    }
    names
}

fn params(shape: &Shape, approved: &Approved, found: &mut Vec<Misfit>) {
    let body = component(approved, "BODY").map_or("", |body| text(body, "text"));
    let wanted = placeholders(body);
    if wanted.len() != shape.params.len() {
        let (own, theirs) = (shape.params.len(), wanted.len());
        return found.push(Misfit::holds(format!("its body has {theirs} parameters, and {own} are declared")));
    }
    let numbered = wanted.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    if !wanted.is_empty() && numbered == shape.named {
        let (own, theirs) = if numbered { ("names", "numbers") } else { ("numbers", "names") };
        return found.push(Misfit::holds(format!(
            "its parameters have {theirs}, and are sent with {own}: `named` in the manifest says which"
        )));
    }
    let missing = |name: &&&str| !shape.params.iter().any(|own| own == **name);
    if let Some(name) = wanted.iter().find(|name| shape.named && missing(name)) {
        found.push(Misfit::holds(format!("its body has the parameter `{name}`, which is not declared")));
    }
}

fn header(shape: &Shape, approved: &Approved, found: &mut Vec<Misfit>) {
    let theirs = match component(approved, "HEADER") {
        None => HeaderShape::None,
        Some(header) => match text(header, "format").to_ascii_uppercase().as_str() {
            "IMAGE" => HeaderShape::File(MediaKind::Image),
            "VIDEO" => HeaderShape::File(MediaKind::Video),
            "DOCUMENT" => HeaderShape::File(MediaKind::Document),
            "TEXT" => HeaderShape::Text(!placeholders(text(header, "text")).is_empty()),
            // A place, or what may come: nothing that could be compared.
            _ => return,
        },
    };
    // A header of text without a parameter is the provider's own affair: nothing is sent for it.
    let sent = |shape| if shape == HeaderShape::Text(false) { HeaderShape::None } else { shape };
    if sent(theirs) != sent(shape.header) {
        found.push(Misfit::holds(format!("its header is {}, and declared is {}", words(theirs), words(shape.header))));
    }
}

fn words(header: HeaderShape) -> &'static str {
    match header {
        HeaderShape::None => "none",
        HeaderShape::File(MediaKind::Image) => "an image",
        HeaderShape::File(MediaKind::Video) => "a video",
        HeaderShape::File(MediaKind::Document) => "a document",
        HeaderShape::File(MediaKind::Audio) => "a sound",
        HeaderShape::Text(true) => "a text with a parameter",
        HeaderShape::Text(false) => "a text",
    }
}

fn buttons(shape: &Shape, approved: &Approved, found: &mut Vec<Misfit>) {
    let all = component(approved, "BUTTONS").and_then(|buttons| buttons.get("buttons")).and_then(Value::as_array);
    let all = all.map(Vec::as_slice).unwrap_or_default();
    let is = |button: &Value, kind: &str| text(button, "type").eq_ignore_ascii_case(kind);
    let replies = all.iter().filter(|button| is(button, "QUICK_REPLY")).count();
    if shape.quick_replies > replies {
        let own = shape.quick_replies;
        found.push(Misfit::holds(format!("it has {replies} quick replies, and {own} are declared")));
    } else if shape.quick_replies < replies {
        // They answer with their own text, which no plugin knows.
        found.push(Misfit::warns(format!(
            "it has {replies} quick replies, of which {} are declared",
            shape.quick_replies
        )));
    }
    for (index, param) in &shape.links {
        let theirs = all.get(*index).filter(|button| is(button, "URL"));
        match theirs.map(|button| !placeholders(text(button, "url")).is_empty()) {
            None => found.push(Misfit::holds(format!("its button {} opens no page", index + 1))),
            Some(takes) if takes != *param => {
                let (takes, sent) = (if takes { "a" } else { "no" }, if *param { "one" } else { "none" });
                let why =
                    format!("the address of its button {} has {takes} parameter, and {sent} is declared", index + 1);
                found.push(Misfit::holds(why));
            }
            Some(_) => {}
        }
    }
    let filled = |(at, button): &(usize, &Value)| {
        is(button, "URL")
            && !placeholders(text(button, "url")).is_empty()
            && !shape.links.iter().any(|(index, _)| index == at)
    };
    if let Some((at, _)) = all.iter().enumerate().find(filled) {
        let why = format!("the address of its button {} has a parameter, and no link is declared there", at + 1);
        found.push(Misfit::holds(why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        Shape {
            name: "t".into(),
            language: "fr".into(),
            category: Category::Utility,
            params: vec!["name".into(), "order".into()],
            named: false,
            header: HeaderShape::None,
            quick_replies: 1,
            links: vec![(1, true)],
        }
    }

    fn approved() -> Approved {
        Approved {
            name: "t".into(),
            language: "fr".into(),
            status: "APPROVED".into(),
            category: "UTILITY".into(),
            components: vec![
                json!({"type": "BODY", "text": "{{1}}: {{2}}"}),
                json!({"type": "BUTTONS", "buttons": [
                    {"type": "QUICK_REPLY", "text": "Oui"}, {"type": "URL", "text": "Voir", "url": "https://x.example/{{1}}"},
                ]}),
            ],
            ..Approved::default()
        }
    }

    /// What is said of the two, the words that hold a message back first.
    fn said(change: impl FnOnce(&mut Shape, &mut Approved)) -> Vec<(bool, String)> {
        let (mut shape, mut approved) = (shape(), approved());
        change(&mut shape, &mut approved);
        misfits(&shape, &approved).into_iter().map(|misfit| (misfit.holds, misfit.why)).collect()
    }

    fn holds(why: &str) -> Vec<(bool, String)> {
        vec![(true, why.to_owned())]
    }

    #[test]
    fn a_template_that_is_as_it_was_approved_is_let_go() {
        assert_eq!(said(|_, _| {}), []);
        let header = |format: &str, text: &str| json!({"type": "HEADER", "format": format, "text": text});
        // A line of its own that takes nothing needs no word in the manifest.
        assert_eq!(said(|_, approved| approved.components.push(header("TEXT", "Votre commande"))), []);
        let with_image = |shape: &mut Shape, approved: &mut Approved| {
            shape.header = HeaderShape::File(MediaKind::Image);
            approved.components.push(header("IMAGE", ""));
        };
        assert_eq!(said(with_image), []);
    }

    #[test]
    fn what_would_be_refused_holds_a_message_back_with_its_reason() {
        let body = |text: &str| json!({"type": "BODY", "text": text});
        let say = |text: &'static str| said(|_, approved| approved.components[0] = body(text));
        assert_eq!(say("{{1}}"), holds("its body has 1 parameters, and 2 are declared"));
        assert_eq!(
            say("{{name}}: {{order}}"),
            holds("its parameters have names, and are sent with numbers: `named` in the manifest says which")
        );
        let named = said(|shape, approved| {
            shape.named = true;
            approved.components[0] = body("{{name}}: {{total}}");
        });
        assert_eq!(named, holds("its body has the parameter `total`, which is not declared"));
        let image = json!({"type": "HEADER", "format": "IMAGE"});
        assert_eq!(
            said(|_, approved| approved.components.push(image)),
            holds("its header is an image, and declared is none")
        );
        assert_eq!(said(|shape, _| shape.quick_replies = 2), holds("it has 1 quick replies, and 2 are declared"));
        assert_eq!(said(|shape, _| shape.links[0].0 = 0)[0], (true, "its button 1 opens no page".to_owned()));
        assert_eq!(
            said(|shape, _| shape.links[0].1 = false),
            holds("the address of its button 2 has a parameter, and none is declared")
        );
        assert_eq!(
            said(|shape, _| shape.links.clear()),
            holds("the address of its button 2 has a parameter, and no link is declared there")
        );
    }

    #[test]
    fn advertising_that_is_declared_as_something_else_is_held_back() {
        let filed = |category: &'static str| said(|_, approved| approved.category = category.to_owned());
        assert_eq!(filed("MARKETING"), holds("it is filed as marketing, and declared as utility"));
        assert_eq!(
            filed("AUTHENTICATION"),
            [(false, "it is filed as authentication, and declared as utility".to_owned())]
        );
        assert_eq!(said(|shape, _| shape.quick_replies = 0).first().map(|(holds, _)| *holds), Some(false));
    }
}
