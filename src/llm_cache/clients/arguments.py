"""Binds a call's arguments to a function's parameters and writes them down for the key. It must not call the function.

However an argument was passed, by position, by name or by default, it is the same argument. Standard library only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any

from llm_cache.clients.typed import Unfit, class_name, document, refuse
from llm_cache.errors import ConfigError

_EMPTY = inspect.Parameter.empty
_quoted = encode_basestring
"""As `canonical.write` writes strings."""


class Parameters:
    """The parameters of one function.

    Args:
        function: its signature counts; wrappers made with `functools.wraps` are looked through.
        ignore: names of parameters, or of keywords that `**kwargs` takes, that are left out of the key.

    Raises:
        ConfigError: `ignore` names something that the function does not take.
    """

    def __init__(self, function: Callable[..., Any], ignore: Iterable[str]) -> None:
        self.name = getattr(function, "__qualname__", repr(function))
        self.signature = _signature(function)
        kinds = {name: parameter.kind for name, parameter in self.signature.parameters.items()}
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        self._positional = tuple(name for name, kind in kinds.items() if kind in by_position)
        self._keywords = frozenset(name for name, kind in kinds.items() if kind in by_name)
        self._star = next((name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_POSITIONAL), None)
        self._stars = next((name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_KEYWORD), None)
        self._most = len(self._positional)
        self._named = tuple(name for name in kinds if name not in {self._star, self._stars})
        self._defaults = {
            name: parameter.default
            for name, parameter in self.signature.parameters.items()
            if parameter.default is not _EMPTY
        }
        self.first = self._positional[0] if self._positional else None
        self._ignored = self._checked(ignore)
        self._counted = [(name, f"{_quoted(name)}:") for name in sorted(kinds) if name not in self._ignored]
        """The names that count, in the order of canonical JSON, and how they are written there."""

    def _checked(self, ignore: Iterable[str]) -> frozenset[str]:
        names = frozenset((ignore,) if isinstance(ignore, str) else ignore)
        for name in sorted(map(str, names)):
            if name not in self.signature.parameters and self._stars is None:
                takes = ", ".join(self.signature.parameters) or "none"
                raise ConfigError(
                    f"ignore= of cached_call() names {name!r}, which is no parameter of {self.name}(); it takes {takes}"
                )
        return names

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter with its value, as the function would see it.

        Raises:
            TypeError: the function cannot be called so.
        """
        if len(args) > self._most and self._star is None:
            raise self._misfit(args, kwargs)
        found = dict(zip(self._positional, args, strict=False))
        more: dict[str, Any] = {}
        for name, value in kwargs.items():
            if name in self._keywords:
                if name in found:
                    raise self._misfit(args, kwargs)
                found[name] = value
            elif self._stars is not None:
                more[name] = value
            else:
                raise self._misfit(args, kwargs)
        if len(found) != len(self._named):
            for name in self._named:
                if name not in found:
                    if name not in self._defaults:
                        raise self._misfit(args, kwargs)
                    found[name] = self._defaults[name]
        if self._star is not None:
            found[self._star] = args[self._most :]
        if self._stars is not None:
            found[self._stars] = more
        return found

    def _misfit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TypeError:
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            return TypeError(f"{self.name}() {error}")
        return TypeError(f"{self.name}() cannot be called with these arguments")

    def written(self, bound: Mapping[str, Any]) -> bytes:
        """What counts of the arguments, as canonical JSON.

        Raises:
            TypeError: one of them cannot enter a key; the message names it and says what to do.
        """
        members: list[str] = []
        name = ""
        try:
            for name, written in self._counted:
                value = bound[name]
                # What `document` would write of the object of them all, put together here: a hit is mostly this.
                if type(value) is str:
                    members.append(written + _quoted(value))
                else:
                    members.append(written + document(self._seen(name, value), _unknown).decode())
            return f"{{{','.join(members)}}}".encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair in a text.
            return document({name: self._seen(name, bound[name]) for name, _ in self._counted}, _unknown)
        except Unfit as unfit:
            hint = ""
            if name == self.first == "self":
                hint = " (a dataclass or a pydantic model would count by its fields)"
            raise TypeError(
                f"{self.name}(): the argument {name!r} cannot be part of the cache's key: {unfit.told(name)}{hint};"
                f" leave it out with ignore=({name!r},) if it does not change the answer"
            ) from None

    def _seen(self, name: str, value: Any) -> Any:
        """An argument as far as it counts."""
        if name == self._stars and self._ignored:
            return {key: item for key, item in value.items() if key not in self._ignored}
        if name == "cls" and name == self.first and isinstance(value, type):
            return _Class(value)
        return value


class _Class:
    """The class that a class method was called on. It counts by its name, what the method reads of it in the digest."""

    __slots__ = ("cls",)

    def __init__(self, cls: type) -> None:
        self.cls = cls


def _unknown(value: Any) -> object:
    return ["class", class_name(value.cls)] if type(value) is _Class else refuse(value)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:
        # Some functions that are written in C do not say what they take.
        take_all = (("args", inspect.Parameter.VAR_POSITIONAL), ("kwargs", inspect.Parameter.VAR_KEYWORD))
        return inspect.Signature([inspect.Parameter(name, kind) for name, kind in take_all])
