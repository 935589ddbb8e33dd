"""What the caller wants: mode, lifetime, namespace and the rest, merged from several layers.

Layers are merged in one order: defaults < configuration < cache < decorator or wrapper <
`options()` < request headers; ceilings come last and can only tighten. Values are checked where
they enter; a `Policy` is always valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

from llm_cache.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_S = 86_400.0
TRAITS = ("content_filter", "empty", "length", "refusal")
"""What `dont_store` may name."""


class Mode(str, Enum):
    """What a call may do with the cache and the network."""

    READ_WRITE = "read-write"
    """Answer from the cache, else call and keep the answer."""
    READ_ONLY = "read-only"
    """Answer from the cache, else call and keep nothing."""
    REFRESH = "refresh"
    """Always call; the answer replaces what was stored."""
    OFFLINE = "offline"
    """Answer from the cache, else fail; the network is never touched."""
    OFF = "off"
    """Call as if there were no cache."""

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Policy:
    """How one call is to be treated. Durations are seconds; `ttl_s` None never expires.

    Attributes:
        mode: see `Mode`.
        ttl_s: how long an answer that is stored now stays fresh.
        namespace: entries of one namespace are never served to another.
        scope: whose answers these are; the proxy's tenants, `""` in the library.
        sample: which of several answers to one request.
        dont_store: traits of a reply (see `TRAITS`) that keep it out of the store.
        ignore_fields: top-level body fields, besides the closed list, that are left out of the key.
        max_entry_bytes: replies over this many bytes are passed on and not kept.
        stale_while_revalidate_s: how long past its expiry an answer may be served while it is
            fetched anew behind the caller's back.
        stale_if_error_s: how long past its expiry an answer may be served when fetching fails.
        join_timeout_s: the longest wait for somebody else's identical call.
        max_age_s: answers that are older are not served.
        store: whether an answer may be kept.
        lookup: whether an answer may come from the cache.
    """

    mode: Mode = Mode.READ_WRITE
    ttl_s: float | None = 30 * DAY_S
    namespace: str = "default"
    scope: str = ""
    sample: int = 0
    dont_store: frozenset[str] = frozenset({"content_filter", "empty"})
    ignore_fields: frozenset[str] = frozenset()
    max_entry_bytes: int = 16 * 1024 * 1024
    stale_while_revalidate_s: float = 0.0
    stale_if_error_s: float = 0.0
    join_timeout_s: float = 120.0
    max_age_s: float | None = None
    store: bool = True
    lookup: bool = True

    @property
    def reads(self) -> bool:
        """Whether the answer may come from the cache."""
        return self.lookup and self.mode is not Mode.REFRESH and self.mode is not Mode.OFF

    @property
    def writes(self) -> bool:
        """Whether the answer may be kept."""
        return self.store and (self.mode is Mode.READ_WRITE or self.mode is Mode.REFRESH)

    @property
    def joins(self) -> bool:
        """Whether the call may share an identical one that is in flight."""
        return self.mode is Mode.READ_WRITE and self.store and self.lookup


def tightened(policy: Policy, ceiling: Mode) -> Policy:
    """The policy with a mode no wider than the ceiling.

    `offline` allows nothing but answers from the cache, so under it even `off` and `refresh`
    become `offline`; `read-only` takes writing away; `off` takes everything away.
    """
    mode = policy.mode
    if ceiling is Mode.OFFLINE or (ceiling is Mode.OFF and mode is not Mode.OFFLINE):
        mode = ceiling
    elif ceiling is Mode.READ_ONLY and mode in {Mode.READ_WRITE, Mode.REFRESH}:
        # A refresh that may not write is a plain call.
        mode = Mode.READ_ONLY if mode is Mode.READ_WRITE else Mode.OFF
    return policy if mode is policy.mode else replace(policy, mode=mode)


def ttl_seconds(days: object, *, source: str) -> float | None:
    """A lifetime in seconds from days, fractions allowed; `"never"` is None.

    Raises:
        ConfigError: zero, negative, NaN, or no number. `source` names where it came from.
    """
    if isinstance(days, str) and days.strip().lower() == "never":
        return None
    try:
        value = float(days) * DAY_S  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if isinstance(days, bool) or not value > 0:
        raise ConfigError(
            f'{source} is {days!r}: a lifetime in days must be a number above 0 (fractions are allowed) or "never"'
        )
    return None if math.isinf(value) else value


def mode_named(value: object, *, source: str) -> Mode:
    """The mode of that name.

    Raises:
        ConfigError: there is none. `source` names where it came from.
    """
    try:
        return Mode(value)
    except ValueError:
        allowed = ", ".join(mode.value for mode in Mode)
        raise ConfigError(f"{source} is {value!r}: a mode is one of {allowed}") from None


def namespace_named(value: object, *, source: str) -> str:
    """A namespace: any text of 1 to 200 characters that can be printed.

    Raises:
        ConfigError: it is not. `source` names where it came from.
    """
    if isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable():
        return value
    raise ConfigError(f"{source} is {value!r}: a namespace is text of 1 to 200 printable characters")


def sample_numbered(value: object, *, source: str) -> int:
    """Which draw: a whole number from 0.

    Raises:
        ConfigError: it is not. `source` names where it came from.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise ConfigError(f"{source} is {value!r}: a sample is a whole number from 0")


def traits_named(values: Iterable[object], *, source: str) -> frozenset[str]:
    """The traits of a reply that keep it out of the store.

    Raises:
        ConfigError: one is unknown. `source` names where it came from.
    """
    traits = frozenset(values)
    for trait in sorted(map(str, traits)):
        if trait not in TRAITS:
            raise ConfigError(f"{source} names {trait!r}: allowed are {', '.join(TRAITS)}")
    return traits  # type: ignore[return-value]


Kind = Literal["http", "value", "call"]
"""Bytes of a provider, Python values, function results: they never share an entry."""
