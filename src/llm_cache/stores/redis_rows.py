"""How rows lie in Redis: the names of keys, the shards they are spread over, and columns as bytes. It asks no server.

Everything about one entry lies in one slot of a cluster: the entry itself, and its shard's index, totals and
generation, so that a script changes all of them at once. 32 shards whose slots are spread evenly are enough for a
cluster of as many servers, and few enough to ask all of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from llm_cache.core.model import Row
from llm_cache.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "llm-cache"
TAGS = (
    "10",
    "6d",
    "21",
    "3",
    "61",
    "1a",
    "b",
    "2d",
    "11",
    "6a",
    "20",
    "2",
    "60",
    "1d",
    "c",
    "2a",
    "12",
    "6b",
    "23",
    "1",
    "63",
    "1c",
    "d",
    "2b",
    "13",
    "6c",
    "22",
    "0",
    "62",
    "1b",
    "a",
    "2c",
)
"""The hash tag of each shard: the slot (CRC16 of it, modulo 16384) lies in that 32nd of all slots.

Part of what is stored: never to be changed."""

ID = 64
"""Hex digits of a key, which is how the index and an entry's name have it."""
SEED = 2**40
"""A generation begins somewhere below this."""
FIELDS = ("c", "v", "p", "h", "l")
"""Of an entry, which is a hash: columns, value, cost in pico-dollars, hits, time of the last hit."""
_CREATED_AT, _LATENCY, SIZE = 7, 11, 12
"""Where these stand in the columns; before them, in the order of `Row`, all from kind to output tokens."""
_COLUMNS = slice(2, 13)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Any]).decode


class Shard:
    """The keys of one shard."""

    __slots__ = ("generation", "index", "leases", "names", "prefix")

    def __init__(self, tag: str) -> None:
        base = f"{PREFIX}:{{{tag}}}"
        self.prefix = f"{base}:entry:"
        self.leases = f"{base}:lease:"
        self.generation = f"{base}:generation"
        self.index = f"{base}:index"
        self.names = (self.index, f"{base}:columns", f"{base}:expiry", f"{base}:totals", self.generation)
        """What every script is given: the index by age, columns by key, the index by expiry, totals, generation."""


SHARDS = tuple(Shard(tag) for tag in TAGS)
_COMMON = f"{PREFIX}:{{{TAGS[0]}}}"
"""What belongs to the store as a whole lies in the first shard's slot."""
SUMS, SECRETS, KEPT = (f"{_COMMON}:{name}" for name in ("sums", "secrets", "kept"))
JOURNAL, BATCH = (f"{_COMMON}:{name}:" for name in ("journal", "batch"))
"""With the journal's name; with that of who adds to sums, whose latest number it has."""


def shard_of(key: bytes) -> Shard:
    """The shard of a key of 32 bytes."""
    return SHARDS[key[0] >> 3] if key else SHARDS[0]


def shards_of(key_prefix: str | None) -> Sequence[Shard]:
    """The shards that keys with these first hex digits lie in."""
    if key_prefix is None:
        return SHARDS
    low = int(key_prefix[:2].ljust(2, "0"), 16) >> 3
    high = int(key_prefix[:2].ljust(2, "f"), 16) >> 3
    return SHARDS[low : high + 1]


def columns_of(row: Row) -> bytes:
    """All columns of a row that never change, and the size of its value.

    Raises:
        StoreError: they hold what cannot be written.
    """
    try:
        columns: tuple[Any, ...] = tuple(row)
        return _pack([*columns[_COLUMNS], row.latency_ms, len(row.value)])
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise StoreError(f"a row cannot be written to Redis: {error}") from error


def bare_row(key: bytes, columns: bytes) -> tuple[Row, int] | None:
    """The row of these columns without its value, and the value's size; None if they cannot be read."""
    try:
        found = _unpack(columns)
        row = Row._make((key, b"", *found[:_LATENCY], None, found[_LATENCY], 0, None))
        created_at, size = found[_CREATED_AT], found[SIZE]
        if not isinstance(created_at, float) or not isinstance(size, int):
            return None
    except (msgspec.MsgspecError, TypeError, ValueError, IndexError):
        return None
    return row, size


def row_of(key: bytes, found: Sequence[bytes | None]) -> Row | None:
    """The row of what `FIELDS` hold; None if there is none, or not all of it."""
    columns, value, cost, hits, last_hit_at = found
    if columns is None or value is None:
        return None
    bare = bare_row(key, columns)
    if bare is None:
        return None
    try:
        return bare[0]._replace(
            value=value,
            cost_pico=None if cost is None else int(cost),
            hits=0 if hits is None else int(hits),
            last_hit_at=None if last_hit_at is None else float(last_hit_at),
        )
    except ValueError:
        return None
