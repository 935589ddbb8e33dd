"""Promise 2: a record that is not as it was written is never an answer, and costs no more than a miss."""

from __future__ import annotations

import hashlib
import random
import re
import struct
import time
import tracemalloc
from dataclasses import replace

import msgspec
import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from llm_cache.codec.codec import Codec
from llm_cache.core.model import Request, Row
from llm_cache.errors import EntryError, FormatError, SealError
from tests.codec.codec_samples import PLAIN, SAMPLES

CODEC = Codec()
LONG_REQUEST = replace(PLAIN, asked=Request("POST", "https://x", (), b'{"messages": "' + b"hello, " * 1000 + b'"}'))


def both(row: Row) -> None:
    """Everything that reads a record; `asked` checks all of it."""
    CODEC.decode(row)
    CODEC.asked(row)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("compress", [True, False])
def test_every_flipped_bit_is_seen(name: str, compress: bool) -> None:
    row = Codec(compress=compress).encode(SAMPLES[name])
    for place in range(len(row.value)):
        for bit in range(8):
            value = bytearray(row.value)
            value[place] ^= 1 << bit
            with pytest.raises(EntryError):
                both(row._replace(value=bytes(value)))


def test_no_flipped_bit_changes_what_a_hit_answers() -> None:
    row = CODEC.encode(LONG_REQUEST)
    whole = CODEC.decode(row)
    for place in range(len(row.value)):
        value = bytearray(row.value)
        value[place] ^= 1 << place % 8
        try:
            assert CODEC.decode(row._replace(value=bytes(value))) == whole
        except EntryError:
            continue


@pytest.mark.parametrize("name", SAMPLES)
def test_every_truncation_and_every_addition_is_seen(name: str) -> None:
    row = CODEC.encode(SAMPLES[name])
    for length in range(len(row.value)):
        with pytest.raises(FormatError):
            CODEC.decode(row._replace(value=row.value[:length]))
    for more in (b"\0", b"x" * 100, row.value):
        with pytest.raises(FormatError):
            CODEC.decode(row._replace(value=row.value + more))


@pytest.mark.parametrize(
    "changes",
    [
        {"key": bytes(32)},
        {"kind": "value"},
        {"provider": "anthropic"},
        {"model": "gpt-4"},
        {"endpoint": "/v1/completions"},
        {"namespace": "other"},
        {"stream": True},
        {"status": 201},
        {"created_at": PLAIN.created_at + 1e-6},
        {"expires_at": None},
        {"expires_at": PLAIN.expires_at + 86_400},
        # The same text, distributed otherwise.
        {"provider": "open", "model": "ai" + PLAIN.model},
    ],
    ids=repr,
)
def test_a_record_under_other_columns_is_no_answer(changes) -> None:
    row = CODEC.encode(PLAIN)
    with pytest.raises(FormatError):
        CODEC.decode(row._replace(**changes))
    with pytest.raises(FormatError):
        CODEC.asked(row._replace(**changes))


def test_money_and_hits_may_change() -> None:
    row = CODEC.encode(PLAIN)._replace(cost_pico=5, hits=99, last_hit_at=1.0)
    assert CODEC.decode(row).hits == 99


@given(st.binary(max_size=300))
def test_garbage_is_a_format_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        CODEC.decode(CODEC.encode(PLAIN)._replace(value=data))


@pytest.mark.parametrize("part", Row._fields)
@pytest.mark.parametrize(
    "wrong",
    [None, 1, "text", b"bytes", (), object(), float("nan"), "\ud800"],
    ids=lambda odd: re.sub(" at 0x[0-9a-f]+", "", repr(odd)),
)
def test_columns_of_any_kind_are_a_format_error_or_harmless(part: str, wrong: object) -> None:
    row = CODEC.encode(PLAIN)._replace(**{part: wrong})
    for read in (CODEC.decode, CODEC.asked):
        try:
            read(row)
        except EntryError:
            continue


# From here on the checksum is right: somebody who can write to the store made the record.


def forged(row: Row, reply: bytes, **header: int) -> Row:
    """The row with a record of version 2 that says what it is told to."""
    said = {"cipher": 0, "flags": 0, "dictionary": 0, "zero": 0, "stored": len(reply), "size": len(reply), **header}
    head = b"\x8aLC\x02" + struct.pack("<BBBBIIII", *said.values(), 0, 0)
    digest = hashlib.sha256().digest()[:8]
    checksum = hashlib.sha256(columns_of(row) + head + digest + reply).digest()[:8]
    return row._replace(value=head + checksum + digest + reply)


def columns_of(row: Row) -> bytes:
    return row.key + msgspec.msgpack.encode(tuple(row[2:11]))


def forged_v1(row: Row, reply: bytes, **header: int) -> Row:
    """Likewise of version 1."""
    said = {"flags": 0, "cipher": 0, "key": 0, "dictionary": 0, "stored": len(reply), "size": len(reply), **header}
    head = struct.pack("<HHIIIIII", *said.values(), 0, 0) + hashlib.sha256().digest()[:16]
    checksum = hashlib.sha256(columns_of(row) + head + reply).digest()[:16]
    return row._replace(value=b"\x8aLC\x01" + checksum + head + reply)


ROW = CODEC.encode(PLAIN)
GOOD = msgspec.msgpack.encode(((("a", "b"),), (b"body",), (1,), None))
GOOD_V1 = msgspec.msgpack.encode(((("a", "b"),), ((b"body", 1),), None))


def test_forging_works() -> None:
    assert CODEC.decode(forged(ROW, GOOD)).body == b"body"


