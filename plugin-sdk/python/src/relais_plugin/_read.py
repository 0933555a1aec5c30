"""Reads JSON into dataclasses. What does not fit is rejected with the path of the field."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from datetime import datetime
from typing import Any, TypeVar

from ._host import host
from ._time import moment
from .errors import Reject

T = TypeVar("T")

_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list"}


def read(shape: type[T], value: Any, path: str) -> T:
    """`value` as `shape`: a dataclass, `str`, `int`, `float`, `bool`, `datetime`, an `Enum`, `Literal`, `list[…]`,
    `dict[str, …]`, or any of these `| None`. Fields that the dataclass does not name are left out."""
    return typing.cast(T, _read(shape, value, path))


def _read(shape: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if shape is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, path)
    if origin is typing.Literal:
        return value if value in arguments else _wrong(path, f"one of {', '.join(map(repr, arguments))}", value)
    if origin is list:
        return [_read(arguments[0], item, f"{path}[{at}]") for at, item in enumerate(_plain(list, value, path))]
    if origin is dict:
        return {key: _read(arguments[1], item, f"{path}.{key}") for key, item in _plain(dict, value, path).items()}
    if dataclasses.is_dataclass(shape):
        return _read_dataclass(shape, value, path)
    if shape is datetime:
        return _read_time(value, path)
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        values = [member.value for member in shape]
        return shape(value) if value in values else _wrong(path, f"one of {', '.join(map(repr, values))}", value)
    if shape in _NAMES:
        return _plain(shape, value, path)
    raise TypeError(f"{path}: data cannot be read as {shape!r}")


def _plain(shape: type, value: Any, path: str) -> Any:
    # In Python True is an int, and in JSON it is not; and 2 is as good a float as 2.0.
    if isinstance(value, bool) is not (shape is bool):
        return _wrong(path, _NAMES[shape], value)
    if shape is float and isinstance(value, int):
        return float(value)
    return value if isinstance(value, shape) else _wrong(path, _NAMES[shape], value)


def _read_union(members: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in members:
        return None
    others = [member for member in members if member is not type(None)]
    for member in others[:-1]:
        try:
            return _read(member, value, path)
        except Reject:
            continue
    return _read(others[-1], value, path)


def _read_dataclass(shape: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return _wrong(path, "an object", value)
    hints = typing.get_type_hints(shape)
    found = {}
    for field in dataclasses.fields(shape):
        if not field.init:
            continue
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name in value:
            found[field.name] = _read(hints[field.name], value[field.name], f"{path}.{field.name}")
        elif not has_default:
            # What may be None may also be left out.
            if type(None) not in typing.get_args(hints[field.name]):
                raise Reject(f"{path}.{field.name}: it is missing")
            found[field.name] = None
    return shape(**found)


def _read_time(value: Any, path: str) -> datetime:
    expected = "a time with an offset such as 2018-08-01T20:30:00+02:00"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return moment(value)
    _, separator, clock = value.partition("T") if isinstance(value, str) else ("", "", "")
    # Without an offset it would need a zone of our choosing, and whichever we chose would be a guess.
    if not separator or not (clock.endswith(("Z", "z")) or "+" in clock or "-" in clock):
        return typing.cast(datetime, _wrong(path, expected, value))
    found = moment(host("calendar").parse(value, "UTC"))
    return found if found is not None else typing.cast(datetime, _wrong(path, expected, value))


def _wrong(path: str, expected: str, value: Any) -> Any:
    raise Reject(f"{path}: should be {expected}, and it is {value!r:.80}")
