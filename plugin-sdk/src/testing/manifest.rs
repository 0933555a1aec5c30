//! The manifest, as far as a run feels it. Unknown keys are errors, as they are for the host.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::http::Request;

/// `plugin.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Manifest {
    #[serde(rename = "manifest")]
    version: u32,
    pub(crate) plugin: About,
    #[serde(default)]
    pub(crate) on_event: Vec<Subscription>,
    pub(crate) on_timer: Option<OnTimer>,
    pub(crate) on_delivery: Option<OnDelivery>,
    pub(crate) on_message: Option<OnMessage>,
    #[serde(default, rename = "trigger")]
    _trigger: Vec<Trigger>,
    #[serde(default)]
    pub(crate) permissions: Permissions,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(rename = "retry")]
    _retry: Option<Retry>,
    #[serde(default)]
    pub(crate) templates: Vec<Template>,
    #[serde(default)]
    pub(crate) config: Config,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that a misspelt key is found")]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    publisher: Option<String>,
    title: Option<String>,
    world: String,
    component: String,
    digest: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscription {
    pub(crate) types: Vec<String>,
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default, rename = "where")]
    pub(crate) conditions: BTreeMap<String, toml::Value>,
    pub(crate) entity: Option<String>,
    pub(crate) customer: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnTimer {}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnDelivery {
    pub(crate) states: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnMessage {
    #[serde(default)]
    pub(crate) answers: bool,
    #[serde(default)]
    pub(crate) others: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that a misspelt key is found")]
pub(crate) struct Trigger {
    name: String,
    #[serde(rename = "type")]
    event_type: String,
    source: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    customer: Option<String>,
    signature: Signature,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that a misspelt key is found")]
pub(crate) struct Signature {
    scheme: String,
    header: Option<String>,
    prefix: Option<String>,
    encoding: Option<String>,
    secret: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Permissions {
    pub(crate) purposes: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) templates: Vec<String>,
    pub(crate) customer: Vec<String>,
    pub(crate) history: Vec<String>,
    pub(crate) emits: Vec<String>,
    pub(crate) phone: bool,
    pub(crate) secrets: Vec<String>,
    pub(crate) http: Vec<Http>,
    // What the host counts over days, a test of one run does not reach.
    #[serde(rename = "per-customer-day")]
    _per_customer_day: Option<u32>,
    #[serde(rename = "spend-day")]
    _spend_day: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    host: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    path: String,
    scheme: Option<String>,
}

impl Http {
    /// Whether the manifest names such a request, by the letters of its URL. What the operator grants is not known here.
    pub(crate) fn permits(&self, request: &Request) -> bool {
        let scheme = self.scheme.as_deref().unwrap_or("https");
        let Some(rest) = request.url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) else {
            return false;
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let named = match self.host.strip_prefix('*') {
            Some(below) => host.ends_with(below),
            None => host == self.host,
        };
        let method = request.method.as_str();
        let reading = self.methods.is_empty() && matches!(method, "GET" | "HEAD");
        named && path.starts_with(&self.path) && (reading || self.methods.iter().any(|known| known == method))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    #[serde(rename = "cpu")]
    _cpu: Option<String>,
    #[serde(rename = "time")]
    _time: Option<String>,
    #[serde(rename = "memory")]
    _memory: Option<String>,
    pub(crate) messages: Option<usize>,
    pub(crate) timers: Option<usize>,
    #[serde(rename = "state")]
    _state: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "read so that a misspelt key is found")]
pub(crate) struct Retry {
    attempts: Option<u32>,
    first: Option<String>,
    longest: Option<String>,
    hold_up: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) language: String,
    #[serde(default)]
    pub(crate) params: Vec<String>,
    pub(crate) header: Option<String>,
    #[serde(default)]
    pub(crate) buttons: Vec<String>,
    #[serde(default)]
    pub(crate) texts: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(rename = "schema")]
    _schema: Option<String>,
    #[serde(default)]
    pub(crate) defaults: toml::Table,
}

impl Manifest {
    /// Reads and checks it; the message says what to repair.
    pub(crate) fn read(text: &str) -> Result<Manifest, String> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| format!("plugin.toml: {error}"))?;
        if manifest.version != 1 {
            return Err(format!("plugin.toml: manifest = {} is not known; this is version 1", manifest.version));
        }
        for name in &manifest.permissions.templates {
            let Some(template) = manifest.template(name) else {
                return Err(format!("plugin.toml: permissions name the template `{name}`, [[templates]] does not"));
            };
            template.check()?;
        }
        Ok(manifest)
    }

    pub(crate) fn template(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.name == name)
    }
}

impl Template {
    /// The approved body in the language of `locale`, or else in the template's own.
    pub(crate) fn body(&self, locale: Option<&str>) -> &str {
        let language = locale.and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default();
        let wanted = locale.and_then(|tag| self.texts.get(tag)).or_else(|| self.texts.get(language));
        wanted.or_else(|| self.texts.get(&self.language)).map_or("", String::as_str)
    }

    fn check(&self) -> Result<(), String> {
        if !["authentication", "utility", "marketing"].contains(&self.category.as_str()) {
            return Err(format!("template `{}`: category `{}` is not known", self.name, self.category));
        }
        for (language, text) in &self.texts {
            for param in &self.params {
                if !text.contains(&format!("{{{param}}}")) {
                    return Err(format!("template `{}`: the text in `{language}` lacks {{{param}}}", self.name));
                }
            }
        }
        if self.texts.contains_key(&self.language) {
            Ok(())
        } else {
            Err(format!("template `{}`: there is no text in its own language `{}`", self.name, self.language))
        }
    }
}

/// Whether a type is the one named, or begins with it where the name ends in `.*`.
pub(crate) fn type_matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(prefix) => event_type.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_dot() {
        assert!(type_matches("com.example.cart.*", "com.example.cart.item-added"));
        assert!(!type_matches("com.example.cart.*", "com.example.carton"));
        assert!(!type_matches("com.example.cart.*", "com.example.cart"));
    }

    #[test]
    fn a_misspelt_permission_is_found() {
        let text = "manifest = 1\n[plugin]\nname = 'x'\nversion = '1.0.0'\nworld = 'w'\ncomponent = 'x.wasm'\n\
                    [permissions]\npurpose = ['alert']\n";
        assert!(Manifest::read(text).unwrap_err().contains("unknown field `purpose`"));
    }
}
