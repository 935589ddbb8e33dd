"""A miss explains itself by the nearest stored request, and shows nobody what is another's."""

from __future__ import annotations

import json
import time
import tracemalloc
from itertools import combinations
from threading import current_thread

import httpx
import pytest

from llm_cache import CacheMissError, LLMCache, cached_call, options, wrap
from llm_cache.clients import explaining
from llm_cache.core.explain import nearest
from llm_cache.core.model import Entry, Frame, Head, Request
from llm_cache.core.plan import Ask
from llm_cache.core.policy import Policy
from llm_cache.core.signature import loads, sign
from llm_cache.errors import StoreError
from llm_cache.providers.registry import recognise
from llm_cache.testing import openai_chat
from tests.key.requests import CHAT

UUIDS = "8f14e45f-ceea-467f-9575-6a1b4e3c2d1f", "c9f0f895-fb98-4b91-a4d0-9d6f2c6a0b11"


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


def body(prompt="hi", **more) -> dict:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}], **more}


def asked(what: dict, url: str = CHAT, headers=(), policy: Policy | None = None) -> Ask:
    request = Request("POST", url, tuple(headers), json.dumps(what).encode())
    parsed = loads(request.body)
    endpoint = recognise(request, parsed.value)
    assert endpoint is not None
    policy = policy or Policy()
    return Ask(request, policy, endpoint, sign(request, parsed, endpoint, policy))


def keep(cache: LLMCache, ask: Ask, created_at: float = 1e9, **fields) -> str:
    """Store an answer to a call, without the call."""
    assert ask.endpoint is not None
    assert ask.signature is not None
    entry = Entry(
        key=ask.signature.key,
        kind=ask.kind,
        provider=ask.endpoint.provider,
        model=ask.endpoint.model,
        endpoint=ask.endpoint.path,
        namespace=ask.policy.namespace,
        head=Head(200, (("content-type", "application/json"),)),
        frames=(Frame(b"{}", 0),),
        stream=False,
        created_at=created_at,
        expires_at=fields.pop("expires_at", None),
        asked=Request("POST", ask.request.url, ask.request.headers, ask.request.body),
    )
    cache.engine.store.put(cache.engine.codec.encode(entry))
    return entry.key


def explained(cache: LLMCache, what: dict, **more) -> list[str]:
    return cache.engine.explain(asked(what, **more)).splitlines()


# --- what a caller sees --------------------------------------------------------------------------


def test_a_miss_in_offline_mode_is_explained_through_a_client(cache, upstream):
    upstream.reply("/v1/chat/completions", lambda _: openai_chat("hello"))
    with httpx.Client(trust_env=False) as client, wrap(client, cache):
        url = upstream.url + "/v1/chat/completions"
        client.post(url, json=body(trace=UUIDS[0]))
        with options(mode="offline"), pytest.raises(CacheMissError) as caught:
            client.post(url, json=body(trace=UUIDS[1]))
    lines = caught.value.explanation.splitlines()
    assert lines[0].startswith("the nearest stored request is ")
    assert lines[1:] == [
        f'  body.trace: "{UUIDS[1]}" here, "{UUIDS[0]}" there (a UUID)',
        'it looks generated; to leave it out of the key: ignore_fields = "trace"',
    ]


def test_the_advised_rule_is_a_hit_once_it_is_followed(database, upstream):
    upstream.reply("/v1/chat/completions", lambda _: openai_chat("hello"))
    with (
        LLMCache(database_url=database, ignore_fields="trace, seed") as cache,
        httpx.Client(trust_env=False) as client,
        wrap(client, cache),
    ):
        url = upstream.url + "/v1/chat/completions"
        client.post(url, json=body(trace=UUIDS[0], seed=1))
        again = client.post(url, json=body(trace=UUIDS[1], seed=2))
    assert again.extensions["llm_cache"].status == "hit"


