"""What happened, told to whoever listens. Frozen records in the past tense, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.core.model import Entry, Usage


@dataclass(frozen=True, slots=True)
class About:
    """Which call an event is about. `key` is 64 hex digits, or empty where none was made."""

    provider: str = ""
    model: str = ""
    endpoint: str = ""
    namespace: str = "default"
    key: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a call."""

    about: About


@dataclass(frozen=True, slots=True)
class Hit(Event):
    """A stored answer was served, `times` times since that was told last; `stale` if it was past its expiry.

    `age_s` is its age when it was served last.
    """

    entry: Entry
    age_s: float = 0.0
    stale: bool = False
    times: int = 1


@dataclass(frozen=True, slots=True)
class Missed(Event):
    """The cache had no answer; `reason` is one of `absent`, `expired`, `refresh`, `offline`, …

    `document` is the canonical form of the request, where the call was one that could have been a hit.
    """

    reason: str
    document: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Joined(Event):
    """The call was answered by an identical one in flight.

    `entry` is what that fetch stored, None if it could not be kept.
    """

    entry: Entry | None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Bypassed(Event):
    """The cache had no part in the call; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stored(Event):
    """A whole answer was kept.

    `again` if it replaces its own shorter recording; `nested` if another layer of the cache met the
    network for it and has counted the money.
    """

    entry: Entry
    again: bool = False
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    """An answer was passed on and not kept; `usage` is what it was billed for, if it said so."""

    reason: str
    usage: Usage | None = None
    latency_ms: float = 0.0
    nested: bool = False


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """A store operation failed and was counted as nothing: `operation` is `get`, `put`, …"""

    operation: str
    error: str


@dataclass(frozen=True, slots=True)
class Evicted(Event):
    """Entries were removed to keep the store under its size."""

    entries: int
    size_bytes: int
