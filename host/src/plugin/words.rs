//! Permissions in words, so that what was accepted once can be held against what is asked for later.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    capability::Capabilities,
    settings::{Grant, Settings},
};

/// What a plugin would be allowed because its manifest asks for it: `channels: sms`, `phone`. What the configuration grants by
/// name is not among it, because somebody has looked at that.
pub(super) fn wanted(capabilities: &Capabilities, settings: &Settings) -> BTreeSet<String> {
    let effective = serde_json::to_value(&capabilities.effective).unwrap_or_default();
    let grant = settings.grants.get(&capabilities.plugin);
    let mut words = BTreeSet::new();
    for (key, value) in effective.as_object().into_iter().flatten() {
        let key = key.replace('_', "-");
        if !grant.is_some_and(|grant| by_name(grant, &key)) {
            collect(&key, value, &mut words);
        }
    }
    words
}

/// Whether the configuration itself says what of this permission is granted. What is not known here is asked about.
fn by_name(grant: &Grant, key: &str) -> bool {
    match key {
        "purposes" => grant.purposes.is_some(),
        "channels" => grant.channels.is_some(),
        "templates" => grant.templates.is_some(),
        "customer" => grant.customer.is_some(),
        "history" => grant.history.is_some(),
        "emits" => grant.emits.is_some(),
        "phone" => grant.phone.is_some(),
        "secrets" => grant.secrets.is_some(),
        // Never granted but by name.
        "http" => true,
        _ => false,
    }
}

fn collect(key: &str, value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => _ = words.insert(key.to_owned()),
        Value::String(text) => _ = words.insert(format!("{key}: {text}")),
        Value::Number(number) => _ = words.insert(format!("{key}: {number}")),
        Value::Array(items) => items.iter().for_each(|item| match item {
            // What is no plain word is told whole: a part of it alone would say something else.
            Value::Object(_) | Value::Array(_) => _ = words.insert(format!("{key}: {item}")),
            plain => collect(key, plain, words),
        }),
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| collect(&format!("{key}.{name}"), value, words));
        }
    }
}

/// `a, b and c`, for a sentence.
pub(super) fn listed(words: &BTreeSet<String>) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::manifest::Permissions;

    #[test]
    fn what_the_configuration_grants_by_name_needs_no_second_look() {
        let effective = Permissions {
            purposes: ["alert"].into(),
            channels: [crate::domain::customer::Channel::Sms].into(),
            phone: true,
            ..Permissions::default()
        };
        let may = Capabilities { plugin: "p".into(), asked: effective.clone(), effective };
        let words = |settings: &Settings| wanted(&may, settings).into_iter().collect::<Vec<_>>();
        assert_eq!(words(&Settings::default()), ["channels: sms", "phone", "purposes: alert"]);
        let grant = Grant { channels: Some(vec!["sms".into()]), ..Grant::default() };
        let settings = Settings { grants: [("p".into(), grant)].into(), ..Settings::default() };
        assert_eq!(words(&settings), ["phone", "purposes: alert"]);
    }
}
