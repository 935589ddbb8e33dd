"""How the store is, and how the cache is set. It must not show a secret, and must not look for damage unasked."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from llm_cache.errors import StoreError
from llm_cache.stores.base import Filter

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine

_SHOWN = (
    "mode",
    "namespace",
    "default_ttl_days",
    "enable_compression",
    "enable_encryption",
    "max_size_mb",
    "max_entry_mb",
    "memory_mb",
    "stale_while_revalidate_s",
    "stale_if_error_s",
    "dont_store",
    "ignore_fields",
    "proxy_scope",
)
_NOBODY = b"\0" * 32
"""A key that no entry has."""


def health(engine: Engine) -> dict[str, object]:
    """Whether the store answers, how quickly, and what it holds."""
    told: dict[str, object] = {
        "version": _version(),
        "backend": engine.settings.backend,
        "location": engine.store.location(),
        "settings": [{"name": name, "value": _plain(value)} for name, value in _settings(engine)],
        "answers": True,
        "problem": None,
        "entries": None,
        "expired": None,
        "size_bytes": None,
        "file_bytes": None,
    }
    try:
        began = time.perf_counter()
        engine.store.get(_NOBODY)
        told["lookup_ms"] = (time.perf_counter() - began) * 1000
        held = engine.store.summary()
        expired = engine.store.summary(Filter(expired_at=engine.clock()))
        told.update(entries=held.entries, size_bytes=held.size_bytes, expired=expired.entries)
    except StoreError as error:
        told.update(answers=False, problem=str(error))
    if engine.settings.backend == "sqlite":
        with suppress(OSError):
            told["file_bytes"] = Path(engine.store.location()).stat().st_size
    return told


def check(engine: Engine) -> dict[str, object]:
    """Look for damage, which takes a while: what was found, one sentence each."""
    try:
        return {"findings": engine.store.check()}
    except StoreError as error:
        return {"findings": [str(error)]}


def _settings(engine: Engine) -> list[tuple[str, object]]:
    shown = engine.settings.shown()
    return [(name, shown[name]) for name in _SHOWN if name in shown]


def _plain(value: object) -> str:
    if isinstance(value, (set, frozenset)):
        return ", ".join(sorted(map(str, value))) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(getattr(value, "value", value))


def _version() -> str:
    try:
        return version("llm-cache")
    except PackageNotFoundError:  # it runs from a copy that nobody installed
        return "unknown"
