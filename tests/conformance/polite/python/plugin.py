"""Uses every interface of the contract, and writes what it saw to the log."""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

from relais_plugin import (
    Delivery,
    Event,
    HttpError,
    Incoming,
    Message,
    Place,
    Purpose,
    SendError,
    Timer,
    calendar,
    config,
    customers,
    events,
    http,
    messages,
    on_delivery,
    on_event,
    on_message,
    on_timer,
    run,
    state,
    timers,
)

log = logging.getLogger()


def saw(what: str, **seen: Any) -> None:
    log.info("saw %s: %s", what, json.dumps(seen, ensure_ascii=False), extra={"part": what})


def outcome(message: Message) -> str:
    """What comes of a message: `sent`, or the code of its refusal."""
    try:
        message.send()
        return "sent"
    except SendError as refused:
        return refused.code


def of_run() -> None:
    saw(
        "run",
        attempt=run.attempt(),
        entity=run.entity(),
        customer=run.customer(),
        identified=len(run.id()) > 0,
        now=run.now().timestamp() > 0,
        plugin=run.attribute("plugin"),
        unknown=run.attribute("no-such-name") is None,
        random=len(run.random(16)),
        greeting=config()["greeting"],
        secret=run.secret("no-such-secret") is None,
    )


def of_state() -> None:
    before = state.get("a/1") is None
    state.set("a/1", "one", ttl=timedelta(hours=1))
    state.set("a/2", "two", customer="paul")
    scanned = [key for key, _ in state.scan("a/")]
    state.remove("a/1")
    saw("state", before=before, scanned=scanned, removed=state.get("a/1") is None, kept=state.get("a/2"))


def of_timers() -> None:
    timers.after("soon", timedelta(minutes=10), {"n": 2}, expires=run.now() + timedelta(hours=1))
    timers.after("never", timedelta(minutes=1))
    timers.cancel("never")
    soon = timers.get("soon")
    assert soon is not None
    due_in = round((soon.due - run.now()).total_seconds() * 1000)
    saw("timers", due_in=due_in, data=soon.data["n"], set_by=soon.set_by, cancelled=timers.get("never") is None)


def of_customers() -> None:
    paul, routes = customers.get("paul"), customers.routes("paul")
    assert paul is not None
    saw(
        "customers",
        locale=paul.locale,
        timezone=paul.timezone,
        unknown=customers.get("nobody") is None,
        routes=[route.channel for route in routes if route.addressable],
        consent=routes[0].consent,
        marketing=customers.consent("paul", "whatsapp", "marketing"),
        history=[event.type for event in customers.history("paul", "com.example.polite.*", 5)],
    )


def of_calendar() -> None:
    at = calendar.parse("2026-03-29T01:30:00", "Europe/Paris")
    skipped = calendar.from_local(datetime(2026, 3, 29, 2, 30), "Europe/Paris")
    assert at is not None and skipped is not None
    local = calendar.to_local(at, "Europe/Paris")
    assert local is not None
    saw(
        "calendar",
        at=round(at.timestamp() * 1000),
        hour=local.hour,
        weekday=local.isoweekday(),
        skipped=round(skipped.timestamp() * 1000),
        unknown=calendar.to_local(at, "Europe/Nowhere") is None,
        written=calendar.format(at, "Europe/Paris", "fr-FR", "date"),
    )


def of_messages(event: Event) -> None:
    def whole() -> Message:
        return (
            to_paul()
            .because(event.reference)
            .template("polite_note", text="hello")
            .text("hello")
            .choice("yes", "Yes")
            .sms_text("hello by SMS")
            .fallback_after(timedelta(seconds=30))
            .expires(run.now() + timedelta(hours=1))
            .dedup_key("polite")
            .locale("en")
            .tag("polite")
        )

    def to_paul() -> Message:
        return Message.to("paul", Purpose.ALERT)

    id = whole().send()
    messages.cancel(to_paul().text("cancelled").sms_only().send())
    known = messages.status(id)
    assert known is not None
    saw(
        "messages",
        sent=len(id) > 0,
        again=whole().send() == id,
        state=known.state.value,
        unknown=messages.status("no-such-message") is None,
        phone=outcome(Message.to_phone("+33612345678", Purpose.ALERT).text("no")),
        nobody=outcome(Message.to("nobody", Purpose.ALERT).text("no")),
        content=outcome(to_paul().content("com.example.nothing", {})),
        setting=outcome(to_paul().text("no").setting("com.example.nothing", "1")),
        asset=outcome(to_paul().attach_asset("no-such-file.png")),
        bytes=outcome(to_paul().attach_bytes(b"\x89PNG", "image/png").no_sms()),
        url=outcome(to_paul().attach_url("ftp://files.example/a.png", "image/png")),
        location=outcome(to_paul().text("here").location(Place(48.85, 2.35, "Paris", None)).sms_only()),
    )


def of_http() -> None:
    try:
        http.post("https://service.example/", json={"hello": True}, headers={"x-polite": "yes"}, timeout=2)
    except HttpError as error:
        saw("http", code=error.code)


@on_event
def told(event: Event) -> None:
    saw(
        "event",
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        customer=event.customer,
        data=event.data["n"],
        tone=event.attributes["tone"],
    )
    of_run()
    of_state()
    of_timers()
    of_customers()
    of_calendar()
    of_messages(event)
    of_http()
    events.emit("com.example.polite.told", {"n": 1}, subject="it", dedup_key="told", attributes={"tone": "kind"})


@on_timer
def due(timer: Timer) -> None:
    saw("timer", key=timer.key, data=timer.data["n"], customer=timer.customer, set_by=timer.set_by)


@on_delivery
def delivered(delivery: Delivery) -> None:
    saw("delivery", state=delivery.state.value, settled=delivery.settled, tag=delivery.tag, customer=delivery.customer)


@on_message
def written(message: Incoming) -> None:
    saw(
        "message",
        text=message.text,
        kind=message.kind,
        customer=message.customer,
        channel=message.channel,
        sender=message.sender is None,
        media=messages.media("no-such-file") is None,
        answer=outcome(Message.answer(message).text("thank you").quote(message.id)),
    )
