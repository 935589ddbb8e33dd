"""A request's headers steer the cache, and never beyond what the server allows."""

from __future__ import annotations

import re
from typing import Any

import pytest

from llm_cache.core.policy import Mode, Policy
from llm_cache.proxy.refusal import Refusal
from llm_cache.proxy.steering import steer
from llm_cache.testing import FakeUpstream, openai_chat

from .running import Running, running

CHAT = "/v1/chat/completions"


def steered(server: Policy = Policy(), **headers: str) -> dict[str, Any]:  # noqa: B008 - frozen
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return dict(steer(raw, server))


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("no-cache", {"lookup": False}),
        ("No-Store", {"store": False}),
        ("no-cache, no-store", {"lookup": False, "store": False}),
        ("only-if-cached", {"mode": Mode.OFFLINE}),
        ("max-age=60", {"max_age_s": 60.0}),
        ('max-age="60"', {"max_age_s": 60.0}),
        ("max-age=0", {"max_age_s": 0.0}),
        ("max-age=60,max-age=10", {"max_age_s": 10.0}),
        ('max-stale=5, min-fresh=3, no-transform, x-thing="a, no-cache"', {}),
        (" , ,no-cache,", {"lookup": False}),
        ("", {}),
    ],
)  # fmt: skip
def test_cache_control(value: str, fields: dict[str, Any]) -> None:
    assert steered(cache_control=value) == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_control", "max-age"),
        ("cache_control", "max-age=-1"),
        ("cache_control", "max-age=1.5"),
        ("cache_control", "max-age=soon"),
        ("cache_control", '"no-cache"'),
        ("x_llm_cache_ttl", "0"),
        ("x_llm_cache_ttl", "-5"),
        ("x_llm_cache_ttl", "nan"),
        ("x_llm_cache_ttl", "inf"),
        ("x_llm_cache_ttl", "1e9"),
        ("x_llm_cache_ttl", "1 day"),
        ("x_llm_cache_ttl", ""),
        ("x_llm_cache_mode", "write-only"),
        ("x_llm_cache_mode", ""),
        ("x_llm_cache_sample", "-1"),
        ("x_llm_cache_sample", "1.0"),
        ("x_llm_cache_sample", "one"),
        ("x_llm_cache_sample", "\u0663"),
        ("x_llm_cache_namespace", ""),
        ("x_llm_cache_namespace", "n" * 201),
    ],
)
def test_a_malformed_value_is_refused(name: str, value: str) -> None:
    with pytest.raises(Refusal) as refused:
        steered(**{name: value})
    assert refused.value.status == 400
    assert name.replace("_", "-") in str(refused.value)


def test_a_header_of_ours_may_not_come_twice() -> None:
    with pytest.raises(Refusal):
        steer([(b"x-llm-cache-mode", b"off"), (b"x-llm-cache-mode", b"offline")], Policy())


def test_the_lifetime_is_at_most_the_servers() -> None:
    assert steered(Policy(ttl_s=100.0), x_llm_cache_ttl="50") == {"ttl_s": 50.0}
    assert steered(Policy(ttl_s=100.0), x_llm_cache_ttl="5000") == {"ttl_s": 100.0}
    assert steered(Policy(ttl_s=None), x_llm_cache_ttl="5000.5") == {"ttl_s": 5000.5}


@pytest.mark.parametrize("server", list(Mode))
@pytest.mark.parametrize("asked", list(Mode))
def test_a_mode_never_allows_what_the_servers_does_not(server: Mode, asked: Mode) -> None:
    from dataclasses import replace

    base = Policy(mode=server)
    policy = replace(base, **steered(base, x_llm_cache_mode=asked.value))
    wish = Policy(mode=asked)
    network = {mode: mode is not Mode.OFFLINE for mode in Mode}
    assert not policy.writes or (base.writes and wish.writes)
    assert not network[policy.mode] or (network[server] and network[asked])
    if server is not Mode.OFF or asked is not Mode.OFFLINE:  # it reads, as in the library, what nobody else may
        assert not policy.reads or base.reads
    if server is Mode.READ_WRITE:
        assert policy.mode is asked


