"""llm-cache: a drop-in, model-agnostic cache for calls of language models.

The public names, imported when they are first used: `import llm_cache` alone costs next to nothing
and imports no SDK, no server and no store.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.clients.decorator import cached_call
    from llm_cache.clients.install import install, uninstall
    from llm_cache.clients.options import last_call, options
    from llm_cache.clients.value_call import hash_request
    from llm_cache.clients.wrap import wrap, wrap_anthropic, wrap_cohere, wrap_openai
    from llm_cache.config import get_config
    from llm_cache.core.model import Entry
    from llm_cache.core.policy import Mode
    from llm_cache.errors import (
        CacheMissError,
        ConfigError,
        EntryError,
        FormatError,
        LLMCacheError,
        SealError,
        StoreBusy,
        StoreError,
        UncacheableError,
    )
    from llm_cache.ledger.report import Stats

__all__ = [
    "CacheMissError",
    "ConfigError",
    "Entry",
    "EntryError",
    "FormatError",
    "LLMCache",
    "LLMCacheError",
    "Mode",
    "SealError",
    "Stats",
    "StoreBusy",
    "StoreError",
    "UncacheableError",
    "cached_call",
    "get_config",
    "hash_request",
    "install",
    "last_call",
    "options",
    "uninstall",
    "wrap",
    "wrap_anthropic",
    "wrap_cohere",
    "wrap_openai",
]

_HOMES = {
    "LLMCache": "clients.cache",
    "cached_call": "clients.decorator",
    "hash_request": "clients.value_call",
    "install": "clients.install",
    "last_call": "clients.options",
    "options": "clients.options",
    "uninstall": "clients.install",
    "wrap": "clients.wrap",
    "wrap_anthropic": "clients.wrap",
    "wrap_cohere": "clients.wrap",
    "wrap_openai": "clients.wrap",
    "get_config": "config",
    "Entry": "core.model",
    "Mode": "core.policy",
    "Stats": "ledger.report",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llm_cache' has no attribute {name!r}")
    home = import_module(f"llm_cache.{_HOMES.get(name, 'errors')}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
