"""The plugin's handlers, as its modules register them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .received import Delivery, Event, Incoming, Timer

_OnEvent = TypeVar("_OnEvent", bound=Callable[[Event], None])
_OnTimer = TypeVar("_OnTimer", bound=Callable[[Timer], None])
_OnDelivery = TypeVar("_OnDelivery", bound=Callable[[Delivery], None])
_OnMessage = TypeVar("_OnMessage", bound=Callable[[Incoming], None])

_registered: dict[str, Callable[[Any], None]] = {}


def on_event(handler: _OnEvent) -> _OnEvent:
    """Called for each event that the manifest subscribes the plugin to."""
    return _register("on_event", handler)


def on_timer(handler: _OnTimer) -> _OnTimer:
    """Called when a timer that the plugin set for this entity has come due."""
    return _register("on_timer", handler)


def on_delivery(handler: _OnDelivery) -> _OnDelivery:
    """Called when something has become of a message that the plugin sent."""
    return _register("on_delivery", handler)


def on_message(handler: _OnMessage) -> _OnMessage:
    """Called when a customer has written."""
    return _register("on_message", handler)


def _register(name: str, handler: Any) -> Any:
    # Found when the component is built, because that is when modules are loaded.
    if inspect.iscoroutinefunction(handler):
        raise TypeError(f"@{name}: {handler.__name__} is async, and a run ends when its handler returns; write `def`")
    if name in _registered:
        raise TypeError(f"@{name} is there twice: {_registered[name].__name__} and {handler.__name__}")
    _registered[name] = handler
    return handler


def registered(name: str) -> Callable[[Any], None]:
    """The handler, or an error that says what is missing."""
    found = _registered.get(name)
    if found is None:
        raise LookupError(f"plugin.toml asks for {name.replace('_', '-')}, and no function has @{name}")
    return found


def any_registered() -> bool:
    """Whether there is anything to call at all."""
    return bool(_registered)
