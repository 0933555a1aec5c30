//! What a plugin may: what its manifest asks for, less what the operator did not grant.
//!
//! A denial is never a riddle: it says which of the two sides is missing, with the lines to paste there.

use std::collections::BTreeSet;

use url::Url;

use super::{
    caps,
    http::HttpRule,
    manifest::{self, Manifest, Permissions, channel, names, purpose},
    settings::Settings,
    subscription::Pattern,
};
use crate::{
    domain::{
        customer::Channel,
        quota::{Caps, UseKey, Used, too_many},
    },
    ids::PluginName,
};

/// A plugin's permissions, on both sides.
#[derive(Clone, Debug)]
pub struct Capabilities {
    pub plugin: PluginName,
    pub asked: Permissions,
    pub effective: Permissions,
    /// The grant's own number of messages, for whoever is told what to raise.
    pub granted_per_customer_day: Option<u32>,
}

impl Capabilities {
    /// Cuts what the manifest asks for down to what is granted. An unknown word in a grant is an error, as in a manifest.
    pub fn of(manifest: &Manifest, settings: &Settings) -> Result<Capabilities, manifest::Error> {
        let asked = manifest.permissions.clone();
        let plugin = manifest.name.clone();
        let grant = settings.grants.get(&plugin);
        let per_customer_day = caps::per_customer_day(&asked, grant, settings);
        let spend_day = caps::spend_day(&plugin, &asked, grant, settings)?;
        let effective = match grant {
            // Requests to the outside are never granted by silence.
            None if settings.grant_by_default => {
                Permissions { http: BTreeSet::new(), per_customer_day, spend_day, ..asked.clone() }
            }
            None => Permissions::default(),
            Some(grant) => {
                let at = |what: &str| format!("(host's configuration) plugins.grants.{plugin}.{what}");
                let own = |text: &str| Ok::<_, String>(text.to_owned());
                Permissions {
                    purposes: cut(&at("purposes"), &asked.purposes, &grant.purposes, purpose)?,
                    channels: cut(&at("channels"), &asked.channels, &grant.channels, channel)?,
                    templates: cut(&at("templates"), &asked.templates, &grant.templates, own)?,
                    customer: cut(&at("customer"), &asked.customer, &grant.customer, own)?,
                    history: cut_patterns(&at("history"), &asked.history, &grant.history)?,
                    emits: cut_patterns(&at("emits"), &asked.emits, &grant.emits)?,
                    phone: asked.phone && grant.phone.unwrap_or(true),
                    secrets: cut(&at("secrets"), &asked.secrets, &grant.secrets, own)?,
                    http: both(&asked.http, &manifest::rules(&at("http"), &grant.http)?),
                    per_customer_day,
                    spend_day,
                }
            }
        };
        let granted_per_customer_day = grant.and_then(|grant| grant.per_customer_day);
        Ok(Capabilities { plugin, asked, effective, granted_per_customer_day })
    }

    /// What the messages of a run carry.
    pub fn caps(&self) -> Caps {
        Caps { per_customer_day: self.effective.per_customer_day, spend_day: self.effective.spend_day.clone() }
    }

    /// Whether one more message may go to a recipient to whom `own` go with this run already.
    pub fn one_more(&self, key: &UseKey, used: &Used, own: u32, now: crate::clock::Timestamp) -> Result<(), String> {
        let Some(cap) = self.effective.per_customer_day else { return Ok(()) };
        let taken = used.places(now).saturating_add(own);
        if taken < cap {
            return Ok(());
        }
        let lane = key.name.split_once('/').map_or("", |(_, lane)| lane);
        let raise = caps::raise(&self.plugin, self.asked.per_customer_day, self.granted_per_customer_day, cap);
        Err(format!("{}; to allow more: {raise}", too_many(taken, cap, lane)))
    }

    pub fn purpose(&self, purpose: &'static str) -> Result<(), String> {
        self.check(
            "purposes",
            purpose,
            self.asked.purposes.contains(purpose),
            self.effective.purposes.contains(purpose),
        )
    }

    pub fn channel(&self, channel: Channel) -> Result<(), String> {
        let (asked, effective) = (self.asked.channels.contains(&channel), self.effective.channels.contains(&channel));
        self.check("channels", channel.as_str(), asked, effective)
    }

    pub fn template(&self, name: &str) -> Result<(), String> {
        self.check("templates", name, self.asked.templates.contains(name), self.effective.templates.contains(name))
    }

    pub fn secret(&self, name: &str) -> Result<(), String> {
        self.check("secrets", name, self.asked.secrets.contains(name), self.effective.secrets.contains(name))
    }

    pub fn customer_field(&self, name: &str) -> bool {
        self.effective.customer.contains(name)
    }

    pub fn history(&self, pattern: &Pattern, text: &str) -> Result<(), String> {
        let covered = |known: &std::collections::BTreeSet<Pattern>| known.iter().any(|known| known.covers(pattern));
        self.check("history", text, covered(&self.asked.history), covered(&self.effective.history))
    }

    pub fn emit(&self, event_type: &str) -> Result<(), String> {
        let named = |known: &std::collections::BTreeSet<Pattern>| known.iter().any(|known| known.matches(event_type));
        self.check("emits", event_type, named(&self.asked.emits), named(&self.effective.emits))
    }

