//! What an update asks for that the version before it did not.
//!
//! The manifests are compared as they are written, so that a version for another contract can be compared as well.

use std::{collections::BTreeSet, path::Path};

use serde::Serialize;
use toml::{Table, Value};

use super::super::{http::HttpRule, manifest::Permissions};

/// The difference between two versions of a plugin, each as the line of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Update {
    pub from: String,
    pub to: String,
    /// Permissions that are new. A host that grants by its configuration holds the update back until they are granted.
    pub more: Vec<String>,
    /// Permissions that are asked for no longer.
    pub less: Vec<String>,
    /// Limits, subscriptions and webhooks that are others.
    pub changed: Vec<String>,
}

impl Update {
    pub(super) fn between(older: &Path, newer: &Path) -> Result<Update, String> {
        let (older, newer) = (manifest(older)?, manifest(newer)?);
        let (before, after) = (permissions(&older), permissions(&newer));
        let minus = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        let (was, is) = (others(&older), others(&newer));
        let gone = minus(&was, &is).into_iter().map(|line| format!("- {line}"));
        let new = minus(&is, &was).into_iter().map(|line| format!("+ {line}"));
        Ok(Update {
            from: version(&older),
            to: version(&newer),
            more: minus(&after, &before),
            less: minus(&before, &after),
            changed: gone.chain(new).collect(),
        })
    }
}

fn manifest(dir: &Path) -> Result<Table, String> {
    let path = dir.join("plugin.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.parse().map_err(|error| format!("{}: {error}", path.display()))
}

fn version(manifest: &Table) -> String {
    let version = manifest.get("plugin").and_then(|plugin| plugin.get("version")).and_then(Value::as_str);
    version.unwrap_or("?").to_owned()
}

fn permissions(manifest: &Table) -> BTreeSet<String> {
    let table = manifest.get("permissions").and_then(Value::as_table);
    let mut lines = BTreeSet::new();
    for (name, value) in table.into_iter().flatten() {
        match value {
            Value::Array(items) => lines.extend(items.iter().map(|item| format!("{name}: {item}"))),
            Value::Boolean(false) => {}
            other => drop(lines.insert(format!("{name} = {other}"))),
        }
    }
    lines
}

fn others(manifest: &Table) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (name, value) in manifest.get("limits").and_then(Value::as_table).into_iter().flatten() {
        lines.insert(format!("limits.{name} = {value}"));
    }
    let of = |table: &str, key: &str| {
        let tables = manifest.get(table).and_then(Value::as_array).into_iter().flatten();
        tables.filter_map(|table| table.get(key).cloned()).collect::<Vec<Value>>()
    };
    for types in of("on-event", "types") {
        lines.extend(types.as_array().into_iter().flatten().map(|name| format!("on-event: {name}")));
    }
    lines.extend(of("trigger", "name").into_iter().map(|name| format!("trigger: {name}")));
    lines
}

/// The lines of a grant that would give all that is asked for; of what is granted already, none.
pub(super) fn withheld(asked: &Permissions, granted: &Permissions) -> Vec<String> {
    let json = |permissions: &Permissions| serde_json::to_value(permissions).unwrap_or_default();
    let rules: Vec<String> = asked.http.iter().map(HttpRule::as_table).collect();
    let (asked, granted) = (json(asked), json(granted));
    let mut lines = Vec::new();
    for (name, wanted) in asked.as_object().into_iter().flatten() {
        if granted.get(name) == Some(wanted) {
            continue;
        }
        if name == "http" {
            lines.push(format!("http = [{}]", rules.join(", ")));
        } else {
            lines.push(format!("{name} = {wanted}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_from_what_is_gone() {
        let dir = |name: &str, text: &str| {
            let dir = std::env::temp_dir().join(format!("relais-update-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("plugin.toml"), text).unwrap();
            dir
        };
        let old = dir("old", "[plugin]\nversion = \"1.0.0\"\n[permissions]\npurposes = [\"alert\"]\nphone = false\n");
        let new = dir(
            "new",
            "[plugin]\nversion = \"1.1.0\"\n[permissions]\npurposes = [\"reply\"]\nphone = true\n[limits]\ncpu = \"1s\"\n",
        );
        let update = Update::between(&old, &new).unwrap();
        assert_eq!((update.from.as_str(), update.to.as_str()), ("1.0.0", "1.1.0"));
        assert_eq!(update.more, ["phone = true", "purposes: \"reply\""]);
        assert_eq!(update.less, ["purposes: \"alert\""]);
        assert_eq!(update.changed, ["+ limits.cpu = \"1s\""]);
        assert!(Update::between(&new.join("nowhere"), &new).unwrap_err().contains("nowhere"));
        for dir in [old, new] {
            std::fs::remove_dir_all(dir).unwrap();
        }
    }
}
