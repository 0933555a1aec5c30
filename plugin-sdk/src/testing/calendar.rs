//! The fake's calendar: jiff for the zones, and the words of two languages.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::Instant;
use crate::calendar::{LocalTime, Style};

pub(crate) fn parse(text: &str, timezone: &str) -> Option<Instant> {
    let zone = TimeZone::get(timezone).ok()?;
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(zone).ok()?.timestamp(),
    };
    Some(Instant::from_millis(time.as_millisecond()))
}

pub(crate) fn to_local(time: Instant, timezone: &str) -> Option<LocalTime> {
    let zone = TimeZone::get(timezone).ok()?;
    let local = zone.to_datetime(Timestamp::from_millisecond(time.as_millis()).ok()?);
    Some(LocalTime {
        year: i32::from(local.year()),
        month: u8::try_from(local.month()).ok()?,
        day: u8::try_from(local.day()).ok()?,
        hour: u8::try_from(local.hour()).ok()?,
        minute: u8::try_from(local.minute()).ok()?,
        second: u8::try_from(local.second()).ok()?,
        weekday: u8::try_from(local.weekday().to_monday_one_offset()).ok()?,
    })
}

pub(crate) fn from_local(local: LocalTime, timezone: &str) -> Option<Instant> {
    let zone = TimeZone::get(timezone).ok()?;
    let date = DateTime::new(
        i16::try_from(local.year).ok()?,
        i8::try_from(local.month).ok()?,
        i8::try_from(local.day).ok()?,
        i8::try_from(local.hour).ok()?,
        i8::try_from(local.minute).ok()?,
        i8::try_from(local.second).ok()?,
        0,
    )
    .ok()?;
    Some(Instant::from_millis(zone.to_ambiguous_timestamp(date).compatible().ok()?.as_millisecond()))
}

pub(crate) fn format(time: Instant, timezone: &str, locale: &str, style: Style) -> String {
    let Some(local) = to_local(time, timezone) else { return String::new() };
    let french = locale.split(['-', '_']).next() == Some("fr");
    match style {
        Style::Weekday => weekday(local, french).to_owned(),
        Style::Date => date(local, french),
        Style::Time => clock(local, french),
        Style::DateTime if french => format!("{} à {}", date(local, french), clock(local, french)),
        Style::DateTime => format!("{}, {}", date(local, french), clock(local, french)),
    }
}

fn date(local: LocalTime, french: bool) -> String {
    format!("{} {} {}", weekday(local, french), local.day, month(local, french))
}

fn clock(local: LocalTime, french: bool) -> String {
    if french {
        return format!("{} h {:02}", local.hour, local.minute);
    }
    let half = if local.hour < 12 { "AM" } else { "PM" };
    format!("{}:{:02} {half}", (local.hour + 11) % 12 + 1, local.minute)
}

fn weekday(local: LocalTime, french: bool) -> &'static str {
    const ENGLISH: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const FRENCH: [&str; 7] = ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"];
    let names = if french { FRENCH } else { ENGLISH };
    names.get(usize::from(local.weekday) - 1).copied().unwrap_or_default()
}

fn month(local: LocalTime, french: bool) -> &'static str {
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const FRENCH: [&str; 12] = [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ];
    let names = if french { FRENCH } else { ENGLISH };
    names.get(usize::from(local.month) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evening_in_paris_reads_as_french_people_write_it() {
        let time = parse("2018-08-01T20:30:00+02:00", "UTC").unwrap();
        assert_eq!(format(time, "Europe/Paris", "fr-FR", Style::DateTime), "mercredi 1 août à 20 h 30");
        assert_eq!(format(time, "Europe/Paris", "en-GB", Style::DateTime), "Wednesday 1 August, 8:30 PM");
    }

    #[test]
    fn the_hour_that_spring_skips_is_an_hour_later() {
        let skipped = LocalTime { year: 2018, month: 3, day: 25, hour: 2, minute: 30, second: 0, weekday: 7 };
        let time = from_local(skipped, "Europe/Paris").unwrap();
        assert_eq!(to_local(time, "Europe/Paris").unwrap().hour, 3);
    }
}
