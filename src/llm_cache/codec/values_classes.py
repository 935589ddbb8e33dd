"""How a stored value names classes, and which of these names may be followed.

A name is looked up among what is loaded and never imported, but for modules of SDKs that hold
nothing except types. It must not run code of a class, nor trust a name because it is well formed.

A reference is `module:qualname`, or a list of such a reference and arguments for a generic class.
Beside each stands a digest of the names of its fields: a class that has changed since would yield
objects that lack attributes.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
import typing
from enum import EnumMeta
from hashlib import blake2b
from typing import Any, Literal
from weakref import WeakKeyDictionary

from llm_cache.codec.values_objects import slots_of
from llm_cache.errors import FormatError, UncacheableError

Kind = Literal["model", "dataclass", "enum"]

TYPE_MODULES = {
    # The SDK's package, which must be loaded already: its modules of types.
    "anthropic": ("anthropic.types",),
    "cohere": ("cohere.types", "cohere.v2.types"),
    "google.genai": ("google.genai.types",),
    "groq": ("groq.types",),
    "huggingface_hub": ("huggingface_hub.inference._generated.types",),
    "mistralai": ("mistralai.models", "mistralai.client.models"),
    "ollama": ("ollama._types",),
    "openai": ("openai.types",),
    "together": ("together.types",),
}
"""Modules that may be imported because a record names them.

SDKs load these when a call first needs them; a process that only replays would never hit.
"""
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_ARGUMENTS: dict[str, object] = {
    f"builtins:{cls.__name__}": cls for cls in (bool, bytes, dict, float, frozenset, int, list, object, set, str, tuple)
}
_ARGUMENTS |= {"types:NoneType": types.NoneType, "typing:Any": typing.Any}
_STATE = frozenset({"__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__"})
_HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: the class was made by a `class` statement."""
_shapes: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()


def kind_of(cls: type) -> Kind | None:
    """What a class is to this codec, judged without running its code."""
    if issubclass(type(cls), EnumMeta):
        return "enum"
    bases = cls.__mro__
    if _base_model() in bases:
        return "model"
    if "__dataclass_fields__" in cls.__dict__ and all(
        base in {object, dict} or base.__flags__ & _HEAP_TYPE for base in bases
    ):
        return "dataclass"
    return None


def _base_model() -> type | None:
    """The BaseModel of pydantic 2, if anybody has loaded it; version 1 keeps its state otherwise."""
    base: type | None = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return base if base is not None and "__pydantic_fields_set__" in base.__dict__ else None


class Classes:
    """The classes of a value that is being written, each once."""

    def __init__(self) -> None:
        self.table: list[list[object]] = []
        self._places: dict[type, int] = {}

    def index(self, cls: type, kind: Kind) -> int:
        """The place of the class in the table.

        Raises:
            UncacheableError: the class could not be found again.
        """
        place = self._places.get(cls)
        if place is None:
            if kind == "model" and not _STATE.issuperset(slots_of(cls)):
                raise UncacheableError("it has `__slots__` of its own")
            reference = _reference(cls)
            try:
                found = _resolve(reference)
            except FormatError as error:
                raise UncacheableError(str(error)) from None
            if found is not cls:
                raise UncacheableError(f"under {reference} there is another class")
            place = self._places[cls] = len(self.table)
            self.table.append([reference, _shape(cls)])
        return place


class Table:
    """The classes of a value that is being read."""

    def __init__(self, table: Any) -> None:
        self._classes: list[tuple[type, Kind]] = []
        for reference, shape in table:
            cls = _resolve(reference)
            kind = kind_of(cls) if issubclass(type(cls), type) else None
            if kind is None:
                raise FormatError(f"a stored value names {reference!r}, which is no model, dataclass or enum")
            if _shape(cls) != shape:
                raise FormatError(f"{reference} no longer has the fields that it had when a value was stored")
            self._classes.append((cls, kind))

    def get(self, index: int, kind: Kind) -> type:
        """The class at that place, which must be of that kind."""
        cls, found = self._classes[index]
        if found != kind:
            raise FormatError(f"a stored value uses the {found} {cls.__qualname__} as a {kind}")
        return cls


