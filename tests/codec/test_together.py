"""Promise 1 of small records: chunks, names and padding are made short, and come back byte for byte."""

from __future__ import annotations

import hashlib
import random
import string
import struct
import time
import tracemalloc
from dataclasses import replace

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from llm_cache.codec import columns, idents, together
from llm_cache.codec.codec import Codec
from llm_cache.core.model import Frame, Request, Row
from llm_cache.errors import EntryError, FormatError
from tests.codec.codec_samples import PLAIN

CODEC = Codec()
LIMIT = 1 << 24
ALNUM = string.ascii_letters + string.digits


def there_and_back(pieces: list[bytes]) -> tuple[list[columns.Part], int]:
    """The parts, and how many bytes they take without compression."""
    parts, cuts, letters = columns.parted(pieces)
    packed = msgspec.msgpack.encode((parts, cuts))
    parts, cuts = msgspec.msgpack.decode(packed, type=tuple[tuple[columns.Part, ...], bytes | tuple[int, ...]])
    assert columns.whole(parts, cuts, letters, LIMIT) == pieces
    return list(parts), len(packed) + len(letters)


def events(count: int, text: str = '{"id":"x%","n":%d,"delta":" word%d"}', end: str = "\n\n") -> list[bytes]:
    return [f"data: {text.replace('%d', str(number))}{end}".encode() for number in range(count)]


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"", b"\n\n", b'"', b'a"b"c\n\n', b"%b%%"]), max_size=12))
@example([b"\x00\x01\x02\x1e\x1f\t\n|~"] * 4)
@example([bytes(range(256)), bytes(range(255, -1, -1)), bytes(range(256))])
@example([b"", b"", b""])
@example([b"data: a\n\n", b"data: b\n\n", b"data: c\n\n", b"data: [DONE]"])
def test_any_chunks_come_back(pieces: list[bytes]) -> None:
    there_and_back(pieces)


@given(st.lists(st.text('ab"%\n\0', max_size=5), min_size=3, max_size=30), st.data())
def test_events_cut_anywhere_come_back(texts: list[str], data: st.DataObject) -> None:
    body = b"".join(b'data: {"t": "%b", "p": "x"}\n\n' % text.encode() for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    there_and_back([body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)])


def test_what_chunks_have_in_common_is_kept_once() -> None:
    pieces = events(50)
    parts, size = there_and_back(pieces)
    assert len(parts) == 1
    assert size < len(pieces[0]) + 50 * 12
    # Also where the network has put several events into one chunk, or cut through one.
    for cut in ([b"".join(pieces[:7]), *pieces[7:]], [pieces[0][:9], pieces[0][9:], *pieces[1:]]):
        parts, _ = there_and_back(cut)
        assert len(parts) == 1


def test_blanks_and_beginnings_cost_a_byte_each() -> None:
    chance = random.Random(1)
    lengths = [chance.randrange(12) for _ in range(200)]
    alphabet = string.ascii_lowercase + string.digits
    for pieces in (
        [b'data: {"type":"x"%b}\n\n' % (b" " * length) for length in lengths],
        [b'data: {"p":"%b"}\n\n' % alphabet[:length].encode() for length in lengths],
    ):
        _, size = there_and_back(pieces)
        assert size < 200 + 80


def test_random_letters_cost_six_bits_each() -> None:
    chance = random.Random(1)
    padding = ["".join(chance.choices(ALNUM, k=chance.randrange(1, 16))) for _ in range(200)]
    pieces = [f'data: {{"delta":"a","obfuscation":"{pad}"}}\n\n'.encode() for pad in padding]
    _, size = there_and_back(pieces)
    assert size < 200 + 100 + sum(map(len, padding)) * 3 / 4
    # Words are left to the compressor, which knows them.
    words = [f'data: {{"delta":"{word}"}}\n\n'.encode() for word in ("hello", "world", "again", "there") * 5]
    assert not columns.parted(words)[2]


# --- names ----------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.binary(max_size=6),
    st.text("0123456789abcdef", min_size=1, max_size=40).map(str.encode),
    st.text(ALNUM, max_size=140).map(str.encode),
    st.uuids().map(str).map(str.encode),
    st.sampled_from([b"\xc1", b"\xc1\xff", b"\xc1\x00", b"req_", b"-", b'"', b" "]),
)


