"""Promises 1, 4 and 6 on recorded traffic: what is kept replays byte for byte, everything else is asked for again."""

from __future__ import annotations

import random

import pytest

from llm_cache import LLMCache
from llm_cache.core.model import Request
from llm_cache.core.signature import loads
from llm_cache.providers.registry import recognise
from llm_cache.testing import Exchange, FakeUpstream, load_traffic, traffic_folder

from .callers import Caller, callers, request_of

FOLDER = traffic_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder")


def known(exchange: Exchange) -> bool:
    """Whether the exchange is of an endpoint that this version caches."""
    request = Request("POST", f"https://{exchange.host}{exchange.path}", exchange.request_headers, exchange.request)
    return recognise(request, loads(exchange.request).value) is not None


NOT_KEPT = {
    "acd3514db8ae": "an error event inside a stream that ends with [DONE]",
    "11683a97b12f": "the prompt was blocked",
    "162081ec1169": "the answer was blocked",
    "0e5b5bb1e91d": "a guardrail has intervened",
    "9c4efcd86407": "a guardrail has blocked the prompt",
}
"""Recorded with status 200, and yet not whole, good answers."""
EXCHANGES = [exchange for exchange in load_traffic() if known(exchange)] if FOLDER else []


@pytest.mark.parametrize("call", callers())
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_a_kept_reply_replays_byte_for_byte_and_an_error_is_asked_for_again(
    exchange: Exchange, call: Caller, database: str
) -> None:
    with FakeUpstream(seed=random.randrange(2**32)) as upstream, LLMCache(database_url=database) as cache:
        upstream.play(exchange)
        asked = request_of(exchange, upstream.url)
        first, second = call(cache, [asked, asked])
        assert first.status == second.status == exchange.status
        assert first.body == second.body == exchange.response
        assert first.outcome == "miss"
        if exchange.ok and exchange.id not in NOT_KEPT:
            assert second.outcome == "hit"
            assert upstream.count() == 1
            assert "set-cookie" not in second.headers
            assert not [name for name in second.headers if "ratelimit" in name]
            assert second.headers.get("content-type") == first.headers.get("content-type")
        else:
            assert second.outcome == "miss"
            assert upstream.count() == 2
            assert list(cache.entries()) == []


def test_a_new_process_finds_what_an_old_one_kept(database: str) -> None:
    kept = [exchange for exchange in EXCHANGES if exchange.ok and exchange.id not in NOT_KEPT]
    call = callers()[0].values[0]
    with FakeUpstream() as upstream:
        with LLMCache(database_url=database) as cache:
            for exchange in kept:
                upstream.play(exchange, times=1)
                call(cache, [request_of(exchange, upstream.url)])
        upstream.reset_counts()
        with LLMCache(database_url=database, mode="offline") as cache:
            for exchange in kept:
                (got,) = call(cache, [request_of(exchange, upstream.url)])
                assert got.outcome == "hit"
        assert upstream.count() == 0
