"""The contract as the host offers it. The build generates `wit_world`; outside a component there is none.

Calls work while a handler runs and not before: the top level of a module runs once, when the component is built, and what
it leaves in memory is what every run begins with.
"""

from typing import Any

try:
    from componentize_py_types import Err
    from wit_world.imports import calendar, customers, events, http, messages, run, state, timers, types

    _interfaces: dict[str, Any] = {
        "calendar": calendar,
        "customers": customers,
        "events": events,
        "http": http,
        "messages": messages,
        "run": run,
        "state": state,
        "timers": timers,
        "types": types,
    }
except ModuleNotFoundError:
    _interfaces = {}

    class Err(Exception):  # type: ignore[no-redef]
        """Stands in where there is no component, so that modules can be imported by editors and tests."""

        value: Any


_in_run = False


def running() -> bool:
    """Whether a handler is running, so that there is a host to talk to."""
    return _in_run


def begin() -> None:
    """Said by the component's exports before they call a handler."""
    global _in_run
    _in_run = True


def host(name: str) -> Any:
    """An interface of the contract; fails with a sentence where there is no run, and not with a trap."""
    if not _in_run:
        raise RuntimeError(
            f"relais:plugin/{name} was called outside a run: the top level of a module runs when the component is built. "
            "Call it in a handler."
        )
    return _interfaces[name]


def types_of_contract() -> Any:
    """The records of `types.wit`; unlike a call, they are there at any time in a component."""
    return _interfaces["types"]


__all__ = ["Err", "begin", "host", "running", "types_of_contract"]
