"""Promise 6 for the formats that are not OpenAI's or Anthropic's: lines, arrays, binary messages, and their events.

`tests/providers/test_hostile.py` does the first part of this for the others. Here the framing is always right and what
is in it is not, then pieces of two streams are mixed, then they are larger than they may be, and then all of it comes
over a connection, to a client and to the proxy, and must leave nothing behind.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from llm_cache import LLMCache
from llm_cache.core.effects import Sent
from llm_cache.core.model import Endpoint, Head, Request, Step
from llm_cache.core.policy import Policy
from llm_cache.core.recorder import Recorder, Refused
from llm_cache.providers.registry import recognise
from llm_cache.testing import FakeUpstream, Reply
from llm_cache.testing.build_bedrock import event_message
from tests.core.making import WHOM
from tests.faces.callers import callers
from tests.proxy.running import NO_PROXY, running

from .fuzz_samples import SAMPLES, Sample, damaged

CHAT = {"model": "m", "messages": []}
CONTENTS = {"contents": []}
SSE, LINES, JSON = "text/event-stream", "application/x-ndjson", "application/json; charset=UTF-8"
FRAMES = "application/vnd.amazon.eventstream"

Told = tuple[str, dict[str, Any]]


def lines(events: list[Told]) -> bytes:
    return b"".join(json.dumps(data).encode() + b"\n" for _, data in events)


def array(events: list[Told]) -> bytes:
    return json.dumps([data for _, data in events], indent=1).encode()


def sse(events: list[Told]) -> bytes:
    return "".join(f"event: {name}\r\ndata: {json.dumps(data)}\r\n\r\n" for name, data in events).encode()


def frames(events: list[Told]) -> bytes:
    return b"".join(event_message(name or "x", json.dumps(data).encode()) for name, data in events)


def chunks(events: list[Told]) -> bytes:
    packed = [base64.b64encode(json.dumps(data).encode()).decode() for _, data in events]
    return frames([("chunk", {"bytes": data}) for data in packed])


class Format(NamedTuple):
    """Where a stream of it is asked for, how it is framed, and the words that mean something in it."""

    name: str
    path: str
    body: dict[str, Any]
    content_type: str
    frame: Callable[[list[Told]], bytes]
    kinds: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def endpoint(self) -> Endpoint:
        found = recognise(Request("POST", "http://127.0.0.1:8000" + self.path), self.body)
        assert found is not None
        return found

    @property
    def head(self) -> Head:
        return Head(200, (("content-type", self.content_type),))


GEMINI = ("candidates", "content", "parts", "text", "finishReason", "index", "promptFeedback", "blockReason", "thought")
GEMINI += ("usageMetadata", "promptTokenCount", "candidatesTokenCount", "modelVersion", "functionCall", "error")
BEDROCK = (
    "contentBlockIndex",
    "delta",
    "start",
    "text",
    "stopReason",
    "usage",
    "inputTokens",
    "outputTokens",
    "message",
)
FAMILIES = (
    "outputText",
    "generation",
    "completion",
    "completionReason",
    "stop_reason",
    "results",
    "outputs",
    "choices",
)
FAMILIES += ("amazon-bedrock-invocationMetrics", "inputTokenCount", "outputTokenCount", "totalOutputTextTokenCount")
FAMILIES += (
    "amazon-bedrock-guardrailAction",
    "amazon-bedrock-trace",
    "type",
    "delta",
    "content_block",
    "message",
    "index",
)
COHERE = ("delta", "message", "content", "text", "thinking", "finish_reason", "usage", "billed_units", "tokens", "type")
COHERE_1 = (
    "event_type",
    "is_finished",
    "text",
    "response",
    "finish_reason",
    "meta",
    "billed_units",
    "generations",
    "error",
)
OLLAMA = ("message", "content", "response", "done", "done_reason", "model", "prompt_eval_count", "eval_count", "error")
STOPS = (
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "OTHER",
    "stop",
    "end_turn",
    "COMPLETE",
    "ERROR",
    "INTERVENED",
    "length",
    "load",
)
CONVERSE = ("messageStart", "contentBlockDelta", "contentBlockStart", "messageStop", "metadata", "error")
CHAT_2 = ("message-start", "content-start", "content-delta", "tool-call-start", "message-end", "error")
FAMILY_KINDS = ("message_start", "message_delta", "message_stop", "content_block_delta", "completion", "")
STREAM = "/v1beta/models/m:streamGenerateContent"
FORMATS = (
    Format("gemini-array", STREAM, CONTENTS, JSON, array, ("",), GEMINI),
    Format("gemini-sse", STREAM, CONTENTS, SSE, sse, ("", "error"), GEMINI),
    Format("converse", "/model/m/converse-stream", CHAT, FRAMES, frames, CONVERSE, BEDROCK),
    Format("invoke", "/model/m/invoke-with-response-stream", CHAT, FRAMES, chunks, FAMILY_KINDS, FAMILIES),
    Format("cohere-2", "/v2/chat", {**CHAT, "stream": True}, SSE, sse, CHAT_2, COHERE),
    Format("cohere-1", "/v1/chat", {"message": "?", "stream": True}, "application/stream+json", lines, ("",), COHERE_1),
    Format("ollama", "/api/chat", CHAT, LINES, lines, ("",), OLLAMA),
    Format("ollama-generate", "/api/generate", {"model": "m", "prompt": "?"}, LINES, lines, ("",), OLLAMA),
)
every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
ENDS_BY_ITSELF = {"gemini-array", "gemini-sse", "invoke"}
"""Whole with their body: the first two have no terminal event, and a guardrail can end the third without one."""


def telling(form: Format) -> st.SearchStrategy[list[Told]]:
    """Events that hold this format's words, anywhere, with values of any type."""
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.sampled_from([10**40, -1, 0, 1, 0.5, "", "\ud800"])
        | st.text(max_size=4)
        | st.sampled_from((*STOPS, *form.kinds)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(form.words), inner, max_size=5),
        max_leaves=12,
    )
    objects = st.dictionaries(st.sampled_from(form.words), values, max_size=6)
    typed = st.tuples(st.sampled_from(form.kinds), objects)
    return st.lists(
        typed.map(lambda told: (told[0], {**told[1], **({"type": told[0]} if told[0] else {})})), max_size=5
    )


