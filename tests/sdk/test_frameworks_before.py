"""Frameworks on the SDKs before, and clients that nobody holds, each where it is installed."""

from __future__ import annotations

import asyncio

import pytest

from llm_cache import wrap
from llm_cache.errors import ConfigError
from llm_cache.testing import Reply
from tests.sdk.frameworks import AIOHTTP, CHAT, FILTERS, MESSAGES, atwice, needs, twice
from tests.sdk.sdks import installed

pytestmark = FILTERS


# --- instructor, LlamaIndex, LiteLLM, together 1 ---------------------------------------------------


@needs("instructor", "sync plain")
def test_instructor(up, cache):
    import instructor
    from openai import OpenAI
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    client = instructor.from_openai(OpenAI())
    ask = {"model": "gpt-4", "messages": MESSAGES, "response_model": Place, "max_retries": 0}
    with wrap(client, cache):
        first, second = twice(lambda: client.chat.completions.create(**ask))
    assert first.model_dump() == second.model_dump() == {"city": "Zug"}
    assert up.count() == 1


@needs("instructor", "sync stream")
def test_instructor_streams(up, cache):
    import instructor
    from openai import OpenAI
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    client = instructor.from_openai(OpenAI())
    ask = {"model": "gpt-4", "messages": MESSAGES, "response_model": Place, "max_retries": 0}
    with wrap(client, cache):
        first, second = twice(lambda: [part.model_dump() for part in client.chat.completions.create_partial(**ask)])
    assert first == second
    assert first[-1] == {"city": "Zug"}
    assert up.count() == 1


@needs("instructor", "async stream")
def test_instructor_async_streams(up, cache):
    import instructor
    from openai import AsyncOpenAI
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    async def main():
        client = instructor.from_openai(AsyncOpenAI())
        ask = {"model": "gpt-4", "messages": MESSAGES, "response_model": Place, "max_retries": 0}

        async def parts():
            return [part.model_dump() async for part in client.chat.completions.create_partial(**ask)]

        with wrap(client, cache):
            return await atwice(parts)

    first, second = asyncio.run(main())
    assert first == second
    assert first[-1] == {"city": "Zug"}
    assert up.count() == 1


@needs("instructor", "async plain")
def test_instructor_async(up, cache):
    import instructor
    from openai import AsyncOpenAI
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    async def main():
        client = instructor.from_openai(AsyncOpenAI())
        ask = {"model": "gpt-4", "messages": MESSAGES, "response_model": Place, "max_retries": 0}
        with wrap(client, cache):
            return await atwice(lambda: client.chat.completions.create(**ask))

    first, second = asyncio.run(main())
    assert first.model_dump() == second.model_dump() == {"city": "Zug"}
    assert up.count() == 1


def llama(up):
    from llama_index.llms.openai import OpenAI

    return OpenAI(model="gpt-4", api_base=up.url + "/v1", api_key="sk-test", max_retries=0)


@needs("llama-index-llms-openai", "sync plain")
def test_llama_index(up, cache):
    from llama_index.core.llms import ChatMessage

    llm = llama(up)
    with wrap(llm, cache):
        first, second = twice(lambda: llm.chat([ChatMessage(role="user", content="hi")]))
    assert first.message == second.message
    assert up.count() == 1


@needs("llama-index-llms-openai", "sync stream")
def test_llama_index_streams(up, cache):
    from llama_index.core.llms import ChatMessage

    llm = llama(up)
    with wrap(llm, cache):
        first, second = twice(lambda: [part.delta for part in llm.stream_chat([ChatMessage(content="hi")])])
    assert first == second
    assert "".join(filter(None, first)) == "hello"
    assert up.count() == 1


@needs("llama-index-llms-openai", "async plain")
def test_llama_index_async(up, cache):
    from llama_index.core.llms import ChatMessage

    async def main():
        llm = llama(up)
        with wrap(llm, cache):
            return await atwice(lambda: llm.achat([ChatMessage(role="user", content="hi")]))

    first, second = asyncio.run(main())
    assert first.message == second.message
    assert up.count() == 1


@needs("llama-index-llms-openai", "async stream")
def test_llama_index_async_streams(up, hooked):
    from llama_index.core.llms import ChatMessage

    async def main():
        llm = llama(up)

        async def ask():
            return [part.delta async for part in await llm.astream_chat([ChatMessage(content="hi")])]

        return await atwice(ask)

    first, second = asyncio.run(main())
    assert first == second
    assert up.count() == 1


