"""Both directions, over recorded requests: whatever changes the meaning changes the key, and nothing else does."""

from __future__ import annotations

import copy
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.core.model import Request
from llm_cache.core.policy import Policy
from llm_cache.core.signature import HEADERS
from llm_cache.providers.format import OUTSIDE
from llm_cache.testing import FakeUpstream, openai_chat
from tests.key.requests import CHAT, OURS, Exchange, key_of, needs_traffic, request_of
from tests.property.spellings import spelled
from tests.providers.provider_samples import each

Path = tuple[Any, ...]
EXACT = Context(prec=100)


def text(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


# --- what must change the key --------------------------------------------------------------------


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value inside a body, with the way to it."""
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


def changed(value: Any) -> Iterator[tuple[str, Any]]:
    """Other values in the place of this one, each of another meaning."""
    if value is not None:
        yield "null", None
    if isinstance(value, bool):
        yield from (("changed", not value), ("type", int(value)), ("type", str(value).lower()))
    elif isinstance(value, (int, Decimal)):
        yield from (("changed", value + 1), ("changed", -value - 1), ("type", str(value)), ("type", [value]))
        yield "changed", EXACT.add(Decimal(value), Decimal("1e-30"))
    elif isinstance(value, str):
        yield from (
            ("changed", value + " "),
            ("changed", value + "\u0301"),
            ("type", [value]),
            ("type", {"text": value}),
        )
        yield from (("changed", other) for other in {value.swapcase(), value[:-1], value[1:]} - {value})
    elif value is None:
        yield from (("type", 0), ("type", False), ("type", ""), ("type", "null"), ("type", []), ("type", {}))
    elif isinstance(value, list):
        yield from (
            ("added", [*value, "x"]),
            ("added", [None, *value]),
            ("type", {str(i): v for i, v in enumerate(value)}),
        )
        for other in (value[::-1], value[1:] + value[:1]):
            if other != value:
                yield "reordered", other
        if value:
            yield from (("removed", value[1:]), ("removed", []), ("added", [value[0], *value]), ("added", [value]))
    else:
        yield from (
            ("added", {**value, "frobnicate": None}),
            ("type", [value]),
            ("type", json.dumps(value, default=str)),
        )
        if value:
            yield "removed", {}
            yield "changed", {name + "x": item for name, item in value.items()}


def exactly(body: object) -> bytes:
    """As `text`, for bodies that hold decimals."""
    plain = json.dumps(body, ensure_ascii=False, default=lambda number: f"<decimal {number}>")
    return re.sub(r'"<decimal (.*?)>"', r"\1", plain).encode()


def decimals(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def put(body: Any, path: Path, value: Any) -> Any:
    """The body with another value in that place."""
    *way, last = path
    made = copy.copy(body)
    inner = made
    for name in way:
        inner[name] = copy.copy(inner[name])
        inner = inner[name]
    inner[last] = value
    return made


def without(body: Any, path: Path) -> Any:
    *way, last = path
    made = copy.deepcopy(body)
    inner = made
    for name in way:
        inner = inner[name]
    del inner[last]
    return made


def marked(body: Any, path: Path) -> bool:
    """Whether the place is in one of Anthropic's marks, as the page has it (the recorded ones are not nested)."""
    if "cache_control" not in path or not {"messages", "system", "max_tokens"} & body.keys():
        return False
    before = path[: path.index("cache_control")]
    return len(before) in {0, 2, 4} and before[:1] in {(), ("system",), ("tools",), ("messages",)}


def streams_by_itself(exchange: Exchange) -> bool:
    """Whether the absence of `stream` means a stream (Ollama), so that false is something else."""
    return exchange.path in {"/api/chat", "/api/generate"}


def counts(exchange: Exchange, body: Any, path: Path) -> bool:
    if exchange.path.partition("?")[0].endswith(("/messages", "/count_tokens")) and marked(body, path):
        return False
    return path[0] not in OUTSIDE


@needs_traffic
def test_every_change_of_every_leaf_of_a_recorded_request_changes_the_key_unless_left_out():
    done: Counter[str] = Counter()
    wrong = []
    for exchange in OURS:
        request, body = request_of(exchange), decimals(exchange.request)
        key = key_of(request)
        assert key_of(Request("POST", request.url, request.headers, exactly(body))) == key
        mutants = [("added", ("frobnicate",), {**body, "frobnicate": None})]
        for path, value in places(body):
            mutants += [(how, path, put(body, path, other)) for how, other in changed(value)]
            mutants.append(("removed", path, without(body, path)))
        for how, path, mutant in mutants:
            expected = counts(exchange, body, path)
            if path == ("stream",) and streams_by_itself(exchange):
                expected = True
            elif path == ("stream",):
                # Only false equals absence, and the other way round.
                expected = (
                    body["stream"] != mutant.get("stream", False) or type(mutant.get("stream", False)) is not bool
                )
            done[how if expected else "left out"] += 1
            if (key_of(Request("POST", request.url, request.headers, exactly(mutant))) != key) is not expected:
                wrong.append((exchange.name, how, path))
    print(f"\n{len(OURS)} recorded requests, {sum(done.values())} changes: {dict(done)}; exceptions: {len(wrong)}")
    assert sum(done.values()) >= 10_000
    assert wrong == []


@needs_traffic
@each(OURS[::10])
def test_whatever_is_around_a_recorded_body_changes_the_key_too(exchange: Exchange):
    request = request_of(exchange)
    server, slash, path = request.url.partition("://")[2].partition("/")
    mark = "&" if "?" in path else "?"
    urls = [
        f"https://other.{server}{slash}{path}",
        f"https://{server.partition(':')[0]}:4443{slash}{path}",
        f"https://{server}/gateway/{path}",
        f"{request.url}{mark}api-version=1",
        f"{request.url}{mark}beta=true",
    ]
    others = [Request("POST", url, request.headers, request.body) for url in urls]
    added = [(*request.headers, (name, "frobnicate")) for name in sorted(HEADERS)]
    others += [Request("POST", request.url, headers, request.body) for headers in added]
    keys = [key_of(other) for other in (request, *others)]
    keys += [key_of(request, Policy(**change)) for change in ({"namespace": "n"}, {"scope": "s"}, {"sample": 1})]
    assert len(set(keys)) == len(keys)


# --- what must not change it ---------------------------------------------------------------------


def reworded(exchange: Exchange, chance: random.Random) -> Iterator[tuple[str, Request]]:
    """The request in other words, all of one meaning."""
    request = request_of(exchange)
    url, headers, body = request.url, request.headers, request.body
    value = decimals(body)
    yield "spelling", Request("POST", url, headers, spelled(value, chance).encode())
    yield "spelling", Request("POST", url, headers, json.dumps(json.loads(body), indent=2, sort_keys=True).encode())
    yield "order", Request("POST", url, headers, exactly(dict(reversed(value.items()))))
    if value.get("stream", False) is False and not streams_by_itself(exchange):
        yield "stream", Request("POST", url, headers, exactly({"stream": False, **value}))
    for name in sorted(OUTSIDE):
        yield (
            "left out",
            Request("POST", url, headers, exactly({**value, name: chance.choice([None, "u", {"a": [1]}])})),
        )
    base, query, rest = url.partition("?")
    for ending in (
        "/chat/completions",
        "/responses",
        "/completions",
        "/embeddings",
        "/messages",
        "/messages/count_tokens",
    ):
        if (
            base.endswith(ending)
            and "/deployments/" not in base
            and not (ending == "/completions" and "/chat/" in base)
        ):
            prefix = base[: -len(ending)].removesuffix("/v1")
            for version in ("", "/v1", "/v1/v1", "/v1/v1/v1"):
                yield "version", Request("POST", f"{prefix}{version}{ending}{query}{rest}", headers, body)
    scheme, _, place = url.partition("://")
    host, slash, path = place.partition("/")
    yield "host", Request("POST", f"{scheme.upper()}://{host.upper()}{slash}{path}", headers, body)
    yield "user", Request("POST", f"{scheme}://someone:secret@{place}", headers, body)
    if ":" not in host:
        yield (
            "port",
            Request("POST", f"{scheme}://{host}:{443 if scheme == 'https' else 80}{slash}{path}", headers, body),
        )
    # What is coded already is left alone.
    coded = re.sub(
        "%[0-9A-Fa-f]{2}|[A-Za-z]",
        lambda found: f"%{ord(found[0]):02x}" if len(found[0]) == 1 and chance.random() < 0.3 else found[0],
        path.partition("?")[0],
    )
    yield "path", Request("POST", f"{scheme}://{host}/{coded}{query}{rest}#part", headers, body)
    for parameter in ("key=s3cret", "API-KEY=x", "access_token=&token=1", "k%65y=s"):
        yield "credential", Request("POST", f"{url}{'&' if query else '?'}{parameter}", headers, body)
    for name in (
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "cookie",
        "user-agent",
        "x-stainless-retry-count",
    ):
        yield "credential", Request("POST", url, ((name, f"Bearer {chance.random()}"), *headers, (name, "again")), body)
    yield "headers", Request("POST", url, headers[::-1], body)
    kept = tuple((name, f" {item}\t") for name, item in headers if name in HEADERS)
    yield "headers", Request("POST", url, kept, body)


@needs_traffic
def test_a_recorded_request_in_other_words_has_the_same_key():
    done: Counter[str] = Counter()
    wrong = []
    for exchange in OURS:
        key = key_of(request_of(exchange))
        for seed in range(3):
            for how, request in reworded(exchange, random.Random(seed)):
                done[how] += 1
                if key_of(request) != key:
                    wrong.append((exchange.name, how, request))
    print(
        f"\n{len(OURS)} recorded requests in {sum(done.values())} other words: {dict(done)}; exceptions: {len(wrong)}"
    )
    assert sum(done.values()) >= 5000
    assert wrong == []


# --- through a client ----------------------------------------------------------------------------

ASK = {
    "model": "gpt-4",
    "messages": [{"role": "user", "content": "caf\u00e9 \U0001f600"}],
    "temperature": 1,
    "max_tokens": 50,
}


@pytest.fixture
def status(upstream: FakeUpstream, database):
    """Posts a body and says what became of it."""
    upstream.reply("/v1/chat/completions", lambda _: openai_chat("hello"))
    with LLMCache(database_url=database) as cache, httpx.Client(trust_env=False) as client, wrap(client, cache):

        def post(body: bytes, path: str = "/v1/chat/completions", **headers: str) -> str:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            reply = client.post(
                upstream.url + path, content=body, headers={"Content-Type": "application/json", **named}
            )
            assert reply.json()["choices"][0]["message"]["content"] == "hello"
            return reply.extensions["llm_cache"].status

        yield post


def test_other_words_are_a_hit_through_a_client(status):
    assert status(text(ASK), Authorization="Bearer one", OpenAI_Beta="a, b") == "miss"
    assert status(json.dumps(ASK, indent=1).encode(), AUTHORIZATION="Bearer two", openai_beta="a,b") == "hit"
    assert status(text({**ASK, "stream": False, "temperature": 1.0}), OPENAI_BETA=" a ,b ") == "hit"
    assert status(text({**ASK, "user": "someone"}), "/v1/v1/chat/completions", openai_beta="a,b", Cookie="c=1") == "hit"
    assert status(text(dict(reversed(ASK.items()))), "/v1/chat/completions?key=secret", openai_beta="a,b") == "hit"


def test_another_meaning_is_a_miss_through_a_client(status):
    assert status(text(ASK)) == "miss"
    for body in (
        {**ASK, "temperature": "1"},
        {**ASK, "temperature": 1.1},
        {**ASK, "stop": None},
        {**ASK, "messages": []},
    ):
        assert status(text(body)) == "miss"
    assert status(text(ASK), OpenAI_Organization="org") == "miss"
    assert status(text(ASK), "/v1/chat/completions?api-version=2") == "miss"
    assert status(text(ASK)) == "hit"


def test_the_url_of_these_tests_is_recognised():
    assert key_of(Request("POST", CHAT, (), text(ASK)))
