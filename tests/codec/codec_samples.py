"""Entries for the codec's tests: one of every kind, and a strategy for all of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from llm_cache.core.model import Entry, Frame, Head, Request, Usage

HEADERS = (("content-type", "application/json"), ("x-request-id", "req_1"), ("x-request-id", "req_2"))

PLAIN = Entry(
    key="0123456789abcdef" * 4,
    kind="http",
    provider="openai",
    model="gpt-4o-2024-08-06",
    endpoint="/v1/chat/completions",
    namespace="default",
    head=Head(200, HEADERS),
    frames=(Frame(b'{"choices": [{"message": {"content": "' + b"The quick brown fox. " * 20 + b'"}}]}', 1234),),
    stream=False,
    created_at=1_700_000_000.25,
    expires_at=1_702_592_000.25,
    asked=Request("POST", "https://api.openai.com/v1/chat/completions", (("openai-beta", "x"),), b'{"model":"gpt-4o"}'),
    usage=Usage(12, 34, 5, None, 0, None, None),
    cost_usd=Decimal("0.000123456789"),
    latency_ms=812.5,
    hits=3,
    last_hit_at=1_700_000_100.5,
)
STREAM = replace(
    PLAIN,
    key="f" * 64,
    stream=True,
    frames=(
        *(
            Frame(b'data: {"choices": [{"delta": {"content": "word %d"}}]}\n\n' % number, 200_000 + number * 17_321)
            for number in range(30)
        ),
        Frame(b"data: [DONE]\n\n", 900_000),
    ),
    expires_at=None,
    usage=None,
    cost_usd=None,
)
BARE = Entry(
    key="0" * 64,
    kind="value",
    provider="",
    model="",
    endpoint="",
    namespace="",
    head=Head(200),
    frames=(),
    stream=False,
    created_at=0.0,
    expires_at=None,
)
BILLED = replace(
    PLAIN,
    key="b" * 64,
    usage=Usage(
        *range(100, 107),
        cache_write_1h_tokens=107,
        cache_read_audio_tokens=108,
        cache_read_image_tokens=109,
        input_image_tokens=110,
        output_image_tokens=111,
        input_video_tokens=112,
        web_searches=113,
        file_searches=114,
        search_units=115,
        audio_ms=116,
        billed_pico=117,
        terms="flex",
    ),
)
"""With everything that a bill may be made of."""
SAMPLES = {"plain": PLAIN, "billed": BILLED, "stream": STREAM, "bare": BARE, "no-request": replace(PLAIN, asked=None)}

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_headers = st.lists(st.tuples(_text, _text), max_size=4).map(tuple)
_count = st.none() | st.integers(0, 2**63 - 1)
_time = st.floats(0, 1e11, allow_nan=False)

entries = st.builds(
    Entry,
    key=st.binary(min_size=32, max_size=32).map(bytes.hex),
    kind=st.sampled_from(["http", "value", "call"]),
    provider=_text,
    model=_text,
    endpoint=_text,
    namespace=_text,
    head=st.builds(Head, st.integers(0, 999), _headers),
    frames=st.lists(st.builds(Frame, st.binary(max_size=200), st.integers(0, 2**63 - 1)), max_size=6).map(tuple),
    stream=st.booleans(),
    created_at=_time,
    expires_at=st.none() | _time,
    asked=st.none() | st.builds(Request, _text, _text, _headers, st.binary(max_size=200)),
    usage=st.none()
    | st.builds(
        Usage,
        *[_count] * 7,
        cache_write_1h_tokens=_count,
        billed_pico=_count,
        search_units=_count,
        terms=st.none() | _text,
    ),
    cost_usd=st.none() | st.integers(-(2**62), 2**62).map(lambda pico: Decimal(f"{pico}e-12")),
    latency_ms=_time,
    hits=st.integers(0, 2**62),
    last_hit_at=st.none() | _time,
)


def without_request(entry: Entry, size: int) -> Entry:
    """What `decode` gives for that entry."""
    return replace(as_kept(entry), asked=None, size_bytes=size)


def as_kept(entry: Entry) -> Entry:
    """The entry with its times as they are told again (what that means, `test_together` says)."""
    waits, told, frames = [], 0, []
    for frame in entry.frames:
        waits.append(max(0, frame.at_us - told))
        told += _told(waits[-1])
        frames.append(Frame(frame.data, told))
    return replace(entry, frames=tuple(frames))


def _told(wait_us: int) -> int:
    """Its first four binary digits; what is longer than four hours and a half is that."""
    dropped = max(0, wait_us.bit_length() - 4)
    return min(wait_us >> dropped << dropped, 15 << 30)
