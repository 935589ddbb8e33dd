"""Splitting: other boundaries, the same bytes."""

import gzip
import itertools
import random

import pytest

from llm_cache.testing import Reply
from llm_cache.testing.split import pieces, split_events, split_random

STREAM = 'data: {"text":"grüße 🎉 \\u00e9"}\r\n\r\ndata: b\n\ndata: [DONE]\n\n'.encode()


def test_random_cuts_change_no_byte():
    for seed in range(200):
        assert b"".join(split_random(STREAM, random.Random(seed))) == STREAM


def test_random_cuts_have_no_empty_piece():
    assert all(all(split_random(STREAM, random.Random(seed))) for seed in range(200))
    assert split_random(b"", random.Random(0)) == []
    assert split_random(b"x", random.Random(0)) == [b"x"]


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"\xc3", b"\xbc"), (b"\xf0", b"\x9f"), (b"\r", b"\n"), (b"\n", b"\n"), (b"[DO", b"NE]"), (b"da", b"ta:")],
)
def test_random_cuts_go_where_it_hurts(before, after):
    def is_cut_there(seed):
        split = split_random(STREAM, random.Random(seed))
        return any(one.endswith(before) and other.startswith(after) for one, other in itertools.pairwise(split))

    assert sum(is_cut_there(seed) for seed in range(200)) > 20


def test_equal_seeds_cut_alike():
    assert split_random(STREAM, random.Random("7")) == split_random(STREAM, random.Random("7"))


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/event-stream", [b"a\r\n\r\n", b"b\n\n", b"c"]),
        ("application/x-ndjson", [b"a\r\n", b"\r\n", b"b\n", b"\n", b"c"]),
        ("application/json", [b"a\r\n\r\nb\n\nc"]),
        (None, [b"a\r\n\r\nb\n\nc"]),
    ],
)
def test_events_are_what_the_media_type_says(content_type, expected):
    assert split_events(b"a\r\n\r\nb\n\nc", content_type) == expected


def test_frames_of_an_aws_event_stream_are_events():
    frames = [(4 + size).to_bytes(4, "big") + b"x" * size for size in (12, 0, 100)]
    assert split_events(b"".join(frames), "application/vnd.amazon.eventstream") == frames


def test_a_damaged_frame_loses_no_byte():
    body = b"\x00\x00\x00\x00rest" + b"\xff" * 9
    assert b"".join(split_events(body, "application/vnd.amazon.eventstream")) == body


@pytest.mark.parametrize("how", ["random", "events", "bytes", "whole"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_way_to_cut_gives_the_same_body(how, packed):
    reply = Reply(body=STREAM, headers={"content-type": "text/event-stream"}, gzip=packed)
    body = b"".join(pieces(reply, how, random.Random(1)))
    assert (gzip.decompress(body) if packed else body) == STREAM


def test_given_chunks_stay_as_they_are_unless_a_split_is_asked_for():
    chunks = ["a" * 100, b"", b"b"]
    assert list(pieces(Reply(chunks=chunks), "random", random.Random(1))) == [b"a" * 100, b"", b"b"]
    split = list(pieces(Reply(chunks=chunks, split="bytes"), "random", random.Random(1)))
    assert len(split) == 101


def test_endless_chunks_are_not_collected():
    source = iter(pieces(Reply(chunks=itertools.repeat(b"x"), gzip=True), "random", random.Random(1)))
    assert all(next(source) for _ in range(5))
