"""Requests to services that the manifest names and the operator grants.

They read as with `requests`: `http.post(url, json=…).json()`. Each carries an `Idempotency-Key` that is the same in every
execution of the run, by which a service can tell that it has had a request before. Redirects are not followed.
"""

from __future__ import annotations

import json as _parser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, overload
from urllib.parse import urlencode

from . import _json, _read
from ._host import Err, host
from ._time import millis
from .errors import HttpError, Reject

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """Headers of a response, found by a name in any case."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Response:
    """What a service answered; a status such as 404 is an answer as well."""

    method: str
    url: str
    status_code: int
    headers: Headers
    content: bytes

    @property
    def ok(self) -> bool:
        """The status is from 200 to 299."""
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        """The content, read as UTF-8."""
        return self.content.decode("utf-8", "replace")

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, shape: type[T]) -> T: ...
    def json(self, shape: Any = Any) -> Any:
        """The content as JSON, as a dataclass where one is named; what does not fit is rejected with its path."""
        what = f"the answer to {self.method} {self.url}"
        try:
            parsed = _parser.loads(self.content)
        except ValueError as error:
            raise Reject(f"{what} is not JSON: {error}") from error
        return _read.read(shape, parsed, what)

    def raise_for_status(self) -> None:
        """Raises an `HttpError` for a status from 400 on: with one that may pass (408, 425, 429, 5xx) the run is tried again,
        after `Retry-After`."""
        if self.status_code >= 400:
            seconds = self.headers.get("retry-after", "")
            after = timedelta(seconds=int(seconds)) if seconds.isdecimal() else None
            raise HttpError("status", str(self.status_code), f"{self.method} {self.url}", self.status_code, after)


def send(
    method: str,
    url: str,
    *,
    params: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    data: bytes | str | None = None,
    json: Any = None,
    timeout: timedelta | float | None = None,
    settings: Mapping[str, str] | None = None,
) -> Response:
    """Asks a service, and gives its answer. `timeout` is a timedelta, or seconds. A placeholder of `run.secret` in a header is
    replaced by the secret, by the host. Raises `HttpError` where there is no answer."""
    if params:
        url = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"
    pairs = [(name, str(value)) for name, value in (headers or {}).items()]
    if json is not None:
        if data is not None:
            raise TypeError("a request has `data` or `json`, and not both")
        data = _json.write(json, f"the body of {method} {url}")
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("content-type", "application/json"))
    body = data.encode() if isinstance(data, str) else data
    wait = timedelta(seconds=timeout) if isinstance(timeout, (int, float)) else timeout
    contract = host("http")
    request = contract.Request(method, url, pairs, body, None if wait is None else millis(wait), list((settings or {}).items()))
    try:
        found = contract.send(request)
    except Err as refused:
        raise HttpError.of(refused.value, f"{method} {url}") from None
    return Response(method, url, found.status, Headers(found.headers), bytes(found.body))


def get(url: str, **options: Any) -> Response:
    """`send("GET", …)`."""
    return send("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    """`send("POST", …)`."""
    return send("POST", url, **options)


def put(url: str, **options: Any) -> Response:
    """`send("PUT", …)`."""
    return send("PUT", url, **options)


def patch(url: str, **options: Any) -> Response:
    """`send("PATCH", …)`."""
    return send("PATCH", url, **options)


def delete(url: str, **options: Any) -> Response:
    """`send("DELETE", …)`."""
    return send("DELETE", url, **options)
