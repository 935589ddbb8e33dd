"""Every kept exchange is recorded, found after a restart, and replayed, by the SDK of its vendor.

Through the library, and through the proxy. For an exchange that no SDK has a method for, and for the bytes of all of
them, `tests/faces/test_traffic.py` and `tests/proxy/test_traffic.py` do the same over plain HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from llm_cache import LLMCache, last_call, options, wrap
from llm_cache.clients.places import library_of, places
from llm_cache.testing import Exchange, FakeUpstream
from tests.proxy.running import Running, running
from tests.sdk.cases import FOLDER, everything
from tests.sdk.gathering import all_same, close, gathered
from tests.sdk.sdks import SDKS, installed

pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:The model:DeprecationWarning"),
    # The SDKs' own.
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
]
NOT_KEPT = {"acd3514db8ae", "11683a97b12f", "162081ec1169", "0e5b5bb1e91d", "9c4efcd86407"}
"""An error inside a stream, and what a filter took: see `tests/faces/test_traffic.py`."""
PLAIN_HTTP = {"/v1/complete", "/v1/embeddings", "/v1/rerank"}
"""No SDK that is installed here has them: Anthropic's old completions, and Voyage's."""
AT_THE_ROOT = {"openai", "anthropic", "azure-openai", "cohere", "ollama", "google-vertex", "bedrock"}
KEPT = [(sdk, exchange) for sdk, exchange in everything() if exchange.id not in NOT_KEPT]
WITH_SDK = sorted(((sdk, each) for sdk, each in KEPT if sdk is not None), key=lambda pair: pair[0].name)
PARTS = 8
"""Of the exchanges, so that several workers share them; each part has one proxy, and one that is started after it."""
in_parts = pytest.mark.parametrize("part", range(PARTS))


def part_of(part: int) -> list[tuple]:
    # Those of one SDK together: importing one is what takes longest.
    size = -(-len(WITH_SDK) // PARTS)
    return WITH_SDK[part * size : (part + 1) * size]


def test_there_is_an_sdk_for_all_that_have_one() -> None:
    if not all(installed(sdk.distribution) for sdk in SDKS):
        pytest.skip("not every SDK is installed here")
    left = {exchange.path.partition("?")[0] for sdk, exchange in KEPT if sdk is None}
    assert left <= PLAIN_HTTP
    assert len(WITH_SDK) >= 150


@contextmanager
def client_of(sdk, exchange: Exchange, url: str, namespace: str | None = None) -> Iterator:
    """A new client, which sends a namespace for the proxy with each call."""
    client = sdk.client(SimpleNamespace(url=url), exchange, False)
    try:
        if namespace:
            for place in places(client):
                if library_of(place.target):
                    place.target.headers["x-llm-cache-namespace"] = namespace
            if hasattr(client, "meta"):
                client.meta.events.register(
                    "before-sign", lambda request, **_: request.headers.add_header("x-llm-cache-namespace", namespace)
                )
        yield client
    finally:
        close(client)


@in_parts
def test_through_the_library(part: int, database: str) -> None:
    first = {}
    with FakeUpstream() as upstream:
        with LLMCache(database_url=database, read_timeout_ms=5000) as cache:
            for sdk, exchange in part_of(part):
                upstream.reset()
                upstream.play(exchange)
                with options(namespace=exchange.name), client_of(sdk, exchange, upstream.url) as client:
                    with wrap(client, cache):
                        first[exchange.name] = gathered(sdk.ask(client, exchange, False))
                    assert last_call().status == "miss", exchange.name
                assert upstream.count() == 1
        upstream.reset()
        with LLMCache(database_url=database, mode="offline", read_timeout_ms=5000) as cache:
            for sdk, exchange in part_of(part):
                with options(namespace=exchange.name), client_of(sdk, exchange, upstream.url) as client:
                    with wrap(client, cache):
                        again = gathered(sdk.ask(client, exchange, False))
                    assert last_call().status == "hit", exchange.name
                all_same(first[exchange.name], again)
        assert upstream.count() == 0


def base(proxy: Running, exchange: Exchange) -> str:
    root = exchange.provider in AT_THE_ROOT or "/v1beta/models/" in exchange.path
    return proxy.url if root else f"{proxy.url}/{exchange.provider}"


@in_parts
def test_through_the_proxy(part: int, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key")
    names = {exchange.provider for _, exchange in WITH_SDK} | {"azure", "openai", "anthropic", "google", "vertex"}
    first = {}
    with FakeUpstream() as upstream:
        settings = {"database_url": database, "upstreams": dict.fromkeys(names, upstream.url), "read_timeout_ms": 5000}
        with running(None, **settings) as proxy:
            for sdk, exchange in part_of(part):
                upstream.reset()
                upstream.play(exchange)
                with client_of(sdk, exchange, base(proxy, exchange), exchange.name) as client:
                    first[exchange.name] = gathered(sdk.ask(client, exchange, False))
                assert upstream.count() == 1, exchange.name
        upstream.reset()
        port = proxy.port
        # As a server that is started anew: what was stored is all that it has.
        with running(None, **settings, mode="offline") as proxy:
            assert proxy.port != port
            for sdk, exchange in part_of(part):
                with client_of(sdk, exchange, base(proxy, exchange), exchange.name) as client:
                    all_same(first[exchange.name], gathered(sdk.ask(client, exchange, False)))
        assert upstream.count() == 0
