"""One value as somebody gave it, and the checks that make it a setting. It must not know which settings there are."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from llm_cache.config.settings import without_secrets
from llm_cache.core.policy import Mode, mode_named, namespace_named, traits_named, ttl_seconds
from llm_cache.errors import ConfigError
from llm_cache.ledger.table import PriceTable, price_table

DAY_S = 86_400.0
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
RESERVED = frozenset({"v1", "v2", "v1beta", "metrics", "health", "healthz", "readyz", "dashboard"})
"""Path segments that the proxy or a provider uses itself, so that no upstream can be addressed by them."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HOST = re.compile(r"[a-z0-9_.:\[\]-]{1,253}")
_YES, _NO = frozenset({"1", "on", "true", "yes"}), frozenset({"0", "false", "no", "off"})
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave.

    Attributes:
        value: as it was written.
        rank: how near: 3 an argument, 2 the environment, 1 the file.
        origin: where it came from, in a word or two, for `Settings.origin`.
        source: the same as an error message begins: `LLMCACHE_TTL`, `default_ttl_days (config.toml line 4)`.
        text: whether it had to be written as text (the environment), so that numbers and lists are read out of it.
        secret: whether the value must not be shown.
        where: the source of something inside the value, by its path there.
    """

    value: object
    rank: int
    origin: str
    source: str
    text: bool = False
    secret: bool = False
    where: Callable[[tuple[str, ...]], str] | None = None

    def wrong(self, allowed: str) -> ConfigError:
        """The error that says so; `allowed` completes "it must be"."""
        shown = "" if self.secret else f" is {spelt(self.value)}"
        return ConfigError(f"{self.source}{shown}: it must be {allowed}")

    def inside(self, *path: str) -> str:
        """The source of what is at that path inside the value."""
        return self.where(path) if self.where else ".".join((self.source, *path))


def spelt(value: object) -> str:
    """A value as one writes it in the file, cut where it is long, for an error message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return str(value)
    shown = repr(without_secrets(value)) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def flag(given: Given) -> bool:
    """True or false; in the environment also 1, 0, yes, no, on, off."""
    if isinstance(given.value, bool):
        return given.value
    if given.text and isinstance(given.value, str):
        word = given.value.strip().lower()
        if word in _YES | _NO:
            return word in _YES
    raise given.wrong("true or false")


def number(low: float, high: float, *, above: bool = False, whole: bool = False) -> Callable[[Given], float]:
    """A check for numbers from `low` (or above it) to `high`, perhaps whole ones only."""
    kind = "a whole number" if whole else "a number"
    allowed = f"{kind} above {low:g} and up to {high:g}" if above else f"{kind} from {low:g} to {high:g}"

    def check(given: Given) -> float:
        value = given.value
        if given.text and isinstance(value, str):
            try:
                value = Decimal(value.strip())
            except ArithmeticError:
                raise given.wrong(allowed) from None
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not math.isfinite(value):
            raise given.wrong(allowed)
        if not low <= value <= high or (above and value <= low) or (whole and value != int(value)):
            raise given.wrong(allowed)
        return int(value) if value == int(value) else float(value)

    return check


def one_of(*words: str) -> Callable[[Given], str]:
    """A check for one of a few words, in any case."""

    def check(given: Given) -> str:
        value = str(given.value).strip() if isinstance(given.value, str) else ""
        for word in words:
            if value.lower() == word.lower():
                return word
        raise given.wrong(f"one of {', '.join(words)}")

    return check


def words(given: Given) -> frozenset[str]:
    """A list of words; text is split at commas wherever it was given, since its letters are never meant."""
    value: object = given.value
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise given.wrong("a list of names")
    found = list(value)
    if not all(isinstance(word, str) and word for word in found):
        raise given.wrong("a list of names")
    return frozenset(found)


def traits(given: Given) -> frozenset[str]:
    """What keeps a reply out of the store; `none` is the empty list, which the environment cannot write otherwise."""
    found = words(given)
    return frozenset() if found == {"none"} else traits_named(found, source=given.source)


def hosts(given: Given) -> frozenset[str]:
    """Host names, in lower case."""
    found = frozenset(host.lower() for host in words(given))
    if not all(_HOST.fullmatch(host) for host in found):
        raise given.wrong("a list of host names")
    return found


def ttl(given: Given) -> float | None:
    """A lifetime in days; None is no expiry."""
    value = given.value
    seconds = ttl_seconds(float(value) if isinstance(value, Decimal) else value, source=given.source)
    return None if seconds is None else _plain(seconds / DAY_S)


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def mode(given: Given) -> Mode:
    """A mode by its name."""
    value = given.value
    return mode_named(value.strip().lower() if given.text and isinstance(value, str) else value, source=given.source)


def namespace(given: Given) -> str:
    """The namespace."""
    return namespace_named(given.value, source=given.source)


def text(given: Given) -> str:
    """Text that is not empty."""
    if isinstance(given.value, str) and given.value.strip():
        return given.value
    raise given.wrong("text")


def path(given: Given) -> Path:
    """A path, `~` expanded."""
    if isinstance(given.value, (str, os.PathLike)) and str(given.value):
        return Path(os.path.expanduser(given.value))  # noqa: PTH111 - Path's own raises where there is no home
    raise given.wrong("a path")


def upstream(name: str, url: object, source: str) -> tuple[str, str]:
    """The name and the base URL of an upstream.

    Raises:
        ConfigError: one of them is wrong.
    """
    name = name.lower()
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ConfigError(
            f"{source}: {name!r} is no name for an upstream, which is 1 to 64 of a-z, 0-9, - and _,"
            f" and none of {', '.join(sorted(RESERVED))}"
        )
    if isinstance(url, str):
        try:
            parts = urlsplit(url)
            fine = (
                parts.scheme in {"http", "https"}
                and bool(parts.hostname)
                and parts.port != 0
                and not (parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url)
                and url.isascii()
                and url.isprintable()
                and " " not in url
            )
        except ValueError:
            fine = False
        if fine:
            return name, url.rstrip("/")
    raise ConfigError(
        f"{source} is {spelt(url)}: it must be the http or https URL of a server, without user, query or fragment"
    )


def upstreams(given: Given) -> dict[str, str]:
    """Base URLs by name."""
    if not isinstance(given.value, Mapping):
        raise given.wrong('a table of names and URLs, such as acme = "https://llm.acme.example/v1"')
    return dict(upstream(str(name), url, given.inside(str(name))) for name, url in given.value.items())


def tokens(given: Given) -> dict[str, str]:
    """Secrets by name; as text `name=secret,name=secret`."""
    value = given.value
    if isinstance(value, str):
        value = dict(part.strip().partition("=")[::2] for part in value.split(",") if part.strip())
    if (
        not isinstance(value, Mapping)
        or not all(
            # Shorter than a digest of credentials, which is a scope as well.
            isinstance(name, str)
            and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name)
            # It has to fit into a header and into a path.
            and isinstance(secret, str)
            and re.fullmatch(r"[!-~]+", secret)
            for name, secret in value.items()
        )
        or len(set(value.values())) < len(value)
    ):
        raise given.wrong(
            "a table of names (1 to 63 of A-Z, a-z, 0-9, ., _ and -) and secrets (printable ASCII without spaces),"
            " no two of them alike"
        )
    return dict(value)


def prices(given: Given) -> PriceTable:
    """The user's own prices, by provider and model."""
    return price_table(given.value, lambda path: given.inside(*path))
