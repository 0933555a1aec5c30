"""Goes wrong as the event says."""

import logging
import os
import sys

from relais_plugin import Event, on_event

log = logging.getLogger()


@on_event
def told(event: Event) -> None:
    FOREVER[event.verb]()


def loop() -> None:
    while True:
        pass


def memory() -> None:
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


def exception() -> None:
    inner({})


def inner(given: dict[str, str]) -> None:
    try:
        given["missing"]
    except KeyError as cause:
        raise RuntimeError("told to fail") from cause


def leave() -> None:
    sys.exit(3)


def leave_at_once() -> None:
    os._exit(3)


def recursion() -> None:
    deeper(0)


def deeper(depth: int) -> int:
    return deeper(depth + 1) + 1


def flood() -> None:
    while True:
        log.info("x" * 8192)


FOREVER = {
    "loop": loop,
    "memory": memory,
    "exception": exception,
    "exit": leave,
    "exit-at-once": leave_at_once,
    "recursion": recursion,
    "log": flood,
}
