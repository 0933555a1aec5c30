"""How a handler says that it did not do its work. Any other exception counts as a rejection, with its traceback."""

from __future__ import annotations

import linecache
import re
import traceback
from datetime import timedelta
from types import TracebackType
from typing import Any

_REASONS = {
    "unknown-customer": "the host knows no such customer",
    "no-address": "the customer has no address on an allowed channel",
    "template-needed": "the 24-hour window is closed, SMS is ruled out and there is no template",
    "expired": "it is too late for this message",
}

# Nobody has made a mistake: this customer cannot or does not want to be written to now.
_ABOUT_THE_CUSTOMER = {"no-address", "no-consent", "over-quota", "expired"}

# The host keeps a run's last words, and a traceback of a deep recursion would push out everything else.
_CHARACTERS_MAX = 4000


class Retry(Exception):
    """Worth trying again: the host runs the handler later, with growing pauses, and at last sets the run aside."""

    def __init__(self, message: str, after: timedelta | None = None, attributes: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.after = after
        self.attributes = attributes or {}


class Reject(Exception):
    """Not worth trying again: the host sets the run aside at once, with this reason and without a traceback."""

    def __init__(self, message: str, attributes: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.attributes = attributes or {}


class SendError(Exception):
    """Why a message was not taken: `code` is `no-consent`, `bad-template`, …, and `detail` says more where there is more."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(f"the message was not taken: {code}: {detail or _REASONS.get(code, 'no further reason')}")
        self.code = code
        self.detail = detail

    @property
    def is_about_the_customer(self) -> bool:
        """Nothing is to be repaired: no consent, no address, quota used up, too late."""
        return self.code in _ABOUT_THE_CUSTOMER

    @classmethod
    def of(cls, refused: Any) -> SendError:
        """From a case of the contract: `SendError_NoConsent` is `no-consent`."""
        code, detail = _case(refused)
        return cls(detail or code) if code == "other" else cls(code, detail)


class HttpError(Exception):
    """Why a service gave no answer: `code` is `not-permitted`, `unreachable`, `timed-out`, …. A run that ends with one that
    may pass is tried again, and one with another is set aside."""

    def __init__(
        self, code: str, detail: str | None, what: str, status: int | None = None, after: timedelta | None = None
    ) -> None:
        super().__init__(f"{what}: {code}{': ' if detail else ''}{detail or ''}")
        self.code = code
        self.detail = detail
        self.status = status
        self.after = after

    @property
    def may_pass(self) -> bool:
        """The same request may well be answered in a minute."""
        passing = self.status is not None and (self.status >= 500 or self.status in (408, 425, 429))
        return passing or self.code in ("unreachable", "timed-out")

    @classmethod
    def of(cls, refused: Any, what: str) -> HttpError:
        """From a case of the contract."""
        code, detail = _case(refused)
        return cls(detail or code, None, what) if code == "other" else cls(code, detail, what)


def _case(refused: Any) -> tuple[str, str | None]:
    case = type(refused).__name__.partition("_")[2]
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in case).lstrip("-"), getattr(refused, "value", None)


def reason(raised: BaseException) -> tuple[str, str | None]:
    """What the host is told of an exception: a sentence, and its traceback where that helps."""
    # These are answers, and their author has said it all; everything else is a surprise, and needs its traceback.
    if isinstance(raised, (Reject, Retry, SendError)):
        cause = raised.__cause__
        return str(raised), None if cause is None else _traceback(cause)
    sentence = traceback.format_exception_only(raised)[0].strip().partition("\n")[0]
    return sentence, _traceback(raised)


def _traceback(raised: BaseException) -> str:
    raised.__traceback__ = _own(raised.__traceback__)
    text = "".join(traceback.format_exception(raised)).rstrip()
    # The build shows each directory to the component by a number: `/1/plugin.py` is the author's plugin.py.
    text = re.sub(r'File "/\d+/', 'File "', text)
    # Its end says what went wrong.
    return text if len(text) <= _CHARACTERS_MAX else f"…{text[-_CHARACTERS_MAX:]}"


def _own(frames: TracebackType | None) -> TracebackType | None:
    """Without the SDK's own frames at the top, which are the same in every traceback."""
    while frames is not None and frames.tb_next is not None and "/relais_plugin/" in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    return frames


def keep_source(path: str) -> None:
    """Keeps the lines of a file in the component, so that tracebacks show them: a run has no files to read them from."""
    lines = linecache.getlines(path)
    # Without a time of modification it is taken for what a loader gave, and not compared with a file that is not there.
    linecache.cache[path] = (sum(map(len, lines)), None, lines, path)
