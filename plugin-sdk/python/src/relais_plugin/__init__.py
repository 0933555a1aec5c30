"""Write relais plugins in Python.

A plugin is told what happens and asks for what is to follow::

    from dataclasses import dataclass
    from datetime import timedelta
    from relais_plugin import Event, Message, Purpose, on_event

    @dataclass
    class Table:
        restaurant: str

    @on_event
    def table_free(event: Event) -> None:
        table = event.read(Table)
        Message.to(event.customer_id, Purpose.ALERT) \\
            .template("table_free", restaurant=table.restaurant) \\
            .text(f"Your table at {table.restaurant} is free.") \\
            .expires(event.time + timedelta(minutes=15)) \\
            .send_or_skip()

A run is a transaction: what a handler asks for is kept if it returns, and not at all if it raises. `Retry` is tried again
later; every other exception sets the run aside, with its traceback.
"""

from . import calendar, customers, events, http, messages, run, state, timers
from ._handlers import on_delivery, on_event, on_message, on_timer
from .errors import HttpError, Reject, Retry, SendError
from .messages import Message, Purpose
from .received import Delivery, DeliveryState, Event, Incoming, IncomingMedia, Place, Timer
from .run import config

__all__ = [
    "Delivery",
    "DeliveryState",
    "Event",
    "HttpError",
    "Incoming",
    "IncomingMedia",
    "Message",
    "Place",
    "Purpose",
    "Reject",
    "Retry",
    "SendError",
    "Timer",
    "calendar",
    "config",
    "customers",
    "events",
    "http",
    "messages",
    "on_delivery",
    "on_event",
    "on_message",
    "on_timer",
    "run",
    "state",
    "timers",
]
