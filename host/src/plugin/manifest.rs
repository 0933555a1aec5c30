//! `plugin.toml`: read before any code of the plugin runs, and refused with the field's name and the fix where it is wrong.
//!
//! The file is read twice over: first by its shape, where an unknown key is an error, so that a misspelt permission is found
//! when the plugin is loaded; then by its meaning, where every name, pattern and template is parsed once and for all.

use std::collections::{BTreeMap, BTreeSet};

mod template;

use serde::Deserialize;

pub(crate) use self::template::names_in;
pub use self::template::{LinkSpec, TemplateSpec};
use super::{
    budget::Wishes,
    http::{HttpRule, HttpRuleTable},
    subscription::{Path, Pattern, Root, Scalar, Subscription, Template},
    trigger::{self, Trigger},
    units::Span,
};
use crate::{
    domain::{customer::Channel, event::reserved, purpose::Purpose, quota::Money, status::DeliveryState},
    ids::PluginName,
};

/// The contract that this host offers. Plugins built for an earlier 1.x run on it.
pub const CONTRACT: &str = "relais:plugin@1.0.0";

/// The contract of channels. It is tried first: any 0.x may differ from the one before.
pub(super) const CHANNEL_CONTRACT: &str = "relais:channel@0.1.0";

/// Within a major version what is built keeps running: an earlier minor version is there, a later one is not.
pub(super) fn offered(needed: &str) -> bool {
    let numbers = |contract: &str| {
        let (package, version) = contract.split_once('@')?;
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let numbers = (parts.next()??, parts.next()??, parts.next()??);
        (package == "relais:plugin" && parts.next().is_none()).then_some(numbers)
    };
    let both = numbers(needed).zip(numbers(CONTRACT));
    both.is_some_and(|((major, minor, _), (own_major, own_minor, _))| major == own_major && minor <= own_minor)
}

/// The times of so many messages are one small row; nobody wants more of one plugin in a day.
pub(super) const PER_CUSTOMER_DAY_MAX: u32 = 1000;

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("plugin.toml: {field}: {problem}")]
pub struct Error {
    pub field: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

pub(super) fn wrong(field: impl Into<String>, problem: impl Into<String>) -> Error {
    Error { field: field.into(), problem: problem.into() }
}

/// A manifest that makes sense.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: PluginName,
    pub version: String,
    pub publisher: Option<String>,
    pub title: Option<String>,
    pub component: String,
    /// SHA-256 of the component, where the manifest pins it.
    pub digest: Option<[u8; 32]>,
    pub subscriptions: Vec<Subscription>,
    pub on_timer: bool,
    /// There: runs are made for these states.
    pub on_delivery: Option<Vec<DeliveryState>>,
    pub on_message: Option<OnMessage>,
    pub triggers: Vec<Trigger>,
    /// There: the component is a channel, and nothing else.
    pub channel: Option<ChannelSpec>,
    pub permissions: Permissions,
    pub wishes: Wishes,
    pub retry: RetryPolicy,
    pub templates: BTreeMap<String, TemplateSpec>,
    pub config_schema: Option<String>,
    pub config_defaults: serde_json::Map<String, serde_json::Value>,
}

/// The `[channel]` of a manifest.
#[derive(Clone, Debug)]
pub struct ChannelSpec {
    /// How its service signs webhooks, beyond the secret in their URL.
    pub(super) scheme: trigger::Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnMessage {
    pub answers: bool,
    pub others: bool,
}

/// What a manifest asks for, or what is left of it after the operator's grant.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Permissions {
    pub purposes: BTreeSet<&'static str>,
    pub channels: BTreeSet<Channel>,
    pub templates: BTreeSet<String>,
    pub customer: BTreeSet<String>,
    #[serde(serialize_with = "patterns")]
    pub history: BTreeSet<Pattern>,
    #[serde(serialize_with = "patterns")]
    pub emits: BTreeSet<Pattern>,
    pub phone: bool,
    pub secrets: BTreeSet<String>,
    pub http: BTreeSet<HttpRule>,
    /// Messages to one customer within 24 hours; what is asked for, or the number that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_customer_day: Option<u32>,
    /// What its messages may cost in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_day: Option<Money>,
}

fn patterns<S: serde::Serializer>(patterns: &BTreeSet<Pattern>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(patterns.iter().map(ToString::to_string))
}

