"""Alarms that outlive the run and the host. They belong to the entity that the run is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from . import _json, run
from ._host import host
from ._time import instant
from .received import Timer


def at(key: str, due: datetime, data: Any = None, *, expires: datetime | None = None) -> None:
    """Sets a timer for `due`, in place of an earlier one with that key. One whose time has passed is called at once; one
    that could not be called by `expires` is not called any more."""
    written = _json.write(data, f"timer `{key}`")
    host("timers").set(key, instant(due), written, None if expires is None else instant(expires))


def after(key: str, wait: timedelta, data: Any = None, *, expires: datetime | None = None) -> None:
    """Sets a timer for some time from now."""
    at(key, run.now() + wait, data, expires=expires)


def cancel(key: str) -> None:
    """Removes it, if there is one."""
    host("timers").cancel(key)


def get(key: str) -> Timer | None:
    """The timer with this key, if there is one."""
    found = host("timers").get(key)
    return None if found is None else Timer._of(found)
