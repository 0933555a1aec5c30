"""Tells a guest that a table is free, and once more shortly before it is given to somebody else."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from relais_plugin import Event, Incoming, Message, Purpose, Timer, config, on_event, on_message, on_timer, timers

log = logging.getLogger(__name__)


@dataclass
class Table:
    restaurant: str


@dataclass
class Settings:
    kept_minutes: int
    last_call_minutes: int


@on_event
def table_free(event: Event) -> None:
    table, settings = event.read(Table), config(Settings)
    kept = timedelta(minutes=settings.kept_minutes)
    (
        Message.to(event.customer_id, Purpose.ALERT)
        .template("table_free", restaurant=table.restaurant, minutes=settings.kept_minutes)
        .text(f"Your table at {table.restaurant} is free. We keep it for {settings.kept_minutes} minutes.")
        .expires(event.time + kept)
        .fallback_after(timedelta(minutes=1))
        .tag("table")
        .send_or_skip()
    )
    timers.after("last-call", kept - timedelta(minutes=settings.last_call_minutes), table)


@on_timer
def last_call(timer: Timer) -> None:
    table, settings = timer.read(Table), config(Settings)
    log.info("%s has not answered", timer.customer_id)
    (
        Message.to(timer.customer_id, Purpose.ALERT)
        .template("table_last_call", restaurant=table.restaurant, minutes=settings.last_call_minutes)
        .text(f"Your table at {table.restaurant} is kept for {settings.last_call_minutes} more minutes.")
        .send_or_skip()
    )


@on_message
def answered(message: Incoming) -> None:
    timers.cancel("last-call")
    Message.answer(message).text("See you in a moment.").send_or_skip()
