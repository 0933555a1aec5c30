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
) -> None:
    """Raises an event, of a type that the manifest declares, once the run has ended well. At most one with `dedup_key`."""
    events = host("events")
    options = None
    if customer is not None or dedup_key is not None:
        options = events.EmitOptions(customer, dedup_key)
    events.emit(event_type, subject, _json.write(data, f"event `{event_type}`"), options)
