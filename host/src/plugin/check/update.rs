//! What an update asks for that the version before it did not.
//!
//! The manifests are compared as they are written, so that a version for another contract can be compared as well.

use std::{collections::BTreeSet, path::Path};

use serde::Serialize;
use toml::{Table, Value};

use super::super::{http::HttpRule, manifest::Permissions};
use crate::domain::quota::Money;

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
        let (higher, lower) = bounds(&older, &newer);
        Ok(Update {
            from: version(&older),
            to: version(&newer),
            more: [minus(&after, &before), higher].concat(),
            less: [minus(&before, &after), lower].concat(),
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

const BOUNDS: [&str; 2] = ["per-customer-day", "spend-day"];

/// Bounds that are higher and that are lower than before. Where nothing is said the host's own holds, which for money is none.
fn bounds(older: &Table, newer: &Table) -> (Vec<String>, Vec<String>) {
    let of = |manifest: &Table, name: &str| manifest.get("permissions").and_then(|table| table.get(name)).cloned();
    let said = |value: &Option<Value>| value.as_ref().map_or_else(|| "the host's own".to_owned(), Value::to_string);
    let (mut higher, mut lower) = (Vec::new(), Vec::new());
    for name in BOUNDS {
        let (before, after) = (of(older, name), of(newer, name));
        if before != after {
            let lines = if is_lower(before.as_ref(), after.as_ref()) { &mut lower } else { &mut higher };
            lines.push(format!("{name} = {} (before: {})", said(&after), said(&before)));
        }
    }
    (higher, lower)
}

fn is_lower(before: Option<&Value>, after: Option<&Value>) -> bool {
    match (before, after) {
        (Some(Value::Integer(before)), Some(Value::Integer(after))) => after < before,
        (Some(Value::String(before)), Some(Value::String(after))) => {
            match (Money::parse(before), Money::parse(after)) {
                (Ok(before), Ok(after)) => before.currency == after.currency && after.micros < before.micros,
                _ => false,
            }
        }
        (None, Some(Value::String(_))) => true,
        _ => false,
    }
}

fn permissions(manifest: &Table) -> BTreeSet<String> {
    let table = manifest.get("permissions").and_then(Value::as_table);
    let mut lines = BTreeSet::new();
    for (name, value) in table.into_iter().flatten() {
        match value {
            _ if BOUNDS.contains(&name.as_str()) => {}
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
            lines.push(format!("{} = {wanted}", name.replace('_', "-")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_lower_is_no_more_to_be_asked_for() {
        let manifest = |lines: &str| format!("[permissions]\n{lines}").parse::<Table>().unwrap();
        let told = |before: &str, after: &str| bounds(&manifest(before), &manifest(after));
        let (higher, lower) =
            told("per-customer-day = 5\nspend-day = \"5 EUR\"", "per-customer-day = 3\nspend-day = \"6 EUR\"");
        assert_eq!(lower, ["per-customer-day = 3 (before: 5)"]);
        assert_eq!(higher, ["spend-day = \"6 EUR\" (before: \"5 EUR\")"]);
        let (higher, lower) = told("spend-day = \"5 EUR\"", "per-customer-day = 50");
        assert_eq!(
            higher,
            ["per-customer-day = 50 (before: the host's own)", "spend-day = the host's own (before: \"5 EUR\")"]
        );
        assert!(lower.is_empty() && told("", "spend-day = \"5 EUR\"").0.is_empty());
    }

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
