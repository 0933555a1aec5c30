//! How much a plugin may send: messages to one customer in a day, and what its messages may cost in a day.
//!
//! What has been used is one small row for each plugin and customer, and one for each plugin and currency; whoever decides reads
//! the row in the transaction that changes it, so that runs side by side, on however many hosts, cannot use a place twice.

use std::{collections::HashMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::purpose::Purpose;
use crate::{
    clock::Timestamp,
    ids::{PluginName, TenantId},
};

/// For how long a message takes up a place.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a message's plugin may use, as it stood when the message was asked for: part of its explanation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Caps {
    /// Messages to one customer within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_customer_day: Option<u32>,
    /// What all its messages may cost in a day (of UTC), by the prices that they are planned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_day: Option<Money>,
}

impl Caps {
    pub fn is_none(&self) -> bool {
        self.per_customer_day.is_none() && self.spend_day.is_none()
    }
}

/// More times than this are not kept in a row.
pub const PLACES_MAX: u32 = 10_000;

/// What a tenant may send a customer and spend, all its plugins and what comes over HTTP together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TenantCaps {
    /// Messages of each purpose to one customer within 24 hours; 0, or a purpose that is absent: no bound. Each plugin has one of
    /// its own, and what customers bear altogether is the shop's to say.
    pub per_customer_day: HashMap<Purpose, u32>,
    /// What all messages of a tenant may cost in a day (of UTC), by the prices that they are planned with; absent: no bound.
    pub spend_day: Option<Money>,
}

impl TenantCaps {
    /// What no single setting can know.
    pub fn check(&self) -> Result<(), String> {
        match self.per_customer_day.iter().find(|(_, cap)| **cap > PLACES_MAX) {
            Some((purpose, cap)) => Err(format!(
                "caps.per-customer-day.{} is {cap}; give {PLACES_MAX} at most, or 0 for no bound",
                purpose.as_str()
            )),
            None => Ok(()),
        }
    }

    pub fn of(&self, purpose: Purpose) -> Option<u32> {
        self.per_customer_day.get(&purpose).copied().filter(|cap| *cap > 0)
    }
}

/// An amount as people write it: `5.00 EUR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// Millionths of the currency's unit.
    pub micros: i64,
    /// ISO 4217.
    pub currency: String,
}

impl Money {
    pub fn parse(text: &str) -> Result<Money, String> {
        let bad =
            || format!("`{text}` is no amount; write a number, a blank and three capital letters, as in \"5.00 EUR\"");
        let (amount, currency) = text.trim().split_once(' ').ok_or_else(bad)?;
        let currency = currency.trim();
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(bad());
        }
        let (whole, parts) = amount.split_once('.').unwrap_or((amount, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(parts) || parts.len() > 6 {
            return Err(bad());
        }
        let whole = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(1_000_000)).ok_or_else(bad)?;
        let parts = format!("{parts:0<6}").parse::<i64>().map_err(|_| bad())?;
        let micros = whole.checked_add(parts).ok_or_else(bad)?;
        Ok(Money { micros, currency: currency.to_owned() })
    }

    /// The number alone, with as many places as it needs and two at least.
    pub fn amount(&self) -> String {
        let (whole, parts) = (self.micros / 1_000_000, format!("{:06}", self.micros % 1_000_000));
        let parts = parts.trim_end_matches('0');
        format!("{whole}.{parts:0<2}")
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Money::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What is counted under: one plugin's messages to one recipient, or its money in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UseKey {
    pub tenant: TenantId,
    pub name: String,
    pub plugin: PluginName,
}

impl UseKey {
    pub fn sent_to(tenant: &TenantId, plugin: &PluginName, lane: &str) -> UseKey {
        UseKey { tenant: tenant.clone(), name: UseKey::lane(lane), plugin: plugin.clone() }
    }

    /// Messages of one purpose to one recipient, whichever plugin they are from. No plugin can be called so.
    pub fn sent_for(tenant: &TenantId, purpose: Purpose, lane: &str) -> UseKey {
        let plugin = PluginName::new(format!("purpose:{}", purpose.as_str()));
        UseKey { tenant: tenant.clone(), name: UseKey::lane(lane), plugin }
    }

    /// The money of a whole tenant.
    pub fn spent_by_all(tenant: &TenantId, currency: &str) -> UseKey {
        UseKey::spent(tenant, &PluginName::from(""), currency)
    }

    pub fn spent(tenant: &TenantId, plugin: &PluginName, currency: &str) -> UseKey {
        UseKey { tenant: tenant.clone(), name: format!("spent/{currency}"), plugin: plugin.clone() }
    }

    /// The name of what was sent to a recipient, whichever plugin did.
    pub fn lane(lane: &str) -> String {
        format!("to/{lane}")
    }
}

/// What has been used, as the row says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// When messages were taken, of the last 24 hours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Timestamp>,
    /// Days since 1970 that `micros` is of.
    pub day: i64,
    pub micros: i64,
}

impl Used {
    /// How many messages still take up a place. One of the future was counted before the clock was set back, and counts.
    pub fn places(&self, now: Timestamp) -> u32 {
        let taken = self.times.iter().filter(|at| at.plus(DAY) > now).count();
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    /// Takes a place, and forgets those that are free again.
    pub fn take(&mut self, now: Timestamp) {
        self.times.retain(|at| at.plus(DAY) > now);
        self.times.push(now);
    }

    /// What was spent on the day of `now`. A clock that was set back over midnight does not begin the day anew.
    pub fn spent(&self, now: Timestamp) -> i64 {
        if day(now) > self.day { 0 } else { self.micros }
    }

    pub fn spend(&mut self, micros: i64, now: Timestamp) {
        self.micros = self.spent(now).saturating_add(micros);
        self.day = self.day.max(day(now));
    }
}

fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(86_400_000)
}

/// Why a message is one too many, without what could be done about it.
pub fn too_many(used: u32, cap: u32, lane: &str) -> String {
    format!("per-customer-day: {used} of {cap} messages of this plugin to `{lane}` within 24 hours are used")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_as_it_is_written() {
        for (text, micros, again) in [
            ("5.00 EUR", 5_000_000, "5.00 EUR"),
            ("0.0425 CHF", 42_500, "0.0425 CHF"),
            ("12 USD", 12_000_000, "12.00 USD"),
        ] {
            let money = Money::parse(text).unwrap();
            assert_eq!((money.micros, money.to_string().as_str()), (micros, again));
        }
        for wrong in ["5.00", "5 euro", "-1 EUR", "5,00 EUR", "1.0000001 EUR", ". EUR", "99999999999999999999 EUR", ""]
        {
            assert!(Money::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_free_again_after_a_day_and_money_after_midnight() {
        let at = |hours: i64| Timestamp(hours * 3_600_000);
        let mut used = Used::default();
        used.take(at(10));
        used.take(at(20));
        assert_eq!((used.places(at(33)), used.places(at(34)), used.places(at(44))), (2, 1, 0));
        used.spend(7, at(23));
        assert_eq!((used.spent(at(23)), used.spent(at(24))), (7, 0));
        used.spend(5, at(24));
        assert_eq!(used.spent(at(23)), 5, "a clock that is set back does not give the money back");
    }
}
