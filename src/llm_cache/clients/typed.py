"""Python values as JSON in which types count, for keys of functions' calls. It must not run code of a value's class.

Standard library only, so that digests can be checked in any interpreter. The form is part of the key specification
(docs/reference/key.md, "Calls") and frozen: strings, integers, booleans, None and dicts with string keys are
themselves, everything else is an array that begins with the name of its type.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import math
import pathlib
import re
import struct
import sys
import uuid
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from reprlib import repr as short
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from llm_cache.codec.values_classes import kind_of
from llm_cache.codec.values_objects import dataclass_parts, model_parts
from llm_cache.core import canonical

MAX_DEPTH = 100
_COMPREHENSION = re.compile(r"<(?:list|set|dict)comp>\.")
_INT_MIN, _INT_END = -(2**63), 2**64
_SENTINELS = frozenset({"NotGiven", "Omit"})
"""How the SDKs of one generator write "not given"."""
_SDKS = frozenset({"anthropic", "groq", "openai", "together"})
_fields: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()


class Unfit(TypeError):
    """A value, or a part of one, that has no place in a key; gathers where as it passes outwards."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.where: list[str] = []

    def told(self, name: str) -> str:
        """What does not fit, for people: `name.field[3] is of type …`."""
        return f"{name}{''.join(reversed(self.where))} {self}"


def refuse(value: object) -> NoReturn:
    """What to do with a value of a type that is not known here: say so."""
    cls = type(value)
    raise Unfit(
        f"is of type {cls.__qualname__ if cls.__module__ == 'builtins' else f'{cls.__module__}.{cls.__qualname__}'}"
    )


def document(value: object, unknown: Callable[[Any], object] = refuse) -> bytes:
    """The canonical JSON text of a value's form.

    Args:
        value: what counts.
        unknown: the form of a value whose type is not known here.

    Raises:
        Unfit: a part of it has no form.
    """
    atom = _ATOMS.get(type(value))
    if atom is not None:
        return atom(value).encode()
    try:
        return canonical.write(Form(unknown)(value))
    except canonical.NotCanonical:
        # Half of a surrogate pair somewhere, which UTF-8 cannot carry.
        return canonical.write(Form(unknown, escape=True)(value))