def test_no_cache_calls_again_and_renews_the_entry(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.script(CHAT, openai_chat("one"), openai_chat("two"))
    proxy.ask()
    again = proxy.ask(headers={"cache-control": "no-cache"})
    assert "two" in again.text
    assert again.headers["cache-status"] == "llm-cache; fwd=request; stored"
    hit = proxy.ask()
    assert hit.headers["x-llm-cache"] == "hit"
    assert "two" in hit.text


def test_no_store_keeps_nothing_but_may_be_answered_from_the_cache(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    first = proxy.ask(headers={"cache-control": "no-store"})
    assert first.headers["cache-status"] == "llm-cache; fwd=miss"
    assert proxy.ask().headers["x-llm-cache"] == "miss"
    assert proxy.ask(headers={"cache-control": "no-store"}).headers["x-llm-cache"] == "hit"


def test_no_store_and_no_cache_together_leave_the_cache_out(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    proxy.ask()
    answer = proxy.ask(headers={"cache-control": "no-cache, no-store"})
    assert answer.headers["x-llm-cache"] == "bypass"
    assert answer.headers["cache-status"].startswith("llm-cache; fwd=request")
    assert upstream.count() == 2


def test_only_if_cached_never_touches_the_network(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    headers = {"cache-control": "only-if-cached"}
    miss = proxy.ask(headers=headers)
    assert miss.status_code == 504
    assert miss.headers["x-should-retry"] == "false"
    assert miss.headers["x-llm-cache"] == "miss"
    assert miss.json()["error"]["code"] == "cache_miss"
    assert upstream.count() == 0
    proxy.ask()
    assert proxy.ask(headers=headers).headers["x-llm-cache"] == "hit"
    assert proxy.ask(headers={"cache-control": "only-if-cached, no-cache"}).status_code == 504
    assert proxy.get("/v1/models", headers=headers).status_code == 504
    assert upstream.count() == 1


def test_a_miss_explains_itself_by_what_the_caller_has_asked(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    proxy.ask()
    other = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say goodbye."}]}
    for key, shown in (("sk-test", True), ("sk-other", False)):
        headers = {"cache-control": "only-if-cached", "authorization": f"Bearer {key}"}
        miss = proxy.ask(json=other, headers=headers)
        assert re.fullmatch("[0-9a-f]{64}", miss.headers["x-llm-cache-key"])
        message = miss.json()["error"]["message"]
        # What another caller has asked is none of this one's business.
        assert ("messages[0].content" in message) is shown
        assert ("hello" in message) is shown


def test_max_age_takes_nothing_older(upstream: FakeUpstream, proxy: Running) -> None:
    import time

    upstream.reply(CHAT, openai_chat("Hello!"))
    proxy.ask()
    assert proxy.ask(headers={"cache-control": "max-age=60"}).headers["x-llm-cache"] == "hit"
    time.sleep(1.1)
    old = proxy.ask(headers={"cache-control": "max-age=1"})
    assert old.headers["cache-status"] == "llm-cache; fwd=stale; stored"
    assert upstream.count() == 2


def test_namespace_and_sample_are_apart(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    for headers in ({}, {"x-llm-cache-namespace": "b"}, {"x-llm-cache-sample": "1"}):
        assert proxy.ask(headers=headers).headers["x-llm-cache"] == "miss"
        assert proxy.ask(headers=headers).headers["x-llm-cache"] == "hit"


def test_a_lifetime_of_its_own(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    proxy.ask(headers={"x-llm-cache-ttl": "100"})
    assert 'ttl=99; key="' in proxy.ask().headers["cache-status"]


@pytest.mark.parametrize("mode", ["refresh", "off", "read-only", "offline"])
def test_modes(mode: str, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    first = proxy.ask(headers={"x-llm-cache-mode": mode})
    second = proxy.ask()
    expected = {
        "refresh": ("llm-cache; fwd=request; stored", "hit"),
        "off": ("llm-cache; fwd=request; detail=off", "miss"),
        "read-only": ("llm-cache; fwd=miss", "miss"),
        "offline": ("llm-cache; detail=cache_miss", "miss"),
    }
    assert (first.headers["cache-status"], second.headers["x-llm-cache"]) == expected[mode]


def test_an_offline_server_stays_offline(upstream: FakeUpstream, database: str) -> None:
    with running(upstream.url, database_url=database, mode="offline") as proxy:
        for headers in (
            {},
            {"cache-control": "no-cache"},
            {"x-llm-cache-mode": "off"},
            {"x-llm-cache-mode": "refresh"},
        ):
            assert proxy.ask(headers=headers).status_code == 504
        assert proxy.get("/v1/models").status_code == 504
    assert upstream.count() == 0


def test_a_malformed_header_is_told_in_the_providers_format(upstream: FakeUpstream, proxy: Running) -> None:
    answer = proxy.ask(headers={"x-llm-cache-ttl": "soon"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    answer = proxy.ask("/v1/messages", headers={"x-llm-cache-ttl": "soon", "anthropic-version": "2023-06-01"})
    assert answer.json()["type"] == "error"
    assert upstream.count() == 0