@pytest.mark.parametrize("wrapper", [{}, {"user": "u", "stream": False}])
def test_an_advised_rule_really_makes_one_key(wrapper):
    """By the very function that makes keys, not by the one that advises."""
    noise = {
        "seed": (1, 2),
        "trace": UUIDS,
        "at": (1767225600, 1767225601.5),
        "run": ({"id": UUIDS[0]}, {"id": UUIDS[1]}),
    }
    other = {"n": (1, 2), "stop": (["a"], ["b"]), "temperature": (0.1, 0.2)}
    advised = 0
    for size in range(1, 3):
        for names in combinations([*noise, *other], size):
            one, two = (body(**{name: (noise | other)[name][turn] for name in names}) for turn in (0, 1))
            near = nearest(asked(one).signature.document, [("k", asked({**two, **wrapper}).signature.document)])
            assert (near.rule == tuple(sorted(names))) is (set(names) <= set(noise)), names
            if near.rule:
                policy = Policy(ignore_fields=frozenset(near.rule))
                assert asked(one, policy=policy).signature.key == asked(two, policy=policy).signature.key
                advised += 1
    assert advised == 4 + 6


def test_a_value_is_explained_by_its_description(cache):
    def ask(key, **more):
        return cache.get_or_set(key, lambda: "answer", "openai", "gpt-4o", "/v1/chat/completions", body(**more))

    ask(None, seed=1)
    with options(mode="offline"), pytest.raises(CacheMissError) as caught:
        ask(None, seed=2)
    assert caught.value.explanation.splitlines()[1:] == [
        "  body.request.seed: 2 here, 1 there (a seed)",
        'it looks generated; to leave it out of the key: ignore_fields = "seed"',
    ]


def test_a_value_under_a_key_of_its_own_is_explained_too(cache):
    def ask(key, **more):
        return cache.get_or_set(key, lambda: "answer", "openai", "gpt-4o", "/v1/chat/completions", body(**more))

    ask("one", stop=["a"])
    with options(mode="offline"):
        with pytest.raises(CacheMissError) as caught:
            ask("two", stop=["a"])
        assert caught.value.explanation.startswith("the very same request is stored as ")
        assert caught.value.explanation.endswith("; but under another key")
        with pytest.raises(CacheMissError) as caught:
            ask("two", stop=["b"])
    assert '  body.request.stop[0]: "b" here, "a" there' in caught.value.explanation


def test_a_functions_call_is_explained_by_its_arguments(cache):
    @cached_call(provider="openai", model="gpt-4o", cache=cache, version=1)
    def tell(prompt, trace=None, places=()):
        return "answer"

    tell("Name a city.", UUIDS[0], places=["Paris", "Rome"])
    with options(mode="offline"):
        with pytest.raises(CacheMissError) as caught:
            tell("Name a city.", UUIDS[1], places=["Paris", "Rome"])
        assert caught.value.explanation.splitlines()[1:] == [
            f'  body.arguments.trace: "{UUIDS[1]}" here, "{UUIDS[0]}" there (a UUID)',
            "it looks generated; to leave it out of the key: cached_call(ignore=('trace',))",
        ]
        with pytest.raises(CacheMissError) as caught:
            tell("Name a city.", UUIDS[0], places=["Paris", "Oslo", "Rome"])
    assert caught.value.explanation.splitlines()[1:] == ['  body.arguments.places[2]: "Oslo" here, absent there']


def test_a_function_that_was_edited_is_told_as_such(cache):
    def made(word):
        def tell(prompt):
            return word + prompt

        return cached_call(cache=cache)(tell)

    made("one")("hi")
    with options(mode="offline"), pytest.raises(CacheMissError) as caught:
        made("two")("hi")
    [line] = caught.value.explanation.splitlines()[1:]
    assert line.startswith("  body.code: ")
    assert line.endswith(" there (the function's code, or data that it reads, is another)")


def test_what_a_program_describes_in_other_than_json_is_no_error(cache):
    cache.get_or_set("k", lambda: 1, "acme", "m", "/x", {"prompt": object(), "n": 1})
    with options(mode="offline"), pytest.raises(CacheMissError) as caught:
        cache.get_or_set("other", lambda: 1, "acme", "m", "/x", {"prompt": object(), "n": 2})
    assert "body.request.n: 2 here, 1 there" in caught.value.explanation


# --- which is found ------------------------------------------------------------------------------