class Form:
    """Makes the form of values, as what `canonical.write` takes.

    Args:
        unknown: as in `document`.
        escape: whether strings may hold half of a surrogate pair.
    """

    def __init__(self, unknown: Callable[[Any], object] = refuse, *, escape: bool = False) -> None:
        self._unknown = unknown
        self._escape = escape

    def __call__(self, value: Any, depth: int = MAX_DEPTH) -> object:
        """The form of one value."""
        cls = type(value)
        if cls is str:
            return self._text(value) if self._escape else value
        if value is None or cls is bool:
            return value
        if cls is int:
            return value if _INT_MIN <= value < _INT_END else ["int", hex(value)]
        if depth <= 0:
            raise Unfit(f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if cls is list or cls is tuple:
            return [cls.__name__, *self._items(value, depth)]
        if cls is dict:
            return self._dict(value, depth)
        write = _WRITERS.get(cls)
        if write is not None:
            return write(self, value, depth)
        return self._object(cls, value, depth)

    def _text(self, value: str) -> object:
        try:
            value.encode()
        except UnicodeEncodeError:
            return ["str", value.encode("utf-8", "surrogatepass").hex()]
        return value

    def _items(self, values: Any, depth: int) -> list[object]:
        made: list[object] = []
        plain = not self._escape
        try:
            for item in values:
                made.append(  # noqa: PERF401 - its length names the culprit
                    item if plain and type(item) is str else self(item, depth - 1)
                )
        except Unfit as unfit:
            unfit.where.append(f"[{len(made)}]")
            raise
        return made

    def _dict(self, value: dict[Any, Any], depth: int) -> object:
        made: dict[str, object] = {}
        plain = not self._escape
        key: object = None
        try:
            for key, item in value.items():
                if type(key) is not str or not (plain or self._text(key) is key):
                    return ["dict", *self._unordered(self._pairs(value, depth))]
                # Most of a conversation is text: no call for each piece of it.
                made[key] = item if plain and type(item) is str else self(item, depth - 1)
        except Unfit as unfit:
            unfit.where.append(f"[{short(key)}]")
            raise
        return made

    def _pairs(self, value: dict[Any, Any], depth: int) -> list[object]:
        return [[self(key, depth - 1), self(item, depth - 1)] for key, item in value.items()]

    def _unordered(self, forms: list[object]) -> list[object]:
        return sorted(forms, key=canonical.write)

    def _attributes(self, group: dict[str, object], depth: int) -> dict[str, object]:
        made: dict[str, object] = {}
        name = ""
        try:
            for name, item in group.items():
                made[name] = self(item, depth - 1)
        except Unfit as unfit:
            unfit.where.append(f".{name}")
            raise
        return made

    def _object(self, cls: type, value: Any, depth: int) -> object:
        kind = kind_of(cls)
        if kind == "enum":
            # Members of several flags have a name in some versions of Python and none in others.
            named = cls.__dict__.get("_member_map_", {}).get(value._name_) is value
            return ["enum", class_name(cls), value._name_ if named else None, self(value._value_, depth - 1)]
        if kind == "model":
            state, extra, given, _ = model_parts(value)
            fields = {name: state[name] for name in _field_names(cls) if name in state}
            # What was given explicitly shows in `model_dump(exclude_unset=True)`, and with it in requests.
            unset = None if fields.keys() <= set(given) else given
            more = None if extra is None else self._attributes(extra, depth)
            return ["model", class_name(cls), self._attributes(fields, depth), unset, more]
        if kind == "dataclass":
            instance, slots, _ = dataclass_parts(cls, value)
            state = {**(slots or {}), **(instance or {})}
            fields = {name: state[name] for name in _field_names(cls) if name in state}
            made = ["dataclass", class_name(cls), self._attributes(fields, depth)]
            return [*made, *self._unordered(self._pairs(value, depth))] if isinstance(value, dict) else made
        if cls.__name__ in _SENTINELS and cls.__module__.partition(".")[0] in _SDKS:
            return ["sentinel", cls.__name__]
        if issubclass(cls, tuple) and hasattr(cls, "_fields") and not hasattr(value, "__dict__"):
            return ["namedtuple", class_name(cls), *self._items(value, depth)]
        if cls is _pydantic_zone():
            return ["timezone", _offset(value)]
        return self._unknown(value)


def _field_names(cls: Any) -> tuple[str, ...]:
    names = _fields.get(cls)
    if names is None:
        if "__dataclass_fields__" in cls.__dict__ and kind_of(cls) == "dataclass":
            names = tuple(field.name for field in dataclasses.fields(cls))
        else:
            found = getattr(cls, "__pydantic_fields__", None) or cls.model_fields
            names = tuple(found)
        _fields[cls] = names
    return names


def _pydantic_zone() -> type | None:
    return getattr(sys.modules.get("pydantic_core._pydantic_core"), "TzInfo", None)


def decimal_text(value: float) -> str:
    """A binary number as the shortest decimal that reads back to it, spelled as in the key specification."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "-0" if struct.pack(">d", value)[0] else "0"
    text = repr(value)
    if "e" in text or text.endswith(".0"):
        return canonical.number(text)
    return text


_ATOMS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    float: lambda value: f'["float","{decimal_text(value)}"]',
}
"""What needs no encoder."""


def _b64(data: Any) -> str:
    return base64.b64encode(data).decode("ascii")


def _offset(zone: Any) -> str:
    return decimal_text(zone.utcoffset(None).total_seconds())


_WRITERS: dict[type, Callable[[Form, Any, int], object]] = {
    float: lambda _, v, __: ["float", decimal_text(v)],
    complex: lambda _, v, __: ["complex", decimal_text(v.real), decimal_text(v.imag)],
    bytes: lambda _, v, __: ["bytes", _b64(v)],
    bytearray: lambda _, v, __: ["bytearray", _b64(v)],
    set: lambda form, v, depth: ["set", *form._unordered(form._items(v, depth))],
    frozenset: lambda form, v, depth: ["frozenset", *form._unordered(form._items(v, depth))],
    OrderedDict: lambda form, v, depth: ["OrderedDict", *form._pairs(v, depth)],
    type(...): lambda *_: ["ellipsis"],
    decimal.Decimal: lambda _, v, __: ["Decimal", str(v)],
    uuid.UUID: lambda _, v, __: ["UUID", str(v)],
    dt.date: lambda _, v, __: ["date", v.isoformat()],
    dt.datetime: lambda form, v, depth: [
        "datetime", v.replace(tzinfo=None).isoformat(), v.fold, form(v.tzinfo, depth - 1),
    ],
    dt.time: lambda form, v, depth: ["time", v.replace(tzinfo=None).isoformat(), v.fold, form(v.tzinfo, depth - 1)],
    dt.timedelta: lambda _, v, __: ["timedelta", v.days, v.seconds, v.microseconds],
    dt.timezone: lambda _, v, __: ["timezone", _offset(v)],
    zoneinfo.ZoneInfo: lambda form, v, _: ["zone", v.key] if v.key is not None else form._unknown(v),
} | {
    path: (lambda _, v, __: [type(v).__name__, str(v)])
    for path in (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath)
}  # fmt: skip


def class_name(cls: Any) -> str:
    """`module:qualname`, the module as whoever imports it would call it."""
    return f"{home(cls.__module__)}:{qualified(cls)}"


def qualified(definition: Any) -> str:
    """The qualified name of a function or class, without the comprehensions around it: Python 3.12 leaves those out."""
    name = str(definition.__qualname__)
    return _COMPREHENSION.sub("", name) if "comp>" in name else name


def home(module: str) -> str:
    """The name of a module; of a script that is being run, the one under which it would be imported.

    So that `python app.py`, `python -m app` and `import app` share their entries. A notebook and a plain prompt have no
    file and stay `__main__`.
    """
    if module not in {"__main__", "__mp_main__"}:
        return module
    found = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(found, "__file__", None)
    return _imported_as(file) if file else "__main__"


@lru_cache(maxsize=8)
def _imported_as(file: str) -> str:
    path = pathlib.Path(file).resolve()
    names = [path.stem]
    for folder in path.parents:
        if not (folder / "__init__.py").is_file():
            break
        names.insert(0, folder.name)
    return ".".join(names)
