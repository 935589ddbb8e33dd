"""Every SDK object in recorded replies comes back through `cached_call`, plain, streamed and async."""

from __future__ import annotations

import asyncio
import random

import pytest

from llm_cache import cached_call, last_call
from llm_cache.testing import FakeUpstream
from tests.sdk.test_traffic_objects import EXCHANGES, _gathered, call, clients, pytestmark, same

assert pytestmark  # the same conditions hold here


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_objects_are_equal_on_the_hit(exchange, cache):
    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        client, other = clients(exchange, upstream)

        @cached_call(cache=cache)
        def ask(name):
            return call(client, exchange)

        @cached_call(cache=cache)
        async def later(name):
            return await call(other, exchange)

        async def twice():
            async with other:
                found = []
                for _ in range(2):
                    result = await later(exchange.name)
                    found.append(
                        (result, [item async for item in result] if hasattr(result, "__aiter__") else [result])
                    )
                return found

        with client:
            results = []
            for _ in range(2):
                result = ask(exchange.name)
                results.append((result, _gathered(result)))
        assert last_call().status == "hit"
        assert upstream.count() == 1
        results += asyncio.run(twice())
        assert upstream.count() == 2
        assert type(results[0][0]) is type(results[1][0])
        assert type(results[2][0]) is type(results[3][0])
        for _, later_items in results[1:]:
            assert len(later_items) == len(results[0][1])
            for first, second in zip(results[0][1], later_items, strict=True):
                same(first, second)
