"""What a plan asks of the world. Each effect is data; a runner performs it and sends the answer.

Verbs in the imperative; the answer's type stands in each docstring.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry, Head, Request
    from llm_cache.core.signature import Signature


@dataclass(frozen=True, slots=True)
class Lookup:
    """Find the entry of a key. Answer: `Entry | None`; a store that fails is told and is None."""

    key: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for the right to fetch. Answer: `Claimed`; after `FOLLOW` the runner has taken a seat."""

    key: str


class Claimed(Enum):
    """Who fetches."""

    LEAD = "lead"
    """The caller does, and others may join."""
    FOLLOW = "follow"
    """Somebody else in this domain does; `Join` tells how that went."""
    BUSY = "busy"
    """Somebody out of reach does (another event loop, another process): wait and look again."""
    ALONE = "alone"
    """The caller does, and nobody joins: the key has just failed for others, or nothing to share."""


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for the head of the fetch that `Claim` found. Answer: `Joined`."""

    key: str


class Landing(Enum):
    """How a fetch that others waited for came to its head."""

    JOINED = "joined"
    """Its reply is the caller's too, and is on its way."""
    DIED = "died"
    """It failed before the head, or was never sent: claim again."""
    REFUSED = "refused"
    """The upstream answered the other's credentials with an error: call for oneself."""
    LATE = "late"
    """The bound on waiting has passed: call for oneself."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait a little for somebody out of reach. Answer: seconds waited so far in this call."""

    key: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request upstream. Answer: `Sent`; an upstream's error is thrown in, unwrapped."""

    request: Request


@dataclass(frozen=True, slots=True)
class Sent:
    """A head has arrived. Times are seconds since the epoch.

    `nested` if another layer of the cache made the call, which then counts the money.
    """

    head: Head
    sent_at: float
    head_at: float
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """The next chunk of the body. Answer: `Pulled`; an upstream's error is thrown in."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A content-decoded chunk, or None at the end of the body; `at` in seconds since the epoch."""

    data: bytes | None
    at: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """Pass a chunk on to everyone who reads this reply. No answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Save:
    """Keep an entry, within the write deadline. Answer: whether that worked."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the listeners what happened. No answer."""

    event: Event


@dataclass(frozen=True, slots=True)
class Explain:
    """Find the stored request nearest to this one. Answer: lines of text, empty if none."""

    signature: Signature
    request: Request


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Fetch anew behind the caller's back what is about to be served stale. No answer."""

    key: str


Effect = Lookup | Claim | Join | Pause | Send | Pull | Deliver | Save | Tell | Explain | Revalidate