def _reference(cls: Any) -> object:
    if cls is None:
        return None
    for name, argument in _ARGUMENTS.items():
        if cls is argument:
            return name
    if type(cls) is types.GenericAlias:
        return [_reference(cls.__origin__), [_reference(argument) for argument in cls.__args__]]
    if type(cls) is not typing.TypeVar and not issubclass(type(cls), type):
        raise UncacheableError(f"the generic argument {cls!r} cannot be written")
    generic = type.__getattribute__(cls, "__pydantic_generic_metadata__") if _is_model(cls) else None
    if generic and generic["origin"] is not None:
        return [_reference(generic["origin"]), [_reference(argument) for argument in generic["args"]]]
    qualname = cls.__name__ if type(cls) is typing.TypeVar else cls.__qualname__
    if "<locals>" in qualname:
        raise UncacheableError("it is defined inside a function, where no other process could find it")
    return f"{cls.__module__}:{qualname}"


def _is_model(cls: Any) -> bool:
    return issubclass(type(cls), type) and kind_of(cls) == "model"


def _resolve(reference: Any) -> Any:
    if type(reference) is str:
        return _ARGUMENTS.get(reference) or _loaded(reference)
    if reference is None:
        return None
    origin, arguments = _resolve(reference[0]), tuple([_resolve(argument) for argument in reference[1]])
    if origin in {dict, frozenset, list, set, tuple}:
        return types.GenericAlias(origin, arguments)
    if not _is_model(origin) or not type.__getattribute__(origin, "__pydantic_generic_metadata__")["parameters"]:
        raise FormatError(f"a stored value gives arguments to {reference[0]!r}, which takes none")
    # pydantic makes the class or finds the one that it has made before.
    return origin[arguments]


def _loaded(reference: str) -> Any:
    """The class or type variable of that name, read from dictionaries alone: a `getattr` could run a module's own."""
    module_name, _, qualname = reference.partition(":")
    if not (_NAME.fullmatch(module_name) and _NAME.fullmatch(qualname)):
        raise FormatError(f"a stored value names a class in a way that is none: {reference!r}")
    module = sys.modules.get(module_name) or _imported(module_name)
    found: Any = module
    for name in qualname.split("."):
        if found is module and issubclass(type(module), types.ModuleType):
            space = types.ModuleType.__getattribute__(module, "__dict__")
        elif issubclass(type(found), type):
            space = type.__getattribute__(found, "__dict__")
        else:
            space = {}
        if name not in space:
            raise FormatError(f"{reference} cannot be found in this process")
        found = space[name]
    if type(found) is typing.TypeVar or issubclass(type(found), type):
        return found
    raise FormatError(f"{reference} is no class")


def _imported(module_name: str) -> types.ModuleType:
    for package, prefixes in TYPE_MODULES.items():
        if package in sys.modules and any(f"{module_name}.".startswith(f"{prefix}.") for prefix in prefixes):
            return importlib.import_module(module_name)
    raise FormatError(f"the module {module_name} is not loaded in this process")


def _shape(cls: type) -> bytes:
    """A digest of the names of its fields, or of an enum's members, in order."""
    shape = _shapes.get(cls)
    if shape is None:
        fields: typing.Iterable[str] = ()
        for attribute in ("_member_map_", "__pydantic_fields__", "model_fields", "__dataclass_fields__"):
            found = next((base.__dict__[attribute] for base in cls.__mro__ if attribute in base.__dict__), None)
            if type(found) is dict:
                fields = found
                break
        shape = _shapes[cls] = blake2b("\0".join(fields).encode(), digest_size=8).digest()
    return shape
