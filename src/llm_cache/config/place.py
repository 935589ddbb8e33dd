"""Which store is meant: a backend, a URL, or both from different places. It must not open any."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_cache.config.given import Given
from llm_cache.config.settings import without_secrets
from llm_cache.errors import ConfigError
from llm_cache.stores import redis_url, registry

MEMORY = ":memory:"
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_ALLOWED = "a path, sqlite:///relative, sqlite:////absolute, :memory: or a Redis URL"
_IN_MEMORY = frozenset({MEMORY, "memory:", "memory://", "sqlite://", "sqlite:///:memory:"})


def home(variable: str, below: str, environ: Mapping[str, str]) -> Path:
    """A folder of the XDG specification; a relative path in the variable is ignored, as the specification asks."""
    folder = environ.get(variable, "")
    if Path(folder).is_absolute():
        return Path(folder)
    return Path(environ.get("HOME") or os.path.expanduser("~")) / below  # noqa: PTH111 - as in given.path


def default_url(backend: str, environ: Mapping[str, str]) -> str:
    """Where a backend keeps its entries unless told otherwise.

    Raises:
        ConfigError: it has to be told.
    """
    if backend == "sqlite":
        return str(home("XDG_CACHE_HOME", ".cache", environ) / "llm-cache" / "cache.db")
    (default,) = (kind.default for kind in registry.KINDS if kind.name == backend)
    if not default:
        raise ConfigError(f"the backend {backend!r} has no place of its own: give database_url as well")
    return default


def located(given: Given) -> tuple[str, str]:
    """The backend that a URL is for, and the URL in one form: an absolute path, `:memory:` or as it is.

    Raises:
        ConfigError: it is none of those.
    """
    value = given.value
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise given.wrong(_ALLOWED)
    if value in _IN_MEMORY:
        return "memory", MEMORY
    scheme = _SCHEME.match(value)
    if scheme is None:
        return "sqlite", _absolute(value)
    name = scheme[1].lower()
    kind = registry.by_scheme(name)
    if kind is None or kind.name == "memory":
        raise given.wrong(_ALLOWED)
    if kind.name == "redis":
        try:
            redis_url.address_of(value)
        except ConfigError as error:
            # Without the value: what is wrong with it may be where its password stands.
            raise ConfigError(f"{given.source}: {error}") from None
    if kind.name != "sqlite":
        return kind.name, value
    if value[scheme.end() : scheme.end() + 1] != "/":
        raise given.wrong("sqlite:///relative with three slashes or sqlite:////absolute with four")
    if "?" in value or "#" in value:
        raise given.wrong("a URL without options: read_timeout_ms and the like are settings of their own")
    return "sqlite", _absolute(value[scheme.end() + 1 :])


def _absolute(path: str) -> str:
    # Now and not at the first call: a program that changes its folder keeps its cache.
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - as in given.path; `~` of nobody stays


def place(
    backends: Sequence[Given], urls: Sequence[Given], environ: Mapping[str, str]
) -> tuple[str, str, Given | None, Given | None]:
    """Backend and URL from what was given, nearest first, and what each of them came from (None: the default).

    Raises:
        ConfigError: a value is wrong, or backend and URL of one place do not fit.
    """
    kinds = {given.rank: (given, _backend(given)) for given in backends}
    places = {given.rank: (given, *located(given)) for given in urls}
    for rank in kinds.keys() & places.keys():
        (asked, backend), (url, kind, value) = kinds[rank], places[rank]
        # In the language of SQLite, `:memory:` is SQLite's.
        if backend != kind and (backend, kind) != ("sqlite", "memory"):
            raise ConfigError(
                f"{asked.source} is {backend!r}, but {url.source} is {without_secrets(value)!r}, which is {kind}:"
                " give one of them, or two that fit"
            )
    if not kinds and not places:
        return "sqlite", default_url("sqlite", environ), None, None
    near_kind, near_url = max(kinds, default=0), max(places, default=0)
    if near_url >= near_kind:
        url, kind, value = places[near_url]
        return kind, value, url, url
    asked, backend = kinds[near_kind]
    if near_url and places[near_url][1] == backend:
        url, kind, value = places[near_url]
        return kind, value, asked, url
    return backend, default_url(backend, environ), asked, None


def _backend(given: Given) -> str:
    names = [kind.name for kind in registry.KINDS]
    if isinstance(given.value, str) and given.value.strip().lower() in names:
        return given.value.strip().lower()
    raise given.wrong(f"one of {', '.join(names)}")
