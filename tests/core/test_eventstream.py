"""AWS's event messages come out whole and checked, however their chunks were cut; garbage comes out never."""

from __future__ import annotations

import itertools
import struct
import zlib

import pytest
from hypothesis import given, strategies as st

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.sse import Event
from llm_cache.testing.build_bedrock import event_message


def split(*chunks: bytes) -> tuple[list[Event], bool, bool]:
    splitter = FrameSplitter()
    found = [event for chunk in chunks for event in splitter.feed(chunk)]
    return found, splitter.remainder, splitter.broken


ONE, TWO = event_message("messageStart", b'{"role":"assistant"}'), event_message("metadata", b"{}")


def test_messages_come_out_in_order():
    events = [Event(b"messageStart", b'{"role":"assistant"}'), Event(b"metadata", b"{}")]
    assert split(ONE + TWO) == (events, False, False)
    assert split(*(bytes([byte]) for byte in ONE + TWO)) == (events, False, False)


def test_an_unfinished_message_is_a_remainder():
    for size in range(1, len(TWO)):
        assert split(ONE + TWO[:size]) == ([Event(b"messageStart", b'{"role":"assistant"}')], True, False)


def test_what_is_no_event_is_an_error():
    told = event_message("throttlingException", b'{"message":"slow"}', kind="exception")
    assert split(told)[0] == [Event(b"error", b'{"message":"slow"}')]


@pytest.mark.parametrize("at", range(0, len(ONE), 3))
def test_a_message_with_a_flipped_bit_breaks_the_stream(at):
    damaged = bytearray(ONE)
    damaged[at] ^= 4
    found, remainder, broken = split(bytes(damaged) + TWO + TWO)
    # A length that was made longer is only found out by the sum of the prelude, which is there at once.
    assert (found, remainder, broken) == ([], False, True)


def framed(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    "value",
    [b"\x00", b"\x01", b"\x02\x01", b"\x03ab", b"\x04abcd", b"\x058bytes..", b"\x06\x00\x02ab", b"\x07\x00\x02ab",
     b"\x088bytes..", b"\x09sixteen bytes..!"],
)  # fmt: skip
def test_headers_of_every_type_are_passed_over(value):
    name = b"\x0b:event-type\x07\x00\x05chunk"
    assert split(framed(b"\x01x" + value + name, b"{}")) == ([Event(b"chunk", b"{}")], False, False)
    assert split(framed(name + b"\x01x" + value, b"{}")) == ([Event(b"chunk", b"{}")], False, False)
    if len(value) > 1:
        assert split(framed(name + b"\x01x" + value[:-1]))[2]


@pytest.mark.parametrize(
    "headers", [b"\x05ab", b"\x01x", b"\x01x\x0a", b"\x01x\x07\xff\xff", b"\x00", b"\x01x\x07\x00"]
)
def test_headers_that_are_none_break_the_stream(headers):
    assert split(framed(headers)) == ([], False, True)


@pytest.mark.parametrize(("size", "headers"), [(0, 0), (15, 0), (16, 1), (2**31, 0), (25 * 2**20, 0), (20, 2**32 - 1)])
def test_a_length_that_no_message_has_breaks_the_stream_before_its_bytes_are_awaited(size, headers):
    prelude = struct.pack(">II", size, headers)
    assert split(prelude + struct.pack(">I", zlib.crc32(prelude))) == ([], False, True)


@given(
    messages=st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=60)), max_size=5),
    cuts=st.lists(st.integers(0, 400)),
    rest=st.binary(max_size=30),
)
def test_chunks_do_not_matter(messages, cuts, rest):
    body = b"".join(event_message(name, payload) for name, payload in messages) + rest
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    found = split(*(body[a:b] for a, b in itertools.pairwise(edges)))
    assert found == split(body)
    assert found[0][: len(messages)] == [Event(name.encode(), payload) for name, payload in messages]


@given(body=st.binary(max_size=300))
def test_garbage_is_no_message(body):
    found, _, broken = split(body)
    assert found == []
    assert broken or len(body) < 12


def test_botocore_reads_the_same():
    eventstream = pytest.importorskip("botocore.eventstream")
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(ONE + TWO)
    assert [(each.headers[":event-type"].encode(), each.payload) for each in buffer] == split(ONE + TWO)[0]
