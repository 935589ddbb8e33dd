"""Modes, options, TTL, samples and namespaces, as they are seen through a client."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from llm_cache import CacheMissError, ConfigError, LLMCache, Mode, last_call, options, wrap
from llm_cache.testing import FakeUpstream, openai_chat

ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


@pytest.fixture
def ask(upstream: FakeUpstream, cache):
    numbers = iter(range(100))
    upstream.reply(CHAT, lambda _: openai_chat(f"answer {next(numbers)}"))
    with httpx.Client(trust_env=False) as client, wrap(client, cache):

        def call(**fields):
            reply = client.post(upstream.url + CHAT, json={**ASK, **fields})
            return reply.json()["choices"][0]["message"]["content"], last_call().status

        yield call


def test_read_write_is_the_default(ask):
    assert [ask(), ask()] == [("answer 0", "miss"), ("answer 0", "hit")]


def test_refresh_always_calls_and_overwrites(ask):
    ask()
    with options(mode="refresh"):
        assert ask() == ("answer 1", "miss")
        assert last_call().reason == "refresh"
    assert ask() == ("answer 1", "hit")


def test_read_only_reads_and_keeps_nothing(ask):
    with options(mode=Mode.READ_ONLY):
        assert [ask(), ask()] == [("answer 0", "miss"), ("answer 1", "miss")]
    ask()
    with options(mode=Mode.READ_ONLY):
        assert ask() == ("answer 2", "hit")


def test_off_is_as_if_there_were_no_cache(ask, cache):
    with options(mode="off"):
        assert [ask(), ask()] == [("answer 0", "bypass"), ("answer 1", "bypass")]
    assert list(cache.entries()) == []


def test_offline_never_touches_the_network(ask, upstream):
    with options(mode="offline"), pytest.raises(CacheMissError):
        ask()
    assert upstream.count() == 0
    ask(seed=1)
    with options(mode="offline"):
        assert ask(seed=1) == ("answer 0", "hit")
        with pytest.raises(CacheMissError) as caught:
            ask(seed=2)
    assert "body.seed: 2 here, 1 there" in caught.value.explanation
    assert upstream.count() == 1


def test_offline_also_refuses_what_is_not_cacheable(upstream, cache):
    with httpx.Client(trust_env=False) as client, wrap(client, cache), options(mode="offline"):
        with pytest.raises(CacheMissError):
            client.get(upstream.url + "/v1/models")
        with pytest.raises(CacheMissError):
            client.post(upstream.url + "/v1/files", content=b"...")
    assert upstream.count() == 0


def test_offline_in_the_environment_is_a_ceiling_that_no_code_lifts(upstream, database, monkeypatch):
    monkeypatch.setenv("LLMCACHE_MODE", "offline")
    upstream.reply(CHAT, openai_chat("hello"))
    for mode in Mode:
        with LLMCache(database_url=database, mode=mode) as cache, httpx.Client(trust_env=False) as client:
            with wrap(client, cache), options(mode=mode), pytest.raises(CacheMissError):
                client.post(upstream.url + CHAT, json=ASK)
    assert upstream.count() == 0


def test_samples_are_different_draws_and_each_is_replayable(ask):
    draws = []
    for _ in range(2):
        for number in range(3):
            with options(sample=number):
                draws.append(ask())
    assert draws[:3] == [("answer 0", "miss"), ("answer 1", "miss"), ("answer 2", "miss")]
    assert draws[3:] == [("answer 0", "hit"), ("answer 1", "hit"), ("answer 2", "hit")]


def test_namespaces_do_not_serve_each_other(ask):
    ask()
    with options(namespace="other"):
        assert ask() == ("answer 1", "miss")
        assert ask() == ("answer 1", "hit")
    assert ask() == ("answer 0", "hit")


def test_options_nest_and_do_not_cross_into_threads(ask):
    with options(namespace="a"):
        ask()
        with options(sample=1):
            assert ask()[1] == "miss"
        assert ask()[1] == "hit"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(ask()[1]))
        thread.start()
        thread.join()
        assert seen == ["miss"]


def test_a_lifetime_ends(upstream, database, ask, cache):
    now = [1_000_000.0]
    object.__setattr__(cache.engine.world, "clock", lambda: now[0])
    with options(ttl_days=0.5):
        ask()
    now[0] += 0.49 * 86_400
    assert ask() == ("answer 0", "hit")
    assert last_call().age_s == pytest.approx(0.49 * 86_400)
    now[0] += 0.02 * 86_400
    assert ask() == ("answer 1", "miss")
    assert last_call().reason == "expired"
    with options(ttl_days="never", sample=7):
        ask()
        now[0] += 10_000 * 86_400
        assert ask()[1] == "hit"


def test_stale_while_revalidate_serves_the_old_and_fetches_the_new(upstream, database):
    numbers = iter(range(100))
    upstream.reply(CHAT, lambda _: openai_chat(f"answer {next(numbers)}"))
    now = [1_000_000.0]
    with LLMCache(database_url=database, stale_while_revalidate_s=100, default_ttl_days=1) as cache:
        object.__setattr__(cache.engine.world, "clock", lambda: now[0])
        with httpx.Client(trust_env=False) as client, wrap(client, cache):

            def text():
                reply = client.post(upstream.url + CHAT, json=ASK)
                return reply.json()["choices"][0]["message"]["content"], last_call().status

            assert text() == ("answer 0", "miss")
            now[0] += 86_400 + 50
            assert text() == ("answer 0", "stale")
            upstream.wait_for(2)
            deadline = time.monotonic() + 10
            while cache.engine.world.refreshing and time.monotonic() < deadline:
                time.sleep(0.01)
            assert text() == ("answer 1", "hit")
            now[0] += 86_400 + 101
            assert text() == ("answer 2", "miss")


def test_stale_if_error_serves_the_old_when_fetching_fails(upstream, database):
    upstream.script(CHAT, openai_chat("old"))
    now = [1_000_000.0]
    with LLMCache(database_url=database, stale_if_error_s=100, default_ttl_days=1) as cache:
        object.__setattr__(cache.engine.world, "clock", lambda: now[0])
        with httpx.Client(trust_env=False) as client, wrap(client, cache):
            client.post(upstream.url + CHAT, json=ASK)
            now[0] += 86_400 + 50
            upstream.fail(CHAT, status=503)
            reply = client.post(upstream.url + CHAT, json=ASK)
            assert (reply.status_code, last_call().status) == (200, "stale")
            upstream.stop()
            reply = client.post(upstream.url + CHAT, json=ASK)
            assert (reply.status_code, last_call().status) == (200, "stale")
            now[0] += 100
            with pytest.raises(httpx.ConnectError):
                client.post(upstream.url + CHAT, json=ASK)


@pytest.mark.parametrize(
    "wrong",
    [{"ttl_days": 0}, {"ttl_days": True}, {"mode": "on"}, {"sample": -1}, {"sample": 1.5}, {"namespace": "a\nb"}],
)
def test_wrong_options_are_refused_where_they_are_given(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))), options(**wrong):
        pass


def test_user_and_metadata_are_not_in_the_key_and_nobody_has_heard_of_counts(ask):
    ask()
    assert ask(user="me", metadata={"run": "7"})[1] == "hit"
    assert ask(stream=False)[1] == "hit"
    assert ask(min_p=0.1)[1] == "miss"
    assert ask(temperature=None)[1] == "miss"


def test_ignored_fields_are_left_out_of_the_key(upstream, database):
    upstream.reply(CHAT, openai_chat("hello"))
    with LLMCache(database_url=database, ignore_fields=["seed"]) as cache, httpx.Client(trust_env=False) as client:
        with wrap(client, cache):
            client.post(upstream.url + CHAT, json={**ASK, "seed": 1})
            client.post(upstream.url + CHAT, json={**ASK, "seed": 2})
    assert upstream.count() == 1
