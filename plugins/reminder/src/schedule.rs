//! When to remind: before it begins, after now, and not at night.

use std::time::Duration;

use relais_plugin::calendar::{LocalTime, from_local, to_local};
use relais_plugin::{Error, Instant};

/// How long before the quiet hours a reminder comes that would have fallen into them. At the very edge it would come
/// just when people have gone to bed, and a fallback to SMS would come after it.
const EVENING: Duration = Duration::from_hours(1);

/// Two reminders closer together than this say the same thing twice.
const APART: Duration = Duration::from_hours(1);

/// The hours in which nobody is reminded, from `from` o'clock to `until` o'clock; the same hour twice means none.
pub(super) struct Quiet<'a> {
    pub(super) from: u8,
    pub(super) until: u8,
    pub(super) timezone: &'a str,
}

/// The reminders to set, each with its hours before the beginning.
pub(super) fn schedule(
    now: Instant,
    starts: Instant,
    hours_before: &[u32],
    quiet: &Quiet<'_>,
) -> Result<Vec<(u32, Instant)>, Error> {
    let mut times: Vec<(u32, Instant)> = Vec::new();
    for hours in hours_before {
        let due = quiet.not_after(starts - Duration::from_hours(u64::from(*hours)))?;
        let again = |(_, other): &(u32, Instant)| due.max(*other).since(due.min(*other)) < APART;
        if due > now && !times.iter().any(again) {
            times.push((*hours, due));
        }
    }
    Ok(times)
}

impl Quiet<'_> {
    /// The time itself, or the evening before the night that it falls into.
    fn not_after(&self, time: Instant) -> Result<Instant, Error> {
        let local = self.local(time)?;
        if !self.covers(local.hour) {
            return Ok(time);
        }
        let day = if local.hour < self.from { self.local(time - Duration::from_hours(24))? } else { local };
        Ok(self.at(day, self.from)? - EVENING)
    }

    /// The time itself, or the morning after the night that it falls into.
    pub(super) fn not_before(&self, time: Instant) -> Result<Instant, Error> {
        let local = self.local(time)?;
        if !self.covers(local.hour) {
            return Ok(time);
        }
        let day = if local.hour >= self.until { self.local(time + Duration::from_hours(24))? } else { local };
        self.at(day, self.until)
    }

    fn covers(&self, hour: u8) -> bool {
        if self.from <= self.until {
            (self.from..self.until).contains(&hour)
        } else {
            hour >= self.from || hour < self.until
        }
    }

    fn local(&self, time: Instant) -> Result<LocalTime, Error> {
        to_local(time, self.timezone).ok_or_else(|| Error::reject(format!("`{}` is no time zone", self.timezone)))
    }

    fn at(&self, day: LocalTime, hour: u8) -> Result<Instant, Error> {
        let wanted = LocalTime { hour, minute: 0, second: 0, ..day };
        from_local(wanted, self.timezone)
            .ok_or_else(|| Error::reject(format!("config: {hour} is no hour; quiet hours are from 0 to 23")))
    }
}
