//! Opening hours, as a shop writes them on its door.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::calendar::{LocalTime, to_local};
use crate::{Error, Instant};

/// When somebody is there: a part of a plugin's settings, to be read with `#[serde(flatten)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct OpeningHours {
    /// Whose clock it is, IANA: `Europe/Paris`.
    pub timezone: String,
    /// By weekday, from `1` for Monday: `07:00-12:00, 14:00-19:30`; `18:00-02:00` goes on after midnight. A day that is not here
    /// is closed; where no day is here, every day is open.
    #[serde(default)]
    pub hours: BTreeMap<String, String>,
    /// Days on which it does not open whatever weekday they are: `2026-12-25`.
    #[serde(default)]
    pub closed: Vec<String>,
}

const MINUTES_A_DAY: u32 = 24 * 60;

impl OpeningHours {
    /// Whether it is open at that time. A setting that cannot be meant is a rejection that names it.
    pub fn is_open(&self, at: Instant) -> Result<bool, Error> {
        let zone = |at| {
            to_local(at, &self.timezone)
                .ok_or_else(|| Error::reject(format!("config.timezone: `{}` is no time zone", self.timezone)))
        };
        let today = zone(at)?;
        let minute = u32::from(today.hour) * 60 + u32::from(today.minute);
        // About noon of the day before: midnight may be 23 or 25 hours ago.
        let since_midnight = Duration::from_secs(u64::from(minute) * 60 + u64::from(today.second));
        let yesterday = zone(at - since_midnight - Duration::from_hours(12))?;
        let opened_today = self.spans(&today)?.iter().any(|span| span.begins <= minute && minute < span.ends);
        let since_yesterday = self.spans(&yesterday)?.iter().any(|span| minute + MINUTES_A_DAY < span.ends);
        Ok(opened_today || since_yesterday)
    }

    /// What a day's opening hours are; those after midnight count on.
    fn spans(&self, day: &LocalTime) -> Result<Vec<Span>, Error> {
        let date = format!("{:04}-{:02}-{:02}", day.year, day.month, day.day);
        if self.closed.contains(&date) {
            return Ok(Vec::new());
        }
        if self.hours.is_empty() {
            return Ok(vec![Span { begins: 0, ends: MINUTES_A_DAY }]);
        }
        let Some(text) = self.hours.get(&day.weekday.to_string()) else { return Ok(Vec::new()) };
        let spans = text.split(',').map(|span| span_of(span.trim())).collect::<Option<Vec<Span>>>();
        spans.ok_or_else(|| {
            Error::reject(format!(
                "config.hours.{}: `{text}` is no list of hours; write 07:00-12:00, 14:00-19:30",
                day.weekday
            ))
        })
    }
}

/// In minutes since midnight.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    begins: u32,
    ends: u32,
}

fn span_of(text: &str) -> Option<Span> {
    let (begins, ends) = text.split_once('-')?;
    let (begins, ends) = (minute_of(begins)?, minute_of(ends)?);
    let ends = if ends <= begins { ends + MINUTES_A_DAY } else { ends };
    (begins < MINUTES_A_DAY).then_some(Span { begins, ends })
}

fn minute_of(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|_| plain)
    };
    let minute = number(minute).filter(|minute| *minute < 60)?;
    Some(number(hour)? * 60 + minute).filter(|minute| *minute <= MINUTES_A_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar;

    fn shop(days: &[(&str, &str)], closed: &[&str]) -> OpeningHours {
        OpeningHours {
            timezone: "Europe/Paris".into(),
            hours: days.iter().map(|(day, hours)| ((*day).to_owned(), (*hours).to_owned())).collect(),
            closed: closed.iter().map(|day| (*day).to_owned()).collect(),
        }
    }

    fn open(shop: &OpeningHours, at: &str) -> bool {
        shop.is_open(calendar::parse(at, "Europe/Paris").unwrap()).unwrap()
    }

    #[test]
    fn it_is_open_from_the_first_minute_to_the_last_of_each_part_of_its_day() {
        let shop = shop(&[("3", "07:00-12:00, 14:00-19:30"), ("7", "00:00-24:00")], &[]);
        for at in ["2026-11-25T07:00:00", "2026-11-25T11:59:59", "2026-11-25T19:29:59", "2026-11-29T23:59:59"] {
            assert!(open(&shop, at), "{at}");
        }
        for at in ["2026-11-25T06:59:59", "2026-11-25T12:00:00", "2026-11-25T19:30:00", "2026-11-24T10:00:00"] {
            assert!(!open(&shop, at), "{at}");
        }
    }

    #[test]
    fn hours_go_on_after_midnight_and_a_day_off_is_off_to_its_end() {
        let bar = shop(&[("5", "18:00-02:00"), ("6", "18:00-03:00")], &["2026-11-28"]);
        assert!(open(&bar, "2026-11-28T01:59:00"), "Friday's evening");
        assert!(!open(&bar, "2026-11-28T02:00:00") && !open(&bar, "2026-11-28T20:00:00"));
        assert!(!open(&bar, "2026-11-29T01:00:00"), "the evening of the day off");
        // The night in which the clocks are set: the day before has 23 or 25 hours, and is the day before all the same.
        let bar = shop(&[("6", "18:00-02:00"), ("7", "18:00-02:00")], &[]);
        assert!(open(&bar, "2026-03-30T00:30:00") && open(&bar, "2026-10-26T01:59:00"));
        assert!(!open(&bar, "2026-03-30T02:30:00"));
    }

    #[test]
    fn who_names_no_hours_is_open_on_all_days_but_those_off() {
        let shop = shop(&[], &["2026-12-25"]);
        assert!(open(&shop, "2026-12-24T03:00:00") && !open(&shop, "2026-12-25T12:00:00"));
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_name() {
        let at = calendar::parse("2026-11-25T07:00:00", "UTC").unwrap();
        let told = |shop: OpeningHours| shop.is_open(at).unwrap_err().to_string();
        for wrong in ["7-12", "07:00", "07:00-25:00", "07:60-08:00", "24:00-02:00", ""] {
            assert!(told(shop(&[("3", wrong)], &[])).contains("config.hours.3"), "{wrong}");
        }
        let nowhere = OpeningHours { timezone: "Europe/Lutetia".into(), ..OpeningHours::default() };
        assert!(told(nowhere).contains("config.timezone"));
    }
}
