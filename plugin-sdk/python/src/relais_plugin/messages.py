"""Messages to customers, and what becomes of them.

A plugin says to whom, why and what; the host finds the channel, checks consent and falls back to SMS. `send` only asks:
the message leaves once the run has ended well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from . import _json
from ._host import Err, host, types_of_contract
from ._time import instant, millis
from .errors import SendError
from .received import Delivery, Incoming, Place


class Purpose(str, Enum):
    """Why the customer expects a message. There is no case for promotion."""

    REPLY = "reply"
    """It answers what the customer asked."""
    CONFIRMATION = "confirmation"
    """It confirms what the customer did."""
    ALERT = "alert"
    """It tells of something that happened and that concerns the customer."""
    REMINDER = "reminder"
    """It reminds of something that is about to happen."""


class Message:
    """A message being written. With a text and a template, the text is sent while the customer's 24-hour window is open,
    and the template otherwise."""

    def __init__(self, recipient: Callable[[Any], Any]) -> None:
        self._recipient = recipient
        self._setters: list[Callable[[Any], None]] = []
        self._template: str | None = None
        self._params: list[tuple[str, str]] = []
        self._choices: list[tuple[str, str, dict[str, str]]] = []

    @staticmethod
    def to(customer: str, purpose: Purpose) -> Message:
        """To a known customer: the host finds the addresses and checks consent."""
        return Message(lambda contract: contract.Draft.to_customer(customer, contract.Purpose[purpose.name]))

    @staticmethod
    def to_phone(number: str, purpose: Purpose) -> Message:
        """To a telephone number in E.164 form, where the manifest has the permission `phone`."""
        return Message(lambda contract: contract.Draft.to_phone(number, contract.Purpose[purpose.name]))

    @staticmethod
    def answer(incoming: Incoming) -> Message:
        """To whoever sent a message, known or not; its purpose is `REPLY`."""
        return Message(lambda contract: contract.Draft.answer(incoming.id))

    def _with(self, setter: Callable[[Any], None]) -> Message:
        self._setters.append(setter)
        return self

    def because(self, reference: str) -> Message:
        """What makes it expected, where that is not what set off this run: an event's `reference`, or a message's id."""
        return self._with(lambda draft: draft.because(reference))

    def text(self, text: str) -> Message:
        """The text, or the caption of the attachment."""
        return self._with(lambda draft: draft.text(text))

    def template(self, name: str, /, **params: object) -> Message:
        """A template that the manifest names, with its parameters."""
        self._template = name
        for param, value in params.items():
            self.param(param, value)
        return self

    def param(self, name: str, value: object) -> Message:
        """A parameter of the template."""
        self._params.append((name, str(value)))
        return self

    def attach_url(self, url: str, mime_type: str, filename: str | None = None) -> Message:
        """A picture, a sound, a film or a document at an https URL; its MIME type says which of them it is."""
        return self._with(lambda draft: draft.attach_url(url, mime_type, filename))

    def attach_asset(self, path: str) -> Message:
        """A file of the plugin's package."""
        return self._with(lambda draft: draft.attach_asset(path))

    def attach_bytes(self, content: bytes, mime_type: str, filename: str | None = None) -> Message:
        """The bytes themselves."""
        return self._with(lambda draft: draft.attach_bytes(content, mime_type, filename))

    def location(self, place: Place) -> Message:
        """A place on the map."""
        make = types_of_contract().Place
        return self._with(
            lambda draft: draft.location(make(place.latitude, place.longitude, place.name, place.address))
        )

    def choice(self, id: str, label: str, **attributes: str) -> Message:
        """One more answer to tap, or to number where there is no tapping."""
        self._choices.append((id, label, attributes))
        return self

    def content(self, kind: str, data: Any) -> Message:
        """Content of a kind that has no method here, by the registry's name."""
        written = _json.write(data, f"content `{kind}`")
        return self._with(lambda draft: draft.content(kind, written))

    def sms_text(self, text: str) -> Message:
        """How it reads as SMS; derived from the content where this is not called."""
        return self._with(lambda draft: draft.sms_text(text))

    def no_sms(self) -> Message:
        """It is not for SMS."""
        return self._with(lambda draft: draft.no_sms())

    def sms_only(self) -> Message:
        """SMS at once, without trying WhatsApp."""
        return self._with(lambda draft: draft.sms_only())

    def fallback_after(self, wait: timedelta) -> Message:
        """Falls back to SMS when it is not delivered after this time, and not only when it cannot be."""
        length = millis(wait)
        return self._with(lambda draft: draft.fallback_after(length))

    def expires(self, at: datetime) -> Message:
        """Not worth delivering later than this, on any channel."""
        time = instant(at)
        return self._with(lambda draft: draft.expires(time))

    def dedup_key(self, key: str) -> Message:
        """At most one message with this key from this plugin to this recipient."""
        return self._with(lambda draft: draft.dedup_key(key))

    def locale(self, tag: str) -> Message:
        """The language, BCP 47, where it is not the customer's own."""
        return self._with(lambda draft: draft.locale(tag))

    def tag(self, tag: str) -> Message:
        """Given back in `Delivery.tag` and `Incoming.tag`."""
        return self._with(lambda draft: draft.tag(tag))

    def quote(self, id: str) -> Message:
        """Quotes a message of the conversation."""
        return self._with(lambda draft: draft.quote(id))

    def setting(self, name: str, value: str) -> Message:
        """A setting that has no method here, by the registry's name."""
        return self._with(lambda draft: draft.setting(name, value))

    def send(self) -> str:
        """Asks for the message, and gives its identifier. Raises `SendError` where it is refused."""
        contract = host("messages")
        with self._recipient(contract) as draft:
            if self._template is not None:
                draft.template(self._template, self._params)
            for setter in self._setters:
                setter(draft)
            if self._choices:
                draft.choices([contract.Choice(id, label, list(more.items())) for id, label, more in self._choices])
            try:
                return str(draft.send())
            except Err as refused:
                raise SendError.of(refused.value) from None

    def send_or_skip(self) -> str | None:
        """The same, but goes on without the message where the reason lies with the customer and nobody has to repair
        anything: no consent, no address, quota used up, too late. The log says so."""
        try:
            return self.send()
        except SendError as error:
            if not error.is_about_the_customer:
                raise
            logging.getLogger("relais_plugin").info("no message: %s", error)
            return None


def cancel(id: str) -> None:
    """Asks that a message not be sent, or not fall back, where it can still be stopped."""
    host("messages").cancel(id)


def status(id: str) -> Delivery | None:
    """What is known of a message that this plugin sent."""
    found = host("messages").status(id)
    return None if found is None else Delivery._of(found)


def media(id: str) -> bytes | None:
    """The bytes of a file that a customer sent; none where it is gone, too large or not this plugin's to read."""
    found = host("messages").media(id)
    return None if found is None else bytes(found)