@given(st.lists(NAMES, max_size=12).map(b"".join), st.binary(max_size=5))
def test_any_section_comes_back(section: bytes, more: bytes) -> None:
    slim, beside = idents.slimmed(section)
    assert idents.restored(slim, beside + more, LIMIT) == (section, more)


def test_names_are_kept_once_and_in_half_their_length() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    chance = random.Random(1)
    name = "".join(chance.choices(ALNUM, k=29))
    section = f'{{"id":"chatcmpl-{name}","again":"chatcmpl-{name}","fp":"{digest[:20]}","x":"{digest}"}}'.encode()
    slim, beside = idents.slimmed(section)
    assert len(slim) == len(section) - 2 * 29 - 20 - 64 + 4 * 2
    assert len(beside) == 1 + 3 + 24 + 10 + 32
    assert idents.restored(slim, beside, LIMIT) == (section, b"")


def test_more_names_than_have_numbers_stay_as_they_are() -> None:
    section = b" ".join(hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(400))
    slim, beside = idents.slimmed(section)
    assert beside[0] == 193
    assert idents.restored(slim, beside, LIMIT) == (section, b"")


def test_a_large_section_keeps_its_names_and_comes_back() -> None:
    section = hashlib.sha256(b"x").hexdigest().encode() * 2 + b" \xc1\xff\xc1\x00 " * 20_000
    slim, beside = idents.slimmed(section)
    assert beside == b"\0"
    assert idents.restored(slim, beside + b"more", LIMIT) == (section, b"more")
    pieces = [
        b'data: {"p":"%b","b":"\xc1\x00"}\n\n' % random.Random(n).randbytes(9).hex().upper().encode()
        for n in range(9000)
    ]
    frames = tuple(Frame(piece, 0) for piece in pieces)
    assert CODEC.decode(CODEC.encode(replace(PLAIN, frames=frames))).frames == frames


# --- what is told of times -------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**9), max_size=30))
def test_times_are_told_to_an_eighth_of_a_wait_and_never_drift(waits: list[int]) -> None:
    at, frames = 0, []
    for wait in waits:
        at += wait
        frames.append(Frame(b"x", at))
    told = CODEC.decode(CODEC.encode(replace(PLAIN, frames=tuple(frames)))).frames
    for number, (frame, found) in enumerate(zip(frames, told, strict=True)):
        before = told[number - 1].at_us if number else 0
        assert 0 <= frame.at_us - found.at_us <= (frame.at_us - before) / 8
    # What was read is written as it is.
    assert CODEC.decode(CODEC.encode(replace(PLAIN, frames=told))).frames == told


# --- hostile records: the checksum is right ---------------------------------------------------------


ROW = CODEC.encode(PLAIN)


def forged(section: object, beside: bytes = b"", *, flags: int = 0, wide: bool = True) -> Row:
    data = section if isinstance(section, bytes) else msgspec.msgpack.encode(section)
    head = b"\x8aLC\x03" + struct.pack("<BBBII", 0, flags | 2, 2, len(data), len(beside))
    columns_of = ROW.key + msgspec.msgpack.encode(tuple(ROW[2:11]))
    digest = hashlib.sha256(columns_of + head + data + beside).digest()[:8]
    return ROW._replace(value=head + digest + data + beside)


def record(parts: object, ticks: bytes = b"\x05", cuts: object = b"") -> list[object]:
    return [[], parts, cuts, ticks, None, None, None, "", [], b""]


def test_forging_works() -> None:
    assert CODEC.decode(forged(record([b"body"]))).body == b"body"
    run = [b"<%b>", [b"\0a\0b"]]
    assert CODEC.decode(forged(record([run], b"\1\1"))).body == b"<a><b>"
    assert CODEC.asked(forged(record([b"body"]))) is None