def test_later_versions_may_append_fields() -> None:
    later = msgspec.msgpack.encode(((("a", "b"),), (b"body",), (1,), {"input_tokens": 3, "dreams": 4}, "more", [1]))
    entry = CODEC.decode(forged(ROW, later))
    assert (entry.body, entry.input_tokens) == (b"body", 3)


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ({"flags": 4}, FormatError),
        ({"flags": 0x80}, FormatError),
        ({"zero": 1}, FormatError),
        ({"flags": 1, "dictionary": 255}, FormatError),
        ({"cipher": 1}, EntryError),
        ({"cipher": 255}, SealError),
        ({"size": 1}, FormatError),
        ({"size": 2**32 - 1}, FormatError),
        ({"flags": 1}, FormatError),
    ],
    ids=repr,
)
def test_what_this_version_does_not_have_is_refused(header, error) -> None:
    with pytest.raises(error):
        CODEC.decode(forged(ROW, GOOD, **header))


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ({"flags": 4}, FormatError),
        ({"flags": 0x8000}, FormatError),
        ({"key": 1}, FormatError),
        ({"dictionary": 1}, FormatError),
        ({"cipher": 1}, SealError),
        ({"cipher": 65535, "key": 7}, SealError),
        ({"size": 1}, FormatError),
        ({"size": 2**32 - 1}, FormatError),
        ({"flags": 1}, FormatError),
    ],
    ids=repr,
)
def test_what_version_1_never_had_is_refused(header, error) -> None:
    assert CODEC.decode(forged_v1(ROW, GOOD_V1)).body == b"body"
    with pytest.raises(error):
        CODEC.decode(forged_v1(ROW, GOOD_V1, **header))


def test_a_later_version_says_so() -> None:
    with pytest.raises(FormatError, match="version 4"):
        CODEC.decode(ROW._replace(value=b"\x8aLC\x04" + ROW.value[4:]))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\xc0",
        b"\x93\x90\x90",
        msgspec.msgpack.encode([[], [], []])[:-1],
        msgspec.msgpack.encode([[], [b"x"], []]),
        msgspec.msgpack.encode([[], [b"x", b"y"], [1]]),
        msgspec.msgpack.encode([[], [b"x"], [1, 2, 3]]),
        msgspec.msgpack.encode({}),
        msgspec.msgpack.encode([[], [], [], [1, 2]]),
        msgspec.msgpack.encode([[["a"]], [], []]),
        msgspec.msgpack.encode([[], [[b"x"]], [1]]),
        msgspec.msgpack.encode([[], ["text"], [1]]),
        msgspec.msgpack.encode([[], [b"x"], [1.5]]),
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x92\x90\xdd\xff\xff\xff\xff\x92\xc4\x01a\x01",
        b"\x92\x90\x91\x92\xc6\xff\xff\xff\xffx\x01",
        b"\x92\x91\x92\xa2\xff\xfe\xa1a\x90",
    ],
    ids=lambda reply: repr(reply[:20]),
)
def test_a_forged_reply_is_a_format_error(reply: bytes) -> None:
    with pytest.raises(FormatError):
        CODEC.decode(forged(ROW, reply))


def frame_claiming(size: int, content: bytes) -> bytes:
    """A zstd frame whose header says another size than its content has (RFC 8878, 3.1.1.1)."""
    # Magic, a descriptor for an eight-byte size without window, that size, one last raw block.
    block = (len(content) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + size.to_bytes(8, "little") + block + content


BOMB = zstandard.ZstdCompressor(level=19).compress(bytes(512 * 1024 * 1024))


@pytest.mark.parametrize(
    ("stored", "size"),
    [
        (BOMB, 512 * 1024 * 1024),
        (BOMB, 1000),
        (frame_claiming(2**60, b"x"), 1000),
        (frame_claiming(1000, b"x"), 1000),
        (frame_claiming(2**32 - 1, b"x"), 2**32 - 1),
        (b"\x28\xb5\x2f\xfd", 1000),
        (b"\x50\x2a\x4d\x18\xff\xff\xff\xff", 1000),
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10_000)), 10_000),
        (zstandard.ZstdCompressor().compress(GOOD)[:-3], len(GOOD)),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_a_bomb_is_refused_before_it_goes_off(stored: bytes, size: int) -> None:
    # Version 2 leaves out a frame's magic number, and has dictionaries.
    forgeries = [forged(ROW, stored[4:], flags=1, size=size, dictionary=number) for number in (0, 1)]
    for row in (*forgeries, forged_v1(ROW, stored, flags=1, size=size)):
        refused_at_once(row)


def refused_at_once(row: Row) -> None:
    tracemalloc.start()
    begun = time.monotonic()
    with pytest.raises(FormatError):
        CODEC.decode(row)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - begun < 1
    assert peak < 1024 * 1024


def test_a_frame_that_wants_a_large_window_is_refused() -> None:
    # Not one segment, a window of 128 MiB (RFC 8878, 3.1.1.1.2), a size of four bytes, and a block that is cut off.
    stored = b"\x28\xb5\x2f\xfd" + bytes([0b10000000, 17 << 3]) + (1000).to_bytes(4, "little") + b"\x41\x1f\x00x"
    with pytest.raises(FormatError, match="too much memory"):
        CODEC.decode(forged(ROW, stored[4:], flags=1, size=1000))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_forged_garbage_is_a_format_error(reply: bytes) -> None:
    for flags, dictionary in ((0, 0), (1, 0), (1, 1)):
        try:
            CODEC.decode(forged(ROW, reply, flags=flags, dictionary=dictionary))
        except FormatError:
            continue


def test_mutated_replies_are_read_or_refused() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        reply = bytearray(GOOD)
        for _ in range(chance.randint(1, 4)):
            reply[chance.randrange(len(reply))] = chance.randrange(256)
        try:
            CODEC.decode(forged(ROW, bytes(reply)))
        except FormatError:
            continue
