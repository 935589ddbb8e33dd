"""Promise 1 on recorded traffic: the SDKs' own typed objects are equal on a miss and on the hit that follows."""

from __future__ import annotations

import asyncio
import random

import pytest

from llm_cache import last_call, wrap
from llm_cache.testing import FakeUpstream, load_traffic, traffic_folder

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

FOLDER = traffic_folder()
pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder"),
    pytest.mark.filterwarnings("ignore:The model:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]
NOT_KEPT = {"acd3514db8ae"}
ENDINGS = {
    "/chat/completions": ("chat.completions.create", ("model", "messages", "stream")),
    "/responses": ("responses.create", ("model", "input", "stream")),
    "/embeddings": ("embeddings.create", ("model", "input", "encoding_format")),
    "/completions": ("completions.create", ("model", "prompt", "stream")),
    "/images/generations": ("images.generate", ("model", "prompt")),
    "/v1/messages": ("messages.create", ("model", "messages", "max_tokens", "stream")),
    "/v1/messages/count_tokens": ("messages.count_tokens", ("model", "messages")),
}


def ending_of(exchange):
    path = exchange.path.partition("?")[0]
    return next((ending for ending in ENDINGS if path.endswith(ending)), None)


EXCHANGES = (
    [
        exchange
        for exchange in load_traffic()
        if exchange.ok and ending_of(exchange) and exchange.id not in NOT_KEPT and exchange.provider != "cohere"
    ]
    if FOLDER
    else []
)


def call(client, exchange):
    """Ask for a recorded exchange by the SDK's own method; what the SDK has no argument for goes beside."""
    name, known = ENDINGS[ending_of(exchange)]
    request = exchange.request_json()
    method = client
    for part in name.split("."):
        method = getattr(method, part)
    arguments = {field: request.pop(field) for field in known if field in request}
    if "encoding_format" in known:
        arguments.setdefault("encoding_format", "float")
    arguments.setdefault("model", "m")
    return method(**arguments, extra_body=request, extra_query=None)


def clients(exchange, upstream):
    """The sync and the async client for an exchange."""
    base = upstream.url + exchange.path.partition("?")[0].removesuffix(ending_of(exchange))
    if exchange.provider == "anthropic":
        kind = {"base_url": base, "api_key": "sk-ant-test", "max_retries": 0}
        return anthropic.Anthropic(**kind), anthropic.AsyncAnthropic(**kind)
    kind = {"base_url": base, "api_key": "sk-test", "max_retries": 0}
    return openai.OpenAI(**kind), openai.AsyncOpenAI(**kind)


def same(first, second):
    assert type(first) is type(second)
    assert first == second
    assert repr(first) == repr(second)
    if hasattr(first, "model_dump"):
        assert first.model_dump(exclude_unset=True) == second.model_dump(exclude_unset=True)
        assert getattr(first, "_request_id", None) == getattr(second, "_request_id", None)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_typed_objects_are_equal_on_the_hit(exchange, cache):
    with FakeUpstream(seed=random.randrange(2**32)) as upstream:
        upstream.play(exchange)
        client, other = clients(exchange, upstream)
        with client, wrap(client, cache):
            results = [_gathered(call(client, exchange)) for _ in range(2)]
        assert last_call().status == "hit"
        results.append(asyncio.run(_asynchronously(other, cache, exchange)))
        for later in results[1:]:
            assert len(results[0]) == len(later)
            for first, second in zip(results[0], later, strict=True):
                same(first, second)
        assert upstream.count() == 1


def _gathered(result):
    return list(result) if hasattr(result, "__iter__") and not hasattr(result, "model_dump") else [result]


async def _asynchronously(client, cache, exchange):
    async with client:
        with wrap(client, cache):
            result = await call(client, exchange)
            if hasattr(result, "__aiter__"):
                return [item async for item in result]
            return [result]
