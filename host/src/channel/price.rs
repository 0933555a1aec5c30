//! What a message is expected to cost, by dated tables: figures change on a day that is known before, code does not.
//!
//! The tables under `data/prices` are compiled in. They hold **example figures**: what a tenant pays stands in its contract,
//! and a file of its own goes before them. Nothing here is an invoice: volume tiers and free allowances (the first 1,000
//! service messages a month) are not modelled, so an estimate is rather too high than too low.

use std::collections::HashMap;

use jiff::civil::Date;
use serde::Deserialize;

use crate::domain::customer::Channel;

const BUILT_IN: [&str; 2] =
    [include_str!("../../data/prices/2026-01.toml"), include_str!("../../data/prices/2026-10.toml")];

/// What a provider charges for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    Sms,
    Authentication,
    Utility,
    /// A utility template while the customer service window is open.
    UtilityInWindow,
    Marketing,
    /// Free content inside the window.
    Service,
    /// Whatever goes to a customer whom an advertisement brought to WhatsApp, while that is free.
    FreeEntryPoint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Millionths of the currency's unit, for all parts.
    pub micros: i64,
    /// ISO 4217.
    pub currency: String,
    /// Which table says so, and whether that is an example or not verified.
    pub source: String,
}

/// All tables that are known.
#[derive(Clone, Debug)]
pub struct Table {
    /// In the order in which they were added. A later one is the more particular.
    files: Vec<Tariff>,
}

/// One file: what holds from a day on.
#[derive(Clone, Debug)]
struct Tariff {
    /// The tables that are compiled in are 0, the configuration's go before them.
    rank: usize,
    from: Date,
    until: Option<Date>,
    currency: String,
    source: String,
    micros: HashMap<Key, i64>,
}

/// Whose price for what: the last two are empty where it holds for every provider, or for every account of one.
type Key = (Channel, Category, String, String, String);

/// A table of prices that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPrices {
    #[error("the table of prices cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("`{field}` in the table of prices is `{text}`; write a day such as 2026-10-01")]
    Day { field: &'static str, text: String },
    #[error("`valid-until` {until} in the table of prices is not after `valid-from` {from}")]
    Order { from: Date, until: Date },
    #[error("`currency` in the table of prices is `{0}`; write three capital letters such as EUR")]
    Currency(String),
    #[error("`country` in the table of prices is `{0}`; write two capital letters such as FR, or * for every other")]
    Country(String),
    #[error("the category of a price for sms is sms, and of one for whatsapp another: {0}")]
    Category(String),
    #[error(
        "a price in the table is for the account `{0}` of no provider; write provider = \"cm\" or another beside it"
    )]
    Account(String),
    #[error("a price in the table is {0}; write millionths of the currency's unit, 0 or more")]
    Negative(i64),
    #[error("the table has two prices for {0}")]
    Twice(String),
}

impl Table {
    /// The tables that are compiled in.
    pub fn built_in() -> Table {
        let files = BUILT_IN.iter().map(|text| {
            #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
            Tariff::parse(text, 0).expect("a table of prices that is compiled in can be read")
        });
        Table { files: files.collect() }
    }

    /// Adds a table of the configuration. Where it has a price it goes before those that were there.
    pub fn with(mut self, text: &str) -> Result<Table, BadPrices> {
        self.files.push(Tariff::parse(text, self.files.len())?);
        Ok(self)
    }

    /// What a message is expected to cost on a day. SMS is charged by the part, everything else by the message. `None`
    /// where no table has a price; a country that is not known has the price of `*`.
    pub fn price(
        &self,
        day: Date,
        channel: Channel,
        category: Category,
        country: Option<&str>,
        parts: u32,
    ) -> Option<Price> {
        self.price_with(day, channel, category, country, parts, ("", ""))
    }

    /// The same with a provider's account: a price that names it goes before one for all.
    pub fn price_with(
        &self,
        day: Date,
        channel: Channel,
        category: Category,
        country: Option<&str>,
        parts: u32,
        (provider, account): (&str, &str),
    ) -> Option<Price> {
        let valid = self.files.iter().filter(|tariff| tariff.holds(day));
        let found = valid.filter_map(|tariff| {
            let of = |provider: &str, account: &str, country: &str| {
                let key = (channel, category, country.to_owned(), provider.to_owned(), account.to_owned());
                tariff.micros.get(&key).copied()
            };
            let price_in = |country: &str| {
                let own = of(provider, account, country).map(|micros| (2, micros));
                let all = || of(provider, "", country).map(|micros| (1, micros));
                own.or_else(all).or_else(|| of("", "", country).map(|micros| (0, micros)))
            };
            let exact = country.and_then(price_in);
            let (whose, micros) = exact.or_else(|| price_in(ELSEWHERE))?;
            Some(((tariff.rank, whose, exact.is_some(), tariff.from), tariff, micros))
        });
        // The contract before the examples, the account before the provider before all, the country before every other, the
        // newest before what it replaced.
        let (_, tariff, micros) = found.max_by_key(|(order, ..)| *order)?;
        let parts = if channel == Channel::Sms { parts } else { 1 };
        Some(Price {
            micros: micros.saturating_mul(i64::from(parts)),
            currency: tariff.currency.clone(),
            source: tariff.source.clone(),
        })
    }
}