    pub fn phone(&self) -> Result<(), String> {
        match (self.asked.phone, self.effective.phone) {
            (true, true) => Ok(()),
            (false, _) => Err("plugin.toml does not ask for it; add there: [permissions] phone = true".to_owned()),
            (true, false) => Err(format!(
                "it is not granted; add to the host's configuration: [plugins.grants.{}] phone = true",
                self.plugin
            )),
        }
    }

    /// Whether a request may be made, as far as its URL tells.
    pub(super) fn http(&self, method: &str, url: &Url) -> Result<(), String> {
        let named = |rules: &BTreeSet<HttpRule>| rules.iter().any(|rule| rule.matches(method, url));
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if url.scheme() == "http" { ", scheme = \"http\"" } else { "" };
        let line = format!("http = [{{ host = \"{host}{port}\", methods = [\"{method}\"]{scheme} }}]");
        match (named(&self.asked.http), named(&self.effective.http)) {
            (true, true) => Ok(()),
            (false, _) => Err(format!(
                "plugin.toml does not ask for `{method} {host}{port}{}`; add there: [permissions] {line}",
                url.path()
            )),
            (true, false) => Err(format!(
                "`{method} {host}{port}{}` is not granted; add to the host's configuration: [plugins.grants.{}] {line}",
                url.path(),
                self.plugin
            )),
        }
    }

    fn check(&self, permission: &str, wanted: &str, asked: bool, effective: bool) -> Result<(), String> {
        match (asked, effective) {
            (true, true) => Ok(()),
            (false, _) => Err(format!(
                "plugin.toml does not ask for `{wanted}`; add there: [permissions] {permission} = [\"{wanted}\"]"
            )),
            (true, false) => Err(format!(
                "`{wanted}` is not granted; add to the host's configuration: [plugins.grants.{}] {permission} = [\"{wanted}\"]",
                self.plugin
            )),
        }
    }
}

fn both(asked: &BTreeSet<HttpRule>, granted: &BTreeSet<HttpRule>) -> BTreeSet<HttpRule> {
    asked.iter().flat_map(|rule| granted.iter().filter_map(|other| rule.and(other))).collect()
}

type Names<T> = std::collections::BTreeSet<T>;

fn cut<T: Ord + Clone>(
    field: &str,
    asked: &Names<T>,
    granted: &Option<Vec<String>>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Names<T>, manifest::Error> {
    match granted {
        None => Ok(asked.clone()),
        Some(granted) => Ok(names(field, granted, parse)?.intersection(asked).cloned().collect()),
    }
}

/// Of two patterns, one of which covers the other, the narrower one is what both sides agree on.
fn cut_patterns(
    field: &str,
    asked: &Names<Pattern>,
    granted: &Option<Vec<String>>,
) -> Result<Names<Pattern>, manifest::Error> {
    let Some(granted) = granted else { return Ok(asked.clone()) };
    let granted = names(field, granted, Pattern::parse)?;
    let narrower = |a: &Pattern, b: &Pattern| match (a.covers(b), b.covers(a)) {
        (true, _) => Some(b.clone()),
        (_, true) => Some(a.clone()),
        _ => None,
    };
    Ok(asked.iter().flat_map(|a| granted.iter().filter_map(move |b| narrower(a, b))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::settings::Grant;

    fn manifest() -> Manifest {
        Manifest::parse(
            r#"
            manifest = 1
            [plugin]
            name = "p"
            version = "1.0.0"
            world = "relais:plugin@1.0.0"
            component = "p.wasm"
            [[on-event]]
            types = ["a.b"]
            [permissions]
            purposes = ["alert", "reply"]
            channels = ["sms"]
            history = ["a.*"]
            phone = true
            "#,
        )
        .unwrap()
    }

    fn granted(grant: Grant) -> Capabilities {
        let settings = Settings { grants: [("p".into(), grant)].into(), ..Settings::default() };
        Capabilities::of(&manifest(), &settings).unwrap()
    }

    #[test]
    fn both_sides_have_to_agree() {
        let may = granted(Grant {
            purposes: Some(vec!["alert".into(), "reminder".into()]),
            history: Some(vec!["a.b.*".into(), "c.*".into()]),
            phone: Some(false),
            ..Grant::default()
        });
        assert!(may.purpose("alert").is_ok() && may.purpose("reply").is_err() && may.purpose("reminder").is_err());
        assert!(may.history(&Pattern::parse("a.b.c").unwrap(), "a.b.c").is_ok());
        assert!(may.history(&Pattern::parse("a.c").unwrap(), "a.c").is_err());
        assert!(may.channel(Channel::Sms).is_ok() && may.channel(Channel::Whatsapp).is_err());
        assert!(may.phone().is_err());
    }

    #[test]
    fn a_denial_says_which_side_is_missing_and_what_to_paste_there() {
        let may = granted(Grant { purposes: Some(vec![]), ..Grant::default() });
        assert!(may.purpose("alert").unwrap_err().contains("[plugins.grants.p] purposes = [\"alert\"]"));
        assert!(may.purpose("reminder").unwrap_err().contains("[permissions] purposes = [\"reminder\"]"));
    }

    #[test]
    fn nothing_is_granted_where_the_default_is_nothing() {
        let settings = Settings { grant_by_default: false, ..Settings::default() };
        let may = Capabilities::of(&manifest(), &settings).unwrap();
        assert_eq!(may.effective, Permissions::default());
    }
}
