"""Tells when a module has been imported, now or later, and imports none itself. It must not change what is imported."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_log = logging.getLogger("llm_cache")


class Arrivals(MetaPathFinder):
    """Calls back once for each of some modules, when it is loaded: at once, or as soon as somebody imports it.

    Args:
        watched: what to call, by the module's name.
    """

    def __init__(self, watched: dict[str, Callable[[ModuleType], None]]) -> None:
        self._watched = watched

    def begin(self) -> None:
        """Start to watch."""
        sys.meta_path.insert(0, self)
        for name in self._watched:
            if name in sys.modules:
                # Waits, should another thread be in the middle of importing it.
                self._arrived(name, importlib.import_module(name))

    def end(self) -> None:
        """Watch no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders behind this one find, with a loader that calls back; part of the import protocol."""
        if fullname not in self._watched:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        for finder in others:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Announcing(spec.loader, partial(self._arrived, fullname))
                return spec
        return None

    def _arrived(self, name: str, module: ModuleType) -> None:
        try:
            self._watched[name](module)
        except Exception as error:
            # A version that nobody knew yet works as it would without us.
            _log.warning("install() does not cover this %s: %s: %s", name, type(error).__name__, error)


class _Announcing(Loader):
    """A loader that is the inner one, and says when it is done."""

    def __init__(self, inner: Any, arrived: Callable[[ModuleType], None]) -> None:
        self._inner = inner
        self._arrived = arrived

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the inner loader."""
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As the inner loader, whose module it is from here on; then calls back."""
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._arrived(module)
