//! How much a plugin may send and spend: the smallest of what its manifest asks for, what it is granted and what the host allows
//! any plugin. Who asks for nothing gets the host's default.

use super::{
    manifest::{self, PER_CUSTOMER_DAY_MAX, Permissions, wrong},
    settings::{Grant, Settings},
};
use crate::{domain::quota::Money, ids::PluginName};

/// What holds.
pub(super) fn per_customer_day(asked: &Permissions, grant: Option<&Grant>, settings: &Settings) -> Option<u32> {
    let caps = &settings.caps;
    let granted = grant.and_then(|grant| grant.per_customer_day);
    let own = asked.per_customer_day.or(granted).or(caps.default.per_customer_day());
    let least = [own, granted, caps.ceiling.per_customer_day()].into_iter().flatten().min();
    // More times than this are not kept in a row; a plugin that nothing else bounds is bounded by nothing.
    least.map(|number| number.min(PER_CUSTOMER_DAY_MAX))
}

/// What holds. All of them have to be in one currency, because nobody here knows a rate.
pub(super) fn spend_day(
    plugin: &PluginName,
    asked: &Permissions,
    grant: Option<&Grant>,
    settings: &Settings,
) -> Result<Option<Money>, manifest::Error> {
    let caps = &settings.caps;
    let granted = grant.and_then(|grant| grant.spend_day.as_ref());
    let own = asked.spend_day.as_ref().or(granted).or(caps.default.spend_day.as_ref());
    let mut least: Option<&Money> = None;
    for money in [own, granted, caps.ceiling.spend_day.as_ref()].into_iter().flatten() {
        match least {
            Some(before) if before.currency != money.currency => {
                return Err(wrong(
                    "permissions.spend-day",
                    format!(
                        "{before} and {money} cannot be compared: write spend-day of plugin.toml, [plugins.grants.{plugin}] and \
                         [plugins.caps] in one currency, that of the tenant's prices"
                    ),
                ));
            }
            Some(before) if before.micros <= money.micros => {}
            _ => least = Some(money),
        }
    }
    Ok(least.cloned())
}

/// The line that would raise the number of messages: where the smallest of the three stands.
pub(super) fn raise(plugin: &PluginName, asked: Option<u32>, settings_grant: Option<u32>, cap: u32) -> String {
    let line = format!("per-customer-day = {}", cap.saturating_mul(2).clamp(1, PER_CUSTOMER_DAY_MAX));
    if settings_grant == Some(cap) {
        format!("[plugins.grants.{plugin}] {line}")
    } else if asked == Some(cap) {
        format!("[permissions] {line} in plugin.toml")
    } else if asked.is_some() || settings_grant.is_some() {
        format!("[plugins.caps.ceiling] {line}")
    } else {
        format!("[plugins.grants.{plugin}] {line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::settings::{CapSettings, CapTable};

    fn asks(number: Option<u32>, money: Option<&str>) -> Permissions {
        let spend_day = money.map(|money| Money::parse(money).unwrap());
        Permissions { per_customer_day: number, spend_day, ..Permissions::default() }
    }

    fn grants(number: Option<u32>, money: Option<&str>) -> Grant {
        let spend_day = money.map(|money| Money::parse(money).unwrap());
        Grant { per_customer_day: number, spend_day, ..Grant::default() }
    }

    #[test]
    fn the_smallest_holds_and_who_asks_for_nothing_has_the_hosts_default() {
        let settings = Settings::default();
        let cap =
            |asked, granted: Option<u32>| per_customer_day(&asks(asked, None), Some(&grants(granted, None)), &settings);
        assert_eq!(cap(None, None), Some(20));
        assert_eq!(cap(Some(5), None), Some(5));
        assert_eq!(cap(Some(50), None), Some(50));
        assert_eq!(cap(Some(50), Some(3)), Some(3));
        assert_eq!(cap(Some(500), Some(400)), Some(100), "the ceiling holds over both");
        assert_eq!(cap(None, Some(60)), Some(60), "an operator may give more to who asks for nothing");
        let none = CapTable { per_customer_day: 0, spend_day: None };
        let open = Settings { caps: CapSettings { default: none.clone(), ceiling: none }, ..Settings::default() };
        assert_eq!(per_customer_day(&asks(None, None), None, &open), None);
    }

    #[test]
    fn money_is_bounded_by_the_smallest_amount_in_one_currency() {
        let settings = Settings::default();
        let spend = |asked, granted: Option<&str>| {
            spend_day(&"p".into(), &asks(None, asked), Some(&grants(None, granted)), &settings)
        };
        assert_eq!(spend(None, None).unwrap(), None);
        assert_eq!(spend(Some("5.00 EUR"), None).unwrap().unwrap().to_string(), "5.00 EUR");
        assert_eq!(spend(Some("5.00 EUR"), Some("2 EUR")).unwrap().unwrap().to_string(), "2.00 EUR");
        assert_eq!(spend(None, Some("2 EUR")).unwrap().unwrap().to_string(), "2.00 EUR");
        let error = spend(Some("5.00 EUR"), Some("2 CHF")).unwrap_err().to_string();
        assert!(error.contains("5.00 EUR") && error.contains("one currency"), "{error}");
    }

    #[test]
    fn the_line_to_paste_is_where_the_smallest_stands() {
        let line = |asked, granted, cap| raise(&"p".into(), asked, granted, cap);
        assert_eq!(line(Some(50), Some(3), 3), "[plugins.grants.p] per-customer-day = 6");
        assert_eq!(line(Some(5), None, 5), "[permissions] per-customer-day = 10 in plugin.toml");
        assert_eq!(line(Some(500), None, 100), "[plugins.caps.ceiling] per-customer-day = 200");
        assert_eq!(line(None, None, 20), "[plugins.grants.p] per-customer-day = 40");
    }
}
