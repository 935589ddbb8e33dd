"""What the fake upstream was asked and what it shall answer. Plain data: it must not touch a socket or a clock."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import threading

Split: TypeAlias = Literal["random", "events", "bytes", "whole"]
Transfer: TypeAlias = Literal["chunked", "length", "close"]
GatePoint: TypeAlias = int | Literal["head", "end"]
Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields in the order in which they go over the wire."""

_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "content-encoding"})


class _Unset:
    """The absence of a value where None is one (`json=None` is the body `null`)."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived; `path` and `query` percent-encoded as they were sent, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    received_at: float
    """Wall-clock seconds at which its last byte was here."""
    connection: int = 0
    """Which connection it came on, counted from 1."""
    version: str = "1.1"

    @property
    def target(self) -> str:
        """Path and query as one."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def header(self, name: str) -> str | None:
        """The first header of that name in any case, or None."""
        name = name.lower()
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> object:
        """The body, parsed. Raises ValueError if it is not JSON."""
        parsed: object = jsonlib.loads(self.body)
        return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, with everything that shall go wrong with it.

    The body is at most one of `json`, `body` and `chunks`. Each of the `chunks` is one write, and one chunk of the
    chunked transfer; an empty one writes nothing but is counted, and can carry a gate. Chunks may be any iterable, an
    endless one too; an iterator is used up by the first request that gets it, and must not block.

    What happens, in this order: `delay_s`, the gate "head", `hang` or `no_head`, the head, then piece by piece the
    gate of that number, the piece, `chunk_delay_s` before the next; the gate "end", `never_end`, the end of the body.
    """

    status: int = 200
    json: object = UNSET
    body: bytes | str | None = None
    chunks: Iterable[bytes | str] | None = None
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    """Beside these go `date`, and a content type for `json` and `chunks`, where absent, and what frames the body."""

    delay_s: float = 0.0
    """Seconds between request and head."""
    chunk_delay_s: float = 0.0
    """Seconds between two pieces of the body."""
    gates: Mapping[GatePoint, threading.Event] | None = None
    """Events to wait for: before the head, before piece n (from 0), or before the end of the body."""

    hang: bool = False
    """Never answer: not even the head."""
    no_head: bool = False
    """Close the connection without a byte of answer."""
    never_end: bool = False
    """Send the whole body but not its end, and keep the connection open."""
    break_after_bytes: int | None = None
    """Break the connection when that many bytes of the body are out."""
    break_after_chunks: int | None = None
    """Break the connection when that many pieces of the body are out."""
    reset: bool = False
    """Break with RST instead of FIN; when no other break is asked for, in the place of an answer.

    As in real life, a reset may overtake bytes that the client has been slow to take."""
    declared_length: int | None = None
    """The content-length to claim, whatever the body's is; then the connection is closed."""

    gzip: bool = False
    """Compress, whatever the client accepts. Chunks stay chunks: each is flushed."""
    transfer: Transfer | None = None
    """None: chunked for streams, content-length else."""
    split: Split | None = None
    """How to cut the body into pieces. None: chunks as they are given, other bodies as the server's `split` says."""

    def __post_init__(self) -> None:
        """Raise ValueError for what contradicts itself; a test that is wrong shall say so at once."""
        if (self.json is not UNSET) + (self.body is not None) + (self.chunks is not None) > 1:
            raise ValueError("a reply has one body: give only one of json, body and chunks.")
        if self.break_after_bytes is not None and self.break_after_chunks is not None:
            raise ValueError("a reply breaks once: give break_after_bytes or break_after_chunks, not both.")
        if self.declared_length is not None and self.transfer not in (None, "length"):
            raise ValueError("declared_length needs transfer='length' (or none): nothing else declares a length.")
        framing = sorted({name.lower() for name, _ in self.header_pairs} & _FRAMING)
        if framing:
            raise ValueError(f"{', '.join(framing)}: use transfer, declared_length and gzip to frame a reply.")

    @property
    def header_pairs(self) -> Headers:
        """The given headers as pairs, in order."""
        pairs = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        return tuple((name, value) for name, value in pairs)

    def header(self, name: str) -> str | None:
        """The first given header of that name in any case, or None."""
        name = name.lower()
        return next((value for key, value in self.header_pairs if key.lower() == name), None)

    @property
    def payload(self) -> bytes:
        """The whole body before compression. Endless chunks never return."""
        if self.json is not UNSET:
            return jsonlib.dumps(self.json, ensure_ascii=False, separators=(",", ":")).encode()
        if self.chunks is not None:
            return b"".join(as_bytes(chunk) for chunk in self.chunks)
        return as_bytes(self.body or b"")

    @property
    def breaks(self) -> bool:
        """Does it end before the body's end?"""
        return self.break_after_bytes is not None or self.break_after_chunks is not None

    @property
    def content_type(self) -> str | None:
        """The given content type, else what the kind of body implies, else None."""
        given = self.header("content-type")
        if given is not None:
            return given
        if self.chunks is not None:
            return "text/event-stream; charset=utf-8"
        return "application/json" if self.json is not UNSET else None


Handler: TypeAlias = Callable[[Received], Reply]
"""Decides on the answer when the request is there. It runs in a thread of its own, so it may block."""


def as_bytes(data: bytes | str) -> bytes:
    """Text as UTF-8, bytes as they are."""
    return data.encode() if isinstance(data, str) else data
