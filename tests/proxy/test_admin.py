"""The proxy's own pages: whether it lives, whether its store works, what it has counted."""

from __future__ import annotations

import httpx
import pytest

from llm_cache.testing import FakeUpstream, openai_chat

from .running import ASK, NO_PROXY, Running, running


def test_pulse_and_readiness(proxy: Running) -> None:
    assert proxy.get("/healthz").json() == {"status": "ok"}
    assert proxy.get("/readyz").json() == {"status": "ready"}


def test_whoever_looks_at_the_address_alone_is_told_what_it_is(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    page = proxy.get("/")
    assert page.text.startswith("llm-cache ")
    assert "/dashboard" in page.text
    assert upstream.count() == 0
    assert proxy.ask("/").headers["x-llm-cache"] == "bypass", "what is sent there is for an upstream"


def test_health(upstream: FakeUpstream, proxy: Running) -> None:
    from importlib.metadata import version

    upstream.reply("*", openai_chat("Hello!"))
    proxy.ask()
    told = proxy.get("/health").json()
    uptime_s = told.pop("uptime_s")
    assert 0 < uptime_s < 60
    assert told == {"status": "ok", "version": version("llm-cache"), "store": "sqlite", "entries": 1}


def test_metrics(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    proxy.ask()
    proxy.ask()
    proxy.get("/v1/models")
    answer = proxy.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert "# HELP llm_cache_hits_total Total number of cache hits" in lines
    assert "# TYPE llm_cache_hits_total counter" in lines
    assert "llm_cache_hits_total 1" in lines
    assert "llm_cache_entries_total 1" in lines
    assert "llm_cache_misses_total 1.0" in lines
    assert any(line.startswith("llm_cache_bypasses_total{") for line in lines)
    assert "Say hello." not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health", "/metrics"])
def test_pages_are_only_read(path: str, upstream: FakeUpstream, proxy: Running) -> None:
    with httpx.Client(**NO_PROXY) as client:
        head = client.head(proxy.url + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["cache-control"] == "no-store"
        assert "cache-status" not in head.headers
        posted = client.post(proxy.url + path, json=ASK)
        assert posted.status_code == 405
        assert posted.headers["allow"] == "GET, HEAD"
    assert upstream.count() == 0


def test_the_dashboard_is_the_proxys_own(upstream: FakeUpstream, proxy: Running) -> None:
    assert proxy.get("/dashboard").headers["content-type"].startswith("text/html")
    assert proxy.get("/dashboard/x").status_code == 404
    assert upstream.count() == 0


def test_metrics_of_the_proxy_itself(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    for _ in range(3):
        proxy.ask()
    proxy.get("/v1/models")
    proxy.ask(headers={"x-llm-cache-ttl": "x"})
    lines = proxy.get("/metrics").text.splitlines()
    for result, count in (("hit", 2), ("miss", 1), ("bypass", 1), ("refused", 1), ("failed", 0)):
        assert f'llm_cache_requests_total{{result="{result}"}} {count}.0' in lines
    assert "# TYPE llm_cache_hit_duration_seconds histogram" in lines
    assert "llm_cache_hit_duration_seconds_count 2.0" in lines
    assert "llm_cache_upstream_duration_seconds_count 2.0" in lines
    assert "llm_cache_upstream_first_byte_seconds_count 2.0" in lines
    assert "llm_cache_store_up 1.0" in lines
    assert "llm_cache_evicted_total 0.0" in lines


def test_a_store_that_is_down_shows(upstream: FakeUpstream, tmp_path) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    (tmp_path / "folder").mkdir()
    with running(upstream.url, database_url=str(tmp_path / "folder")) as proxy:
        assert proxy.ask().status_code == 200
        lines = proxy.get("/metrics").text.splitlines()
        assert "llm_cache_store_up 0.0" in lines
        assert any(line.startswith('llm_cache_store_failures_total{operation="get"}') for line in lines)
        assert 'llm_cache_requests_total{result="miss"} 1.0' in lines
