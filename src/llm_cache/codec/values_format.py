"""What a stored Python value looks like: the tags and the two parts of it. It reads no value.

Format 1 is one byte and msgpack. After 0x01 there are only JSON's types, floats of any kind and
bytes, so that the usual value is one call of msgspec; after 0x02 come the length of a table of
classes (4 bytes, little-endian), that table, and msgpack with these extension types:

    INT        an integer of more than 64 bits: two's complement, big-endian
    STR        a string with lone surrogates: UTF-8 with these passed through
    TUPLE SET FROZENSET    msgpack of the list of items
    DICT       msgpack of keys and values in turn, where not all keys are plain strings
    MODEL      msgpack of a pydantic model: class, __dict__, extra, names of fields set, private attributes
    DATACLASS  msgpack of: class, __dict__ or nil, slots or nil, the items in turn if it is a dict, or nil
    MEMBER     msgpack of an enum's member: class, name
    STDLIB     msgpack of a value of `values_stdlib`: the number of its type there, its parts

A class is its place in the table, see `values_classes`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from llm_cache.errors import FormatError

PLAIN, TAGGED = 1, 2
INT, STR, TUPLE, SET, FROZENSET, DICT, MODEL, DATACLASS, MEMBER, STDLIB = range(1, 11)

_LENGTH = struct.Struct("<I")


def _no_tags(tag: int, _: memoryview) -> object:
    raise FormatError(f"a stored value of the plain kind holds a tag {tag}")


read_plain: Callable[[memoryview], Any] = msgspec.msgpack.Decoder(ext_hook=_no_tags).decode
"""The value after a 0x01. Raises anything for what is none."""


def joined(table: bytes, body: bytes) -> bytes:
    """A tagged value."""
    return b"".join((bytes((TAGGED,)), _LENGTH.pack(len(table)), table, body))


def split(data: bytes) -> tuple[Any, memoryview]:
    """The table of classes and the body of a tagged value. Raises anything for what is none."""
    if data[0] != TAGGED:
        raise FormatError(f"a stored value is of format {data[0]}, which is unknown here")
    start = 1 + _LENGTH.size
    end = start + _LENGTH.unpack_from(data, 1)[0]
    view = memoryview(data)
    return msgspec.msgpack.decode(view[start:end]), view[end:]
