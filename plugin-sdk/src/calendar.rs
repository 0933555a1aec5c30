//! Dates as people write them, so that a component need not carry a time zone database.

use crate::{Instant, host};

/// A time as the clock on a wall shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 1 for Monday to 7 for Sunday. It is not looked at by [`from_local`].
    pub weekday: u8,
}

/// How much of it is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `mercredi 1 août`
    Date,
    /// `20 h 30`
    Time,
    /// Both.
    DateTime,
    /// `mercredi`
    Weekday,
}

/// Reads an RFC 3339 date and time; one without an offset is taken in `timezone`.
pub fn parse(text: &str, timezone: &str) -> Option<Instant> {
    host::calendar_parse(text, timezone)
}

/// None where there is no such time zone.
pub fn to_local(time: Instant, timezone: &str) -> Option<LocalTime> {
    host::calendar_to_local(time, timezone)
}

/// The first instant with this local time, or, in the hour that is skipped in spring, the one an hour later.
pub fn from_local(local: LocalTime, timezone: &str) -> Option<Instant> {
    host::calendar_from_local(local, timezone)
}

/// Written out for a reader.
pub fn format(time: Instant, timezone: &str, locale: &str, style: Style) -> String {
    host::calendar_format(time, timezone, locale, style)
}
