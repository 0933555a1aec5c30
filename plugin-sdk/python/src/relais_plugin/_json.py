"""JSON that goes to the host."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from ._time import instant, millis
from .errors import Reject


def write(value: Any, what: str) -> str:
    """Dataclasses and datetimes are written as `read` reads them again."""
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Reject(f"{what} cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return int(instant(value))
    if isinstance(value, timedelta):
        return int(millis(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"there is no JSON for {type(value).__name__}")
