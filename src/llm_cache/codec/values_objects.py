"""Takes pydantic models, dataclasses and enum members apart and puts them together again.

It must not run a constructor, a validator, `__setstate__`, a property or any other code of their classes.
"""

from __future__ import annotations

from types import MemberDescriptorType
from typing import Any

from llm_cache.errors import FormatError

_new = object.__new__
_get, _set = object.__getattribute__, object.__setattr__
Attributes = dict[str, object]


def model_parts(value: object) -> tuple[Attributes, Attributes | None, list[str], Attributes | None]:
    """A pydantic model's `__dict__`, extra fields, names of the fields that were set, and private attributes.

    `__dict__` also has what is no field, `_request_id` of the SDKs for one.
    """
    names = _slot(value, "__pydantic_fields_set__") or ()
    return (
        _get(value, "__dict__"),
        _slot(value, "__pydantic_extra__"),
        sorted(names),
        _slot(value, "__pydantic_private__"),
    )


def _slot(value: object, name: str) -> Any:
    try:
        return _get(value, name)
    except AttributeError:
        # Objects made by other means than pydantic's own may lack it.
        return None


def new_model(
    cls: type, state: Attributes, extra: Attributes | None, names: set[str], private: Attributes | None
) -> object:
    """A pydantic model with exactly this state. pydantic's own `model_construct` would add defaults."""
    if not all(group is None or type(group) is dict for group in (extra, private)):
        raise FormatError(f"a stored {cls.__qualname__} has attributes without names")
    model: object = _new(cls)
    _set(model, "__dict__", state)
    _set(model, "__pydantic_extra__", extra)
    _set(model, "__pydantic_fields_set__", names)
    _set(model, "__pydantic_private__", private)
    return model


def dataclass_parts(cls: type, value: object) -> tuple[Attributes | None, Attributes | None, list[object] | None]:
    """A dataclass instance's `__dict__`, its slots, and its items in turn if it is a dict too (Hugging Face's are)."""
    slots: Attributes = {}
    for name, descriptor in slots_of(cls).items():
        try:
            slots[name] = descriptor.__get__(value, cls)
        except AttributeError:
            continue
    instance = _slot(value, "__dict__")
    items = [part for pair in dict.items(value) for part in pair] if isinstance(value, dict) else None
    return instance, slots or None, items


def new_dataclass(
    cls: type, instance: Attributes | None, slots: Attributes | None, items: list[object] | None
) -> object:
    """A dataclass instance with exactly this state."""
    made: Any = dict.__new__(cls) if issubclass(cls, dict) else _new(cls)
    if instance is not None:
        _get(made, "__dict__").update(instance)
    if slots is not None:
        descriptors = slots_of(cls)
        for name, value in slots.items():
            descriptors[name].__set__(made, value)
    if items is not None:
        dict.update(made, zip(items[::2], items[1::2], strict=True))
    return made


def slots_of(cls: type) -> dict[str, MemberDescriptorType]:
    """What `__slots__` made, by name, the most derived class last so that it wins."""
    return {
        name: attribute
        for base in reversed(cls.__mro__)
        for name, attribute in base.__dict__.items()
        if type(attribute) is MemberDescriptorType
    }


def new_member(cls: type, name: object) -> object:
    """The member of an enum; it exists already."""
    members: dict[object, object] = cls.__dict__["_member_map_"]
    if name not in members:
        raise FormatError(f"a stored value is {cls.__qualname__}.{name}, which no longer exists")
    return members[name]
