"""Stored bytes that were damaged are a miss: the envelope and the value codec read them or refuse, and never crash.

The rooms' own tests flip every bit of small records; here larger damage is done to larger ones.
"""

from __future__ import annotations

import datetime as dt
import random
import time
import tracemalloc
import uuid
from decimal import Decimal

import pytest

from llm_cache.codec.codec import Codec
from llm_cache.codec.values import decode_value, encode_value
from llm_cache.errors import EntryError
from tests.codec.codec_samples import SAMPLES

from .fuzz_samples import damaged
from .test_readers import LONG

CODEC = Codec()
VALUES = (
    {"text": "Hel\u00e9", "numbers": [1, 1.5, 2**80, float("inf"), Decimal("1.10")], "none": None},
    [(1, 2), {3, 4}, frozenset({"a"}), b"bytes", uuid.UUID(int=7)],
    dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc),
    {"deep": [[[[[{"a": [{"b": None}]}]]]]], "long": "x" * 2000},
)


def records(count: int, seed: int) -> None:
    chance = random.Random(seed)
    rows = [CODEC.encode(entry) for entry in SAMPLES.values()]
    for _ in range(count):
        row = chance.choice(rows)
        spoilt = row._replace(value=damaged(row.value, chance))
        if spoilt.value == row.value:
            continue
        try:
            # A hit does not look at the request, which has a sum of its own.
            found, whole = CODEC.decode(spoilt), CODEC.decode(row)
            assert (found.head, found.frames, found.usage) == (whole.head, whole.frames, whole.usage)
        except EntryError:
            pass
        with pytest.raises(EntryError):
            CODEC.asked(spoilt)


def values(count: int, seed: int) -> None:
    chance = random.Random(seed)
    stored = [encode_value(value) for value in VALUES]
    for _ in range(count):
        try:
            decode_value(damaged(chance.choice(stored), chance))
        except EntryError:
            continue


def test_a_damaged_record_is_never_read() -> None:
    records(2000, 3)


def test_a_damaged_value_is_read_or_refused_within_bounds() -> None:
    tracemalloc.start()
    values(3000, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


@pytest.mark.slow
def test_records_and_values_for_longer() -> None:
    seed = int(time.time())
    records(LONG, seed)
    values(LONG, seed)
