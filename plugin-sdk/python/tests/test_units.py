"""What needs no host; the rest is tried by scripts/first-evening, in a component. `python3 -m unittest` runs it."""

import logging
import sys
import unittest
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from relais_plugin import HttpError, Reject, SendError, on_event  # noqa: E402
from relais_plugin import _handlers, _json, _log, _read, _time, errors  # noqa: E402


class Kind(Enum):
    TRAIN = "train"


@dataclass
class Item:
    sku: str
    price: float = 0.0


@dataclass
class Order:
    id: int
    items: list[Item]
    note: str | None
    kind: Kind = Kind.TRAIN
    how: Literal["fast", "slow"] = "slow"
    tags: dict[str, bool] = field(default_factory=dict)


class Reading(unittest.TestCase):
    def test_a_dataclass_is_made_of_what_fits(self) -> None:
        given = {"id": 7, "items": [{"sku": "A", "price": 2}], "how": "fast", "kind": "train", "tags": {"new": True}, "more": 1}
        self.assertEqual(_read.read(Order, given, "data"), Order(7, [Item("A", 2.0)], None, Kind.TRAIN, "fast", {"new": True}))

    def test_what_does_not_fit_is_named_by_its_path(self) -> None:
        for given, words in [
            ({"id": 7, "items": [{"sku": 1}]}, "data.items[0].sku: should be a string, and it is 1"),
            ({"id": True, "items": []}, "data.id: should be a whole number"),
            ({"items": []}, "data.id: it is missing"),
            ({"id": 7, "items": [], "how": "never"}, "data.how: should be one of 'fast', 'slow'"),
            ({"id": 7, "items": [], "kind": "ship"}, "data.kind: should be one of 'train'"),
            ([], "data: should be an object"),
        ]:
            with self.subTest(words), self.assertRaises(Reject) as raised:
                _read.read(Order, given, "data")
            self.assertIn(words, str(raised.exception))

    def test_a_time_without_an_offset_is_not_guessed_at(self) -> None:
        with self.assertRaises(Reject):
            _read.read(datetime, "2018-08-01T20:30:00", "data.starts")


class Writing(unittest.TestCase):
    def test_times_and_dataclasses_are_written_as_they_are_read(self) -> None:
        self.assertEqual(_json.write(Item("A", 2.5), "it"), '{"sku": "A", "price": 2.5}')
        self.assertEqual(_json.write({"at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)}, "it"), '{"at": 1000}')
        with self.assertRaises(Reject):
            _json.write(object(), "it")

    def test_instants_are_whole_milliseconds_and_naive_times_are_refused(self) -> None:
        moment = _time.moment(1_533_148_200_123.0)
        self.assertEqual(_time.instant(moment), 1_533_148_200_123.0)
        with self.assertRaises(ValueError):
            _time.instant(datetime(2018, 8, 1))
        with self.assertRaises(ValueError):
            _time.millis(timedelta(seconds=-1))


class Failing(unittest.TestCase):
    def test_a_surprise_has_its_traceback_and_an_answer_has_not(self) -> None:
        try:
            {}["missing"]  # noqa: B018
        except KeyError as error:
            message, detail = errors.reason(error)
            self.assertEqual(message, "KeyError: 'missing'")
            self.assertRegex(detail, r"(?s)^Traceback .*test_units.*KeyError: 'missing'$")
        self.assertEqual(errors.reason(Reject("no such order")), ("no such order", None))

    def test_a_service_that_was_not_there_may_be_there_later(self) -> None:
        unreachable = HttpError.of(type("HttpError_Unreachable", (), {"value": "nothing listens"})(), "GET https://a.example/")
        self.assertEqual(str(unreachable), "GET https://a.example/: unreachable: nothing listens")
        self.assertTrue(unreachable.may_pass)
        self.assertFalse(HttpError.of(type("HttpError_TooLarge", (), {})(), "GET https://a.example/").may_pass)

    def test_a_case_of_the_contract_becomes_a_code(self) -> None:
        refused = type("SendError_NoConsent", (), {"value": "sms"})()
        self.assertEqual(SendError.of(refused).code, "no-consent")
        self.assertTrue(SendError.of(refused).is_about_the_customer)
        self.assertEqual(SendError.of(type("SendError_Other", (), {"value": "new-code"})()).code, "new-code")


class Logging(unittest.TestCase):
    def test_what_is_given_as_extra_becomes_fields(self) -> None:
        record = logging.getLogger("shop").makeRecord("shop", logging.INFO, "f", 1, "sent %s", ("it",), None, extra={"order": 4821})
        self.assertEqual(_log._fields(record), [("order", "4821"), ("logger", "shop")])


class Registering(unittest.TestCase):
    def tearDown(self) -> None:
        _handlers._registered.clear()

    def test_a_handler_that_is_there_twice_or_async_is_found_at_once(self) -> None:
        on_event(lambda event: None)
        with self.assertRaisesRegex(TypeError, "twice"):
            on_event(lambda event: None)

        async def handler(event: object) -> None: ...

        with self.assertRaisesRegex(TypeError, "async"):
            on_event(handler)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
