//! The templates that the simulated Meta knows. While none is registered, every name is taken.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lock;

/// A template as Meta's API takes it. Instead of `components` the short form `body` can be given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    #[serde(skip_deserializing)]
    pub id: String,
    pub name: String,
    pub language: String,
    /// `UTILITY`, `MARKETING` or `AUTHENTICATION`.
    pub category: String,
    /// `APPROVED` unless told otherwise; any other state is answered with 132001, 132015 (`PAUSED`) or 132016 (`DISABLED`).
    pub status: String,
    pub message_send_ttl_seconds: Option<i64>,
    pub body: Option<String>,
    pub components: Vec<Value>,
}

impl Template {
    pub(crate) fn body(&self) -> &str {
        self.body.as_deref().or_else(|| self.component("BODY")?.get("text")?.as_str()).unwrap_or_default()
    }

    pub(crate) fn component(&self, kind: &str) -> Option<&Value> {
        self.components.iter().find(|component| {
            component.get("type").and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(kind))
        })
    }

    /// The names of the placeholders of the body: `1`, `2` … or words.
    pub(crate) fn placeholders(&self) -> BTreeSet<String> {
        placeholders(self.body())
    }
}

pub(crate) fn placeholders(text: &str) -> BTreeSet<String> {
    let opened = text.split("{{").skip(1);
    opened.filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Puts the parameters (name and text) in their places.
pub(crate) fn render(text: &str, parameters: &[(String, String)]) -> String {
    let mut rendered = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, next)) = after.split_once("}}") else { break };
        rendered.push_str(before);
        let value = parameters.iter().find(|(known, _)| known == name.trim());
        rendered.push_str(value.map_or("", |(_, text)| text));
        rest = next;
    }
    rendered.push_str(rest);
    rendered
}

#[derive(Default)]
pub(crate) struct Templates(Mutex<HashMap<(String, String), Template>>);

/// What is known of a name in a language.
pub(crate) enum Known {
    /// No template at all is registered, so anything goes.
    Anything,
    Missing,
    Found(Box<Template>),
}

impl Templates {
    pub(crate) fn put(&self, mut template: Template) -> Template {
        template.category =
            if template.category.is_empty() { "UTILITY".into() } else { template.category.to_uppercase() };
        template.status = if template.status.is_empty() { "APPROVED".into() } else { template.status.to_uppercase() };
        let hash = blake3::hash(format!("{}\n{}", template.name, template.language).as_bytes());
        let number = hash.as_bytes().iter().take(6).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        template.id = format!("7{number:015}");
        lock(&self.0).insert((template.name.clone(), template.language.clone()), template.clone());
        template
    }

    pub(crate) fn look_up(&self, name: &str, language: &str) -> Known {
        let known = lock(&self.0);
        if known.is_empty() {
            return Known::Anything;
        }
        known
            .get(&(name.to_owned(), language.to_owned()))
            .map_or(Known::Missing, |template| Known::Found(Box::new(template.clone())))
    }

    pub(crate) fn find(&self, name: &str, language: &str) -> Option<Template> {
        lock(&self.0).get(&(name.to_owned(), language.to_owned())).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Template> {
        let mut all: Vec<Template> = lock(&self.0).values().cloned().collect();
        all.sort_by(|a, b| (&a.name, &a.language).cmp(&(&b.name, &b.language)));
        all
    }

    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut known = lock(&self.0);
        let before = known.len();
        known.retain(|(known_name, _), _| known_name != name);
        known.len() < before
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_to_their_places() {
        let parameters = [("1".to_owned(), "Paul".to_owned()), ("qui".to_owned(), "{{1}}".to_owned())];
        assert_eq!(render("Bonjour {{1}}, {{ qui }} {{x}}{{", &parameters), "Bonjour Paul, {{1}} {{");
    }

    #[test]
    fn placeholders_are_counted_once() {
        let template = Template { body: Some("{{1}} {{2}} {{1}}".into()), ..Template::default() };
        assert_eq!(template.placeholders().len(), 2);
    }
}