@pytest.mark.parametrize(
    "row",
    [
        forged(b""),
        forged([]),
        forged(record([b"x"])[:-1]),
        forged(record([b"x"], b"")),
        forged(record([b"x"], b"\1\1")),
        forged(record([["<%b>", [b"\0a"]]])),
        forged(record([[b"<%b>", []]])),
        forged(record([[b"<%b%b>", [b"\0a"]]])),
        forged(record([[b"<%d>", [b"\0a"]]])),
        forged(record([[b"<%*b>", [b"\0a"]]])),
        forged(record([[b"<%b%b>", [b"\0a", b"\0a\0b"]]])),
        forged(record([[b"<%b>", [b""]]])),
        forged(record([[b"<%b>", [[b"x"]]]], b"\1\1")),
        forged(record([[b"<%b>", [[b"a", b"b", b"c"]]]])),
        forged(record([b"x"] * 3, b"\1" * 3, b"\x02\x02")),
        forged(record([b"x"] * 3, b"\1" * 2, [1, 1])),
        forged(record([b"x"] * 3, b"\1" * 2, [4, -1])),
        forged(record([b"x"]), b"\x01"),
        forged(record([b"\xc1"]), b"\x00"),
        forged(record([b"\xc1\x00"]), b"\x00"),
        forged(record([b"\xc1\x00"]), b"\x01\x90"),
        forged(record([b"x"]), b"\xff" * 10),
        forged(record([b"x"]), flags=4),
        ROW._replace(value=b"\x8aLC\x03"),
    ],
    ids=lambda row: repr(row.value[23:60]),
)
def test_what_was_not_written_like_this_is_refused(row: Row) -> None:
    for read in (CODEC.decode, CODEC.asked) if len(row.value) < 30 else (CODEC.decode,):
        with pytest.raises(FormatError):
            read(row)


@pytest.mark.parametrize(
    "row",
    [
        forged(record([[b"x" * 4_000_000 + b"%b", [b"\0" * 1_000_000]]])),
        forged(record([[b"%b", [[b"x" * 255, b"\xff" * 4_000_000]]]])),
        forged(record([[b"%b", [[b"\xff" * 4_000_000]]]])),
        forged(record([b"\xc1\x00" * 4_000_000]), b"\x01\xbf" + bytes(63)),
    ],
    ids=["template", "beginnings", "letters", "names"],
)
def test_a_bomb_is_refused_before_it_goes_off(row: Row) -> None:
    tracemalloc.start()
    begun = time.monotonic()
    with pytest.raises(FormatError):
        CODEC.decode(row)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - begun < 10
    assert peak < 400 << 20


def test_damage_of_any_kind_is_read_or_refused() -> None:
    chance = random.Random(7)
    good = msgspec.msgpack.encode(record([[b"<%b>%b", [b"\0a\0b", [b"xyz", b"\1\2"]]], b"end"], b"\1\2\3"))
    names = b"\x02\x04ABC\xff" + bytes(range(16))
    for _ in range(3000):
        data, beside = bytearray(good), bytearray(names)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
            beside[chance.randrange(len(beside))] = chance.randrange(256)
        try:
            CODEC.decode(forged(bytes(data), bytes(beside)))
        except EntryError:
            continue


def test_a_large_request_is_kept_apart() -> None:
    entry = replace(PLAIN, asked=Request("POST", "u", (), b"x" * 5000))
    assert CODEC.encode(entry).value[3] == 2
    assert CODEC.encode(replace(entry, asked=Request("POST", "u", (), b"x" * 3000))).value[3] == 3


@pytest.mark.parametrize("wrong", ["parted", "slimmed"])
def test_what_would_not_come_back_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    def parted(pieces: list[bytes]) -> tuple[list[bytes], bytes, bytes]:
        return [*pieces[:-1], pieces[-1] + b"?"], b"", b""

    def slimmed(section: bytes) -> tuple[bytes, bytes]:
        return section[:-1] + b"?", b"\0"

    monkeypatch.setattr(together, wrong, {"parted": parted, "slimmed": slimmed}[wrong])
    row = CODEC.encode(PLAIN)
    assert CODEC.decode(row).frames == CODEC.decode(Codec(compress=False).encode(PLAIN)).frames
    assert CODEC.asked(row) == PLAIN.asked
