"""Cuts bodies into the pieces that are written one by one. It must not change, add or drop a byte of them."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from llm_cache.testing.reply import Reply, Split, as_bytes

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

_STREAM_TYPES: Final = (
    "text/event-stream",
    "application/x-ndjson",
    "application/stream+json",
    "application/jsonl",
    "application/vnd.amazon.eventstream",
)
# Where a careless reader trips: inside a character, between CR and LF, between the two ends of line of a blank line,
# inside a field name, inside the terminator, inside an escape of JSON.
_NASTY: Final = re.compile(rb"[\xc2-\xf4](?=[\x80-\xbf])|\r(?=\n)|\n(?=\r?\n)|da(?=ta:)|\[DO(?=NE\])|\\(?=u)")
_MOST_RANDOM: Final = 16
_MOST_NASTY: Final = 8
_EVENT: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)


def is_stream_type(content_type: str | None) -> bool:
    """Is this a media type that providers stream?"""
    return content_type is not None and content_type.lower().startswith(_STREAM_TYPES)


def pieces(reply: Reply, default: Split, rng: random.Random) -> Iterable[bytes]:
    """The body as it goes out, compressed if the reply says so; each piece is one write.

    `default` is how bodies are cut when the reply itself does not say; explicit chunks stay as they are. The result is
    a sequence unless the chunks are explicit and no sequence themselves.
    """
    if reply.chunks is not None and reply.split is None:
        plain = (as_bytes(chunk) for chunk in reply.chunks)
        stream = _gzip_each(plain) if reply.gzip else plain
        return list(stream) if isinstance(reply.chunks, Sequence) else stream
    how = reply.split or default
    if how == "events":
        events = split_events(reply.payload, reply.content_type)
        return list(_gzip_each(events)) if reply.gzip else events
    body = b"".join(_gzip_each([reply.payload])) if reply.gzip else reply.payload
    if how == "random":
        return split_random(body, rng)
    if how == "bytes":
        return [body[i : i + 1] for i in range(len(body))]
    return [body] if body else []


def split_random(body: bytes, rng: random.Random) -> list[bytes]:
    """Cut at some places that are random and at some that are known to hurt."""
    nasty = [found.end() for found in _NASTY.finditer(body)]
    cuts = set(rng.sample(nasty, min(len(nasty), rng.randint(0, _MOST_NASTY))))
    if len(body) > 1:
        cuts.update(rng.randrange(1, len(body)) for _ in range(rng.randint(0, _MOST_RANDOM)))
    marks = [0, *sorted(cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(marks) if end > start]


def split_events(body: bytes, content_type: str | None) -> list[bytes]:
    """One piece per event: SSE event, line of NDJSON or frame of an AWS event stream; other bodies stay whole."""
    kind = (content_type or "").lower()
    if kind.startswith("text/event-stream"):
        return [event for event in _EVENT.findall(body) if event]
    if kind.startswith("application/vnd.amazon.eventstream"):
        return list(_frames(body))
    if is_stream_type(kind):
        return body.splitlines(keepends=True)
    return [body] if body else []


def _frames(body: bytes) -> Iterator[bytes]:
    """Frames begin with their own length: four bytes, big-endian.

    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
    """
    start = 0
    while start < len(body):
        length = int.from_bytes(body[start : start + 4], "big")
        # A damaged length must still make progress, and no byte may be lost.
        end = start + length if length > 0 else len(body)
        yield body[start:end]
        start = end


def _gzip_each(plain: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip stream in which each piece can be decompressed as soon as it is here; its trailer is a piece more."""
    # The format's header has a time only through GzipFile; this way equal bodies are equal bytes.
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for piece in plain:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) if piece else b""
    yield packer.flush()
