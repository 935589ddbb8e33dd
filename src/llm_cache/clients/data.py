"""What is data among the objects around a function, and how that is written down. It must not run their code.

More lenient than arguments: what is no data inside of data (a client in a dict of settings) is passed over, since a
function may carry about whatever it likes.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import pathlib
import re
import string
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from types import CodeType, FunctionType, MappingProxyType, MethodType, SimpleNamespace
from typing import Any

from llm_cache.clients.typed import Form, Unfit, class_name
from llm_cache.codec.values_classes import kind_of
from llm_cache.core import canonical

_ATOMS = frozenset({
    str, int, float, bool, type(None), bytes, complex, type(...), decimal.Decimal, uuid.UUID,
    dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone,
})  # fmt: skip
_LOOSE = (OrderedDict, deque, MappingProxyType, SimpleNamespace, functools.partial, re.Pattern, string.Template)
_BASES = (str, int, float, bytes, bytearray, list, tuple, dict, set, frozenset)
Label = Callable[[Any], "str | None"]
"""Names a function or class whose code counts; None for any other."""


def is_a(value: Any, *classes: type) -> bool:
    """As `isinstance`, without asking the object itself, which may be a proxy that answers for another."""
    return issubclass(type(value), classes)


def innermost(function: Any) -> Any:
    """What a decorated function, a partial or a method is about, seen without running anything."""
    for _ in range(50):
        if is_a(function, functools.partial):
            function = function.func
        elif is_a(function, MethodType, classmethod, staticmethod):
            function = function.__func__
        elif is_a(function, property):
            function = function.fget
        elif is_a(function, functools.cached_property):
            function = function.func
        else:
            inner = wrapped(function)
            if inner is None:
                return function
            function = inner
    return function


def wrapped(function: Any) -> Any:
    """What `functools.wraps` says that this wraps, or None."""
    if is_a(function, type):
        return None
    attributes = own_attributes(function)
    # The latter for our own bound functions, which only pass for methods.
    return None if attributes is None else attributes.get("__wrapped__", attributes.get("__func__"))


def own_attributes(value: Any) -> dict[str, Any] | None:
    """An object's own `__dict__`, or None if it has none that can be read without running code."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if type(found) is dict else None


def is_data(value: Any) -> bool:
    """Whether a value counts by what it holds."""
    cls = type(value)
    if cls in _ATOMS or issubclass(cls, (*_BASES, *_LOOSE)):
        return True
    if issubclass(cls, pathlib.PurePath):
        # Where on a machine a program lies is nothing that two copies of it share.
        return not value.is_absolute()
    return (kind_of(cls) is not None and not issubclass(cls, type)) or _fields(cls) is not None or _is_jinja(cls)


def _fields(cls: type) -> tuple[str, ...] | None:
    """The fields of a class of `attrs` or `msgspec`."""
    attributes = cls.__dict__.get("__attrs_attrs__")
    if attributes is not None:
        return tuple(str(attribute.name) for attribute in attributes)
    found = getattr(cls, "__struct_fields__", None) if type(cls).__module__.startswith("msgspec") else None
    return found if type(found) is tuple else None


def _is_jinja(cls: type) -> bool:
    return cls.__name__ == "Template" and cls.__module__.startswith("jinja2.")


def _constants(code: CodeType) -> list[object]:
    """The texts and numbers in a piece of code, in their order."""
    found: list[object] = []
    for constant in code.co_consts:
        if type(constant) is CodeType:
            found += _constants(constant)
        elif type(constant) in {str, int, float}:
            found.append(constant)
    return found


def lasting(value: Any) -> bool:
    """Whether it can never hold anything else, so that one look is enough."""
    cls = type(value)
    if cls in _ATOMS:
        return True
    if cls is tuple or cls is frozenset:
        return all(map(lasting, value))
    return kind_of(cls) == "enum"


class Lenient(Form):
    """Writes data down and passes over what is none.

    Args:
        label: told of every function and class that is come across.
    """

    def __init__(self, label: Label, *, escape: bool = False) -> None:
        super().__init__(self._loose, escape=escape)
        self._label = label
        self._open: set[int] = set()

    def text(self, value: Any) -> bytes:
        """The canonical text of a value, whatever it holds."""
        try:
            return canonical.write(self(value))
        except Unfit:
            return b'"deep"'
        except canonical.NotCanonical:
            return b"!" + canonical.write(Lenient(self._label, escape=True)(value))

    def _object(self, cls: type, value: Any, depth: int) -> object:
        label = self._label(cls)
        if issubclass(cls, pathlib.PurePath):
            return ["path", str(value)]
        made = super()._object(cls, value, depth)
        return made if label is None else [made, label]

    def _loose(self, value: Any) -> object:
        if id(value) in self._open:
            return ["again"]
        self._open.add(id(value))
        try:
            return self._known(value)
        finally:
            self._open.discard(id(value))

    def _known(self, value: Any) -> object:
        if is_a(value, functools.partial):
            return ["partial", self(value.func), self(list(value.args)), self(dict(value.keywords))]
        if is_a(value, MethodType):
            return ["method", self(value.__func__), self(value.__self__)]
        if is_a(value, SimpleNamespace):
            return ["namespace", self(dict(vars(value)))]
        if is_a(value, MappingProxyType):
            return ["mappingproxy", self(dict(value))]
        if is_a(value, deque):
            return ["deque", self(list(deque.__iter__(value)))]
        if is_a(value, re.Pattern):
            return ["pattern", self(value.pattern), int(value.flags)]
        if is_a(value, string.Template):
            return ["template", class_name(type(value)), self(value.template)]
        if _is_jinja(type(value)):
            # It does not keep its text; what it has been compiled to does.
            render: Any = (own_attributes(value) or {}).get("root_render_func")
            return ["jinja", self(_constants(render.__code__)) if is_a(render, FunctionType) else None]
        fields = _fields(type(value))
        if fields is not None:
            held = {name: getattr(value, name) for name in fields if hasattr(value, name)}
            return ["fields", class_name(type(value)), self(held)]
        for base in _BASES:
            if is_a(value, base):
                # A copy without what a subclass adds; its methods are code, and code of this module counts.
                return ["kind", class_name(type(value)), self(_copied(base, value))]
        core = innermost(value)
        label = self._label(core) if is_a(core, type, FunctionType) else None
        return ["other"] if label is None else ["code", label]


def _copied(base: Any, value: Any) -> Any:
    if base in {list, tuple, set, frozenset}:
        return base(base.__iter__(value))
    if base is dict:
        return dict(dict.items(value))
    if base is int:
        return int.__add__(value, 0)
    if base is float:
        return float.__add__(value, 0.0)
    return base.__getitem__(value, slice(None)) if base is not str else str.__str__(value)
