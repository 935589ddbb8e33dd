"""Promises 1, 4 and 6 through the proxy: what is kept replays byte for byte, what is not is asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llm_cache.core.model import Request
from llm_cache.core.recorder import kept_headers
from llm_cache.core.signature import loads
from llm_cache.providers.registry import recognise
from llm_cache.testing import Exchange, FakeUpstream, load_traffic, traffic_folder

from .running import NO_PROXY, Running, running

FOLDER = traffic_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder")
NOT_THE_CLIENTS = {"content-length", "transfer-encoding", "host", "connection", "content-encoding"}
AT_THE_ROOT = {"openai", "anthropic", "azure-openai", "cohere", "ollama", "google-vertex", "bedrock"}
"""Providers that are known by their paths and headers; the others are addressed by name."""

NOT_KEPT = {"acd3514db8ae", "11683a97b12f", "162081ec1169", "0e5b5bb1e91d", "9c4efcd86407"}
"""Called a success by who recorded it, but a piece carries an error ("Token limit reached"), or a filter took it."""


def known(exchange: Exchange) -> bool:
    request = Request("POST", f"https://{exchange.host}{exchange.path}", exchange.request_headers, exchange.request)
    return recognise(request, loads(exchange.request).value) is not None


EXCHANGES = [exchange for exchange in load_traffic() if known(exchange)] if FOLDER else []


@pytest.fixture(scope="module")
def up() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def proxy(up: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for all: each exchange has a namespace of its own."""
    names = {exchange.provider for exchange in EXCHANGES} | {"azure", "openai", "anthropic", "google", "vertex"}
    database = str(tmp_path_factory.mktemp("cache") / "cache.db")
    with running(up.url, database_url=database, upstreams=dict.fromkeys(names, up.url)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """One for all: making four hundred would take longer than their calls."""
    with httpx.Client(**NO_PROXY) as client:
        yield client


def ask(client: httpx.Client, proxy: Running, exchange: Exchange) -> httpx.Response:
    headers = {name: value for name, value in exchange.request_headers if name not in NOT_THE_CLIENTS}
    headers.setdefault("content-type", "application/json")
    headers["x-llm-cache-namespace"] = exchange.name
    root = exchange.provider in AT_THE_ROOT or "/v1beta/models/" in exchange.path
    prefix = "" if root else f"/{exchange.provider}"
    client.cookies.clear()
    return client.post(proxy.url + prefix + exchange.path, content=exchange.request, headers=headers)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_a_recorded_exchange_twice(exchange: Exchange, up: FakeUpstream, proxy: Running, client: httpx.Client) -> None:
    up.reset()
    up.play(exchange)
    first, second = ask(client, proxy, exchange), ask(client, proxy, exchange)
    assert first.status_code == second.status_code == exchange.status
    assert first.content == second.content == exchange.response
    assert first.headers["x-llm-cache"] == "miss"
    assert first.headers.get("content-type") == exchange.content_type == second.headers.get("content-type")
    assert first.headers.get("set-cookie"), "what is the leader's own goes on to the leader"
    if exchange.ok and exchange.id not in NOT_KEPT:
        assert second.headers["x-llm-cache"] == "hit"
        assert up.count() == 1
        kept = dict(kept_headers(tuple(first.headers.items())))
        assert {name: second.headers.get(name) for name in kept} == kept
        assert "set-cookie" not in second.headers
        assert not [name for name in second.headers if "ratelimit" in name]
        assert ("transfer-encoding" in second.headers) == (first.headers["cache-status"] == "llm-cache; fwd=miss")
    else:
        assert second.headers["x-llm-cache"] == "miss"
        assert first.headers["cache-status"] == second.headers["cache-status"] == "llm-cache; fwd=miss"
        assert up.count() == 2


def test_a_new_proxy_finds_what_an_old_one_kept(up: FakeUpstream, tmp_path: Path, client: httpx.Client) -> None:
    kept = [exchange for exchange in EXCHANGES if exchange.ok and exchange.id not in NOT_KEPT]
    names = {exchange.provider for exchange in EXCHANGES} | {"azure", "openai", "anthropic", "google", "vertex"}
    settings = {"database_url": str(tmp_path / "cache.db"), "upstreams": dict.fromkeys(names, up.url)}
    with running(None, **settings) as proxy:
        for exchange in kept:
            up.reset()
            up.play(exchange)
            assert ask(client, proxy, exchange).headers["x-llm-cache"] == "miss"
    up.reset()
    with running(None, **settings, mode="offline") as proxy:
        for exchange in kept:
            answer = ask(client, proxy, exchange)
            assert answer.headers["x-llm-cache"] == "hit", exchange.name
            assert answer.content == exchange.response
    assert up.count() == 0
