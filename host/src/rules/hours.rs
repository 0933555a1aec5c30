//! At which hours a message may go out: dated data by country, and the clock where the customer is.
//!
//! The tables under `data/hours` are compiled in; a file of the operator's goes before them. Nothing here reads a clock: the time
//! is given, so what holds on any day can be asked on any other.

use std::sync::Arc;

use jiff::{
    ToSpan,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{clock::Timestamp, domain::purpose::Purpose};

const BUILT_IN: &str = include_str!("../../data/hours/2026-01.toml");
/// Stands for every country that a table does not name.
const ELSEWHERE: &str = "*";
/// No run of Sundays and holidays is longer.
const DAYS_LOOKED_AT: i64 = 21;

/// All tables that are known. Shared, because every part that asks the rules has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours(Arc<Vec<Table>>);

/// Hours in which nothing of these purposes is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Quiet {
    /// From this time of day, where the customer is, until that one; over midnight where the first is the later.
    pub from: TimeOfDay,
    pub until: TimeOfDay,
    /// Which purposes wait. None: for what is no advertising no rule was found, so it is the tenant's own decision.
    pub purposes: Vec<Purpose>,
}

/// When it may go out again, and why not now.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    pub until: Timestamp,
    pub why: String,
}

/// A file of hours that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadHours {
    #[error("the table of hours cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("the table of hours: {0}")]
    Wrong(String),
}

/// `08:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(Time);

impl TimeOfDay {
    pub const fn at(hour: i8, minute: i8) -> TimeOfDay {
        TimeOfDay(Time::constant(hour, minute, 0, 0))
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once(':').and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
        let time = parts.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
        time.map(TimeOfDay)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no time of day; write it as 08:00, up to 23:59")))
    }
}

impl Default for Quiet {
    fn default() -> Quiet {
        Quiet { from: TimeOfDay::at(22, 0), until: TimeOfDay::at(8, 0), purposes: Vec::new() }
    }
}

impl Quiet {
    /// When the quiet that reigns at this time ends; `None` where none does.
    pub fn ends(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let local = now.to_jiff().to_zoned(zone.clone());
        let (time, date) = (local.time(), local.date());
        let over_midnight = self.from > self.until;
        let quiet = match over_midnight {
            true => time >= self.from.0 || time < self.until.0,
            false => time >= self.from.0 && time < self.until.0,
        };
        let day = if over_midnight && time >= self.from.0 { date.tomorrow().ok()? } else { date };
        if quiet { moment(day, self.until.0, zone) } else { None }
    }
}

/// A time of day as a moment: the first of two where clocks are set back, an hour later where they are set forward.
fn moment(day: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    let zoned = zone.to_ambiguous_zoned(day.to_datetime(time)).compatible().ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

/// Whose day it is: the country of the number, and the part of it that the tenant may have noted.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub country: &'a str,
    pub region: Option<&'a str>,
}

impl Default for Hours {
    fn default() -> Hours {
        #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
        let table = Table::parse(BUILT_IN).expect("the table of hours that is compiled in can be read");
        Hours(Arc::new(vec![table]))
    }
}

impl Hours {
    /// Adds a table of the configuration. Where it says something it goes before those that were there.
    pub fn with(&self, text: &str) -> Result<Hours, BadHours> {
        let mut tables = (*self.0).clone();
        tables.push(Table::parse(text)?);
        Ok(Hours(Arc::new(tables)))
    }

    /// The zone of a country, where a table names one.
    pub fn zone(&self, country: &str) -> Option<TimeZone> {
        let named = self.0.iter().rev().find_map(|table| table.zones.iter().find(|entry| entry.covers(country)))?;
        TimeZone::get(&named.zone).ok()
    }

    /// The holiday that a day is.
    pub fn holiday(&self, place: Place<'_>, day: Date) -> Option<&str> {
        let tables = self.0.iter().filter(|table| table.holds(day));
        let mut holidays = tables.flat_map(|table| &table.holidays);
        holidays.find(|holiday| holiday.is(place, day)).map(|holiday| holiday.name.as_str())
    }

