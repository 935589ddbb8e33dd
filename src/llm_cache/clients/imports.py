"""Modules that a function imports inside of its own body. Imports only what the function itself is about to import."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec, resolve_name
from types import ModuleType
from typing import Any

from llm_cache.clients.reads import Import, Read

_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_nothing = ModuleType("nothing")


def imported(
    what: Import, read: Read, space: dict[str, Any], slot: Callable[..., Any]
) -> tuple[ModuleType, str | None]:
    """The module that a name inside of a function comes from, and which of its attributes the name is.

    A program's own module from which data is read is loaded here if it is not loaded yet: else the first call of a
    process would have another key than the next one, and would not see that a template there has changed. What is
    installed is left alone, and may be slow to import.
    """
    try:
        name = resolve_name("." * what.level + what.module, _package(space)) if what.level else what.module
        data = read.use != "called" or len(read.path) > (0 if what.attribute else 1)
        if name not in sys.modules and data and _own(name):
            import_module(name)
    except Exception:
        # The function will run into the same, or not; that is not ours to say.
        return _nothing, None
    module = slot(sys.modules, name.partition(".")[0] if what.top else name)
    if not isinstance(module, ModuleType):
        return _nothing, None
    attribute = what.attribute
    if attribute is not None and attribute not in vars(module) and f"{name}.{attribute}" in sys.modules:
        return sys.modules[f"{name}.{attribute}"], None
    return module, attribute


def _package(space: dict[str, Any]) -> str:
    return str(space.get("__package__") or str(space.get("__name__", "")).rpartition(".")[0])


def _own(name: str) -> bool:
    spec = find_spec(name.partition(".")[0])
    origin = None if spec is None else (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
    return origin is not None and origin not in {"built-in", "frozen"} and not origin.startswith(_INSTALLED)
