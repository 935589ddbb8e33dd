"""The short way of a wrapped client's hits: nothing tells it from the long way, and whoever watches sees every call."""

from __future__ import annotations

import asyncio
import json
import random
import threading

import pytest

from llm_cache import LLMCache, cached_call, last_call, options, wrap
from llm_cache.clients import short_calls
from llm_cache.clients.short_build import same
from llm_cache.clients.short_state import SDKS
from llm_cache.testing import FakeUpstream, anthropic_message, openai_chat, openai_embeddings, openai_responses

from .short_ways import CHAT, MESSAGES, NEEDED, ask, settled
from .test_traffic_objects import EXCHANGES, FOLDER, call, clients, ending_of

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
pytestmark = NEEDED


# --- the same objects ------------------------------------------------------------------------

PLAIN = [exchange for exchange in EXCHANGES if not exchange.stream]


@pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder")
@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
@pytest.mark.parametrize("exchange", PLAIN, ids=lambda exchange: exchange.name)
def test_recorded_answers_are_the_same_objects_on_both_ways(exchange, cache, shorts):
    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        client, other = clients(exchange, upstream)
        with client, wrap(client, cache):
            short = [call(client, exchange) for _ in range(6)]
            long = call(client.with_options(max_retries=0), exchange)
        assert all(same(each, long) for each in short)
        assert [repr(each) for each in short] == [repr(long)] * 6
        assert len({id(each) for each in short}) == 6

        async def asynchronously():
            async with other:
                with wrap(other, cache):
                    return [await call(other, exchange) for _ in range(6)]

        assert all(same(each, long) for each in asyncio.run(asynchronously()))
        assert upstream.count() == 1
    assert cache.stats().hits == 12


@pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder")
@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_recorded_answers_have_a_short_way(cache, shorts):
    without = []
    for exchange in PLAIN:
        with FakeUpstream() as upstream:
            upstream.play(exchange)
            client, other = clients(exchange, upstream)
            asyncio.run(other.close())
            with client, wrap(client, cache):
                del shorts[:]
                for _ in range(5):
                    call(client, exchange)
                if not shorts:
                    without.append(exchange)
    # Of old models anthropic's SDK warns; counting tokens, images and old completions are asked for too rarely.
    methods = {ending for sdk in SDKS.values() for ending in sdk.methods} | {"/v1/messages"}
    assert {each.provider for each in without if ending_of(each) in methods} <= {"anthropic"}
    assert len(without) < len(PLAIN) / 5


def test_responses_embeddings_and_messages_have_one_too(upstream, cache, shorts, client):
    upstream.reply("/v1/responses", openai_responses("hello"))
    upstream.reply("/v1/embeddings", openai_embeddings(2, encoding="base64"))
    upstream.reply("/v1/messages", anthropic_message("hello"))
    claude = anthropic.Anthropic(base_url=upstream.url, api_key="sk-ant-test", max_retries=0)
    jobs = [
        (client, lambda each: each.responses.create(model="gpt-4", input="hi")),
        (client, lambda each: each.embeddings.create(model="e", input=["a", "b"])),
        (claude, lambda each: each.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=MESSAGES)),
    ]
    with claude, wrap(client, cache), wrap(claude, cache):
        for each, job in jobs:
            del shorts[:]
            short = settled(each, job)
            assert shorts
            assert same(short, job(each.with_options(max_retries=0)))


def test_what_a_caller_does_to_an_object_is_seen_by_nobody_else(cache, client, shorts):
    with wrap(client, cache):
        settled(client).choices[0].message.content = "spoiled"
        assert ask(client).choices[0].message.content == "hello"
    assert shorts


def test_what_is_told_of_a_call_is_the_same(cache, client, shorts):
    with wrap(client, cache):
        long = settled(client.with_options(max_retries=0))
        told, hits = last_call(), cache.stats().hits
        assert not shorts
        settled(client)
        del shorts[:]
        ask(client)
        assert len(shorts) == 1
        assert (last_call().status, last_call().key) == (told.status, told.key)
        assert last_call().cost_saved_usd == told.cost_saved_usd
        assert cache.stats().hits == hits + 6
        assert long._request_id == ask(client)._request_id


# --- what a call depends on ------------------------------------------------------------------


def echo(received):
    """Tells what was asked, so that a wrong answer shows."""
    headers = {name.lower(): value for name, value in received.headers}
    names = ("openai-organization", "openai-project", "openai-beta")
    asked = {
        "path": received.path,
        "body": json.loads(received.body),
        "headers": {name: headers.get(name) for name in names},
    }
    return openai_chat(json.dumps(asked, sort_keys=True))


def set_base_url(client):
    client.base_url = str(client.base_url).rstrip("/") + "/deep/v1/"


def set_http_header(client):
    client._client.headers["OpenAI-Beta"] = "two"


def set_custom_header(client):
    client._custom_headers = {**client._custom_headers, "OpenAI-Beta": "three"}