    /// Whether advertising may go out now, and until when; or when it may again.
    pub fn promotional(&self, place: Place<'_>, zone: &TimeZone, now: Timestamp) -> Result<String, Closed> {
        let local = now.to_jiff().to_zoned(zone.clone());
        let today = local.date();
        let why_not = match self.day(place, today) {
            Ok((entry, source)) if local.time() >= entry.from.0 && local.time() < entry.until.0 => {
                return Ok(format!("advertising goes out until {} today in {} ({source})", entry.until, place.country));
            }
            Ok((entry, source)) => {
                let (from, until) = (entry.from, entry.until);
                format!(
                    "advertising goes out from {from} to {until} in {} ({source}), and it is {:02}:{:02} there",
                    place.country,
                    local.hour(),
                    local.minute()
                )
            }
            Err(why) => why,
        };
        let opens = (0..=DAYS_LOOKED_AT).find_map(|ahead| {
            let day = today.checked_add(ahead.days()).ok()?;
            let (entry, _) = self.day(place, day).ok()?;
            moment(day, entry.from.0, zone).filter(|opens| *opens > now)
        });
        // A table that never opens is asked again in a while: another may hold by then.
        let until = opens.unwrap_or_else(|| now.plus(std::time::Duration::from_secs(24 * 3600)));
        Err(Closed { until, why: format!("{why_not}; it waits until {until}") })
    }

