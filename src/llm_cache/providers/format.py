"""What a vendor's file says of each call of its API; the registry does the rest. It must not know a vendor.

A new API is one file with a tuple of `Format` and a line in `registry.FORMATS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from llm_cache.core.model import Head, Reader
from llm_cache.providers.parse import Json

OUTSIDE = frozenset(
    {
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "user_profile_id",
    }
)
"""The closed list of body fields outside the key (key specification, "left out"): labels for billing,
abuse reports and prompt caches, which the model never sees."""

_MOST_PATH = 2048
"""No call has a longer path; a search for a pattern in one that has could take long."""


class Match(NamedTuple):
    """Where a path was recognised: what stands before the endpoint, and the endpoint's canonical path."""

    prefix: str
    path: str
    model: str = ""
    """The model, where the path names it."""


class MakeReader(Protocol):
    """Makes the reader of a reply. `count` is the number of results that were asked for."""

    def __call__(self, head: Head, *, stream: bool, count: int) -> Reader: ...


def asks_stream(body: Json) -> bool:
    """Whether the body asks for a stream, as most APIs have it."""
    return body.get("stream") is True


def asks_results(body: Json) -> int:
    """How many results the body asks for, as most APIs have it."""
    return counted(body.get("n", 1))


def counted(value: object) -> int:
    """A number of results; what is none is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def always(body: Json) -> bool:  # noqa: ARG001 - the path says it, whatever the body
    """For calls that always stream, or take any object."""
    return True


def never(body: Json) -> bool:  # noqa: ARG001 - the path says it, whatever the body
    """For calls that never stream."""
    return False


@dataclass(frozen=True)
class Format:
    """One kind of call.

    Attributes:
        family: the vendor whose format it is; the provider where nothing tells more.
        match: finds the endpoint in a percent-normalised path.
        accepts: whether the body has the shape of this call.
        reader: understands the replies; `reading.Replies` makes it.
        proof: a body field and a header, one of which must be there because the path alone is a
            common word.
        streams: whether a request with this body asks for a stream.
        results: how many results a request with this body asks for.
        strangers: as `reader`, for servers of which nobody knows how they end a stream.
        stream_counts: `"stream": false` is not what its absence is, because the API streams by default.
        arrays: as `Endpoint.arrays`.
        outside: names of top-level body fields that do not count.
        unmark: as `Endpoint.unmark`.
        uncacheable: why a request with this body must not be cached, or None.
    """

    family: str
    match: Callable[[str], Match | None]
    accepts: Callable[[Json], bool]
    reader: MakeReader
    outside: frozenset[str] = frozenset()
    unmark: Callable[[object], object] | None = None
    uncacheable: Callable[[Json], str | None] | None = None
    proof: tuple[str, str] | None = None
    streams: Callable[[Json], bool] = asks_stream
    results: Callable[[Json], int] = asks_results
    stream_counts: bool = False
    arrays: bool = False
    strangers: MakeReader | None = None


def after_v1(ending: str) -> Callable[[str], Match | None]:
    """Matches a path that ends so, with `/v1` before the ending once, twice or not at all."""

    def match(path: str) -> Match | None:
        if not path.endswith(ending):
            return None
        prefix = path[: -len(ending)]
        while prefix.endswith("/v1"):
            prefix = prefix[:-3]
        return Match(prefix, "/v1" + ending)

    return match


def at(ending: str) -> Callable[[str], Match | None]:
    """Matches a path that ends like this pattern, whose `model` group names the model.

    It has a version of its own, or none: only a `/v1` that a base URL has written before it is dropped.
    """
    pattern = re.compile(rf"{ending}\Z")

    def match(path: str) -> Match | None:
        found = pattern.search(path) if len(path) <= _MOST_PATH else None
        if found is None:
            return None
        prefix = path[: found.start()]
        while prefix.endswith("/v1"):
            prefix = prefix[:-3]
        return Match(prefix, found[0], unquote(found.groupdict().get("model") or ""))

    return match


def has(*fields: str) -> Callable[[Json], bool]:
    """Accepts a body that has one of these fields."""

    def accepts(body: Json) -> bool:
        return any(field in body for field in fields)

    return accepts


def has_messages(body: Json) -> bool:
    """Accepts a body with a list of messages."""
    return isinstance(body.get("messages"), list)
