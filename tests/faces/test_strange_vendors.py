"""Nothing depends on having seen a reply before: vendors made at random, in every format, through library and proxy.

Each has a path, fields, an order of members, spaces, line ends and cuts of its own. What it says is kept, found after a
restart, and comes back byte for byte, and its text is understood.
`tests/providers/test_unheard_of.py` does more for OpenAI's chats, at the reader.
"""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import replace
from typing import Any

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.core.eventstream import FrameSplitter
from llm_cache.testing import FakeUpstream, Reply, openai_embeddings
from llm_cache.testing.build_bedrock import event_message
from tests.fuzz.fuzz_samples import SAMPLES, Sample
from tests.proxy.running import NO_PROXY, running

VENDORS = 4
ASKED = (
    *SAMPLES,
    Sample("body of embeddings", "/v1/embeddings", {"model": "m", "input": "?"}, openai_embeddings()),
)
SAID = "Hel"


def word(chance: random.Random) -> str:
    return "x_" + "".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9)))


def anything(chance: random.Random, depth: int = 0) -> Any:
    if depth < 2 and chance.random() < 0.3:
        return {word(chance): anything(chance, depth + 1) for _ in range(chance.randint(0, 2))}
    if depth < 2 and chance.random() < 0.2:
        return [anything(chance, depth + 1) for _ in range(chance.randint(0, 2))]
    return chance.choice([None, True, -1, 1.5, 10**30, "", "\u00e9\U0001f600\u2028", "data: [DONE]", "\n\n", "}"])


def strange(value: Any, chance: random.Random) -> Any:
    """The value with members that nobody has heard of in every object, in an order of its own."""
    if isinstance(value, list):
        return [strange(item, chance) for item in value]
    if not isinstance(value, dict):
        return value
    members = [(name, strange(item, chance)) for name, item in value.items()]
    members += [(word(chance), anything(chance)) for _ in range(chance.choice([0, 0, 1, 2]))]
    chance.shuffle(members)
    return dict(members)


def written(value: Any, chance: random.Random) -> str:
    separators = chance.choice([(",", ":"), (", ", ": "), (" ,", " : ")])
    return json.dumps(strange(value, chance), ensure_ascii=chance.random() < 0.5, separators=separators)


def as_sse(body: str, chance: random.Random) -> bytes:
    end = chance.choice(["\n", "\r\n"])
    made = []
    for event in body.replace("\r\n", "\n").strip("\n").split("\n\n"):
        if chance.random() < 0.3:
            made.append(f": {word(chance)}{end}{end}" if chance.random() < 0.5 else f": {word(chance)}{end}")
        for line in event.split("\n"):
            name, _, text = line.partition(":")
            if name == "data" and text.strip() != "[DONE]":
                text = " " * chance.randint(0, 1) + written(json.loads(text), chance)
            made.append(f"{name}:{text}{end}")
            if chance.random() < 0.2:
                made.append(f"id: {word(chance)}{end}retry: 10{end}")
        made.append(end)
    return "".join(made).encode()


def as_frames(body: bytes, chance: random.Random) -> bytes:
    made = []
    for event in FrameSplitter().feed(body):
        data = json.loads(event.data)
        if "bytes" in data:
            data["bytes"] = base64.b64encode(
                written(json.loads(base64.b64decode(data["bytes"])), chance).encode()
            ).decode()
        made.append(event_message(event.name.decode(), written(data, chance).encode()))
    return b"".join(made)


