"""A stored value as JSON would show it, for `show`. It must resolve no class, so that it works in any process."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import msgspec

from llm_cache.codec import values_format as form, values_stdlib
from llm_cache.errors import FormatError

_LONGEST_INT_BITS = 2000
"""The lowest limit on digits that `sys.set_int_max_str_digits` takes is 640."""


def viewable(data: bytes) -> object:
    """The value in JSON's types. What JSON lacks is written as people would read it.

    Models and dataclasses become objects, tuples and sets arrays, bytes `{"base64": …}`, members of
    an enum, NaN and the infinities, dates, numbers and paths text, other keys than strings their text.

    Raises:
        FormatError: these bytes are no stored value.
    """
    try:
        if data[0] == form.PLAIN:
            return _json(form.read_plain(memoryview(data)[1:]))
        table, body = form.split(data)
        return _json(_View(table).read(body))
    except FormatError:
        raise
    except Exception as error:
        # As in `decode_value`.
        raise FormatError(f"a stored value cannot be shown: {type(error).__name__}: {error}") from error


class _Pairs(list[Any]):
    """Keys and values of a dict whose keys JSON does not have."""


class _View:
    def __init__(self, table: Any) -> None:
        self._table = table
        self.read: Callable[[memoryview], Any] = msgspec.msgpack.Decoder(ext_hook=self._extension).decode

    def _extension(self, tag: int, data: memoryview) -> object:
        if tag == form.INT:
            return int.from_bytes(data, "big", signed=True)
        if tag == form.STR:
            return bytes(data).decode("utf-8", "surrogatepass")
        parts = self.read(data)
        if tag in {form.TUPLE, form.SET, form.FROZENSET}:
            return parts
        if tag == form.DICT:
            return _Pairs(zip(parts[::2], parts[1::2], strict=True))
        if tag == form.MODEL:
            return {**parts[1], **(parts[2] or {})}
        if tag == form.DATACLASS:
            return {**(parts[1] or {}), **(parts[2] or {})}
        if tag == form.MEMBER:
            class_name = str(self._table[parts[0]][0]).rpartition(":")[2]
            return f"{class_name}.{parts[1]}"
        if tag == form.STDLIB:
            return values_stdlib.restore(parts, pydantic=False)
        raise FormatError(f"a stored value holds an unknown tag {tag}")


def _json(value: Any) -> object:
    if isinstance(value, _Pairs):
        return {_key(key): _json(item) for key, item in value}
    if isinstance(value, dict):
        return {_key(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        # Python refuses to write longer ones in decimal digits, and `json` with it.
        return value if value.bit_length() < _LONGEST_INT_BITS else hex(value)
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(_json(key))
