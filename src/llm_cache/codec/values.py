"""Python values to bytes and back, exactly, for `get_or_set` and for decorated functions.

No input may make `decode_value` run code of anybody's class: no pickle, no constructors, no
validators, no imports of what a record names. A value comes back with the types it had, compares
equal, and shares nothing with the one that went in. The format is in `values_format`.
"""

from __future__ import annotations

from collections.abc import Callable
from reprlib import repr as short
from typing import Any

import msgspec

from llm_cache.codec import values_format as form, values_stdlib
from llm_cache.codec.values_classes import Classes, Table, kind_of
from llm_cache.codec.values_objects import dataclass_parts, model_parts, new_dataclass, new_member, new_model
from llm_cache.codec.values_view import viewable
from llm_cache.errors import FormatError, UncacheableError

__all__ = ["MAX_DEPTH", "MAX_NODES", "decode_value", "encode_value", "viewable"]

MAX_DEPTH = 200
"""JSON from models nests 10 or 20 deep; 200 leaves the interpreter's own limit out of reach."""
MAX_NODES = 20_000_000
"""A list that holds one list twice, 30 times over, has a thousand million parts and fits in a page."""

_pack = msgspec.msgpack.Encoder().encode
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


class _Refused(Exception):
    """Why a value cannot be kept; gathers where as it passes outwards, so that success pays nothing for it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.where: list[str] = []


def encode_value(value: object) -> bytes:
    """The value as bytes.

    Raises:
        UncacheableError: a part of it is of a type that cannot be kept; the message says which and where.
    """
    packer = _Packer()
    try:
        body = _pack(packer.pack(value, MAX_DEPTH))
    except _Refused as refused:
        raise UncacheableError(f"value{''.join(reversed(refused.where))} {refused}") from None
    except RecursionError:
        raise UncacheableError("value is nested too deeply for the stack that is left") from None
    if packer.plain:
        return bytes((form.PLAIN,)) + body
    return form.joined(_pack(packer.classes.table), body)


def decode_value(data: bytes) -> object:
    """The value that `encode_value` was given.

    Raises:
        FormatError: these are not such bytes, or a class is gone or no longer has the same fields.
    """
    try:
        if data[0] == form.PLAIN:
            return form.read_plain(memoryview(data)[1:])
        table, body = form.split(data)
        return _Reader(Table(table)).read(body)
    except FormatError:
        raise
    except Exception as error:
        # A forged record can make any step above raise anything; none of it is worth more than a miss.
        raise FormatError(f"a stored value cannot be read: {type(error).__name__}: {error}") from error


class _Packer:
    """Turns a value into what msgspec writes as it is, refusing whatever would come back as something else."""

    def __init__(self) -> None:
        self.plain = True
        self.classes = Classes()
        self._left = MAX_NODES

    def pack(self, value: Any, depth: int) -> object:
        cls = type(value)
        if cls is str:
            return value if value.isascii() else self._text(value)
        if value is None or cls is float or cls is bool or cls is bytes:
            return value
        if cls is int:
            return value if _INT_MIN <= value <= _INT_MAX else self._integer(value)
        if depth <= 0:
            raise _Refused(f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if cls is list:
            return self._items(value, depth)
        if cls is dict:
            return self._dict(value, depth)
        if cls is tuple:
            return self._tagged(form.TUPLE, self._items(value, depth))
        if cls is set or cls is frozenset:
            return self._tagged(form.SET if cls is set else form.FROZENSET, self._items(value, depth))
        parts = values_stdlib.parts(cls, value)
        if parts is not None:
            return self._tagged(form.STDLIB, self._items(parts, depth))
        return self._object(cls, value, depth)

    def _tagged(self, tag: int, content: object) -> object:
        self.plain = False
        return msgspec.msgpack.Ext(tag, content if type(content) is bytes else _pack(content))

    def _text(self, value: str) -> object:
        try:
            value.encode()
        except UnicodeEncodeError:
            return self._tagged(form.STR, value.encode("utf-8", "surrogatepass"))
        return value

    def _integer(self, value: int) -> object:
        return self._tagged(form.INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))

    def _count(self, more: int) -> None:
        self._left -= more
        if self._left < 0:
            raise _Refused(f"has more than {MAX_NODES} parts")

    def _items(self, values: Any, depth: int) -> list[object]:
        self._count(len(values))
        packed: list[object] = []
        try:
            for item in values:
                packed.append(self.pack(item, depth - 1))  # noqa: PERF401 - its length names the culprit
        except _Refused as refused:
            refused.where.append(f"[{len(packed)}]")
            raise
        return packed

    def _values(self, value: dict[Any, Any], depth: int, where: Callable[[object], str]) -> dict[Any, object]:
        self._count(len(value))
        packed: dict[Any, object] = {}
        key: object = None
        try:
            for key, item in value.items():
                packed[key] = self.pack(item, depth - 1)
        except _Refused as refused:
            refused.where.append(where(key))
            raise
        return packed

    def _dict(self, value: dict[Any, Any], depth: int) -> object:
        packed = self._values(value, depth, _subscript)
        for key in value:
            if type(key) is not str or not (key.isascii() or self._text(key) is key):
                break
        else:
            return packed
        try:
            keys = self._items(value, depth)
        except _Refused as refused:
            refused.where.append(".keys()")
            raise
        return self._tagged(form.DICT, [part for pair in zip(keys, packed.values(), strict=True) for part in pair])

    def _object(self, cls: type, value: Any, depth: int) -> object:
        kind = kind_of(cls)
        if kind is None:
            raise _Refused(f"is of type {_name(cls)}, which the cache cannot keep")
        try:
            index = self.classes.index(cls, kind)
        except UncacheableError as error:
            raise _Refused(f"is of type {_name(cls)}: {error}") from None
        if kind == "enum":
            return self._tagged(form.MEMBER, [index, _member(cls, value)])
        if kind == "model":
            state, extra, names, private = model_parts(value)
            fields = [self._attributes(group, depth) for group in (state, extra, private)]
            return self._tagged(form.MODEL, [index, fields[0], fields[1], self._items(names, depth), fields[2]])
        instance, slots, items = dataclass_parts(cls, value)
        pairs = None if items is None else self._items(items, depth)
        fields = [self._attributes(group, depth) for group in (instance, slots)]
        return self._tagged(form.DATACLASS, [index, *fields, pairs])

    def _attributes(self, group: dict[str, object] | None, depth: int) -> dict[Any, object] | None:
        return None if group is None else self._values(group, depth, ".{}".format)


def _member(cls: type, value: Any) -> str:
    # The documented `name` may be a property of the class's own.
    name = value._name_
    if type(name) is not str or cls.__dict__["_member_map_"].get(name) is not value:
        raise _Refused(f"is a member of {_name(cls)} that has no name of its own")
    return name


def _subscript(key: object) -> str:
    try:
        return f"[{short(key)}]"
    except ValueError:
        # An integer of more than 4300 digits.
        return f"[{type(key).__qualname__}]"


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


class _Reader:
    """Reads one tagged value: msgspec finds the extensions, this makes objects of them."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.read: Callable[[memoryview], Any] = msgspec.msgpack.Decoder(ext_hook=self._extension).decode

    def _extension(self, tag: int, data: memoryview) -> object:
        if tag == form.INT:
            return int.from_bytes(data, "big", signed=True)
        if tag == form.STR:
            return bytes(data).decode("utf-8", "surrogatepass")
        parts = self.read(data)
        if type(parts) is not list:
            raise FormatError(f"a stored value holds a tag {tag} without its parts")
        if tag == form.MODEL:
            index, state, extra, names, private = parts
            return new_model(self._table.get(index, "model"), state, extra, set(names), private)
        if tag == form.TUPLE:
            return tuple(parts)
        if tag == form.DICT:
            return dict(zip(parts[::2], parts[1::2], strict=True))
        if tag == form.SET:
            return set(parts)
        if tag == form.FROZENSET:
            return frozenset(parts)
        if tag == form.STDLIB:
            return values_stdlib.restore(parts)
        if tag == form.MEMBER:
            index, name = parts
            return new_member(self._table.get(index, "enum"), name)
        if tag == form.DATACLASS:
            index, instance, slots, items = parts
            return new_dataclass(self._table.get(index, "dataclass"), instance, slots, items)
        raise FormatError(f"a stored value holds an unknown tag {tag}")
