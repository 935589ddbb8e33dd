"""An OpenAI-compatible vendor that nobody has heard of just works: nothing depends on having seen a reply before."""

from __future__ import annotations

import json
import random
import string

import pytest
from hypothesis import given, settings, strategies as st

from llm_cache import LLMCache
from llm_cache.core.model import Endpoint, Head, Request, Step
from llm_cache.providers.registry import recognise
from llm_cache.testing import FakeUpstream, Reply
from tests.faces.callers import Caller, callers

from .provider_samples import cut, read

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=9)
UNKNOWN = st.dictionaries(
    st.text(string.ascii_lowercase + "_", min_size=3, max_size=12).map(lambda name: "x_" + name),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
WORDS = st.lists(st.text(min_size=1, max_size=6).filter(lambda text: text.isprintable()), min_size=1, max_size=6)


@st.composite
def vendors(draw) -> dict:
    """A vendor: where it is, which of the fields it leaves out, what it adds, and how it writes."""
    host = ".".join(draw(st.lists(NAMES, min_size=2, max_size=3))) + ".example"
    return {
        "base": f"https://{host}" + draw(st.sampled_from(["", "/v1", "/api/v1", "/llm/openai/v1", "/v3"])),
        "extra": draw(UNKNOWN),
        "leaves_out": draw(st.sets(st.sampled_from(["id", "object", "created", "model", "index", "role", "usage"]))),
        "field": "x_" + draw(NAMES),
        "spaces": draw(st.booleans()),
        "crlf": draw(st.booleans()),
        "comments": draw(st.booleans()),
        "done": draw(st.booleans()),
        "usage_chunk": draw(st.booleans()),
        "type": draw(st.sampled_from(["text/event-stream", "text/event-stream; charset=utf-8", None])),
    }


def request_to(vendor: dict, *, stream: bool) -> Endpoint:
    body = {"model": "frob-1", "messages": [{"role": "user", "content": "?"}], vendor["field"]: 1}
    if stream:
        body["stream"] = True
    request = Request("POST", vendor["base"] + "/chat/completions", (), json.dumps(body).encode())
    endpoint = recognise(request, body)
    assert endpoint is not None
    return endpoint


def without(vendor: dict, fields: dict) -> dict:
    return {name: value for name, value in fields.items() if name not in vendor["leaves_out"]} | vendor["extra"]


USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def plain(vendor: dict, words: list[str]) -> bytes:
    message = without(vendor, {"role": "assistant", "content": "".join(words)})
    choice = without(vendor, {"index": 0, "message": message, "finish_reason": "stop"})
    body = without(vendor, {"id": "1", "object": "chat.completion", "created": 1, "model": "frob-1", "usage": USAGE})
    return json.dumps({**body, "choices": [choice]}, indent=1 if vendor["spaces"] else None).encode()


def streamed(vendor: dict, words: list[str]) -> list[bytes]:
    common = without(vendor, {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "frob-1"})
    deltas = [without(vendor, {"role": "assistant", "content": word}) for word in words]
    chunks = [{**common, "choices": [without(vendor, {"index": 0, "delta": delta})]} for delta in deltas]
    end = {**common, "choices": [without(vendor, {"index": 0, "delta": {}, "finish_reason": "stop"})]}
    counted = {} if "usage" in vendor["leaves_out"] else {"usage": USAGE}
    chunks += [end, {**common, "choices": [], **counted}] if vendor["usage_chunk"] else [{**end, **counted}]
    line = "\r\n" if vendor["crlf"] else "\n"
    before = f": ping{line}{line}" if vendor["comments"] else ""
    made = [f"{before}data: {json.dumps(chunk)}{line}{line}".encode() for chunk in chunks]
    return [*made, f"data: [DONE]{line}{line}".encode()] if vendor["done"] else made


@given(vendor=vendors(), words=WORDS)
def test_a_plain_reply_is_understood(vendor, words):
    reading = read(request_to(vendor, stream=False), Head(200), plain(vendor, words))[1]
    assert (reading.flaw, reading.traits) == (None, frozenset())
    assert reading.text == "".join(words)
    assert (reading.usage is None) == ("usage" in vendor["leaves_out"])


@settings(max_examples=200)
@given(vendor=vendors(), words=WORDS, seed=st.integers(0, 2**16))
def test_a_stream_is_understood_however_it_is_cut(vendor, words, seed):
    endpoint = request_to(vendor, stream=True)
    head = Head(200, (("content-type", vendor["type"]),) if vendor["type"] else ())
    pieces = streamed(vendor, words)
    body = b"".join(pieces)
    steps, reading = read(endpoint, head, *cut(body, seed))
    assert (reading.flaw, reading.traits, reading.text) == (None, frozenset(), "".join(words))
    assert reading == read(endpoint, head, body)[1]
    assert (Step.COMPLETE in steps) == vendor["done"]
    if reading.usage is not None:
        assert (reading.usage.input_tokens, reading.usage.output_tokens) == (7, 5)
    # Cut before the last word has come, or inside an event, it is none, whatever ends this vendor's streams.
    finish = len(b"".join(pieces[: len(words)]))
    for at in {random.Random(seed).randrange(finish), finish}:
        assert read(endpoint, head, body[:at])[1].flaw == "cut_off"


def test_a_vendor_that_is_known_ends_its_streams_with_done():
    vendor = {
        "base": "https://api.openai.com/v1",
        **dict.fromkeys(("spaces", "crlf", "comments", "done", "usage_chunk"), False),
        "extra": {},
        "leaves_out": set(),
        "field": "x_x",
    }
    body = b"".join(streamed(vendor, ["Hi"]))
    head = Head(200, (("content-type", "text/event-stream"),))
    for base in ("https://api.openai.com/v1", "https://api.mistral.ai/v1", "http://127.0.0.1:8000/v1"):
        endpoint = request_to({**vendor, "base": base}, stream=True)
        assert read(endpoint, head, body)[1].flaw == "cut_off"
        assert read(endpoint, head, body + b"data: [DONE]\n\n")[1].flaw is None
    assert read(request_to({**vendor, "base": "https://llm.acme.example"}, stream=True), head, body)[1].flaw is None


def test_usage_that_was_announced_must_come():
    endpoint = request_to({"base": "https://llm.acme.example", "field": "x_x"}, stream=True)
    head = Head(200, (("content-type", "text/event-stream"),))
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
    one = f"data: {json.dumps({'choices': [choice], 'usage': None})}\n\n".encode()
    two = f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\n".encode()
    assert read(endpoint, head, one)[1].flaw == "cut_off"
    assert read(endpoint, head, one + two)[1].flaw is None


@pytest.mark.parametrize("call", callers()[:2])
def test_it_is_kept_and_comes_back_byte_for_byte(call: Caller, database: str) -> None:
    chance = random.Random(5)
    with FakeUpstream() as upstream, LLMCache(database_url=database) as cache:
        for number in range(10):
            vendor = {
                "extra": {f"x_{chance.random()}": chance.choice([None, 1, {"a": []}])},
                "leaves_out": set(chance.sample(["id", "object", "model", "index", "usage"], 2)),
                **{name: chance.random() < 0.5 for name in ("spaces", "crlf", "comments", "usage_chunk")},
                "done": True,  # on this machine
            }
            path = chance.choice(["", "/v1", "/gateway/v2"]) + f"/{number}/chat/completions"
            stream = number % 2 == 0
            words = ["Hel", "lo", "\U0001f600", str(number)]
            sent = b"".join(streamed(vendor, words)) if stream else plain(vendor, words)
            kind = "text/event-stream" if stream else "application/json"
            upstream.reply(path, Reply(body=sent, headers={"content-type": kind}))
            asked = json.dumps({"model": "frob-1", "messages": [], "stream": stream}).encode()
            calls = [(upstream.url + path, asked, {"content-type": "application/json"})] * 2
            first, second = call(cache, calls)
            assert first.body == second.body == sent
            assert (first.outcome, second.outcome) == ("miss", "hit")
        assert upstream.count() == 10
