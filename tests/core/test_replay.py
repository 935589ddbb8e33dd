"""A replay gives back the bytes as they came, in the pieces and at the pace in which they came."""

from __future__ import annotations

from llm_cache.core.model import Frame
from llm_cache.core.replay import chunks, paced
from tests.core.making import entry

FRAMES = (Frame(b"a", 100), Frame(b"bc", 1_000_100), Frame(b"d", 1_000_100), Frame(b"e", 900_000))


def test_a_stream_comes_back_in_its_pieces():
    assert chunks(entry(frames=FRAMES)) == [b"a", b"bc", b"d", b"e"]


def test_a_plain_reply_comes_back_in_one_piece_whatever_the_network_had_cut():
    assert chunks(entry(frames=FRAMES, stream=False)) == [b"abcde"]
    assert chunks(entry(frames=(), stream=False)) == []


def test_the_pace_is_the_providers_and_never_negative():
    assert list(paced(entry(frames=FRAMES))) == [(0.0001, b"a"), (1.0, b"bc"), (0.0, b"d"), (0.0, b"e")]