CHANGES = [
    lambda client: setattr(client, "organization", "org-2"),
    lambda client: setattr(client, "project", "proj-2"),
    set_base_url,
    set_http_header,
    set_custom_header,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_client_that_has_changed_gets_its_own_answers(change, upstream, cache, client, shorts):
    upstream.reply(CHAT, echo)
    upstream.reply("/v1/deep" + CHAT, echo)
    with wrap(client, cache):
        before = settled(client).choices[0].message.content
        assert shorts
        change(client)
        after = [ask(client).choices[0].message.content for _ in range(5)]
        assert len({*after}) == 1
        assert after[0] != before


def test_every_argument_counts_on_the_short_way(upstream, cache, client, shorts):
    upstream.reply(CHAT, echo)
    variants = [
        {},
        {"temperature": 1},
        {"temperature": 0.5},
        {"extra_body": {"min_p": 0.1}},
        {"extra_headers": {"OpenAI-Beta": "x"}},
        {"extra_query": {"a": "1"}},
        {"logprobs": True},
        {"n": 1},
        {"seed": 0},
        {"seed": False},
        {"stop": ["a"]},
        {"stop": "a"},
        {"timeout": 5.0},
        {"timeout": 6.0},
    ]
    with wrap(client, cache):
        first = [settled(client, lambda each, more=more: ask(each, **more)) for more in variants]
        del shorts[:]
        again = [ask(client, **more) for more in variants]
        copies = [ask(client.with_options(max_retries=0), **more) for more in variants]
    assert len(shorts) == len(variants)
    assert all(map(same, first, again))
    assert all(map(same, again, copies))


def test_arguments_that_are_not_plain_data_go_the_long_way(upstream, cache, client, shorts):
    upstream.reply(CHAT, echo)
    answer = openai.types.chat.ChatCompletionMessage(role="assistant", content="before")

    def asked():
        return client.chat.completions.create(model="gpt-4", messages=(each for each in [*MESSAGES, answer]))

    with wrap(client, cache):
        texts = [asked().choices[0].message.content for _ in range(5)]
    assert len({*texts}) == 1
    assert "before" in texts[0]
    assert last_call().status == "hit"
    assert not shorts


def test_options_and_what_happens_to_the_store_count(upstream, cache, client, shorts, tmp_path):
    count = iter(range(100))
    upstream.reply(CHAT, lambda received: openai_chat(f"answer {next(count)}"))

    def text():
        return ask(client).choices[0].message.content

    with wrap(client, cache):
        assert settled(client).choices[0].message.content == "answer 0"
        with options(namespace="other"):
            assert [text() for _ in range(5)] == ["answer 1"] * 5
        with options(sample=3):
            assert [text() for _ in range(5)] == ["answer 2"] * 5
        assert text() == "answer 0"
        with options(mode="refresh"):
            assert text() == "answer 3"
        assert [text() for _ in range(5)] == ["answer 3"] * 5
        with options(mode="off"):
            assert text() == "answer 4"
        cache.purge(everything=True)
        assert [text() for _ in range(5)] == ["answer 5"] * 5
        with LLMCache(database_url=cache.engine.settings.database_url) as other:
            other.purge(everything=True)
        assert [text() for _ in range(5)] == ["answer 6"] * 5
        with LLMCache(database_url=f"{tmp_path}/inner.db") as inner, wrap(client, inner):
            assert [text() for _ in range(5)] == ["answer 7"] * 5
        assert [text() for _ in range(5)] == ["answer 6"] * 5
    assert shorts
    assert text() == "answer 8"


def test_a_client_that_others_change_meanwhile_never_gets_their_answers(upstream, cache, client):
    upstream.reply(CHAT, echo)
    over = threading.Event()
    wrong = []

    def flip():
        number = 0
        while not over.is_set():
            number += 1
            client.organization = f"org-{number % 3}"

    def check():
        for _ in range(150):
            ask(client)

    with wrap(client, cache):
        settled(client)
        flipping = threading.Thread(target=flip)
        checking = [threading.Thread(target=check) for _ in range(2)]
        for each in (flipping, *checking):
            each.start()
        for each in checking:
            each.join()
        over.set()
        flipping.join()
        # Whatever was learnt in the confusion, what it is used for must be right.
        for name in ("org-0", "org-1", "org-2"):
            client.organization = name
            for _ in range(5):
                got = json.loads(ask(client).choices[0].message.content)["headers"]["openai-organization"]
                if got != name:
                    wrong.append((name, got))
    assert not wrong


def test_an_answer_that_another_client_has_seen_replaced_is_not_built_from_the_old_one(upstream, cache, client, shorts):
    count = iter(range(100))
    upstream.reply(CHAT, lambda received: openai_chat(f"answer {next(count)}"))
    with wrap(client, cache):
        copy = client.with_options(max_retries=0)
        settled(client)
        assert shorts
        with options(mode="refresh"):
            ask(copy)
        # Now the new entry is in memory, where the short way looks.
        assert ask(copy).choices[0].message.content == "answer 1"
        assert ask(client).choices[0].message.content == "answer 1"


def test_a_client_that_is_changed_during_a_call_does_not_mix_them_up(upstream, cache, client, shorts, monkeypatch):
    upstream.reply(CHAT, echo)
    learn = short_calls._Known.learn
    changes = []

    def late(known, seen, value):
        if changes:
            client.organization = changes.pop()
            # Another call comes in between, and is quicker.
            settled(client)
        learn(known, seen, value)

    def organization():
        return json.loads(ask(client).choices[0].message.content)["headers"]["openai-organization"]

    monkeypatch.setattr(short_calls._Known, "learn", late)
    with wrap(client, cache):
        client.organization = "org-1"
        assert organization() == organization() == "org-1"
        changes.append("org-2")
        assert organization() == "org-1"
        assert not changes
        assert [organization() for _ in range(3)] == ["org-2"] * 3
    assert shorts


def test_money_is_counted_once_where_a_decorated_function_asks(cache, client, shorts, tmp_path):
    with LLMCache(database_url=f"{tmp_path}/outer.db") as outer, wrap(client, cache):
        settled(client)

        @cached_call("openai", "gpt-4", cache=outer)
        def answer(number):
            return ask(client)

        del shorts[:]
        answer(1)
        assert len(shorts) == 1
        assert not outer.stats().cost_spent_usd