    /// The hours of a day, or why it has none.
    fn day(&self, place: Place<'_>, day: Date) -> Result<(&Promotional, &str), String> {
        let valid = || self.0.iter().rev().filter(move |table| table.holds(day));
        let find = |country: &str| {
            valid().find_map(|table| {
                let entry = table.promotional.iter().find(|entry| entry.covers(country) && entry.holds(day))?;
                Some((entry, table.source.as_str()))
            })
        };
        let country = place.country;
        let (entry, source) = find(country)
            .or_else(|| find(ELSEWHERE))
            .ok_or_else(|| format!("no table of hours allows advertising in {country} on {day}"))?;
        if !entry.days.iter().any(|allowed| allowed.0 == day.weekday()) {
            return Err(format!("no advertising on a {:?} in {country} ({source})", day.weekday()));
        }
        match self.holiday(place, day) {
            Some(holiday) if !entry.holidays => {
                Err(format!("no advertising on a public holiday in {country}: {day} is {holiday} ({source})"))
            }
            _ => Ok((entry, source)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    source: String,
    valid_from: Day,
    valid_until: Option<Day>,
    #[serde(default)]
    promotional: Vec<Promotional>,
    #[serde(default, rename = "holiday")]
    holidays: Vec<Holiday>,
    #[serde(default, rename = "zone")]
    zones: Vec<Zone>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Promotional {
    countries: Vec<String>,
    days: Vec<DayOfWeek>,
    from: TimeOfDay,
    until: TimeOfDay,
    holidays: bool,
    valid_from: Option<Day>,
    valid_until: Option<Day>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Holiday {
    countries: Vec<String>,
    #[serde(default)]
    regions: Vec<String>,
    name: String,
    day: Option<String>,
    easter: Option<i64>,
    valid_from: Option<Day>,
    valid_until: Option<Day>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Zone {
    countries: Vec<String>,
    zone: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Day(Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = text.parse().map(Day);
        day.map_err(|_| de::Error::custom(format!("`{text}` is no day; write it as 2026-10-01")))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct DayOfWeek(Weekday);

impl<'de> Deserialize<'de> for DayOfWeek {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(DayOfWeek(match String::deserialize(deserializer)?.as_str() {
            "mon" => Weekday::Monday,
            "tue" => Weekday::Tuesday,
            "wed" => Weekday::Wednesday,
            "thu" => Weekday::Thursday,
            "fri" => Weekday::Friday,
            "sat" => Weekday::Saturday,
            "sun" => Weekday::Sunday,
            other => {
                return Err(de::Error::custom(format!("`{other}` is no day; write mon, tue, wed, thu, fri, sat, sun")));
            }
        }))
    }
}

fn holds(from: Option<Day>, until: Option<Day>, day: Date) -> bool {
    from.is_none_or(|from| from.0 <= day) && until.is_none_or(|until| day < until.0)
}

impl Table {
    fn parse(text: &str) -> Result<Table, BadHours> {
        let table: Table = toml::from_str(text)?;
        let wrong = |text: String| Err(BadHours::Wrong(text));
        if table.valid_until.is_some_and(|until| until.0 <= table.valid_from.0) {
            return wrong("`valid-until` is not after `valid-from`".to_owned());
        }
        if let Some(entry) = table.promotional.iter().find(|entry| entry.from >= entry.until) {
            return wrong(format!("[[promotional]] from {} until {} has no hour in it", entry.from, entry.until));
        }
        for holiday in &table.holidays {
            let day = holiday.day.as_deref().map(|day| format!("2024-{day}").parse::<Date>());
            if holiday.day.is_some() == holiday.easter.is_some() || day.is_some_and(|day| day.is_err()) {
                return wrong(format!(
                    "[[holiday]] `{}` needs `day` as MM-DD, or `easter`, and one of them",
                    holiday.name
                ));
            }
        }
        for zone in &table.zones {
            if TimeZone::get(&zone.zone).is_err() {
                return wrong(format!("[[zone]] `{}` is no time zone such as Europe/Paris", zone.zone));
            }
        }
        let lists = table.promotional.iter().map(|entry| &entry.countries);
        let lists = lists.chain(table.holidays.iter().map(|entry| &entry.countries));
        let lists = lists.chain(table.zones.iter().map(|entry| &entry.countries));
        let is_country =
            |text: &str| text == ELSEWHERE || (text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()));
        match lists.flatten().find(|country| !is_country(country.as_str())) {
            Some(country) => wrong(format!("`{country}` is no country: write two capital letters such as FR, or *")),
            None => Ok(table),
        }
    }

    fn holds(&self, day: Date) -> bool {
        holds(Some(self.valid_from), self.valid_until, day)
    }
}

impl Promotional {
    fn covers(&self, country: &str) -> bool {
        self.countries.iter().any(|of| of == country)
    }

    fn holds(&self, day: Date) -> bool {
        holds(self.valid_from, self.valid_until, day)
    }
}

impl Zone {
    fn covers(&self, country: &str) -> bool {
        self.countries.iter().any(|of| of == country)
    }
}

impl Holiday {
    fn is(&self, place: Place<'_>, day: Date) -> bool {
        let of_region =
            || place.region.is_some_and(|region| self.regions.iter().any(|of| of.eq_ignore_ascii_case(region)));
        self.countries.iter().any(|of| of == place.country || of == ELSEWHERE)
            && (self.regions.is_empty() || of_region())
            && holds(self.valid_from, self.valid_until, day)
            && self.is_on(day)
    }

    fn is_on(&self, day: Date) -> bool {
        match (&self.day, self.easter) {
            (Some(text), _) => *text == format!("{:02}-{:02}", day.month(), day.day()),
            (None, Some(after)) => {
                easter(day.year()).and_then(|sunday| sunday.checked_add(after.days()).ok()) == Some(day)
            }
            (None, None) => false,
        }
    }
}

/// Easter Sunday of the Gregorian calendar, by the algorithm of Meeus, Jones and Butcher.
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let month = (h + l - 7 * m + 114) / 31;
    let day = (h + l - 7 * m + 114) % 31 + 1;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const FR: Place<'static> = Place { country: "FR", region: None };

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn opens(place: Place<'_>, now: &str) -> Option<String> {
        let hours = Hours::default();
        let zone = hours.zone(place.country).unwrap_or(TimeZone::UTC);
        hours.promotional(place, &zone, at(now)).err().map(|closed| short(closed.until))
    }

    fn short(at: Timestamp) -> String {
        at.rfc3339().replace(".000Z", "Z")
    }

    #[test]
    fn the_days_that_move_with_easter_are_those_of_the_calendar() {
        let hours = Hours::default();
        for (year, easter_monday, ascension, whit_monday) in [
            (2026, (4, 6), (5, 14), (5, 25)),
            (2027, (3, 29), (5, 6), (5, 17)),
            (2028, (4, 17), (5, 25), (6, 5)),
            (2029, (4, 2), (5, 10), (5, 21)),
            (2030, (4, 22), (5, 30), (6, 10)),
        ] {
            for ((month, day), name) in
                [(easter_monday, "Easter Monday"), (ascension, "Ascension"), (whit_monday, "Whit Monday")]
            {
                assert_eq!(hours.holiday(FR, date(year, month, day)), Some(name), "{year}-{month}-{day}");
            }
        }
    }

    #[test]
    fn advertising_in_france_goes_out_by_day_and_not_on_sundays_or_holidays() {
        assert_eq!(opens(FR, "2026-11-24T09:00:00+01:00"), None);
        assert_eq!(opens(FR, "2026-11-24T19:59:59+01:00"), None);
        assert_eq!(opens(FR, "2026-11-24T20:00:00+01:00").unwrap(), "2026-11-25T07:00:00Z");
        assert_eq!(opens(FR, "2026-11-24T03:00:00+01:00").unwrap(), "2026-11-24T07:00:00Z");
        // Saturday evening, and the Sunday after it: Monday.
        assert_eq!(opens(FR, "2026-11-28T21:00:00+01:00").unwrap(), "2026-11-30T07:00:00Z");
        assert_eq!(opens(FR, "2026-11-29T12:00:00+01:00").unwrap(), "2026-11-30T07:00:00Z");
        // Easter: closed from Saturday evening until Tuesday.
        assert_eq!(opens(FR, "2026-04-04T20:30:00+02:00").unwrap(), "2026-04-07T06:00:00Z");
        // The night in which clocks are set forward is a Sunday's.
        assert_eq!(opens(FR, "2026-03-28T23:00:00+01:00").unwrap(), "2026-03-30T06:00:00Z");
    }

    #[test]
    fn parts_of_france_have_days_of_their_own() {
        let friday = "2026-04-03T10:00:00+02:00";
        assert_eq!(opens(FR, friday), None);
        for region in ["alsace-moselle", "FR-67"] {
            let there = Place { region: Some(region), ..FR };
            assert_eq!(opens(there, friday).unwrap(), "2026-04-04T06:00:00Z", "{region}");
        }
        let reunion = Place { country: "RE", region: None };
        // Half past seven in Paris is half past ten there, in winter.
        assert_eq!(opens(reunion, "2026-11-24T07:30:00+01:00"), None);
        assert_eq!(opens(reunion, "2027-12-20T07:30:00+01:00").unwrap(), "2027-12-21T04:00:00Z");
        let guadeloupe = Place { country: "GP", region: None };
        assert_eq!(opens(guadeloupe, "2026-11-24T10:00:00+01:00").unwrap(), "2026-11-24T12:00:00Z");
    }

    #[test]
    fn elsewhere_has_hours_too() {
        let japan = Place { country: "JP", region: None };
        let tokyo = zone("Asia/Tokyo");
        let hours = Hours::default();
        assert!(hours.promotional(japan, &tokyo, at("2026-11-24T10:00:00+09:00")).is_ok());
        let closed = hours.promotional(japan, &tokyo, at("2026-11-24T08:00:00+09:00")).unwrap_err();
        assert!(closed.why.contains("unverified") && closed.why.contains("JP"), "{}", closed.why);
    }

    const OWN: &str = "source = \"our lawyer\"\nvalid-from = \"2026-12-01\"\nvalid-until = \"2027-01-01\"\n[[promotional]]\n\
        countries = [\"FR\"]\ndays = [\"sun\"]\nfrom = \"10:00\"\nuntil = \"12:00\"\nholidays = true\n";

    #[test]
    fn a_file_of_the_operators_goes_before_while_it_holds() {
        let hours = Hours::default().with(OWN).unwrap();
        let paris = zone("Europe/Paris");
        let open = |now| hours.promotional(FR, &paris, at(now)).is_ok();
        assert!(open("2026-12-06T11:00:00+01:00"), "a Sunday of December");
        assert!(!open("2026-12-07T11:00:00+01:00"));
        assert!(open("2026-11-30T11:00:00+01:00") && open("2027-01-04T11:00:00+01:00"), "before and after");
        let wrong = |from: &str, to: &str| Hours::default().with(&OWN.replace(from, to)).unwrap_err().to_string();
        assert!(wrong("12:00", "09:00").contains("has no hour"));
        assert!(wrong("\"FR\"", "\"France\"").contains("France"));
        assert!(wrong("\"sun\"", "\"sunday\"").contains("sunday"));
        assert!(wrong("10:00", "25:00").contains("25:00"));
        assert!(wrong("2027-01-01", "2026-01-01").contains("valid-until"));
    }

    #[test]
    fn quiet_hours_are_the_customers_own() {
        let quiet = Quiet::default();
        let ends = |zone_name: &str, now: &str| quiet.ends(&zone(zone_name), at(now)).map(short);
        assert_eq!(ends("Europe/Paris", "2026-11-24T21:59:59+01:00"), None);
        assert_eq!(ends("Europe/Paris", "2026-11-24T22:00:00+01:00").unwrap(), "2026-11-25T07:00:00Z");
        assert_eq!(ends("Europe/Paris", "2026-11-24T07:59:00+01:00").unwrap(), "2026-11-24T07:00:00Z");
        assert_eq!(ends("Asia/Tokyo", "2026-11-24T12:00:00+01:00"), None);
        assert_eq!(ends("Asia/Tokyo", "2026-11-24T15:00:00+01:00").unwrap(), "2026-11-24T23:00:00Z");
        let noon = Quiet { from: TimeOfDay::at(12, 0), until: TimeOfDay::at(14, 0), purposes: vec![] };
        assert!(noon.ends(&TimeZone::UTC, at("2026-11-24T13:00:00Z")).is_some());
        assert!(noon.ends(&TimeZone::UTC, at("2026-11-24T14:00:00Z")).is_none());
    }
}
