"""From a database URL to a store. It decides by the URL's form alone and opens nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from llm_cache.errors import ConfigError
from llm_cache.stores import redis_url
from llm_cache.stores.base import Backend

Kind = Literal["sqlite", "redis", "memory"]

FORMS = "sqlite:///relative/path, sqlite:////absolute/path, a path, :memory:, or redis://host:6379/0"


def kind_of(url: str) -> Kind:
    """Which kind of store a URL means.

    Raises:
        ConfigError: it means none.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() in redis_url.SCHEMES:
        return "redis"
    if url == ":memory:" or (separator and scheme == "sqlite" and rest in {"", "/", "/:memory:"}):
        # `sqlite://` is how SQLAlchemy, whose URLs these are, writes it.
        return "memory"
    if not url.strip():
        raise ConfigError(f"the database URL is empty; it is one of {FORMS}")
    if separator and scheme != "sqlite":
        raise ConfigError(f"the database URL {_shown(url)} is of no kind that is known; it is one of {FORMS}")
    if separator and not rest.startswith("/"):
        raise ConfigError(f"the database URL {url} names a host; a file has three slashes or four: {FORMS}")
    return "sqlite"


def path_of(url: str) -> str:
    """The path that an SQLite URL or a bare path means; `~` is left to the store."""
    return url.removeprefix("sqlite:///")


def open_store(
    url: str,
    *,
    read_timeout_ms: float = 100,
    write_timeout_ms: float = 2000,
    keep_expired_s: float = 0,
    clock: Callable[[], float] = time.time,
) -> Backend:
    """A store for that URL. Nothing is read or written before its first use.

    `keep_expired_s` is how long an expired row may still be of use, for stores that remove such rows by themselves, and
    `clock` (seconds since the epoch) what they have expired by.

    Raises:
        ConfigError: there is no such kind of store.
    """
    kind = kind_of(url)
    if kind == "redis":
        from llm_cache.stores.redis import RedisStore

        return RedisStore(
            url,
            read_timeout_ms=read_timeout_ms,
            write_timeout_ms=write_timeout_ms,
            keep_expired_s=keep_expired_s,
            clock=clock,
        )
    if kind == "memory":
        from llm_cache.stores.memory import MemoryStore

        return MemoryStore()
    from llm_cache.stores.sqlite import SqliteStore

    return SqliteStore(path_of(url), read_timeout_ms=read_timeout_ms, write_timeout_ms=write_timeout_ms)


def _shown(url: str) -> str:
    """The URL without its password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else url
