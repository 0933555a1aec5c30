"""Events of the plugin's own."""

from __future__ import annotations

from typing import Any

from . import _json
from ._host import host


def emit(
    event_type: str,
    data: Any = None,
    *,
    subject: str | None = None,
    customer: str | None = None,
    dedup_key: str | None = None,
    attributes: dict[str, str] | None = None,
) -> None:
    """Raises an event, of a type that the manifest declares, once the run has ended well. At most one with `dedup_key`.
    `attributes` are CloudEvents extension attributes, of lower-case letters and digits."""
    events = host("events")
    options = events.EmitOptions(customer, dedup_key, list((attributes or {}).items()))
    events.emit(event_type, subject, _json.write(data, f"event `{event_type}`"), options)
