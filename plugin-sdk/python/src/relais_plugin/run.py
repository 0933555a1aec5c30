"""The run itself: its time, its settings, its chance."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypeVar, overload

from . import _read
from ._host import host
from ._time import moment

T = TypeVar("T")

# The letters and digits that nobody confuses when reading them aloud: no 0 and O, no 1, I and L.
_READABLE = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


def id() -> str:
    """The run's identifier, the same for every execution of the run."""
    return str(host("run").id())


def attempt() -> int:
    """1 for the first execution."""
    return int(host("run").attempt())


def entity() -> str:
    """What the run is about, and in whose order it is: `customer/4711`."""
    return str(host("run").entity())


def customer() -> str | None:
    """The customer whom the run concerns, where the host could tell."""
    found: str | None = host("run").customer()
    return found


def now() -> datetime:
    """The time of the run, at which the clock stands still."""
    return moment(float(host("run").now()))


def attribute(name: str) -> str | None:
    """Other facts about the run, by the registry's name: `tenant`, `plugin`, `version`, `deadline`."""
    found: str | None = host("run").attribute(name)
    return found


def random(count: int) -> bytes:
    """Random bytes, fit for secrets, and the same for every execution of the run."""
    return bytes(host("run").random(count))


def code(length: int) -> str:
    """A code that a person can read out, `K7FM2Q`: about five bits for each of its characters."""
    found = ""
    while len(found) < length:
        # Bytes from 248 on would make the first letters likelier than the others; they are drawn again.
        found += "".join(_READABLE[byte % len(_READABLE)] for byte in random(max(2 * length, 8)) if byte < 248)
    return found[:length]


def secret(name: str) -> str | None:
    """A placeholder for a secret. The host puts the secret in its place in the headers of permitted requests."""
    found: str | None = host("run").secret(name)
    return found


@overload
def config() -> Any: ...
@overload
def config(shape: type[T]) -> T: ...
def config(shape: Any = Any) -> Any:
    """The settings: the manifest's defaults with the operator's on top; as a dataclass where one is named."""
    return _read.read(shape, json.loads(host("run").config()), "config")
