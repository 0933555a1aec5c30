"""What the tenant knows of its customers, as far as the manifest permits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from ._host import host
from ._time import moment
from .received import Event


Consent = Literal["unknown", "granted", "refused"]


@dataclass(frozen=True)
class Customer:
    """A customer, with the fields that the manifest names."""

    id: str
    name: str | None
    locale: str | None
    """BCP 47: `fr-FR`."""
    timezone: str | None
    """IANA: `Europe/Paris`."""
    attributes: dict[str, str]

    def language(self, fallback: str) -> str:
        """The language alone, `fr` of `fr-FR`."""
        return re.split("[-_]", self.locale)[0] if self.locale else fallback


@dataclass(frozen=True)
class Route:
    """One way to reach a customer."""

    channel: str
    addressable: bool
    consent: Consent
    """The consent to messages of the four purposes."""
    window_ends: datetime | None
    """Free content is allowed until then."""
    attributes: dict[str, str]


def get(id: str) -> Customer | None:
    """The customer, where there is one with this identifier."""
    found = host("customers").get(id)
    if found is None:
        return None
    return Customer(found.id, found.name, found.locale, found.timezone, dict(found.attributes))


def routes(id: str) -> list[Route]:
    """The ways to reach the customer, the preferred one first."""
    found = host("customers").routes(id)
    return [
        Route(each.channel, each.addressable, _consent(each.consent), moment(each.window_ends), dict(each.attributes))
        for each in found
    ]


def consent(id: str, channel: str, scope: str = "service") -> Consent:
    """What the customer has agreed to on a channel: `service` for messages of the four purposes, `marketing` for templates
    that the provider files so."""
    return _consent(host("customers").get_consent(id, channel, scope))


def _consent(given: Any) -> Consent:
    return cast(Consent, given.name.lower())


def history(id: str, event_type: str, limit: int = 10) -> list[Event]:
    """The customer's latest events of one type, or of any type that begins with it where it ends in `.*`, the latest
    first."""
    return [Event._of(each) for each in host("customers").history(id, event_type, limit)]
