//! A template as it is asked for over HTTP: the approved texts, with names in double braces where parameters go.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::{
    domain::{
        content::{HeaderText, TemplateLink, in_a_url},
        message::{MediaKind, Template},
        purpose::Category,
    },
    ingress::problem::{Problem, excerpt},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedTemplate {
    name: String,
    category: Category,
    language: String,
    #[serde(default)]
    params: Params,
    /// It was created with named parameters, so that each is sent with its name.
    #[serde(default)]
    named: bool,
    /// The approved text, with `{{name}}` where a parameter goes.
    body: String,
    /// The line above it, where the header is a text.
    header: Option<String>,
    #[serde(default)]
    buttons: Vec<Button>,
}

/// In the template's order: the places of links count.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Button {
    /// A quick reply's id.
    Reply(String),
    Link(Link),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    /// With one parameter at its end, or none.
    link: String,
    label: Option<String>,
}

/// In the order in which they were written, which is the template's.
#[derive(Debug, Default)]
struct Params(Vec<(String, String)>);

/// `attachment` is what the message carries, which stands in the header unless that is a text.
pub(super) fn template(mut asked: AskedTemplate, attachment: Option<MediaKind>) -> Result<Template, Problem> {
    let params = std::mem::take(&mut asked.params.0);
    for (name, _) in &params {
        let place = format!("{{{{{name}}}}}");
        if !asked.texts().any(|text| text.contains(&place)) {
            let detail = format!("no text of the template has `{place}`");
            return Err(Problem::bad_field(format!("template.params.{}", excerpt(name)), detail)
                .fix("give the texts as they were approved, with the parameters' names in double braces"));
        }
    }
    let body = filled(&asked.body, &params)?;
    let header_text = asked.header.as_deref().map(|header| header_text(header, &params)).transpose()?;
    let (mut buttons, mut links) = (Vec::new(), Vec::new());
    for (index, button) in asked.buttons.into_iter().enumerate() {
        match button {
            Button::Reply(id) => buttons.push(id),
            Button::Link(asked) => links.push(link(index, asked, &params)?),
        }
    }
    // What stands in the header or a link alone is no parameter of the body.
    let of_body = |(name, _): &&(String, String)| asked.body.contains(&format!("{{{{{name}}}}}"));
    Ok(Template {
        name: asked.name,
        category: asked.category,
        language: asked.language,
        params: params.iter().filter(of_body).cloned().collect(),
        named: asked.named,
        body,
        header: attachment.filter(|_| header_text.is_none()),
        header_text,
        buttons,
        links,
    })
}

impl AskedTemplate {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let links = self.buttons.iter().filter_map(|button| match button {
            Button::Link(link) => Some(link.link.as_str()),
            Button::Reply(_) => None,
        });
        [Some(self.body.as_str()), self.header.as_deref()].into_iter().flatten().chain(links)
    }
}

fn header_text(header: &str, params: &[(String, String)]) -> Result<HeaderText, Problem> {
    if header.matches("{{").count() > 1 {
        return Err(Problem::bad_field("template.header", "it has several parameters")
            .fix("give the header as it was approved: with one parameter at most"));
    }
    let param = params.iter().find(|(name, _)| header.contains(&format!("{{{{{name}}}}}"))).cloned();
    Ok(HeaderText { text: filled(header, params)?, param })
}

fn link(index: usize, asked: Link, params: &[(String, String)]) -> Result<TemplateLink, Problem> {
    let refused = |detail: &str| {
        Err(Problem::bad_field(format!("template.buttons.{index}.link"), detail.to_owned())
            .fix("write it as https://shop.example/{{order}}: one parameter at most, at its end"))
    };
    if !asked.link.starts_with("https://") {
        return refused("it does not begin with https://");
    }
    let param = match asked.link.split_once("{{") {
        None => None,
        Some((_, rest)) if rest.find("}}") != Some(rest.len().saturating_sub(2)) => {
            return refused("something stands behind its parameter");
        }
        Some((_, rest)) => params.iter().find(|(name, _)| *name == rest.trim_end_matches("}}")),
    };
    // What goes into an address is written as addresses are: Meta puts it there as it is.
    let written = param.map(|(name, value)| (name.clone(), in_a_url(value)));
    let url = filled(&asked.link, written.as_slice())?;
    Ok(TemplateLink { index, label: asked.label, url, param: written.map(|(_, value)| value) })
}

/// A text with its parameters put in. Gone through once, so that a value is never taken for a place of another.
fn filled(text: &str, params: &[(String, String)]) -> Result<String, Problem> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let Some((_, value)) = params.iter().find(|(known, _)| known == name) else {
            let detail = format!("the template has a place for `{}`, and `params` has no such name", excerpt(name));
            return Err(Problem::bad_field("template.params", detail).fix("give every parameter of the template"));
        };
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamsVisitor;
        impl<'de> Visitor<'de> for ParamsVisitor {
            type Value = Params;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters in the template's order, each a string")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                let mut params: Vec<(String, String)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if params.iter().any(|(other, _)| *other == name) {
                        return Err(serde::de::Error::custom(format_args!("the parameter `{name}` is there twice")));
                    }
                    params.push((name, value));
                }
                Ok(Params(params))
            }
        }
        deserializer.deserialize_map(ParamsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(more: Value) -> Result<Template, Problem> {
        let mut asked = json!({"name": "t", "category": "utility", "language": "en", "body": "Order {{order}}"});
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        template(serde_json::from_value(asked).unwrap(), Some(MediaKind::Image))
    }

    #[test]
    fn header_and_links_have_parameters_beside_the_bodys() {
        let template = read(json!({
            "params": {"order": "4821", "name": "Zoé", "code": "a b/é"}, "named": true, "header": "For {{name}}",
            "buttons": ["keep", {"link": "https://x.example/{{code}}", "label": "See it"}, {"link": "https://x.example"}],
        }))
        .unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!((template.params.as_slice(), template.named), (&[pair("order", "4821")][..], true));
        let header = HeaderText { text: "For Zoé".into(), param: Some(pair("name", "Zoé")) };
        assert_eq!((template.header_text, template.header), (Some(header), None), "a text leaves the file no place");
        let [first, second] = template.links.as_slice() else { panic!() };
        assert_eq!((first.index, first.url.as_str()), (1, "https://x.example/a%20b/%C3%A9"));
        assert_eq!((first.param.as_deref(), first.label.as_deref()), (Some("a%20b/%C3%A9"), Some("See it")));
        assert_eq!((second.index, &second.param), (2, &None));
        assert_eq!(read(json!({"params": {"order": "1"}})).unwrap().header, Some(MediaKind::Image));
    }

    #[test]
    fn what_is_missing_too_much_or_in_the_wrong_place_is_named() {
        let order = || json!({"order": "4821"});
        for (asked, field) in [
            (json!({}), "template.params"),
            (json!({"params": {"order": "1", "other": "2"}}), "template.params.other"),
            (json!({"params": order(), "header": "{{order}} {{order}}"}), "template.header"),
            (json!({"params": order(), "header": "{{name}}"}), "template.params"),
            (json!({"params": order(), "buttons": [{"link": "http://x.example"}]}), "template.buttons.0.link"),
            (
                json!({"params": order(), "buttons": ["a", {"link": "https://x.example/{{order}}/b"}]}),
                "template.buttons.1.link",
            ),
        ] {
            let problem = serde_json::to_value(read(asked.clone()).unwrap_err()).unwrap();
            assert_eq!(problem["field"], field, "{asked}: {problem}");
        }
    }
}
