"""Times and lengths of time. On the wire both are milliseconds, as a float that is a whole number."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant(time: datetime) -> float:
    """The contract's instant of an aware datetime."""
    if time.tzinfo is None or time.utcoffset() is None:
        raise ValueError(f"{time!r} has no time zone; relais_plugin.calendar.from_local finds the instant of a local time")
    return float((time - _EPOCH) // timedelta(milliseconds=1))


def millis(length: timedelta) -> float:
    """The contract's duration of a timedelta."""
    found = length // timedelta(milliseconds=1)
    if found < 0:
        raise ValueError(f"{length!r} is negative, and no length of time")
    return float(found)


@overload
def moment(millis: float) -> datetime: ...
@overload
def moment(millis: float | None) -> datetime | None: ...
def moment(millis: float | None) -> datetime | None:
    """The datetime, in UTC, of the contract's instant."""
    return None if millis is None else _EPOCH + timedelta(milliseconds=millis)
