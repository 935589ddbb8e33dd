"""The standard library's value types, as parts that msgpack can carry and back.

It holds one line of each direction per type and must not accept a subclass: that would come back as its base.
"""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import sys
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Any, cast

from llm_cache.errors import FormatError

# Their place in this list is their number in the format: append, never reorder.
_TYPES: tuple[type, ...] = (
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    dt.timezone,
    zoneinfo.ZoneInfo,
    decimal.Decimal,
    uuid.UUID,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    pathlib.PosixPath,
    pathlib.WindowsPath,
)
_PYDANTIC_ZONE = len(_TYPES)
"""`pydantic_core.TzInfo`, the zone of every datetime that pydantic has parsed."""
_NUMBERS = {cls: number for number, cls in enumerate(_TYPES)}


def _zone_key(zone: zoneinfo.ZoneInfo) -> list[Any] | None:
    # Zones made of a file have no key, whatever the stubs say.
    key = cast("str | None", zone.key)
    return None if key is None else [key]


_PARTS: tuple[Callable[[Any], list[Any] | None], ...] = (
    lambda t: [t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond, t.tzinfo, t.fold],
    lambda t: [t.toordinal()],
    lambda t: [t.hour, t.minute, t.second, t.microsecond, t.tzinfo, t.fold],
    lambda t: [t.days, t.seconds, t.microseconds],
    lambda t: list(t.__getinitargs__()),
    _zone_key,
    lambda t: [str(t)],
    lambda t: [t.bytes],
    lambda t: [str(t)],
    lambda t: [str(t)],
    lambda t: [str(t)],
    lambda t: [str(t)],
)

_RESTORE: tuple[Callable[..., object], ...] = (
    lambda *parts: dt.datetime(*parts[:8], fold=parts[8]),  # noqa: DTZ001 - with the zone it had, or none
    dt.date.fromordinal,
    lambda *parts: dt.time(*parts[:5], fold=parts[5]),
    dt.timedelta,
    dt.timezone,
    zoneinfo.ZoneInfo,
    # Without the context of the thread, which may round or forbid.
    lambda text: decimal.Decimal(_string(text)),
    lambda data: uuid.UUID(bytes=data),
    lambda text: pathlib.PurePosixPath(_string(text)),
    lambda text: pathlib.PureWindowsPath(_string(text)),
    lambda text: pathlib.PosixPath(_string(text)),
    lambda text: pathlib.WindowsPath(_string(text)),
)


def _string(text: object) -> str:
    if type(text) is not str:
        raise FormatError("a stored value holds a number or path that is no text")
    return text


def _pydantic_zone() -> type | None:
    """`TzInfo`, if pydantic is loaded; a datetime that has one cannot be there without it."""
    return getattr(sys.modules.get("pydantic_core._pydantic_core"), "TzInfo", None)


def parts(cls: type, value: Any) -> Sequence[object] | None:
    """The type's number and the value's parts, or None if it is not one of these types exactly."""
    number = _NUMBERS.get(cls)
    if number is not None:
        found = _PARTS[number](value)
        return None if found is None else [number, *found]
    if cls is _pydantic_zone():
        return [_PYDANTIC_ZONE, int(value.utcoffset(None).total_seconds())]
    return None


def restore(found: Sequence[Any], *, pydantic: bool = True) -> object:
    """The value of such parts. Raises whatever the type raises for parts that are none of its own.

    Without `pydantic`, its zones become the standard library's.
    """
    number = found[0]
    if number == _PYDANTIC_ZONE:
        if not pydantic:
            return dt.timezone(dt.timedelta(seconds=found[1]))
        zone = _pydantic_zone()
        if zone is None:
            raise FormatError("a stored value holds a time zone of pydantic, which is not loaded")
        return zone(found[1])
    if type(number) is not int or not 0 <= number < len(_RESTORE):
        raise FormatError(f"a stored value holds a type of the standard library that is unknown here: {number!r}")
    return _RESTORE[number](*found[1:])