def of_a_strange_vendor(reply: Reply, chance: random.Random) -> Reply:
    """The same answer as a vendor would give it that nobody has heard of."""
    body, kind = reply.payload, reply.content_type or ""
    if kind.startswith("text/event-stream"):
        made = as_sse(body.decode(), chance)
        kind = chance.choice([kind, "text/event-stream;charset=UTF-8", "TEXT/event-stream"])
    elif "eventstream" in kind:
        made = as_frames(body, chance)
    elif "json" in kind and not kind.startswith("application/json"):
        end = chance.choice(["\n", "\r\n", "\n\n"])
        made = "".join(written(json.loads(line), chance) + end for line in body.splitlines()).encode()
    else:
        made = written(json.loads(body), chance).encode()
    transfer = chance.choice([None, "chunked"])
    return Reply(body=made, headers={"content-type": kind, f"x-{word(chance)}": "1"}, transfer=transfer)


def vendor(sample: Sample, chance: random.Random) -> Sample:
    """A vendor in the place of the one that is known."""
    # What stands before an endpoint is where somebody has put it; Google's and Bedrock's stay what they are.
    prefix = chance.choice(["", f"/{word(chance)}", f"/{word(chance)}/llm"])
    body = {**strange(sample.body, chance), word(chance): anything(chance)}
    return Sample(sample.name, prefix + sample.path, body, of_a_strange_vendor(sample.reply, chance))


@pytest.mark.parametrize("seed", range(VENDORS))
def test_through_the_library(seed: int, database: str) -> None:
    chance = random.Random(seed)
    # Whoever serves on this machine ends a chat with `[DONE]`; a stranger is somebody elsewhere.
    made = [vendor(sample, chance) for sample in ASKED if "stranger" not in sample.name]
    with FakeUpstream(seed=seed) as upstream:
        for mode, outcome in (("read-write", "miss"), ("read-write", "hit"), ("offline", "hit")):
            # Each time as after a restart.
            with LLMCache(database_url=database, mode=mode) as cache, httpx.Client(**NO_PROXY) as client:
                with wrap(client, cache):
                    for number, each in enumerate(made):
                        upstream.reply(f"/{number}{each.path}", each.reply)
                        answer = client.post(f"{upstream.url}/{number}{each.path}", json=each.body)
                        assert answer.content == each.reply.payload, each.name
                        assert answer.extensions["llm_cache"].status == outcome, each.name
                for entry in cache.entries():
                    if not entry.endpoint.endswith("/embeddings"):
                        assert entry.text.startswith(SAID), entry.endpoint
        assert upstream.count() == len(made)


@pytest.mark.parametrize("seed", range(VENDORS))
def test_through_the_proxy(seed: int, database: str) -> None:
    chance = random.Random(1000 + seed)
    made = [vendor(sample, chance) for sample in ASKED]
    names = [f"v{number}{word(chance).replace('_', '')}" for number in range(len(made))]
    with FakeUpstream(seed=seed) as upstream:
        upstreams = {name: f"{upstream.url}/{number}" for number, name in enumerate(names)}
        for mode, outcome in (("read-write", "miss"), ("offline", "hit")):
            with (
                running(None, database_url=database, upstreams=upstreams, mode=mode) as proxy,
                httpx.Client(**NO_PROXY) as client,
            ):
                for number, (name, each) in enumerate(zip(names, made, strict=True)):
                    upstream.reply(f"/{number}{each.path}", each.reply)
                    answer = client.post(f"{proxy.url}/{name}{each.path}", json=each.body)
                    assert answer.content == each.reply.payload, each.name
                    assert answer.headers["x-llm-cache"] == outcome, each.name
        assert upstream.count() == len(made)


def test_a_strange_vendor_that_is_cut_off_is_not_kept(database: str) -> None:
    """The test itself can fail: of each format one reply without its end leaves nothing."""
    chance = random.Random(77)
    with FakeUpstream() as upstream, LLMCache(database_url=database) as cache, httpx.Client(**NO_PROXY) as client:
        with wrap(client, cache):
            for sample in ASKED:
                each = vendor(sample, chance)
                upstream.reply(each.path, replace(each.reply, body=each.reply.payload[: len(each.reply.payload) // 2]))
                client.post(upstream.url + each.path, json=each.body)
        assert list(cache.entries()) == []
