"""The kinds of stores, and from a database URL to a store. It decides by the URL's form alone and opens nothing.

A new store is one file with a function `opened`, and a line in `KINDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, cast

from llm_cache.errors import ConfigError
from llm_cache.stores import redis_url
from llm_cache.stores.base import Backend


class Kind(NamedTuple):
    """A kind of store.

    Attributes:
        name: what the setting `backend` says.
        schemes: what its URLs begin with, before `://`.
        module: the file in this folder that has it. Its function `opened` is called with the URL and `Opening`; it is
            imported when the first store of this kind is opened, with whatever it stands on.
        default: where it is unless a URL says so; "" where there is no such place.
    """

    name: str
    schemes: tuple[str, ...]
    module: str
    default: str = ""


class Opening(NamedTuple):
    """How a store is opened; what a kind has no use for, it leaves alone.

    Attributes:
        read_timeout_ms: the deadline of what a call waits for.
        write_timeout_ms: the deadline of writes.
        keep_expired_s: how long an expired row may still be of use, for stores that remove such rows by themselves.
        clock: seconds since the epoch, by which they have expired.
    """

    read_timeout_ms: float
    write_timeout_ms: float
    keep_expired_s: float
    clock: Callable[[], float]


KINDS = (
    Kind("sqlite", ("sqlite",), "sqlite"),  # its place is a folder of the user's, which the configuration knows
    Kind("redis", redis_url.SCHEMES, "redis", "redis://localhost:6379/0"),
    Kind("memory", ("memory",), "memory", ":memory:"),
)

FORMS = "sqlite:///relative/path, sqlite:////absolute/path, a path, :memory:, or redis://host:6379/0"
_IN_MEMORY = frozenset({":memory:", "sqlite://", "sqlite:///", "sqlite:///:memory:"})
"""`sqlite://` is how SQLAlchemy, whose URLs these are, writes it."""


def by_scheme(scheme: str) -> Kind | None:
    """The kind whose URLs begin so (in lower case), or None."""
    return next((kind for kind in KINDS if scheme in kind.schemes), None)


def kind_of(url: str) -> Kind:
    """Which kind of store a URL means.

    Raises:
        ConfigError: it means none.
    """
    sqlite, _, memory = KINDS[:3]
    if url in _IN_MEMORY:
        return memory
    if not url.strip():
        raise ConfigError(f"the database URL is empty; it is one of {FORMS}")
    scheme, separator, rest = url.partition("://")
    if not separator:
        return sqlite
    # A file's URL is read to the letter; the others are for libraries that do not mind.
    kind = sqlite if scheme == "sqlite" else by_scheme(scheme.lower())
    if kind is None or (kind is sqlite and scheme != "sqlite"):
        raise ConfigError(f"the database URL {_shown(url)} is of no kind that is known; it is one of {FORMS}")
    if kind is sqlite and not rest.startswith("/"):
        raise ConfigError(f"the database URL {url} names a host; a file has three slashes or four: {FORMS}")
    return kind


def open_store(
    url: str,
    *,
    read_timeout_ms: float = 100,
    write_timeout_ms: float = 2000,
    keep_expired_s: float = 0,
    clock: Callable[[], float] = time.time,
) -> Backend:
    """A store for that URL. Nothing is read or written before its first use. The arguments are those of `Opening`.

    Raises:
        ConfigError: there is no such kind of store.
    """
    module = import_module(f"llm_cache.stores.{kind_of(url).module}")
    how = Opening(read_timeout_ms, write_timeout_ms, keep_expired_s, clock)
    return cast("Backend", module.opened(url, how))


def _shown(url: str) -> str:
    """The URL without its password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else url