/// Stands for every country that a table does not name.
const ELSEWHERE: &str = "*";

impl Tariff {
    fn parse(text: &str, rank: usize) -> Result<Tariff, BadPrices> {
        let file: File = toml::from_str(text)?;
        let from = day("valid-from", &file.valid_from)?;
        let until = file.valid_until.as_deref().map(|text| day("valid-until", text)).transpose()?;
        if let Some(until) = until.filter(|until| *until <= from) {
            return Err(BadPrices::Order { from, until });
        }
        if file.currency.len() != 3 || !is_capital(&file.currency) {
            return Err(BadPrices::Currency(file.currency));
        }
        let mut micros = HashMap::new();
        for row in file.price {
            let (key, price) = row.checked()?;
            if micros.insert(key.clone(), price).is_some() {
                let (channel, category, country, provider, account) = key;
                let whose = format!("{provider} {account}");
                return Err(BadPrices::Twice(
                    format!("{} {category:?} {country} {whose}", channel.as_str()).trim_end().to_owned(),
                ));
            }
        }
        Ok(Tariff { rank, from, until, currency: file.currency, source: file.source, micros })
    }

    /// The day `until` is the first on which it does not hold any more.
    fn holds(&self, day: Date) -> bool {
        self.from <= day && self.until.is_none_or(|until| day < until)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    source: String,
    valid_from: String,
    valid_until: Option<String>,
    currency: String,
    price: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    channel: Channel,
    category: Category,
    country: String,
    micros: i64,
    /// `cm`, and the account's name; for every one where they are missing.
    #[serde(default)]
    provider: String,
    #[serde(default)]
    account: String,
}

impl Row {
    fn checked(self) -> Result<(Key, i64), BadPrices> {
        if (self.channel == Channel::Sms) != (self.category == Category::Sms) {
            return Err(BadPrices::Category(format!("{} {:?}", self.channel.as_str(), self.category)));
        }
        if self.country != ELSEWHERE && (self.country.len() != 2 || !is_capital(&self.country)) {
            return Err(BadPrices::Country(self.country));
        }
        if self.micros < 0 {
            return Err(BadPrices::Negative(self.micros));
        }
        if self.provider.is_empty() && !self.account.is_empty() {
            return Err(BadPrices::Account(self.account));
        }
        Ok(((self.channel, self.category, self.country, self.provider, self.account), self.micros))
    }
}

fn day(field: &'static str, text: &str) -> Result<Date, BadPrices> {
    text.parse().map_err(|_| BadPrices::Day { field, text: text.to_owned() })
}

fn is_capital(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const BEFORE: Date = date(2026, 9, 30);
    const AFTER: Date = date(2026, 10, 1);

    fn micros(table: &Table, day: Date, category: Category, country: Option<&str>, parts: u32) -> Option<i64> {
        let channel = if category == Category::Sms { Channel::Sms } else { Channel::Whatsapp };
        table.price(day, channel, category, country, parts).map(|price| price.micros)
    }

    #[test]
    fn sms_is_charged_by_the_part_and_whatsapp_by_the_message() {
        let table = Table::built_in();
        let one = micros(&table, BEFORE, Category::Sms, Some("FR"), 1).unwrap();
        assert!(one > 0);
        assert_eq!(micros(&table, BEFORE, Category::Sms, Some("FR"), 3), Some(3 * one));
        let utility = micros(&table, BEFORE, Category::Utility, Some("FR"), 1);
        assert!(utility > Some(0));
        assert_eq!(micros(&table, BEFORE, Category::Utility, Some("FR"), 3), utility);
    }

    #[test]
    fn what_was_free_inside_the_window_is_charged_from_october_2026() {
        let table = Table::built_in();
        for category in [Category::Service, Category::UtilityInWindow] {
            assert_eq!(micros(&table, BEFORE, category, Some("FR"), 1), Some(0), "{category:?}");
            assert!(micros(&table, AFTER, category, Some("FR"), 1) > Some(0), "{category:?}");
        }
        let price = table.price(AFTER, Channel::Whatsapp, Category::Service, Some("FR"), 1).unwrap();
        assert!(price.source.contains("unverified") && price.source.contains("example"), "{}", price.source);
        // What the later table does not name goes on as it was.
        let sms = |day| micros(&table, day, Category::Sms, Some("FR"), 1);
        assert!(sms(AFTER).is_some() && sms(AFTER) == sms(BEFORE));
    }

    #[test]
    fn every_category_has_a_price_everywhere_on_every_day_of_the_tables() {
        let table = Table::built_in();
        let all = [
            Category::Sms,
            Category::Authentication,
            Category::Utility,
            Category::UtilityInWindow,
            Category::Marketing,
            Category::Service,
            Category::FreeEntryPoint,
        ];
        for category in all {
            for country in [Some("FR"), Some("JP"), None] {
                for day in [date(2026, 1, 1), BEFORE, AFTER, date(2030, 1, 1)] {
                    assert!(micros(&table, day, category, country, 1).is_some(), "{category:?} {country:?} {day}");
                }
            }
        }
        assert_eq!(micros(&table, date(2025, 12, 31), Category::Sms, Some("FR"), 1), None);
    }

    const CONTRACT: &str = "source = \"contract 17\"\nvalid-from = \"2026-03-01\"\nvalid-until = \"2026-04-01\"\n\
        currency = \"CHF\"\n[[price]]\nchannel = \"sms\"\ncategory = \"sms\"\ncountry = \"FR\"\nmicros = 41_000\n";

    #[test]
    fn a_contract_goes_before_the_examples_while_it_holds() {
        let table = Table::built_in().with(CONTRACT).unwrap();
        let price = table.price(date(2026, 3, 31), Channel::Sms, Category::Sms, Some("FR"), 2).unwrap();
        assert_eq!(price, Price { micros: 82_000, currency: "CHF".into(), source: "contract 17".into() });
        for (day, country) in [(date(2026, 2, 28), "FR"), (date(2026, 4, 1), "FR"), (date(2026, 3, 1), "DE")] {
            let price = table.price(day, Channel::Sms, Category::Sms, Some(country), 1).unwrap();
            assert_eq!(price.currency, "EUR", "{day} {country}");
        }
    }

    #[test]
    fn an_account_s_own_price_goes_before_its_provider_s_and_that_before_all() {
        let row = |more: &str, micros: u32| {
            format!("[[price]]\nchannel = \"sms\"\ncategory = \"sms\"\ncountry = \"FR\"\nmicros = {micros}\n{more}\n")
        };
        let head = CONTRACT.split_once("[[price]]").unwrap().0;
        let text = format!(
            "{head}{}{}{}",
            row("", 40_000),
            row("provider = \"cm\"", 39_000),
            row("provider = \"cm\"\naccount = \"b\"", 38_000)
        );
        let table = Table::built_in().with(&text).unwrap();
        let micros = |whose| {
            let day = date(2026, 3, 31);
            table.price_with(day, Channel::Sms, Category::Sms, Some("FR"), 1, whose).unwrap().micros
        };
        assert_eq!([micros(("twilio", "a")), micros(("cm", "a")), micros(("cm", "b"))], [40_000, 39_000, 38_000]);
        let nobodys = format!("{head}{}", row("account = \"b\"", 1));
        assert!(matches!(Table::built_in().with(&nobodys), Err(BadPrices::Account(_))));
    }

    #[test]
    fn a_table_that_cannot_be_meant_is_refused() {
        let refused = |from: &str, to: &str| Table::built_in().with(&CONTRACT.replace(from, to)).unwrap_err();
        assert!(matches!(refused("2026-03-01", "March"), BadPrices::Day { field: "valid-from", .. }));
        assert!(matches!(refused("2026-04-01", "2026-03-01"), BadPrices::Order { .. }));
        assert!(matches!(refused("CHF", "euro"), BadPrices::Currency(_)));
        assert!(matches!(refused("FR", "France"), BadPrices::Country(_)));
        assert!(matches!(refused("41_000", "-1"), BadPrices::Negative(-1)));
        assert!(matches!(refused("category = \"sms\"", "category = \"utility\""), BadPrices::Category(_)));
        assert!(matches!(refused("micros", "price"), BadPrices::Toml(_)));
        let row = CONTRACT.split_once("[[price]]").unwrap().1;
        let twice = format!("{CONTRACT}[[price]]{row}");
        assert!(matches!(Table::built_in().with(&twice), Err(BadPrices::Twice(_))));
    }
}