def judged(form: Format, *pieces: bytes):
    reader = form.endpoint.reader(form.head)
    steps = [reader.feed(piece) for piece in pieces]
    reading = reader.finish()
    if reading.text is not None:
        reading.text.encode()
    if reading.model is not None:
        assert len(reading.model.encode()) <= 1024
    for count in (reading.usage.input_tokens, reading.usage.output_tokens) if reading.usage else ():
        assert count is None or (type(count) is int and 0 <= count < 2**60)
    return Step.COMPLETE in steps, reading


@every_format
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_events_of_any_types_are_judged_and_chunks_do_not_matter(form: Format, data) -> None:
    body = form.frame(data.draw(telling(form)))
    complete, reading = judged(form, body)
    edges = sorted({0, len(body), *data.draw(st.lists(st.integers(0, max(0, len(body) - 1)), max_size=8))})
    again, same = judged(form, *(body[a:b] for a, b in itertools.pairwise(edges)))
    assert (again, same) == (complete, reading)
    if reading.flaw is None and form.name not in ENDS_BY_ITSELF:
        assert complete or form.frame is lines  # the last line needs no line feed


@every_format
@given(body=st.binary(max_size=300))
@settings(max_examples=30)
def test_garbage_is_never_whole(form: Format, body: bytes) -> None:
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        complete, reading = judged(form, *pieces)
        assert not complete
        assert reading.flaw in {"cut_off", "malformed"}


DEEP = 100_000


@every_format
@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b'{"message":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"candidates":[' + b"{}," * 20_000 + b"{}]}",
        b'{"done":true,"message":{"content":"' + b"\xed\xa0\x80" + b'"}}',
        b'{"done":true,"prompt_eval_count":' + b"9" * 5000 + b',"message":{"content":"a"}}',
        b'{"model":"' + b"m" * 100_000 + b'","done":true,"message":{"content":"a"}}',
        b'{"bytes":"' + b"A" * 100_001 + b'"}',
        b'{"bytes":{"a":1}}',
    ],
)
def test_the_worst_events(form: Format, data: bytes) -> None:
    """By hand, as nothing that writes JSON would write them."""
    body = {
        "array": b"[" + data + b"]",
        "lines": data + b"\n",
        "sse": b"data: " + data + b"\n\n",
        "frames": event_message("metadata", data),
        "chunks": event_message("chunk", json.dumps({"bytes": base64.b64encode(data).decode()}).encode()),
    }[form.frame.__name__]
    judged(form, body)


# --- pieces of two streams ------------------------------------------------------------------------


def halves(body: bytes, chance: random.Random) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(10):
        at = chance.randrange(1, len(body))
        yield body[:at], body[at:]


FRAMED = [sample for sample in SAMPLES if sample.name.startswith(("lines", "array", "frames", "sse"))]


