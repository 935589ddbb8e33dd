"""Makes more objects that are like the one an SDK has made of an answer, and shows that they are.

It knows no SDK, only what models of pydantic consist of. What has anything else in it, it says None to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[[], Any]
"""Makes the object, a new one each time."""

_SINGLE = frozenset({str, int, float, bool, type(None), bytes})
_set = object.__setattr__


def builder(value: Any) -> Build | None:
    """What makes objects that cannot be told from this one, which its owner may change afterwards."""
    if not hasattr(value, "__pydantic_fields_set__"):
        return None
    try:
        build = _builder(value)
    except TypeError:
        return None
    return build if same(build(), value) else None


def _builder(value: Any) -> Build:
    """As pydantic's own `__deepcopy__`, worked out once. Raises TypeError for what is neither a model nor JSON."""
    kind: Any = type(value)
    if kind is list:
        return _items([*value], list(enumerate(value)))
    if kind is dict:
        return _items({**value}, list(value.items()))
    if kind is set and all(type(each) is str for each in value):
        return {*value}.copy
    if not hasattr(value, "__pydantic_fields_set__"):
        raise TypeError(kind)
    attributes, given = _builder(vars(value)), {*value.__pydantic_fields_set__}
    extra, private = _optional(value.__pydantic_extra__), _optional(value.__pydantic_private__)

    def build() -> Any:
        new = kind.__new__(kind)
        _set(new, "__dict__", attributes())
        _set(new, "__pydantic_fields_set__", given.copy())
        _set(new, "__pydantic_extra__", None if extra is None else extra())
        _set(new, "__pydantic_private__", None if private is None else private())
        return new

    return build


def _optional(value: Any) -> Build | None:
    return None if value is None else _builder(value)


def _items(whole: Any, items: list[tuple[Any, Any]]) -> Build:
    """What makes a list or a dictionary anew, and those inside of it that can be changed."""
    inner = [(place, _builder(value)) for place, value in items if type(value) not in _SINGLE]
    if not inner:
        copy: Build = whole.copy
        return copy

    def build() -> Any:
        new = whole.copy()
        for place, each in inner:
            new[place] = each()
        return new

    return build


def same(one: Any, other: Any) -> bool:
    """Whether two objects are of the same types and values all the way down, in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [*one] == [*other] and all(map(same, one.values(), other.values()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__pydantic_fields_set__"):
        return (
            same(vars(one), vars(other))
            and one.__pydantic_fields_set__ == other.__pydantic_fields_set__
            and same(one.__pydantic_extra__, other.__pydantic_extra__)
            and same(one.__pydantic_private__, other.__pydantic_private__)
        )
    return bool(one == other) and (type(one) is not float or repr(one) == repr(other))