def test_the_same_model_is_preferred_and_another_is_found_where_there_is_none(cache):
    other = keep(cache, asked(body("hi", seed=1) | {"model": "gpt-4.1"}))
    assert explained(cache, body("hi", seed=1))[0].startswith(f"the nearest stored request is {other[:12]}")
    assert explained(cache, body("hi", seed=1))[1] == '  body.model: "gpt-4o" here, "gpt-4.1" there'
    same = keep(cache, asked(body("hi", seed=2)))
    assert explained(cache, body("hi", seed=1))[0].startswith(f"the nearest stored request is {same[:12]}")


def test_other_endpoints_kinds_and_namespaces_are_not_compared(cache):
    keep(cache, asked({"model": "m", "input": "hi"}, "https://api.openai.com/v1/embeddings"))
    keep(cache, asked(body("hi"), policy=Policy(namespace="other")))
    cache.get_or_set(None, lambda: "x", "openai", "gpt-4o", "/v1/chat/completions", body("hi"))
    assert explained(cache, body("hi")) == []


def test_another_server_and_other_headers_are_told(cache):
    headers = (("openai-beta", "a"),)
    keep(cache, asked(body(), "http://localhost:8000/v1/chat/completions?x=1", headers))
    assert explained(cache, body())[1:] == [
        '  headers.openai-beta: absent here, "a" there',
        '  query[0]: absent here, ["x","1"] there',
        '  upstream: "openai" here, "localhost:8000" there',
    ]


def test_the_newest_of_equals_is_found_and_the_search_is_bounded(cache, monkeypatch):
    keys = [keep(cache, asked(body("hi", seed=number)), created_at=1e9 + number) for number in range(40)]
    assert keys[39][:12] in explained(cache, body("hi", seed=100))[0]
    monkeypatch.setattr(explaining, "ROWS", 10)
    keep(cache, asked(body("hello", seed=0)), created_at=1)
    assert "hello" not in "".join(explained(cache, body("hello", seed=100))[2:])
    for number in range(20):
        keep(cache, asked(body("hi", seed=number) | {"model": "gpt-4.1"}), created_at=2e9 + number)
    near = explaining.why_request(cache.engine, json.dumps(body("hi", seed=100)).encode(), None, None)
    assert near.searched == 10


def test_an_answer_that_has_expired_is_told(cache):
    keep(cache, asked(body()), expires_at=1.7e9)
    [line] = explained(cache, body())
    assert line.endswith("…; its answer expired at 2023-11-14T22:13:20Z")
    assert "its answer expired at 2023-11-14T22:13:20Z" in explained(cache, body(n=2))


def test_another_sample_is_told_as_one(cache):
    keep(cache, asked(body(), policy=Policy(sample=2)))
    assert explained(cache, body())[1:] == ["  sample: 0 here, 2 there"]


def test_one_message_put_in_is_one_line(cache):
    talk = [{"role": "user", "content": f"turn {number} of a long talk"} for number in range(100)]
    keep(cache, asked(body() | {"messages": talk}))
    longer = [{"role": "system", "content": "Be brief."}, *talk]
    assert explained(cache, body() | {"messages": longer})[1:] == [
        '  body.messages[0]: {"content":"Be brief.","role":"system"} here, absent there'
    ]


# --- what is not shown ---------------------------------------------------------------------------


def test_a_caller_of_a_proxy_is_shown_nothing_of_another(cache):
    keep(cache, asked(body("my secret plan"), policy=Policy(scope="alice")))
    keep(cache, asked(body("a plan of all"), policy=Policy()))
    assert explained(cache, body("my secret plan?"), policy=Policy(scope="bob")) == []
    mine = keep(cache, asked(body("bob's own"), policy=Policy(scope="bob")))
    lines = explained(cache, body("my secret plan"), policy=Policy(scope="bob"))
    assert lines[0].startswith(f"the nearest stored request is {mine[:12]}")
    assert lines[1] == '  body.messages[0].content: "my secret plan" here, "bob\'s own" there'
    # The same words as another's: not even that they were said.
    assert "alice" not in "".join(lines)


