"""The component's exports: each calls the plugin's handler, and makes of whatever it raises a failure of the contract.

Only a component imports this module; the build writes the one that does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from wit_world import exports  # type: ignore[import-not-found]
from wit_world.imports import types  # type: ignore[import-not-found]

from . import _log
from ._handlers import any_registered, registered
from ._host import Err, begin
from ._time import millis
from .errors import HttpError, Retry, keep_source, reason
from .received import Delivery, Event, Incoming, Timer


def _call(name: str, received: Callable[[Any], Any], given: Any) -> None:
    begin()
    try:
        _log.HANDLER.flush()
        registered(name)(received(given))
    # `sys.exit()` as well: it would end the component without a word of where.
    except BaseException as raised:
        raise Err(_failure(raised)) from None


def _failure(raised: BaseException) -> Any:
    message, detail = reason(raised)
    attributes = [(name, str(value)) for name, value in getattr(raised, "attributes", {}).items()]
    # A service that could not be asked may be there in a minute.
    if isinstance(raised, Retry) or (isinstance(raised, HttpError) and raised.may_pass):
        wait = getattr(raised, "after", None)
        after = None if wait is None else millis(wait)
        return types.Failure_Retry(types.RetryInfo(message=message, detail=detail, after=after, attributes=attributes))
    return types.Failure_Reject(types.RejectInfo(message=message, detail=detail, attributes=attributes))


class OnEvent(exports.OnEvent):  # type: ignore[misc]
    def handle(self, event: Any) -> None:
        _call("on_event", Event._of, event)


class OnTimer(exports.OnTimer):  # type: ignore[misc]
    def handle(self, timer: Any) -> None:
        _call("on_timer", Timer._of, timer)


class OnDelivery(exports.OnDelivery):  # type: ignore[misc]
    def handle(self, delivery: Any) -> None:
        _call("on_delivery", Delivery._of, delivery)


class OnMessage(exports.OnMessage):  # type: ignore[misc]
    def handle(self, message: Any) -> None:
        _call("on_message", Incoming._of, message)


def finish(directory: str) -> None:
    """Called by the build when the plugin's modules are loaded: checks that there is a handler, and keeps their source."""
    if not any_registered():
        raise LookupError("the plugin registers no handler: put @on_event above a function")
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.startswith(directory):
            keep_source(path)
