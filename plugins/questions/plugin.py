"""Answers what customers ask out of the blue: whether the shop is open, and where their order is.

What it does not understand it leaves to people. A wrong answer costs more than none.
"""

import logging
import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from relais_plugin import Incoming, Message, calendar, config, customers, on_message, run

log = logging.getLogger(__name__)

ABOUT_HOURS = re.compile(r"\b(open|opening|close[ds]?|hours|ouvert\w*|ferm\w+|horaires?)\b", re.IGNORECASE)
ABOUT_ORDERS = re.compile(r"\b(order|commande|ready|prête?)\b", re.IGNORECASE)

# In the order in which an order goes through them.
HOW_IT_IS = {
    "en": {"ready": "was ready at {when}", "collected": "was collected at {when}", "returned": "was returned at {when}"},
    "fr": {"ready": "était prête à {when}", "collected": "a été retirée à {when}", "returned": "a été rendue à {when}"},
}


@dataclass
class Settings:
    shop: str
    timezone: str
    hours: dict[str, str]


@dataclass
class Order:
    order: str


@on_message
def answer(message: Incoming) -> None:
    settings = config(Settings)
    customer = customers.get(message.customer) if message.customer else None
    locale = (customer and customer.locale) or "en"
    language = "fr" if locale.startswith("fr") else "en"

    if ABOUT_HOURS.search(message.text):
        said = opening(settings, language)
    elif ABOUT_ORDERS.search(message.text) and customer:
        said = latest_order(customer.id, settings, locale, language)
    else:
        log.info("left to people: %s, %d characters", message.kind, len(message.text))
        return
    Message.answer(message).text(said).tag("question").send_or_skip()


def opening(settings: Settings, language: str) -> str:
    """When the shop closes, if it is open, and else when it opens: today, or on the next day that has hours."""
    now = calendar.to_local(run.now(), settings.timezone)
    if now is None:
        raise ValueError(f"config.timezone: there is no zone {settings.timezone}")
    for days in range(8):
        day = now + timedelta(days=days)
        hours = settings.hours.get(str(day.isoweekday()))
        if hours is None:
            continue
        opens, closes = (time.fromisoformat(part) for part in hours.split("-"))
        if days > 0 or now.time() < opens:
            return opens_later(settings, day, opens, days, language)
        if now.time() < closes:
            until = f"{closes:%H:%M}"
            return f"Oui, nous sommes ouverts jusqu’à {until}." if language == "fr" else f"Yes, we are open until {until}."
    return "Nous sommes fermés cette semaine." if language == "fr" else "We are closed this week."


def opens_later(settings: Settings, day: datetime, opens: time, days: int, language: str) -> str:
    at = f"{opens:%H:%M}"
    if days == 0:
        return f"Nous ouvrons à {at}." if language == "fr" else f"We open at {at}."
    noon = calendar.from_local(day.replace(hour=12), settings.timezone) or day
    weekday = calendar.format(noon, settings.timezone, "fr-FR" if language == "fr" else "en-GB", "weekday")
    return f"Nous ouvrons {weekday} à {at}." if language == "fr" else f"We open on {weekday} at {at}."


def latest_order(customer: str, settings: Settings, locale: str, language: str) -> str:
    for event in customers.history(customer, "com.example.order.*"):
        how = HOW_IT_IS[language].get(event.verb)
        if how is None:
            continue
        order = event.read(Order).order
        when = calendar.format(event.time, settings.timezone, locale, "time")
        said = how.format(when=when)
        return f"Votre commande {order} {said}." if language == "fr" else f"Your order {order} {said}."
    if language == "fr":
        return f"Nous n’avons pas trouvé de commande à votre nom. {settings.shop} vous rappelle."
    return f"We have found no order of yours. {settings.shop} will get in touch."