def test_credentials_are_never_shown(cache, upstream):
    upstream.reply("/v1/chat/completions", lambda _: openai_chat("hello"))
    secret = "sk-very-secret-0123456789"
    with httpx.Client(trust_env=False, headers={"authorization": f"Bearer {secret}", "cookie": secret}) as client:
        with wrap(client, cache):
            url = f"{upstream.url}/v1/chat/completions?key={secret}"
            client.post(url, json=body(n=1))
            with options(mode="offline"), pytest.raises(CacheMissError) as caught:
                client.post(url, json=body(n=2))
    assert "body.n: 2 here, 1 there" in caught.value.explanation
    assert secret not in str(caught.value) + caught.value.explanation


async def test_an_event_loop_is_not_held_up_by_an_explanation(cache, monkeypatch):
    threads = []
    explain = explaining.explain
    monkeypatch.setattr(explaining, "explain", lambda *known: (threads.append(current_thread()), explain(*known))[1])
    await cache.aget_or_set(None, lambda: "x", "openai", "gpt-4o", "/v1/chat/completions", body(n=1))
    with options(mode="offline"), pytest.raises(CacheMissError) as caught:
        await cache.aget_or_set(None, lambda: "x", "openai", "gpt-4o", "/v1/chat/completions", body(n=2))
    assert "body.request.n: 2 here, 1 there" in caught.value.explanation
    assert threads != [current_thread()]


# --- nothing breaks ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("locked"), ValueError("bug"), RecursionError()])
def test_a_store_that_fails_costs_the_explanation_and_nothing_else(cache, error, monkeypatch):
    def scan(*_):
        raise error

    keep(cache, asked(body()))
    monkeypatch.setattr(cache.engine.store, "scan", scan)
    assert cache.engine.explain(asked(body(n=2))) == ""


def test_a_record_that_is_damaged_hides_only_itself(cache):
    for number in range(3):
        keep(cache, asked(body(seed=number)), created_at=1e9 + number)
    row = next(cache.engine.store.scan())
    cache.engine.store.put(row._replace(value=b"nonsense"))
    assert "  body.seed: 9 here, 1 there (a seed)" in explained(cache, body(seed=9))


@pytest.mark.parametrize("odd", ['{"messages":[],"a":1,"a":2}', '{"messages":[],"x":NaN}', '{"messages":[]}'])
def test_a_body_that_counts_by_its_bytes_is_compared_as_far_as_it_goes(cache, odd):
    keep(cache, asked(body()))
    request = Request("POST", CHAT, (), odd.encode())
    parsed = loads(request.body)
    endpoint = recognise(request, parsed.value)
    ask = Ask(request, Policy(), endpoint, sign(request, parsed, endpoint, Policy()))
    assert "the nearest stored request is" in cache.engine.explain(ask)
    keep(cache, ask)
    assert "the nearest stored request is" in cache.engine.explain(asked(body(n=2)))


@pytest.mark.timeout(240)
def test_ten_thousand_stored_requests_of_five_kilobytes_take_a_second_or_two_and_little_memory(cache, monkeypatch):
    # On a busy machine it would be broken off; what is measured is what it costs.
    monkeypatch.setattr(explaining, "_IN_A_CALL_S", 50.0)
    prompt = " ".join(f"word{number}" for number in range(600))
    for number in range(10_000):
        # Every one its own prompt and its own time: what an agent leaves behind.
        content = f"{number} {prompt[number % 400 :]}"
        keep(cache, asked(body(content, seed=number, temperature=number % 7 / 10)), created_at=1e9 + number)
    wanted = asked(body(f"5000 {prompt[200:]}", seed=-1, temperature=0.2))
    began = time.thread_time()
    lines = cache.engine.explain(wanted).splitlines()
    took_s = time.thread_time() - began
    # To keep account of memory takes ten times as long; a second of it says as much.
    monkeypatch.setattr(explaining, "_IN_A_CALL_S", 1.0)
    tracemalloc.start()
    cache.engine.explain(wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"\n10,000 requests of 5 KB: {took_s:.2f} s, {peak / 1e6:.1f} MB")
    assert "body.seed: -1 here, 5000 there" in "".join(lines)
    assert took_s < 4  # it takes one on a machine with nothing else to do
    assert peak < 8e6
