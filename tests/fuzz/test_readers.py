"""Promise 6 under fire: no reader crashes, hangs or grows, and garbage is never stored as complete."""

from __future__ import annotations

import json
import os
import random
import time
import tracemalloc

import pytest

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.lines import LineSplitter
from llm_cache.core.model import Step
from llm_cache.core.sse import EventSplitter

from .fuzz_samples import SAMPLES, Sample, damaged, pieces

ROUNDS = 150
LONG = int(os.environ.get("LLMCACHE_TEST_FUZZ_ROUNDS", "20000"))
ENDS_BY_ITSELF = {"sse of Gemini", "array of Gemini", "sse of a stranger"}
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def judged(sample: Sample, body: bytes, chance: random.Random | None = None):
    reader = sample.endpoint.reader(sample.head)
    steps = [reader.feed(piece) for piece in (pieces(body, chance) if chance else [body])]
    return steps, reader.finish()


def rounds(sample: Sample, count: int, seed: int) -> None:
    chance = random.Random(f"{sample.name} {seed}")
    whole, kept = sample.reply.payload, 0
    for _ in range(count):
        body = damaged(whole, chance)
        steps, reading = judged(sample, body, chance)
        assert judged(sample, body)[1] == reading, "chunks must not matter"
        if reading.text is not None:
            reading.text.encode()
        if reading.flaw is None:
            kept += 1
            # Damage that reads as an answer reads as a whole one: with an end, or as a body that is JSON.
            if sample.name.startswith(("sse", "lines", "frames")) and sample.name not in ENDS_BY_ITSELF:
                assert Step.COMPLETE in steps or sample.name.startswith("lines")
            elif sample.name.startswith(("body", "array")):
                json.loads(body)
    assert kept < count, "some damage must be seen"


@every_sample
def test_the_sample_itself_is_kept(sample: Sample) -> None:
    for seed in range(5):
        reading = judged(sample, sample.reply.payload, random.Random(seed))[1]
        assert (reading.flaw, reading.traits) == (None, frozenset())
        assert reading.text is not None
        assert reading.text.startswith("Hel")


@every_sample
def test_damaged_replies_are_judged_and_chunks_do_not_matter(sample: Sample) -> None:
    rounds(sample, ROUNDS, 1)


@pytest.mark.slow
@every_sample
def test_damaged_replies_for_longer(sample: Sample) -> None:
    rounds(sample, LONG, int(time.time()))


@every_sample
def test_no_prefix_is_whole_before_the_last_event(sample: Sample) -> None:
    """A connection that is cut in good order (some proxies do that) at any byte but those of the end."""
    whole = sample.reply.payload
    least = whole.rfind(b"lo") + 2  # of the text, unless it is in base64: before it nothing can be whole
    for at in range(0, len(whole), 3):
        steps, reading = judged(sample, whole[:at])
        if Step.COMPLETE not in steps and sample.name not in ENDS_BY_ITSELF:
            assert reading.flaw in {"cut_off", "malformed"} or whole[at:].strip() == b""
        if at < least:
            assert reading.flaw in {"cut_off", "malformed"}


@every_sample
def test_bytes_that_no_provider_sends_are_never_whole(sample: Sample) -> None:
    chance = random.Random(7)
    for size in (0, 1, 11, 12, 16, 100, 5000):
        body = chance.randbytes(size)
        assert judged(sample, body, chance)[1].flaw in {"cut_off", "malformed"}
    page = b"<html><body>502 Bad Gateway</body></html>"
    for body in (
        page,
        b"OK",
        b"\n" * 1000,
        b"{}\n" * 1000,
        b"[]",
        b"{}",
        b"null",
        b"0",
        b'""',
        b"[{}]",
        b"[[[",
        b"data: {}\n\n",
    ):
        assert judged(sample, body)[1].flaw in {"cut_off", "malformed"}, body


@pytest.mark.parametrize("make", [EventSplitter, LineSplitter, FrameSplitter], ids=lambda make: make.__name__)
@pytest.mark.parametrize("fill", [b"x", b"\n", b"\r", b'"', b"data: x\n", b"\x00", b"[", b"\x00\x00\x00\x10"])
def test_a_splitter_keeps_no_more_than_it_was_fed(make, fill: bytes) -> None:
    """One megabyte in small chunks: memory is a small multiple of them, and so is the work."""
    splitter = make()
    chunk = fill * (64 // len(fill))
    tracemalloc.start()
    for _ in range(16 * 1024):
        splitter.feed(chunk)
        _ = splitter.pending, splitter.remainder, splitter.broken
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 1024 * 1024


def test_a_frame_that_claims_to_be_large_is_not_waited_for() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"\x7f\xff\xff\xff" * 4) == []
    assert splitter.broken
    assert not splitter.remainder