def lite(up, model):
    base = up.url + ("/v1" if model.startswith("openai/") else "")
    return {"model": model, "messages": MESSAGES, "api_base": base, "api_key": "sk-test", "num_retries": 0}


MODELS = pytest.mark.parametrize("model", ["openai/gpt-4", "anthropic/claude-haiku-4-5"])


@MODELS
@needs("litellm", "sync plain")
def test_litellm(up, hooked, model, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    first, second = twice(lambda: litellm.completion(**lite(up, model)))
    assert first.choices == second.choices
    assert first.usage == second.usage
    assert up.count() == 1


@MODELS
@needs("litellm", "sync stream")
def test_litellm_streams(up, hooked, model, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    def ask():
        return [part.choices[0].delta.content for part in litellm.completion(**lite(up, model), stream=True)]

    first, second = twice(ask)
    assert first == second
    assert "".join(filter(None, first)) == "hello"
    assert up.count() == 1


@MODELS
@needs("litellm", "async plain")
def test_litellm_async(up, hooked, model, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    first, second = asyncio.run(atwice(lambda: litellm.acompletion(**lite(up, model))))
    assert first.choices == second.choices
    assert up.count() == 1


@MODELS
@needs("litellm", "async stream")
def test_litellm_async_streams(up, hooked, model, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    async def ask():
        stream = await litellm.acompletion(**lite(up, model), stream=True)
        return [part.choices[0].delta.content async for part in stream]

    first, second = asyncio.run(atwice(ask))
    assert first == second
    assert "".join(filter(None, first)) == "hello"
    assert up.count() == 1


together1 = pytest.mark.skipif(not (installed("together") or "").startswith("1."), reason="together 1 is not installed")


@together1
@pytest.mark.cell("together 1", "`wrap`", no="it makes a session for each call and keeps none; `install` covers it")
def test_together_1_has_nothing_to_wrap(cache):
    import together

    with pytest.raises(ConfigError, match="does not know how to reach"):
        wrap(together.Together(api_key="k"), cache)


@together1
@pytest.mark.cell("together 1", "sync plain")
def test_together_1(up, hooked):
    import together

    client = together.Together(api_key="k", base_url=up.url + "/v1", max_retries=0)
    first, second = twice(lambda: client.chat.completions.create(model="m", messages=MESSAGES))
    assert first == second
    assert up.count() == 1


@together1
@pytest.mark.cell("together 1", "sync stream")
def test_together_1_streams(up, hooked):
    import together

    client = together.Together(api_key="k", base_url=up.url + "/v1", max_retries=0)
    first, second = twice(lambda: list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True)))
    assert first == second
    assert len(first) > 2
    assert up.count() == 1


@together1
@pytest.mark.cell("together 1", "async plain", no=AIOHTTP)
def test_together_1_async_is_not_covered(up, hooked):
    import together

    async def main():
        client = together.AsyncTogether(api_key="k", base_url=up.url + "/v1", max_retries=0)
        return await atwice(lambda: client.chat.completions.create(model="m", messages=MESSAGES))

    first, second = asyncio.run(main())
    assert first.choices[0].message.content == second.choices[0].message.content == "hello"
    assert up.count() == 2


# --- clients that nobody holds -------------------------------------------------------------------


@needs("openai", "module-level `openai.chat…`")
def test_module_level_calls(up, hooked):
    import openai

    openai.api_key = "sk-test"
    openai.base_url = up.url + "/v1/"
    try:
        first, second = twice(lambda: openai.chat.completions.create(model="gpt-4", messages=MESSAGES))
    finally:
        openai.base_url = None
        openai._client = None
        openai._reset_client() if hasattr(openai, "_reset_client") else None
    assert first == second
    assert up.count() == 1


@needs("requests", "sync plain", "requests, `Session`")
def test_a_session_of_requests(up, cache):
    import requests

    with requests.Session() as session, wrap(session, cache):
        first, second = twice(lambda: session.post(up.url + CHAT, json={"model": "m", "messages": MESSAGES}).json())
        assert "get_adapter" in vars(session)
    assert "get_adapter" not in vars(session)
    assert first == second
    assert up.count() == 1


def test_an_error_of_a_blocking_library_is_its_own(up, cache):
    requests = pytest.importorskip("requests")

    up.reply(CHAT, Reply(status=429, json={"error": {"message": "slow down"}}, headers={"retry-after": "1"}))
    with requests.Session() as session, wrap(session, cache):
        for _ in range(2):
            reply = session.post(up.url + CHAT, json={"model": "m", "messages": MESSAGES})
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    assert up.count() == 2