@pytest.mark.parametrize("sample", FRAMED, ids=lambda sample: sample.name)
def test_a_stream_inside_of_another_one_is_neither(sample: Sample) -> None:
    """What two writers on one connection would make of it: one begins in the middle of what the other writes."""
    chance = random.Random(11)
    whole = sample.reply.payload
    for before, after in halves(whole, chance):
        mixed = before + whole + after
        reader = sample.endpoint.reader(sample.head)
        reader.feed(mixed)
        reading = reader.finish()
        if reading.flaw is None:
            # Only where no data was cut: between two events, or in a line of its own that only names the next one.
            assert not sample.name.startswith("array")
            assert sample.name.startswith("frames") or not before.rpartition(b"\n")[2].startswith((b"data", b"{"))


@pytest.mark.parametrize("sample", [each for each in FRAMED if "frames" in each.name], ids=lambda each: each.name)
def test_messages_with_a_wrong_sum_end_the_reading(sample: Sample) -> None:
    """A flipped bit anywhere, and every message but the first put before the one that it follows."""
    whole = sample.reply.payload
    for at in range(0, len(whole), 7):
        body = bytearray(whole)
        body[at] ^= 0x10
        reader = sample.endpoint.reader(sample.head)
        assert reader.feed(bytes(body)) is not Step.COMPLETE
        assert reader.finish().flaw in {"cut_off", "malformed"}


# --- more than there may be -----------------------------------------------------------------------


@every_format
@pytest.mark.parametrize("what", ["one event without an end", "events without an end", "spaces"])
def test_a_reply_without_an_end_is_let_go_of_at_the_size_limit(form: Format, what: str) -> None:
    """64 MiB, of which no more than one is kept, whatever it is."""
    event = form.frame([(form.kinds[0], {form.words[0]: "x" * 2000})])
    piece = {
        "one event without an end": b"x" * 65_536,
        "events without an end": event * (65_536 // len(event)),
        "spaces": b" \n" * 32_768,
    }[what]
    first = event[: len(event) // 2] if what.startswith("one") else b""
    policy = Policy(max_entry_bytes=1 << 20)
    request = Request("POST", "http://127.0.0.1:8000" + form.path)
    recorder = Recorder(request, form.endpoint, policy, WHOM, Sent(form.head, 0.0, 0.0))
    tracemalloc.start()
    try:
        recorder.feed(first, 0.0)
        for _ in range(1024):
            recorder.feed(piece, 0.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert recorder.refusal == "too_large"
    found = recorder.finish(1.0)
    assert isinstance(found, Refused)
    assert found.reason == "too_large"
    assert peak < 12 << 20


# --- over a connection ----------------------------------------------------------------------------


def spoilt(sample: Sample, chance: random.Random) -> Iterator[bytes]:
    """The sample cut, and with the bits of its frame or text flipped, so that it is none: by an independent judge."""
    whole = sample.reply.payload
    for _ in range(2):
        yield whole[: chance.randrange(len(whole) * 3 // 4)]
    found = 0
    while found < 2:
        body = damaged(whole, chance)
        reader = sample.endpoint.reader(sample.head)
        reader.feed(body)
        if reader.finish().flaw is not None:
            found += 1
            yield body


def test_nothing_that_is_spoilt_is_kept_by_the_library(upstream: FakeUpstream, database: str) -> None:
    """Each ends in good order, as far as HTTP goes, and comes back as it came."""
    chance = random.Random(3)
    call = callers()[0].values[0]
    with LLMCache(database_url=database) as cache:
        for sample in SAMPLES:
            upstream.reset()
            headers = {"content-type": sample.reply.content_type or ""}
            for body in spoilt(sample, chance):
                upstream.reply(sample.path, Reply(body=body, headers=headers))
                asked = (upstream.url + sample.path, json.dumps(sample.body).encode(), {"content-type": JSON})
                (got,) = call(cache, [asked])
                assert (got.outcome, got.body) == ("miss", body)
        assert list(cache.entries()) == []


def test_nothing_that_is_spoilt_is_kept_by_the_proxy(upstream: FakeUpstream, database: str) -> None:
    chance = random.Random(5)
    names = dict.fromkeys(("openai", "anthropic", "cohere", "google", "ollama", "bedrock"), upstream.url)
    with running(None, database_url=database, upstreams=names) as proxy, httpx.Client(**NO_PROXY) as client:
        for sample in SAMPLES:
            if "stranger" in sample.name:
                continue  # what OpenAI's own address would not send
            upstream.reset()
            for body in spoilt(sample, chance):
                upstream.reply(sample.path, Reply(body=body, headers={"content-type": sample.reply.content_type or ""}))
                got = client.post(proxy.url + sample.path, json=sample.body, headers={"authorization": "Bearer k"})
                assert (got.headers["x-llm-cache"], got.content) == ("miss", body)
    with LLMCache(database_url=database) as cache:
        assert list(cache.entries()) == []
