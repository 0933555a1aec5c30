//! `relais:plugin/calendar`: dates as people write them.

use jiff::{Zoned, civil, tz::TimeZone};
use pure_rust_locales::{Locale, locale_match};

use super::{RunState, instant, timestamp};
use crate::{clock::Timestamp, plugin::bindings::calendar};

impl calendar::Host for RunState {
    fn parse(&mut self, text: String, timezone: String) -> wasmtime::Result<Option<f64>> {
        self.call()?;
        Ok(parse(&text, &timezone).map(instant))
    }

    fn to_local(&mut self, time: f64, timezone: String) -> wasmtime::Result<Option<calendar::LocalTime>> {
        self.call()?;
        let at = timestamp("calendar.to-local", time)?;
        let Some(local) = zoned(at, &timezone) else { return Ok(None) };
        Ok(Some(calendar::LocalTime {
            year: i32::from(local.year()),
            month: u8::try_from(local.month())?,
            day: u8::try_from(local.day())?,
            hour: u8::try_from(local.hour())?,
            minute: u8::try_from(local.minute())?,
            second: u8::try_from(local.second())?,
            weekday: u8::try_from(local.weekday().to_monday_one_offset())?,
        }))
    }

    fn from_local(&mut self, local: calendar::LocalTime, timezone: String) -> wasmtime::Result<Option<f64>> {
        self.call()?;
        Ok(from_local(&local, &timezone).map(instant))
    }

    fn format(
        &mut self,
        time: f64,
        timezone: String,
        locale: String,
        style: calendar::Style,
    ) -> wasmtime::Result<String> {
        self.call()?;
        let at = timestamp("calendar.format", time)?;
        // The answer has no place for an unknown zone; UTC with its name is true, and nobody takes it for local time.
        Ok(match zoned(at, &timezone) {
            Some(local) => format(&local, &locale, style),
            None => format!("{} UTC", format(&at.to_jiff().to_zoned(TimeZone::UTC), &locale, style)),
        })
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn zoned(at: Timestamp, timezone: &str) -> Option<Zoned> {
    Some(at.to_jiff().to_zoned(zone(timezone)?))
}

fn parse(text: &str, timezone: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| {
        let local: civil::DateTime = text.parse().ok()?;
        in_zone(local, timezone)
    })
}

fn from_local(local: &calendar::LocalTime, timezone: &str) -> Option<Timestamp> {
    let part = |value: u8| i8::try_from(value).ok();
    let date = civil::Date::new(i16::try_from(local.year).ok()?, part(local.month)?, part(local.day)?).ok()?;
    let time = civil::Time::new(part(local.hour)?, part(local.minute)?, part(local.second)?, 0).ok()?;
    in_zone(date.to_datetime(time), timezone)
}

/// The first of two where clocks are set back; an hour later where they are set forward.
fn in_zone(local: civil::DateTime, timezone: &str) -> Option<Timestamp> {
    let zoned = zone(timezone)?.to_ambiguous_zoned(local).compatible().ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

fn format(local: &Zoned, locale: &str, style: calendar::Style) -> String {
    let names = Names::of(locale);
    match style {
        calendar::Style::Date => names.date(local),
        calendar::Style::Time => names.time(local),
        calendar::Style::DateTime => format!("{}, {}", names.date(local), names.time(local)),
        calendar::Style::Weekday => names.weekday(local).to_owned(),
    }
}

/// How one locale names days and months, and in which order it writes them.
struct Names {
    language: String,
    days: &'static [&'static str],
    months: &'static [&'static str],
    am_pm: &'static [&'static str],
    date_format: &'static str,
    time_format: &'static str,
}

impl Names {
    fn of(tag: &str) -> Names {
        let locale = find(tag);
        Names {
            language: locale.to_string().split('_').next().unwrap_or_default().to_owned(),
            days: locale_match!(locale => LC_TIME::DAY),
            months: locale_match!(locale => LC_TIME::MON),
            am_pm: locale_match!(locale => LC_TIME::AM_PM),
            date_format: locale_match!(locale => LC_TIME::D_FMT),
            time_format: locale_match!(locale => LC_TIME::T_FMT),
        }
    }