/// How a failing run is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Executions before the run is set aside.
    pub attempts: u32,
    pub first: std::time::Duration,
    pub longest: std::time::Duration,
    /// Later runs about the entity wait.
    pub hold_up: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        // A second is what a restarting service needs; ten executions with doubling pauses span eight minutes.
        let (first, longest) = (std::time::Duration::from_secs(1), std::time::Duration::from_secs(300));
        RetryPolicy { attempts: 10, first, longest, hold_up: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    manifest: u32,
    plugin: PluginTable,
    #[serde(default)]
    on_event: Vec<OnEventTable>,
    on_timer: Option<EmptyTable>,
    on_delivery: Option<OnDeliveryTable>,
    on_message: Option<OnMessageTable>,
    #[serde(default)]
    trigger: Vec<trigger::Table>,
    channel: Option<ChannelTable>,
    #[serde(default)]
    permissions: PermissionsTable,
    #[serde(default)]
    limits: Wishes,
    #[serde(default)]
    retry: RetryTable,
    #[serde(default)]
    templates: Vec<template::Table>,
    #[serde(default)]
    config: ConfigTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginTable {
    name: String,
    version: String,
    publisher: Option<String>,
    title: Option<String>,
    world: String,
    component: String,
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnEventTable {
    types: Vec<String>,
    source: Option<String>,
    #[serde(default, rename = "where")]
    filter: BTreeMap<String, toml::Value>,
    entity: Option<String>,
    customer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyTable {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelTable {
    signature: Option<trigger::SignatureTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDeliveryTable {
    states: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnMessageTable {
    #[serde(default)]
    answers: bool,
    #[serde(default)]
    others: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct PermissionsTable {
    purposes: Vec<String>,
    channels: Vec<String>,
    templates: Vec<String>,
    customer: Vec<String>,
    history: Vec<String>,
    emits: Vec<String>,
    phone: bool,
    secrets: Vec<String>,
    http: Vec<HttpRuleTable>,
    per_customer_day: Option<u32>,
    spend_day: Option<Money>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct RetryTable {
    attempts: Option<u32>,
    first: Option<Span>,
    longest: Option<Span>,
    hold_up: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigTable {
    schema: Option<String>,
    defaults: serde_json::Map<String, serde_json::Value>,
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Manifest, Error> {
        // The parser's own message names the line, the key and what was expected there.
        let file: File = toml::from_str(text).map_err(|error| wrong("cannot be read", error.to_string()))?;
        if file.manifest != 1 {
            return Err(wrong("manifest", format!("{} is no version of this format; write 1", file.manifest)));
        }
        let plugin = file.plugin;
        let name = plugin_name(&plugin.name)?;
        let channel = file.channel.map(|table| ChannelSpec { scheme: trigger::scheme_or_none(table.signature) });
        if channel.is_some() && plugin.world != CHANNEL_CONTRACT {
            return Err(wrong(
                "plugin.world",
                format!("a plugin with [channel] is written against `{CHANNEL_CONTRACT}`"),
            ));
        }
        if channel.is_none() && !offered(&plugin.world) {
            return Err(wrong(
                "plugin.world",
                format!("the plugin is written against `{}`, and this host offers `{CONTRACT}`", plugin.world),
            ));
        }
        let templates = template::parse_all(file.templates)?;
        let subscriptions = file.on_event.into_iter().enumerate().map(|(no, table)| subscription(no, table));
        let manifest = Manifest {
            version: version(&plugin.version)?,
            publisher: plugin.publisher,
            title: plugin.title,
            component: plugin.component,
            digest: plugin.digest.as_deref().map(digest).transpose()?,
            subscriptions: subscriptions.collect::<Result<_, _>>()?,
            on_timer: file.on_timer.is_some(),
            on_delivery: file.on_delivery.map(|table| delivery_states(&table.states)).transpose()?,
            on_message: file.on_message.map(on_message).transpose()?,
            triggers: trigger::parse_all(&name, file.trigger)?,
            channel,
            permissions: permissions(file.permissions, &templates)?,
            wishes: file.limits,
            retry: retry(&file.retry)?,
            templates,
            config_schema: file.config.schema,
            config_defaults: file.config.defaults,
            name,
        };
        let idle = manifest.subscriptions.is_empty() && manifest.on_message.is_none() && manifest.on_delivery.is_none();
        if manifest.channel.is_some() {
            if !idle || manifest.on_timer || !manifest.triggers.is_empty() {
                return Err(wrong("channel", "a channel is a plugin of its own: it has no handlers and no triggers"));
            }
            return Ok(manifest);
        }
        if idle && !manifest.on_timer {
            return Err(wrong(
                "on-event",
                "nothing would ever run this plugin; add an [[on-event]] or an [on-message]",
            ));
        }
        Ok(manifest)
    }
}

fn plugin_name(name: &str) -> Result<PluginName, Error> {
    let fine = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fine {
        return Err(wrong(
            "plugin.name",
            format!("`{name}` is no plugin name; write a small letter, then small letters, digits and -, 63 at most"),
        ));
    }
    Ok(PluginName::new(name))
}

fn version(text: &str) -> Result<String, Error> {
    let core = text.split(['-', '+']).next().unwrap_or(text);
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() != 3 || !parts.iter().all(|part| part.parse::<u64>().is_ok()) {
        return Err(wrong(
            "plugin.version",
            format!("`{text}` is no semantic version; write three numbers, as in \"1.4.2\""),
        ));
    }
    Ok(text.to_owned())
}

fn digest(text: &str) -> Result<[u8; 32], Error> {
    let bad = || {
        wrong(
            "plugin.digest",
            format!("`{text}` is no digest; write \"sha256:\" and 64 hexadecimal digits, or leave it out"),
        )
    };
    let hex = text.strip_prefix("sha256:").ok_or_else(bad)?;
    trigger::from_hex(hex).and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)
}

fn subscription(no: usize, table: OnEventTable) -> Result<Subscription, Error> {
    let field = |name: &str| format!("on-event {}: {name}", no + 1);
    if table.types.is_empty() {
        return Err(wrong(field("types"), "it names no event type; write at least one"));
    }
    let types = table.types.iter().map(|text| Pattern::parse(text).map_err(|problem| wrong(field("types"), problem)));
    let template = |name: &str, text: &Option<String>| {
        text.as_deref()
            .map(|text| Template::parse(text, Root::Event))
            .transpose()
            .map_err(|problem| wrong(field(name), problem))
    };
    let filter = table.filter.iter().map(|(path, value)| {
        let path = Path::parse(path, Root::Event).map_err(|problem| wrong(field("where"), problem))?;
        Ok((path, scalar(value).ok_or_else(|| wrong(field("where"), "a value is a text, a number, true or false"))?))
    });
    Ok(Subscription {
        types: types.collect::<Result<_, _>>()?,
        filter: filter.collect::<Result<_, Error>>()?,
        entity: template("entity", &table.entity)?,
        customer: template("customer", &table.customer)?,
        source: table.source,
    })
}

fn scalar(value: &toml::Value) -> Option<Scalar> {
    match value {
        toml::Value::String(text) => Some(Scalar::Text(text.clone())),
        #[expect(
            clippy::cast_precision_loss,
            reason = "JSON numbers are compared as f64, as every JavaScript sender means them"
        )]
        toml::Value::Integer(number) => Some(Scalar::Number(*number as f64)),
        toml::Value::Float(number) => Some(Scalar::Number(*number)),
        toml::Value::Boolean(truth) => Some(Scalar::Bool(*truth)),
        _ => None,
    }
}

fn delivery_states(states: &[String]) -> Result<Vec<DeliveryState>, Error> {
    let known = |state: &DeliveryState| *state != DeliveryState::Pending;
    let parse = |text: &String| {
        DeliveryState::parse(text).filter(known).ok_or_else(|| {
            wrong(
                "on-delivery.states",
                format!("`{text}` is none of sent, delivered, read, falling-back, failed, expired, cancelled"),
            )
        })
    };
    states.iter().map(parse).collect()
}

fn on_message(table: OnMessageTable) -> Result<OnMessage, Error> {
    if !table.answers && !table.others {
        return Err(wrong(
            "on-message",
            "it asks for nothing; set `answers` or `others` to true, or leave the table out",
        ));
    }
    Ok(OnMessage { answers: table.answers, others: table.others })
}

fn permissions(table: PermissionsTable, templates: &BTreeMap<String, TemplateSpec>) -> Result<Permissions, Error> {
    if let Some(unknown) = table.templates.iter().find(|name| !templates.contains_key(*name)) {
        return Err(wrong("permissions.templates", format!("`{unknown}` is declared in no [[templates]]")));
    }
    if let Some(number) = table.per_customer_day.filter(|number| !(1..=PER_CUSTOMER_DAY_MAX).contains(number)) {
        let problem = format!("{number} is no number of messages to one customer; write 1 to {PER_CUSTOMER_DAY_MAX}");
        return Err(wrong("permissions.per-customer-day", problem));
    }
    Ok(Permissions {
        purposes: names("permissions.purposes", &table.purposes, purpose)?,
        channels: names("permissions.channels", &table.channels, channel)?,
        templates: table.templates.into_iter().collect(),
        customer: table.customer.into_iter().collect(),
        history: names("permissions.history", &table.history, Pattern::parse)?,
        emits: names("permissions.emits", &table.emits, emitted)?,
        phone: table.phone,
        secrets: table.secrets.into_iter().collect(),
        http: rules("permissions.http", &table.http)?,
        per_customer_day: table.per_customer_day,
        spend_day: table.spend_day,
    })
}

pub(super) fn rules(field: &str, tables: &[HttpRuleTable]) -> Result<BTreeSet<HttpRule>, Error> {
    tables.iter().map(|table| HttpRule::parse(table).map_err(|problem| wrong(field, problem))).collect()
}

/// A plugin may listen to what the host raises, and may not pretend to be the host.
fn emitted(text: &str) -> Result<Pattern, String> {
    match reserved(text) {
        Some(why) => Err(format!("`{text}`: {why}")),
        None => Pattern::parse(text),
    }
}

pub(super) fn names<T: Ord>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<BTreeSet<T>, Error> {
    texts.iter().map(|text| parse(text).map_err(|problem| wrong(field, problem))).collect()
}

pub(super) fn purpose(text: &str) -> Result<&'static str, String> {
    let purpose = Purpose::parse(text).map(Purpose::as_str);
    purpose.ok_or_else(|| format!("`{text}` is none of reply, confirmation, alert, reminder"))
}

pub(super) fn channel(text: &str) -> Result<Channel, String> {
    Channel::parse(text).ok_or_else(|| format!("`{text}` is none of whatsapp, sms"))
}

fn retry(table: &RetryTable) -> Result<RetryPolicy, Error> {
    let default = RetryPolicy::default();
    let policy = RetryPolicy {
        attempts: table.attempts.unwrap_or(default.attempts),
        first: table.first.map_or(default.first, |span| span.0),
        longest: table.longest.map_or(default.longest, |span| span.0),
        hold_up: table.hold_up.unwrap_or(default.hold_up),
    };
    if policy.attempts == 0 {
        return Err(wrong("retry.attempts", "0 would set every run aside unexecuted; write 1 or more"));
    }
    if policy.first > policy.longest {
        return Err(wrong("retry.first", "it is longer than retry.longest"));
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        manifest = 1
        [plugin]
        name = "small"
        version = "1.0.0"
        world = "relais:plugin@1.0.0"
        component = "small.wasm"
        [[on-event]]
        types = ["com.example.*"]
    "#;

    fn refusal(more: &str) -> String {
        Manifest::parse(&format!("{SMALL}\n{more}")).unwrap_err().to_string()
    }

    #[test]
    fn the_manifest_of_the_manual_is_read() {
        let manual = include_str!("../../../plugin-sdk/MANIFEST.md");
        let toml = manual.split("```toml").nth(1).unwrap().split("```").next().unwrap();
        // The manual shortens the digest and shows outgoing HTTP, which a later version of the host offers.
        let toml: Vec<&str> = toml.lines().filter(|line| !line.starts_with("digest")).collect();
        let manifest = Manifest::parse(&toml.join("\n")).unwrap();
        assert_eq!(manifest.name.as_str(), "last-in-cart");
        assert_eq!(manifest.triggers.len(), 1);
        assert_eq!(manifest.retry, RetryPolicy::default());
        assert_eq!(manifest.wishes.over(&crate::plugin::Budget::default()), crate::plugin::Budget::default());
        assert!(manifest.permissions.templates.contains("last_item"));
    }

    #[test]
    fn a_misspelt_key_is_named() {
        assert!(refusal("[permissions]\npurpose = [\"alert\"]").contains("unknown field `purpose`"));
        assert!(refusal("[on-timer]\nx = 1").contains("unknown field `x`"));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_field_and_what_would_do() {
        let text = refusal("[permissions]\npurposes = [\"advert\"]");
        assert!(
            text.contains("permissions.purposes") && text.contains("reply, confirmation, alert, reminder"),
            "{text}"
        );
        assert!(refusal("[limits]\ncpu = \"5\"").contains("no length of time"));
        assert!(refusal("[permissions]\ntemplates = [\"x\"]").contains("[[templates]]"));
        assert!(refusal("[permissions]\nhttp = [{ host = \"a b\" }]").contains("permissions.http"));
        assert!(refusal("[permissions]\nper-customer-day = 0").contains("write 1 to 1000"));
        assert!(refusal("[permissions]\nspend-day = \"5 euro\"").contains("as in \"5.00 EUR\""));
    }

    #[test]
    fn another_contract_says_what_is_needed_and_what_is_offered() {
        for needed in ["1.0.0-draft.2", "1.1.0", "2.0.0", "next"] {
            let text = SMALL.replace("plugin@1.0.0", &format!("plugin@{needed}"));
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(needed) && error.contains(CONTRACT), "{error}");
        }
    }
}
