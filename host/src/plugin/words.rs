//! Permissions in words, so that what was accepted once can be held against what is asked for later.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    capability::Capabilities,
    settings::{Grant, Settings},
};
use crate::domain::plugin::{NO_BOUND, SPEND};

/// What a plugin would be allowed because its manifest asks for it: `channels: sms`, `phone`. What the configuration grants by
/// name is not among it, because somebody has looked at that.
pub(super) fn wanted(capabilities: &Capabilities, settings: &Settings) -> BTreeSet<String> {
    let effective = serde_json::to_value(&capabilities.effective).unwrap_or_default();
    let grant = settings.grants.get(&capabilities.plugin);
    let mut words = BTreeSet::new();
    for (key, value) in effective.as_object().into_iter().flatten() {
        let key = key.replace('_', "-");
        // How much is told apart from what: fewer is less, and nothing at all is most.
        if !grant.is_some_and(|grant| by_name(grant, &key)) && !CAPS.contains(&key.as_str()) {
            collect(&key, value, &mut words);
        }
    }
    words.extend(caps(capabilities, settings));
    words
}

const CAPS: [&str; 2] = ["per-customer-day", "spend-day"];

/// Numbers as far as the manifest is why they are so high: up to what every plugin has, nobody has to look at them.
fn caps(capabilities: &Capabilities, settings: &Settings) -> Vec<String> {
    let (asked, effective) = (&capabilities.asked, &capabilities.effective);
    let grant = settings.grants.get(&capabilities.plugin);
    let default = &settings.caps.default;
    let mut words = Vec::new();
    if let (Some(_), Some(number)) = (asked.per_customer_day, effective.per_customer_day)
        && default.per_customer_day().is_some_and(|usual| number > usual)
        && grant.is_none_or(|grant| grant.per_customer_day.is_none())
    {
        words.push(format!("per-customer-day: {number}"));
    }
    let sends = !effective.channels.is_empty();
    match &effective.spend_day {
        _ if grant.is_some_and(|grant| grant.spend_day.is_some()) => {}
        Some(money)
            if asked.spend_day.is_some()
                && default.spend_day.as_ref().is_none_or(|usual| money.micros > usual.micros) =>
        {
            words.push(format!("{SPEND} in {}: {}", money.currency, money.amount()));
        }
        None if sends => words.push(format!("{SPEND}: {NO_BOUND}")),
        Some(_) | None => {}
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
    use crate::{domain::plugin::beyond, plugin::manifest::Permissions};

    #[test]
    fn what_the_configuration_grants_by_name_needs_no_second_look() {
        let effective = Permissions {
            purposes: ["alert"].into(),
            channels: [crate::domain::customer::Channel::Sms].into(),
            phone: true,
            ..Permissions::default()
        };
        let may =
            Capabilities { plugin: "p".into(), asked: effective.clone(), effective, granted_per_customer_day: None };
        let words = |settings: &Settings| wanted(&may, settings).into_iter().collect::<Vec<_>>();
        assert_eq!(words(&Settings::default()), ["channels: sms", "phone", "purposes: alert", "spend-day: no bound"]);
        let grant = Grant { channels: Some(vec!["sms".into()]), ..Grant::default() };
        let settings = Settings { grants: [("p".into(), grant)].into(), ..Settings::default() };
        assert_eq!(words(&settings), ["phone", "purposes: alert", "spend-day: no bound"]);
    }

    /// What `wanted` says of a plugin that asks for so much, and of one that asks for nothing of the kind.
    fn of(number: Option<u32>, money: Option<&str>, grant: Option<Grant>) -> BTreeSet<String> {
        let money = money.map(|money| crate::domain::quota::Money::parse(money).unwrap());
        let asked = Permissions {
            channels: [crate::domain::customer::Channel::Sms].into(),
            per_customer_day: number,
            spend_day: money,
            ..Permissions::default()
        };
        let effective = Permissions { per_customer_day: number.or(Some(20)), ..asked.clone() };
        let may = Capabilities { plugin: "p".into(), asked, effective, granted_per_customer_day: None };
        let grants = grant.map(|grant| ("p".into(), grant)).into_iter().collect();
        wanted(&may, &Settings { grants, ..Settings::default() })
    }

    #[test]
    fn more_messages_or_more_money_in_an_update_is_held_and_less_is_not() {
        let held =
            |before: BTreeSet<String>, after: BTreeSet<String>| beyond(&before, &after).into_iter().collect::<Vec<_>>();
        let none: Vec<String> = Vec::new();
        assert_eq!(held(of(None, None, None), of(Some(50), None, None)), ["per-customer-day: 50"]);
        assert_eq!(held(of(Some(50), None, None), of(Some(60), None, None)), ["per-customer-day: 60"]);
        assert_eq!(held(of(Some(50), None, None), of(Some(40), None, None)), none);
        assert_eq!(held(of(Some(50), None, None), of(None, None, None)), none);
        assert_eq!(held(of(None, None, None), of(Some(10), None, None)), none);

        let five = || of(None, Some("5.00 EUR"), None);
        assert_eq!(held(five(), of(None, Some("5.50 EUR"), None)), ["spend-day in EUR: 5.50"]);
        assert_eq!(held(five(), of(None, Some("4 EUR"), None)), none);
        assert_eq!(
            held(five(), of(None, None, None)),
            ["spend-day: no bound"],
            "asking for nothing is asking for more"
        );
        assert_eq!(held(of(None, None, None), five()), none);
        assert_eq!(held(five(), of(None, Some("4 CHF"), None)), ["spend-day in CHF: 4.00"], "nobody knows the rate");
        // A store from before this was told apart.
        assert_eq!(held(["channels: sms".to_owned()].into(), of(None, None, None)), none);
        let grant = Grant { per_customer_day: Some(80), ..Grant::default() };
        assert_eq!(held(of(None, None, None), of(Some(60), None, Some(grant))), none, "somebody has looked at it");
    }
}
