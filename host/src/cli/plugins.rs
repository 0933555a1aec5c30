//! `relais plugin list`, `reload`, `approve`, `pause`, `resume` and `shadow`: an operator and the plugins of a host.

use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::{Target, client::Body};
use crate::terminal::{Failure, say};

pub(super) async fn list(target: &Target, json: bool) -> Result<(), Failure> {
    let plugins = target.connect()?.get("/v1/plugins").await?;
    if json {
        say(serde_json::to_string_pretty(&plugins).map_err(anyhow::Error::from)?);
    }
    let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    if !json {
        plugins.iter().for_each(describe);
    }
    let serves = |plugin: &Value| part(plugin, "state") == "loaded" && part(plugin, "update").is_null();
    if plugins.iter().all(serves) { Ok(()) } else { Err(Failure::Silent) }
}

pub(super) async fn reload(target: &Target) -> Result<(), Failure> {
    let looked = target.connect()?.post("/v1/plugins/reload", None).await?;
    let rows = |key: &str| part(&looked, key).as_array().cloned().unwrap_or_default();
    let changed: Vec<Value> =
        rows("changed").into_iter().filter(|change| part(change, "outcome") != "unchanged").collect();
    for change in &changed {
        let reason = part(change, "reason").as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        say(format_args!("{} {}{reason}", text(change, "name"), text(change, "outcome")));
    }
    if changed.is_empty() {
        say("nothing has changed");
    }
    let waits = rows("not_loaded");
    let told = |name: &Value| changed.iter().any(|change| part(change, "name") == name);
    for waiting in waits.iter().filter(|waiting| !told(part(waiting, "name"))) {
        say(format_args!(
            "{} {}: {}",
            text(waiting, "name"),
            text(part(waiting, "update"), "state"),
            text(part(waiting, "update"), "reason")
        ));
    }
    let fails = |change: &Value| part(change, "outcome") == "refused" || part(change, "outcome") == "held";
    if waits.is_empty() && !changed.iter().any(fails) { Ok(()) } else { Err(Failure::Silent) }
}

pub(super) async fn approve(target: &Target, name: &str) -> Result<(), Failure> {
    let approved = target.connect()?.post(&path(name, "approve"), None).await?;
    say(format_args!("accepted for {name}:"));
    let words = part(&approved, "accepted").as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(Value::as_str).for_each(|word| say(format_args!("  {word}")));
    describe(part(&approved, "plugin"));
    Ok(())
}

pub(super) async fn pause(target: &Target, name: &str, why: Option<&str>) -> Result<(), Failure> {
    let body = why.map(|why| Body { content_type: "application/json", bytes: json!({"why": why}).to_string().into() });
    let paused = target.connect()?.post(&path(name, "pause"), body).await?;
    describe(part(&paused, "plugin"));
    Ok(())
}

pub(super) async fn resume(target: &Target, name: &str) -> Result<(), Failure> {
    let resumed = target.connect()?.post(&path(name, "resume"), None).await?;
    describe(part(&resumed, "plugin"));
    Ok(())
}

pub(super) async fn shadow(target: &Target, name: &str, json: bool) -> Result<(), Failure> {
    let encoded: String = byte_serialize(name.as_bytes()).collect();
    let plugin = target.connect()?.get(&format!("/v1/plugins/{encoded}")).await?;
    let shadow = part(&plugin, "shadow");
    if json {
        say(serde_json::to_string_pretty(shadow).map_err(anyhow::Error::from)?);
    } else if shadow.is_null() {
        say(format_args!("{name} has no shadow; put another version of it into plugins.shadow-dir, as {name}/"));
    } else {
        let version = |of: &Value| part(of, "version").as_str().unwrap_or("?").to_owned();
        say(format_args!("{name} {} beside {}: {}", version(shadow), version(&plugin), text(shadow, "summary")));
        for example in part(shadow, "examples").as_array().into_iter().flatten() {
            let differs: Vec<&str> =
                part(example, "differs").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            say(format_args!("  {} ({}): {}", text(example, "run"), text(example, "version"), differs.join("; ")));
        }
        if part(shadow, "dropped").as_u64() > Some(0) {
            say(format_args!("  {} runs were not compared, because the shadow was behind", part(shadow, "dropped")));
        }
    }
    if part(shadow, "state") == "compares" && part(shadow, "differ") == 0 { Ok(()) } else { Err(Failure::Silent) }
}

fn path(name: &str, verb: &str) -> String {
    format!("/v1/plugins/{}/{verb}", byte_serialize(name.as_bytes()).collect::<String>())
}

fn part<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    part(value, key).as_str().unwrap_or_default()
}

fn describe(plugin: &Value) {
    if !plugin.is_object() {
        return;
    }
    let version = part(plugin, "version").as_str().map(|version| format!(" {version}")).unwrap_or_default();
    say(format_args!("{}{version}: {}", text(plugin, "name"), text(plugin, "state")));
    if let Some(reason) = part(plugin, "reason").as_str() {
        say(format_args!("  {reason}"));
    }
    for failed in part(part(plugin, "paused"), "evidence").as_array().into_iter().flatten() {
        say(format_args!(
            "  {} {} {}: {}",
            text(failed, "at"),
            text(failed, "run"),
            text(failed, "kind"),
            text(failed, "message")
        ));
    }
    if part(plugin, "update").is_object() {
        let update = part(plugin, "update");
        say(format_args!("  a newer package is {}: {}", text(update, "state"), text(update, "reason")));
    }
}
