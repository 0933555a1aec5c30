"""What the plugin keeps of an entity from one run to the next, as JSON.

Runs about one entity never overlap, so what is read here stays true until the run has ended: read, change, write back.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, TypeVar, overload

from . import _json, _read
from ._host import host
from ._time import millis
from .errors import Reject

T = TypeVar("T")

# Entries per page of a scan: enough for nearly every entity in one call, and still a few megabytes at most.
_PAGE = 100


@overload
def get(key: str) -> Any: ...
@overload
def get(key: str, shape: type[T]) -> T | None: ...
def get(key: str, shape: Any = Any) -> Any:
    """The entry, as a dataclass where one is named; None where there is none."""
    found = host("state").get(key)
    return None if found is None else _parse(key, found, shape)


def set(key: str, value: Any, *, ttl: timedelta | None = None, customer: str | None = None, attributes: dict[str, str] | None = None) -> None:
    """Writes the entry, to stay until it is removed or `ttl` has passed. It is erased with the customer, that of the run
    where none is named."""
    state = host("state")
    options = state.EntryOptions(None if ttl is None else millis(ttl), customer, list((attributes or {}).items()))
    state.set(key, _json.write(value, f"state `{key}`").encode(), options)


def remove(key: str) -> None:
    """Removes the entry, if it is there."""
    host("state").remove(key)


def scan(prefix: str, shape: type[T] | Any = Any) -> list[tuple[str, Any]]:
    """Every entry whose key begins with `prefix`, in the order of the keys."""
    found: list[tuple[str, Any]] = []
    after: str | None = None
    while True:
        page = host("state").scan(prefix, after, _PAGE)
        found += [(entry.key, _parse(entry.key, entry.value, shape)) for entry in page.entries]
        after = page.next
        if after is None:
            return found


def _parse(key: str, value: bytes, shape: Any) -> Any:
    try:
        parsed = json.loads(bytes(value).decode())
    except ValueError as error:
        raise Reject(f"state `{key}` is not JSON: {error}") from error
    return _read.read(shape, parsed, f"state `{key}`")
