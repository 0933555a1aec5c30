"""Dates as people write them. A component carries no time zone database; the host has one, and knows the languages."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal

from ._host import host
from ._time import instant, moment


def parse(text: str, zone: str) -> datetime | None:
    """Reads an RFC 3339 date and time; one without an offset is taken in `zone`."""
    return moment(host("calendar").parse(text, zone))


def to_local(time: datetime, zone: str) -> datetime | None:
    """The time as the clocks in `zone` show it, with their offset; none where there is no such zone."""
    found = host("calendar").to_local(instant(time), zone)
    if found is None:
        return None
    shown = datetime(found.year, found.month, found.day, found.hour, found.minute, found.second)
    whole = time.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None)
    offset = timezone(timedelta(seconds=round((shown - whole).total_seconds())))
    return shown.replace(microsecond=time.microsecond, tzinfo=offset)


def from_local(shown: datetime, zone: str) -> datetime | None:
    """The first time at which the clocks in `zone` show this; in the hour that is skipped in spring, one hour later. A
    time zone of `shown` is not looked at."""
    calendar = host("calendar")
    local = calendar.LocalTime(
        shown.year, shown.month, shown.day, shown.hour, shown.minute, shown.second, shown.isoweekday()
    )
    return moment(calendar.from_local(local, zone))


def format(
    time: datetime, zone: str, locale: str, style: Literal["date", "time", "date-time", "weekday"] = "date-time"
) -> str:
    """Written out for a reader: `mercredi 1 août`, `20 h 30`."""
    calendar = host("calendar")
    return str(calendar.format(instant(time), zone, locale, calendar.Style[style.replace("-", "_").upper()]))
