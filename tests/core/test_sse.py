"""Events come out the same however the bytes were cut, and at the cost of looking at each byte once."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, strategies as st

from llm_cache.core.sse import Event, EventSplitter


def split(*chunks: bytes) -> list[Event]:
    splitter = EventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data: a\r\n\r\n", [(b"", b"a")]),
        (b"data: a\r\r", [(b"", b"a")]),
        (b"data: a\n\r\n", [(b"", b"a")]),
        (b"data: a\r\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a \n\n", [(b"", b" a ")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        (b"event: e\ndata: a\n\n", [(b"e", b"a")]),
        (b"data: a\nevent: e\n\n", [(b"e", b"a")]),
        (b"event: e\nevent: f\ndata: a\n\n", [(b"f", b"a")]),
        (b"event: e\n\ndata: a\n\n", [(b"", b"a")]),
        (b"event\ndata: a\n\n", [(b"", b"a")]),
        (b"data: a\ndata: b\ndata:\n\n", [(b"", b"a\nb\n")]),
        (b"data\n\n", [(b"", b"")]),
        (b"data\ndata\n\n", [(b"", b"\n")]),
        (b": comment\n\n:\ndata: a\n: more\n\n", [(b"", b"a")]),
        (b"id: 1\nretry: 5\nfoo: bar\ndata: a\n\n", [(b"", b"a")]),
        (b"data : a\ndatax: b\nDATA: c\n\n", []),
        (b"data: a:b\n\n", [(b"", b"a:b")]),
        (b"\n\n\ndata: a\n\n\n\n", [(b"", b"a")]),
        (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\x0bb\x0c\x1c\x85c\n\n", [(b"", b"a\x0bb\x0c\x1c\x85c")]),
        (b"data: \xe2\x80\xa8\n\n", [(b"", b"\xe2\x80\xa8")]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
    ],
)
def test_the_standards_examples(stream, events):
    assert split(stream) == events
    assert split(*(stream[i : i + 1] for i in range(len(stream)))) == events


def test_an_event_is_handed_out_with_its_blank_line_and_not_before():
    splitter = EventSplitter()
    assert splitter.feed(b"data: [DONE]") == []
    assert splitter.pending is None
    assert splitter.feed(b"\n") == []
    assert splitter.pending == Event(b"", b"[DONE]")
    assert splitter.remainder
    assert splitter.feed(b"\n") == [Event(b"", b"[DONE]")]
    splitter.feed(b"data: a\ndata: b\n")
    assert splitter.pending is None
    assert splitter.feed(b"\n") == [Event(b"", b"a\nb")]
    assert splitter.pending is None
    assert not splitter.remainder


def test_a_carriage_return_dispatches_at_once():
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\r") == [Event(b"", b"a")]
    assert splitter.feed(b"\ndata: b\r\n\r") == [Event(b"", b"b")]
    assert splitter.feed(b"\n") == []
    assert not splitter.remainder


@pytest.mark.parametrize("rest", [b"d", b"data: a", b"data: a\n", b"event: x\n", b": comm"])
def test_what_no_event_holds_is_a_remainder(rest):
    splitter = EventSplitter()
    splitter.feed(b"data: a\n\n")
    assert not splitter.remainder
    splitter.feed(rest)
    assert splitter.remainder


def test_a_finished_comment_is_no_remainder():
    splitter = EventSplitter()
    splitter.feed(b": ping\n")
    assert not splitter.remainder


LINES = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b"event: e",
        b": c",
        b"",
        b"",
        b"id: 7",
        b"\xef\xbb\xbfdata: y",
        b"\xff\x00",
        b"data: \r",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(0, 200)))
def test_chunks_cut_anywhere_give_the_same_events(lines, cuts):
    stream = b"".join(line + end for line, end in lines)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert split(*chunks) == split(stream)
    assert split(*(stream[i : i + 1] for i in range(len(stream)))) == split(stream)


@given(st.lists(st.binary()))
def test_garbage_is_taken(chunks):
    assert split(*chunks) == split(b"".join(chunks))


def test_the_time_is_linear_in_the_bytes():
    def seconds(size: int) -> float:
        splitter = EventSplitter()
        start = time.perf_counter()
        for _ in range(size):
            splitter.feed(b"x")  # one line that never ends
            _ = splitter.pending, splitter.remainder
        return time.perf_counter() - start

    seconds(1000)
    assert min(seconds(80_000) for _ in range(3)) < 40 * min(seconds(10_000) for _ in range(3))


def test_many_data_lines_in_small_chunks_are_linear_too():
    splitter = EventSplitter()
    start = time.perf_counter()
    for _ in range(100_000):
        splitter.feed(b"data: x\n")
        _ = splitter.pending
    assert time.perf_counter() - start < 5
    (event,) = splitter.feed(b"\n")
    assert event.data.count(b"\n") == 99_999
