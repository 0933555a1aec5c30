"""What comes in: events, timers, deliveries and what customers write."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

from . import _read
from ._time import moment
from .errors import Reject

T = TypeVar("T")


class _AboutCustomer:
    customer: str | None

    def _what(self) -> str:
        raise NotImplementedError

    @property
    def customer_id(self) -> str:
        """The customer, or a rejection that says how to name one."""
        if self.customer is None:
            raise Reject(
                f"{self._what()} names no customer: give the event the extension attribute `customer`, "
                "or say in the manifest where the customer stands"
            )
        return self.customer


class _WithData(_AboutCustomer):
    json: str

    @cached_property
    def data(self) -> Any:
        """The data as it is; parsed when it is first asked for."""
        try:
            return json.loads(self.json)
        except ValueError as error:
            raise Reject(f"{self._what()}: data is not JSON: {error}") from error

    def read(self, shape: type[T]) -> T:
        """The data as a dataclass; what does not fit is rejected with the path of the field."""
        return _read.read(shape, self.data, f"{self._what()}: data")


@dataclass(frozen=True)
class Event(_WithData):
    """Something that happened, as CloudEvents 1.0 describes it."""

    id: str
    """Unique together with `source`."""
    source: str
    """Who says so, a URI reference: `/shop/paris`."""
    type: str
    """What happened: `com.example.order.ready`."""
    subject: str | None
    """What it happened to, by the source's own name for it."""
    time: datetime
    customer: str | None
    """The customer concerned, where the host could tell."""
    json: str = field(repr=False)
    """The data as JSON text; `data` and `read` have parsed it."""
    attributes: dict[str, str]
    """CloudEvents extension attributes, `datacontenttype` and `dataschema`."""

    def _what(self) -> str:
        return f"event {self.id} of {self.type}"

    @property
    def verb(self) -> str:
        """The last part of the type: `ready` of `com.example.order.ready`."""
        return self.type.rpartition(".")[2]

    @property
    def reference(self) -> str:
        """What `Message.because` takes where an earlier event makes a message expected."""
        return f"{self.source}#{self.id}"

    @classmethod
    def _of(cls, given: Any) -> Event:
        return cls(
            given.id,
            given.source,
            given.event_type,
            given.subject,
            moment(given.time),
            given.customer,
            given.data,
            dict(given.attributes),
        )


@dataclass(frozen=True)
class Timer(_WithData):
    """A timer that has come due, or one that is set."""

    key: str
    due: datetime
    """When it was to be called, at or before now."""
    customer: str | None
    """The customer whom the run that set it concerned."""
    json: str = field(repr=False)
    set_by: str
    """The version of the plugin that set it: the data is in that version's form."""
    attributes: dict[str, str]

    def _what(self) -> str:
        return f"timer `{self.key}`"

    @classmethod
    def _of(cls, given: Any) -> Timer:
        return cls(given.key, moment(given.due), given.customer, given.data, given.set_by, dict(given.attributes))


class DeliveryState(str, Enum):
    """How far a message has come."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FALLING_BACK = "falling-back"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Delivery(_AboutCustomer):
    """What has become of a message."""

    id: str
    tag: str | None
    """The tag it was sent with."""
    customer: str | None
    state: DeliveryState
    settled: bool
    """Nothing follows but `READ`."""
    channel: str
    time: datetime
    code: str | None
    """Why it failed or falls back, a code of the registry: `not-on-whatsapp`, `unreachable`, …"""
    detail: str | None
    """The provider's own words."""
    attributes: dict[str, str]

    def _what(self) -> str:
        return f"delivery of {self.id}"

    @classmethod
    def _of(cls, given: Any) -> Delivery:
        return cls(
            given.id,
            given.tag,
            given.customer,
            DeliveryState[given.state.name],
            given.settled,
            given.channel,
            moment(given.time),
            given.code,
            given.detail,
            dict(given.attributes),
        )


@dataclass(frozen=True)
class Place:
    """A place, in WGS 84 degrees."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class IncomingMedia:
    """A file that a customer sent."""

    id: str
    mime_type: str
    size: int | None
    """In bytes."""
    filename: str | None
    attributes: dict[str, str]


@dataclass(frozen=True)
class Incoming(_AboutCustomer):
    """What a customer wrote."""

    id: str
    customer: str | None
    """Absent where the sender is no known customer."""
    sender: str | None
    """The number, or the channel's name for the sender, where the manifest has the permission `phone`. Nobody needs it to
    answer."""
    channel: str
    time: datetime
    kind: str
    """`text`, `choice`, `image`, `audio`, `video`, `document`, `location`, or another name of the registry."""
    text: str
    """What was written, the label tapped, or the caption; empty if none."""
    choice: str | None
    """The identifier of the choice tapped."""
    media: tuple[IncomingMedia, ...]
    location: Place | None
    in_reply_to: str | None
    """The message that it answers."""
    tag: str | None
    """The tag which that one was sent with."""
    opening: bool
    """Nothing was exchanged with this sender in the last 24 hours."""
    window_ends: datetime | None
    """Free content is allowed on this channel until then."""
    attributes: dict[str, str]

    def _what(self) -> str:
        return f"message {self.id}"

    @classmethod
    def _of(cls, given: Any) -> Incoming:
        place = given.location
        return cls(
            given.id,
            given.customer,
            given.sender,
            given.channel,
            moment(given.time),
            given.kind,
            given.text,
            given.choice,
            tuple(IncomingMedia(file.id, file.mime_type, file.size, file.filename, dict(file.attributes)) for file in given.media),
            place and Place(place.latitude, place.longitude, place.name, place.address),
            given.in_reply_to,
            given.tag,
            given.opening,
            moment(given.window_ends),
            dict(given.attributes),
        )
