"""What a program says of a stretch of its calls, and what it may ask about the latest one.

Both are context variables: they follow a task, and do not cross into other threads by themselves.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from llm_cache.core.events import Hit, Joined, Stored
from llm_cache.core.policy import mode_named, namespace_named, sample_numbered, ttl_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry
    from llm_cache.core.policy import Mode

Layer = tuple[tuple[str, object], ...]
"""Fields of `Policy` that one layer sets, in a form that can be a dictionary key."""

_layer: ContextVar[Layer] = ContextVar("llm_cache_options", default=())
_last: ContextVar[LastCall | None] = ContextVar("llm_cache_last_call", default=None)


def layer(
    *,
    namespace: object = None,
    ttl_days: object = None,
    mode: object = None,
    sample: object = None,
    source: str,
) -> Layer:
    """A layer of policy from what a caller gave; None is "not given".

    Raises:
        ConfigError: a value is wrong. `source` names where it was given.
    """
    fields: list[tuple[str, object]] = []
    if namespace is not None:
        fields.append(("namespace", namespace_named(namespace, source=f"namespace in {source}")))
    if ttl_days is not None:
        fields.append(("ttl_s", ttl_seconds(ttl_days, source=f"ttl_days in {source}")))
    if mode is not None:
        fields.append(("mode", mode_named(mode, source=f"mode in {source}")))
    if sample is not None:
        fields.append(("sample", sample_numbered(sample, source=f"sample in {source}")))
    return tuple(fields)


@contextmanager
def options(
    *,
    namespace: str | None = None,
    ttl_days: float | str | None = None,
    mode: Mode | str | None = None,
    sample: int | None = None,
) -> Iterator[None]:
    """Set these for all calls inside, whichever way they enter the cache.

    Inner blocks add to outer ones and win. A generator that yields inside the block keeps them set
    in the code that resumes it, as with any context variable.

    Args:
        namespace: entries of one namespace are never served to another.
        ttl_days: lifetime of answers stored inside, in days; `"never"` for no expiry.
        mode: see `Mode`.
        sample: which of several answers to one request.

    Raises:
        ConfigError: a value is wrong.
    """
    given = layer(namespace=namespace, ttl_days=ttl_days, mode=mode, sample=sample, source="options()")
    token = _layer.set(_layer.get() + given)
    try:
        yield
    finally:
        _layer.reset(token)


current_layer = _layer.get
"""The layer that `options()` has set here."""


class LastCall:
    """What happened to one call. Also found as `response.extensions["llm_cache"]`.

    Attributes:
        status: `hit`, `miss`, `stale`, `joined` or `bypass`.
        key: the 64 hex digits of the key, empty for a bypass.
        age_s: how old the answer was when it was served; 0.0 unless it came from the store.
        reason: why it was no hit: `absent`, `expired`, `refresh`, `off`, …; None for a hit.
    """

    __slots__ = ("_paid", "_price", "_served", "age_s", "key", "reason", "status")

    def __init__(
        self,
        status: str,
        key: str,
        price: Callable[[Entry], Decimal | None],
        *,
        age_s: float = 0.0,
        reason: str | None = None,
    ) -> None:
        self.status = status
        self.key = key
        self.age_s = age_s
        self.reason = reason
        self._price = price
        self._served: Entry | None = None
        self._paid: Entry | None = None

    def note(self, event: Event) -> None:
        """Learn from what is told of this call after it has begun."""
        if isinstance(event, Stored):
            self._paid = event.entry
        elif isinstance(event, (Hit, Joined)):
            self._served = event.entry

    @property
    def cost_usd(self) -> Decimal | None:
        """What the provider charged for this call, once its reply is whole; None if unknown.

        The first question loads the price tables, which takes most of a second.
        """
        return None if self._paid is None else self._price(self._paid)

    @property
    def cost_saved_usd(self) -> Decimal | None:
        """What the provider would have charged; None if unknown or if it did."""
        return None if self._served is None else self._price(self._served)

    def __getitem__(self, name: str) -> object:
        """The attribute of that name, for code that treats extensions as mappings."""
        if name.startswith("_") or not hasattr(self, name):
            raise KeyError(name)
        return getattr(self, name)

    def __repr__(self) -> str:
        """Status, key, age and reason; never a cost, which would load the price tables."""
        return (
            f"LastCall(status={self.status!r}, key={self.key[:12]!r}, age_s={self.age_s:.3f}, reason={self.reason!r})"
        )


def last_call() -> LastCall | None:
    """What happened to the latest call in this context; None before the first."""
    return _last.get()


remember = _last.set
"""Make a call the latest of this context."""