    fn weekday(&self, local: &Zoned) -> &'static str {
        let no = usize::try_from(local.weekday().to_sunday_zero_offset()).unwrap_or(0);
        self.days.get(no).copied().unwrap_or_default()
    }

    fn month(&self, local: &Zoned) -> &'static str {
        let no = usize::try_from(local.month()).unwrap_or(1).saturating_sub(1);
        self.months.get(no).copied().unwrap_or_default().trim()
    }

    /// The locale data says whether the month or the day comes first; what stands between them is grammar.
    fn date(&self, local: &Zoned) -> String {
        let (weekday, month, day) = (self.weekday(local), self.month(local), local.day());
        match self.language.as_str() {
            "de" | "nds" | "lb" | "cs" | "sk" | "fi" | "et" | "hr" | "sl" | "bs" | "sr" => {
                format!("{weekday}, {day}. {month}")
            }
            "da" | "nb" | "nn" | "fo" => format!("{weekday} {day}. {month}"),
            "is" => format!("{weekday}, {day}. {month}"),
            "es" | "gl" | "ca" => format!("{weekday}, {day} de {month}"),
            "pt" => format!("{weekday}, {day} de {month}"),
            "ja" | "zh" | "yue" => format!("{}月{day}日 {weekday}", local.month()),
            "ko" => format!("{}월 {day}일 {weekday}", local.month()),
            "hu" => format!("{month} {day}., {weekday}"),
            "lt" => format!("{month} {day} d., {weekday}"),
            "lv" => format!("{weekday}, {day}. {month}"),
            "ru" | "uk" | "bg" | "pl" | "el" | "be" => format!("{weekday}, {day} {month}"),
            _ if self.month_first() => format!("{weekday}, {month} {day}"),
            _ => format!("{weekday} {day} {month}"),
        }
    }

    fn month_first(&self) -> bool {
        match (self.date_format.find("%m"), self.date_format.find("%d")) {
            (Some(month), Some(day)) => month < day && !self.date_format.starts_with("%Y"),
            _ => false,
        }
    }

    fn time(&self, local: &Zoned) -> String {
        let twelve =
            self.time_format.contains("%r") || self.time_format.contains("%I") || self.time_format.contains("%l");
        let half = usize::from(local.hour() >= 12);
        match self.am_pm.get(half).filter(|name| twelve && !name.is_empty()) {
            Some(name) => format!("{}:{:02} {name}", (local.hour() + 11) % 12 + 1, local.minute()),
            None => format!("{:02}:{:02}", local.hour(), local.minute()),
        }
    }
}

/// The locale for a BCP 47 tag: the very one, or that of the country where the language is at home; else British English,
/// which is understood and has the 24-hour clock.
fn find(tag: &str) -> Locale {
    let mut parts = tag.split(['-', '_']).filter(|part| !part.is_empty());
    let language = parts.next().unwrap_or_default().to_lowercase();
    // `zh-Hans-CN`: the region is the part of two letters.
    let region = parts.find(|part| part.len() == 2).map(str::to_uppercase);
    let language = if language == "no" { "nb".to_owned() } else { language };
    let exact = region.and_then(|region| format!("{language}_{region}").parse().ok());
    let home = || format!("{language}_{}", home(&language)).parse().ok();
    exact.or_else(home).unwrap_or(Locale::en_GB)
}

fn home(language: &str) -> String {
    match language {
        "en" => "US",
        "da" => "DK",
        "sv" => "SE",
        "nb" | "nn" => "NO",
        "cs" => "CZ",
        "el" => "GR",
        "et" => "EE",
        "sl" => "SI",
        "sr" => "RS",
        "sq" => "AL",
        "uk" => "UA",
        "be" => "BY",
        "ja" => "JP",
        "ko" => "KR",
        "zh" => "CN",
        "vi" => "VN",
        "hi" => "IN",
        "ta" => "IN",
        "he" => "IL",
        "ar" => "EG",
        "fa" => "IR",
        "ca" | "gl" | "eu" => "ES",
        "ga" => "IE",
        "cy" => "GB",
        "ka" => "GE",
        "hy" => "AM",
        "ms" => "MY",
        _ => return language.to_uppercase(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(locale: &str, style: calendar::Style) -> String {
        let at = Timestamp::parse("2018-08-01T20:30:00+02:00").unwrap();
        format(&zoned(at, "Europe/Paris").unwrap(), locale, style)
    }

    #[test]
    fn dates_are_written_as_their_readers_write_them() {
        use calendar::Style;
        assert_eq!(written("fr-FR", Style::Date), "mercredi 1 août");
        assert_eq!(written("fr", Style::Time), "20:30");
        assert_eq!(written("en-US", Style::Date), "Wednesday, August 1");
        assert_eq!(written("en-US", Style::Time), "8:30 PM");
        assert_eq!(written("en-GB", Style::Date), "Wednesday 1 August");
        assert_eq!(written("de-DE", Style::DateTime), "Mittwoch, 1. August, 20:30");
        assert_eq!(written("nl", Style::Weekday), "woensdag");
        assert_eq!(written("es-MX", Style::Date), "miércoles, 1 de agosto");
        assert_eq!(written("xx-YY", Style::Date), "Wednesday 1 August");
    }

    #[test]
    fn local_times_find_their_instant_even_where_clocks_change() {
        let at = |text: &str| parse(text, "Europe/Paris").unwrap().rfc3339();
        assert_eq!(at("2026-07-01T12:00:00"), "2026-07-01T10:00:00.000Z");
        assert_eq!(at("2026-07-01T12:00:00-05:00"), "2026-07-01T17:00:00.000Z");
        // There is no 02:30 on this day, and there are two on that.
        assert_eq!(at("2026-03-29T02:30:00"), "2026-03-29T01:30:00.000Z");
        assert_eq!(at("2026-10-25T02:30:00"), "2026-10-25T00:30:00.000Z");
        assert_eq!(parse("2026-07-01T12:00:00", "Europe/Nowhere"), None);
        assert_eq!(parse("tomorrow", "Europe/Paris"), None);
    }
}
