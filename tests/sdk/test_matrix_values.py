"""Every SDK's objects and streams through `cached_call`: what comes back is equal, and nobody was asked twice."""

from __future__ import annotations

import asyncio
import random

import pytest

from llm_cache import cached_call, last_call
from llm_cache.testing import FakeUpstream
from tests.sdk.cases import cases
from tests.sdk.gathering import aclose, agathered, all_same, close, gathered
from tests.sdk.test_matrix import holds_connection, params, pytestmark

assert pytestmark  # the same conditions hold here


@pytest.mark.parametrize(("sdk", "exchange"), params(later=False, kind="`cached_call`"))
def test_sync_functions(sdk, exchange, cache):
    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        client = sdk.client(upstream, exchange, False)

        @cached_call(cache=cache)
        def ask(name):
            return sdk.ask(client, exchange, False)

        results, items = [], []
        for _ in range(2):
            results.append(ask("x"))
            items.append(gathered(results[-1]))
        assert last_call().status == "hit"
        assert upstream.count() == 1
        assert type(results[0]) is type(results[1])
        all_same(*items)
        close(client)


@pytest.mark.parametrize(("sdk", "exchange"), params(later=True, kind="`cached_call`, async"))
def test_coroutine_functions(sdk, exchange, cache):
    async def main(upstream):
        client = sdk.client(upstream, exchange, True)

        @cached_call(cache=cache)
        async def ask(name):
            result = sdk.ask(client, exchange, True)
            return await result if hasattr(result, "__await__") else result

        results, items = [], []
        for _ in range(2):
            results.append(await ask("x"))
            items.append(await agathered(results[-1]))
        assert last_call().status == "hit"
        assert type(results[0]) is type(results[1])
        all_same(*items)
        await aclose(client)

    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        asyncio.run(main(upstream))
        assert upstream.count() == 1


HOLD = [(sdk, exchange) for sdk, exchange in cases() if sdk.distribution == "boto3" and holds_connection(exchange)]
WHY = (
    "boto3 answers with a dictionary that holds the open connection; `cached_call` gives it back and keeps nothing."
    " Wrap the client, or let the function return what it has read"
)


@pytest.mark.parametrize(
    ("sdk", "exchange"),
    [
        pytest.param(
            sdk,
            exchange,
            id=exchange.name,
            marks=pytest.mark.cell(sdk.row, "`cached_call` of streams and of `invoke_model`", no=WHY),
        )
        for sdk, exchange in HOLD[:2]
    ],
)
def test_what_holds_a_connection_is_given_back_and_not_kept(sdk, exchange, cache):
    with FakeUpstream() as upstream:
        upstream.play(exchange)
        client = sdk.client(upstream, exchange, False)

        @cached_call(cache=cache)
        def ask():
            return sdk.ask(client, exchange, False)

        # They differ in the id of the request alone.
        first, second = ([item for item in gathered(ask()) if item[0] != "ResponseMetadata"] for _ in range(2))
        assert first == second
        assert upstream.count() == 2
        close(client)
    assert list(cache.entries()) == []
