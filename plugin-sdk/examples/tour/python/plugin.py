"""A tour of everything that a plugin can call, one function for each interface of the contract.

It is a shop's loyalty card: a purchase adds stamps, the tenth is a free coffee, and who does not fetch it is reminded.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from relais_plugin import (
    Delivery,
    DeliveryState,
    Event,
    Incoming,
    Message,
    Purpose,
    Timer,
    calendar,
    config,
    customers,
    events,
    http,
    on_delivery,
    on_event,
    on_message,
    on_timer,
    run,
    state,
    timers,
)

log = logging.getLogger(__name__)


@dataclass
class Purchase:
    shop: str
    stamps: int


@dataclass
class Card:
    stamps: int = 0


@dataclass
class Coffee:
    code: str


@dataclass
class Settings:
    needed: int


# interface: on-event
@on_event
def bought(event: Event) -> None:
    purchase = event.read(Purchase)
    customer = event.customer_id
    if stamp(purchase.stamps).stamps < config(Settings).needed or not wants_mail(customer):
        return
    code = draw()
    congratulate(customer, purchase.shop, code)
    remind_later(code)
    tell_the_till(customer, code)
    hand_on(customer, code)
    state.remove("card")


# interface: on-timer
@on_timer
def not_fetched(timer: Timer) -> None:
    coffee = timer.read(Coffee)
    Message.to(timer.customer_id, Purpose.REMINDER).text(f"Your coffee is still waiting: {coffee.code}").sms_only().send_or_skip()


# interface: on-delivery
@on_delivery
def announced(delivery: Delivery) -> None:
    if delivery.state is DeliveryState.FAILED:
        log.warning("the coffee was not announced", extra={"code": delivery.code})


# interface: on-message
@on_message
def answered(message: Incoming) -> None:
    timers.cancel("coffee")
    Message.answer(message).text("See you soon!").send_or_skip()


# interface: state
def stamp(stamps: int) -> Card:
    card = state.get("card", Card) or Card()
    card.stamps += stamps
    state.set("card", card, ttl=timedelta(days=365))
    return card


# interface: run
def draw() -> str:
    code = run.code(6)
    log.info("a coffee is won", extra={"run": run.id(), "attempt": run.attempt(), "entity": run.entity()})
    return code


# interface: customers
def wants_mail(customer: str) -> bool:
    if customers.consent(customer, "whatsapp") == "refused":
        return False
    # Not two coffees in a row to somebody who has had one a moment ago.
    won = customers.history(customer, "com.example.coffee.won", 1)
    return all(run.now() - each.time > timedelta(hours=1) for each in won)


# interface: calendar
def until_the_end_of_the_week(customer: str) -> str:
    known = customers.get(customer)
    zone = (known and known.timezone) or "Europe/Paris"
    local = calendar.to_local(run.now(), zone)
    if local is None:
        raise ValueError(f"there is no zone {zone}")
    sunday = run.now() + timedelta(days=7 - local.isoweekday())
    return calendar.format(sunday, zone, (known and known.locale) or "en-GB", "date")


# interface: messages
def congratulate(customer: str, shop: str, code: str) -> None:
    (
        Message.to(customer, Purpose.CONFIRMATION)
        .template("coffee_won", shop=shop, code=code)
        .text(f"Your next coffee at {shop} is free until {until_the_end_of_the_week(customer)}: {code}")
        .choice("later", "Remind me")
        .fallback_after(timedelta(minutes=2))
        .dedup_key(f"coffee/{code}")
        .tag("coffee")
        .send_or_skip()
    )


# interface: timers
def remind_later(code: str) -> None:
    timers.after("coffee", timedelta(days=2), Coffee(code), expires=run.now() + timedelta(days=7))


# interface: http
def tell_the_till(customer: str, code: str) -> None:
    headers = {"authorization": f"Bearer {run.secret('till-token')}"}
    answer = http.post("https://till.example/coffees", json={"customer": customer, "code": code}, headers=headers, timeout=2)
    answer.raise_for_status()


# interface: events
def hand_on(customer: str, code: str) -> None:
    events.emit("com.example.coffee.won", {"code": code}, subject=f"customer/{customer}", dedup_key=code, attributes={"tone": "kind"})
