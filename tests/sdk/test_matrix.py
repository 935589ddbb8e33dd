"""The matrix: every SDK against recorded traffic, sync and async, plain and streamed, wrapped and with `install`."""

from __future__ import annotations

import asyncio
import random

import pytest

from llm_cache import install, last_call, uninstall, wrap
from llm_cache.testing import FakeUpstream
from tests.sdk.cases import FOLDER, cases
from tests.sdk.gathering import aclose, agathered, all_same, close, gathered

pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:The model:DeprecationWarning"),
    # The SDKs' own.
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
]


def column(exchange, later):
    return f"{'async' if later else 'sync'} {'stream' if exchange.stream else 'plain'}"


def holds_connection(exchange):
    """Whether boto3's reply is a dictionary with an open connection in it."""
    return exchange.stream or "/invoke" in exchange.path


def params(later, kind=None):
    return [
        pytest.param(
            sdk,
            exchange,
            id=f"{sdk.name.split(' ')[-1].strip('`')}-{exchange.name}",
            marks=pytest.mark.cell(sdk.row, kind or column(exchange, later)),
        )
        for sdk, exchange in cases()
        if not (sdk.distribution == "boto3" and (later or (kind and holds_connection(exchange))))
    ]


@pytest.mark.parametrize(("sdk", "exchange"), params(later=False))
def test_sync_calls(sdk, exchange, cache):
    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        client = sdk.client(upstream, exchange, False)
        results = []
        with wrap(client, cache):
            for _ in range(2):
                results.append(gathered(sdk.ask(client, exchange, False)))
        assert last_call().status == "hit"
        install(cache)
        try:
            # Nobody has wrapped it any more.
            results.append(gathered(sdk.ask(client, exchange, False)))
            assert last_call().status == "hit"
        finally:
            uninstall()
            close(client)
        assert upstream.count() == 1
        for later in results[1:]:
            all_same(results[0], later)


@pytest.mark.parametrize(("sdk", "exchange"), params(later=True))
def test_async_calls(sdk, exchange, cache):
    async def main(upstream):
        client = sdk.client(upstream, exchange, True)
        results = []
        with wrap(client, cache):
            for _ in range(2):
                results.append(await agathered(sdk.ask(client, exchange, True)))
                assert last_call().status == ("hit" if len(results) > 1 else "miss")
        install(cache)
        try:
            results.append(await agathered(sdk.ask(client, exchange, True)))
            assert last_call().status == "hit"
        finally:
            uninstall()
            await aclose(client)
        return results

    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        results = asyncio.run(main(upstream))
        assert upstream.count() == 1
        for later in results[1:]:
            all_same(results[0], later)
