"""Lines of JSON come out whole, however their chunks were cut."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from llm_cache.core.lines import LineSplitter


def split(*chunks: bytes) -> tuple[list[bytes], list[bytes]]:
    splitter = LineSplitter()
    found = [event.data for chunk in chunks for event in splitter.feed(chunk)]
    return found, [event.data for event in splitter.rest()]


def test_lines_end_with_a_line_feed_and_blank_ones_are_none():
    assert split(b'{"a":1}\n{"b":2}\r\n\n \n{"c"', b":3}\n") == ([b'{"a":1}', b'{"b":2}', b'{"c":3}'], [])


def test_the_end_of_the_body_completes_the_last_line():
    assert split(b"1\n2") == ([b"1"], [b"2"])
    assert split(b"1\n2\n \r") == ([b"1", b"2"], [])


def test_other_ends_of_line_are_no_ends():
    assert split('"\u2028\u0085"\r1\x0b\n'.encode()) == (['"\u2028\u0085"\r1'.encode()], [])


@given(body=st.binary(max_size=200) | st.text(alphabet='a"\\{}\r\n', max_size=100).map(str.encode), data=st.data())
def test_chunks_do_not_matter(body, data):
    cuts = data.draw(st.lists(st.integers(0, len(body))))
    edges = sorted({0, len(body), *cuts})
    chunks = [body[a:b] for a, b in itertools.pairwise(edges)]
    assert split(*chunks) == split(body)
    found, rest = split(body)
    assert found + rest == [line.strip() for line in body.split(b"\n") if line.strip()]
