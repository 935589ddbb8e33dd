"""What stands on the SDKs, each where it is installed: wrapped by what holds the SDK's client, and with `install`.

Each is asked twice: whatever comes back the second time is equal, and nobody is asked again.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from llm_cache import install, last_call, uninstall, wrap
from llm_cache.testing import Reply, anthropic_message, anthropic_stream, openai_chat, openai_chat_stream
from tests.sdk.sdks import installed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

CHAT, MESSAGES_PATH = "/v1/chat/completions", "/v1/messages"
MESSAGES = [{"role": "user", "content": "hi"}]


def needs(distribution, column, name=None, *, no=None):
    """A test of one cell, skipped where the SDK is not installed."""
    found = installed(distribution)
    row = f"{name or distribution} {(found or '?').partition('.')[0]}"

    def decorate(test):
        marked = pytest.mark.cell(row, column, no=no)(test)
        return pytest.mark.skipif(found is None, reason=f"{distribution} is not installed")(marked)

    return decorate


@pytest.fixture
def hooked(cache):
    install(cache)
    yield cache
    uninstall()


@pytest.fixture
def up(upstream, monkeypatch):
    """Answers chats of OpenAI and messages of Anthropic, streamed if that is asked for."""

    def chat(received):
        asked = json.loads(received.body)
        if asked.get("tools"):
            name = asked["tools"][0]["function"]["name"]
            return openai_chat(tool_calls=[(name, {"city": "Zug"})])
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        return openai_chat_stream(["he", "llo"], include_usage=usage) if asked.get("stream") else openai_chat("hello")

    def messages(received):
        return (
            anthropic_stream(["he", "llo"]) if json.loads(received.body).get("stream") else anthropic_message("hello")
        )

    upstream.reply(CHAT, chat)
    upstream.reply(MESSAGES_PATH, messages)
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url)
    return upstream


def twice(call):
    """What a call gives, twice; the second time from the cache."""
    first = call()
    second = call()
    assert last_call().status == "hit"
    return first, second


async def atwice(call):
    first = await call()
    second = await call()
    return first, second


# --- LangChain ---------------------------------------------------------------------------------


def chat_model(name, up, **more):
    if name == "langchain-openai":
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="gpt-4", base_url=up.url + "/v1", api_key="sk-test", max_retries=0, **more)
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(
        model="claude-haiku-4-5", base_url=up.url, api_key="sk-ant", max_retries=0, max_tokens=9, **more
    )


def langchain(column):
    def decorate(test):
        marks = [
            pytest.param(
                name,
                marks=[
                    pytest.mark.skipif(installed(name) is None, reason=f"{name} is not installed"),
                    pytest.mark.cell(f"{name} {(installed(name) or '?').partition('.')[0]}", column),
                ],
            )
            for name in ("langchain-openai", "langchain-anthropic")
        ]
        return pytest.mark.parametrize("name", marks)(test)

    return decorate


def without_run(message):
    """LangChain numbers each run of a model anew."""
    return message.model_copy(update={"id": None})


@langchain("sync plain")
def test_langchain(up, cache, name):
    llm = chat_model(name, up)
    with wrap(llm, cache):
        first, second = twice(lambda: llm.invoke("hi"))
    assert without_run(first) == without_run(second)
    assert first.content == "hello"
    install(cache)
    try:
        assert without_run(chat_model(name, up).invoke("hi")) == without_run(first)
    finally:
        uninstall()
    assert up.count() == 1


@langchain("sync stream")
def test_langchain_streams(up, cache, name):
    llm = chat_model(name, up)
    with wrap(llm, cache):
        first, second = twice(lambda: [without_run(chunk) for chunk in llm.stream("hi")])
    assert first == second
    assert len(first) > 2
    assert up.count() == 1


@langchain("async plain")
def test_langchain_async(up, cache, name):
    async def main():
        llm = chat_model(name, up)
        with wrap(llm, cache):
            return await atwice(lambda: llm.ainvoke("hi"))

    first, second = asyncio.run(main())
    assert without_run(first) == without_run(second)
    assert up.count() == 1


@langchain("async stream")
def test_langchain_async_streams(up, cache, name):
    async def main():
        llm = chat_model(name, up)

        async def ask():
            return [without_run(chunk) async for chunk in llm.astream("hi")]

        with wrap(llm, cache):
            return await atwice(ask)

    first, second = asyncio.run(main())
    assert first == second
    assert up.count() == 1


@langchain("`with_structured_output`")
def test_langchain_structured_output(up, cache, name):
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    if name == "langchain-anthropic":
        up.reply(MESSAGES_PATH, anthropic_message(tool_calls=[("Place", {"city": "Zug"})]))
        llm = chat_model(name, up).with_structured_output(Place)
    else:
        llm = chat_model(name, up).with_structured_output(Place, method="function_calling")
    install(cache)
    try:
        first, second = twice(lambda: llm.invoke("where?"))
    finally:
        uninstall()
    assert first == second == Place(city="Zug")
    assert up.count() == 1


# --- Pydantic AI, OpenAI Agents ----------------------------------------------------------------


def pydantic_model(kind, up):
    if kind == "openai":
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIChatModel("gpt-4", provider=OpenAIProvider(base_url=up.url + "/v1", api_key="sk-test"))
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return AnthropicModel("claude-haiku-4-5", provider=AnthropicProvider(base_url=up.url, api_key="sk-ant"))


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@needs("pydantic-ai-slim", "async plain")
def test_pydantic_ai(up, cache, kind):
    from pydantic_ai import Agent

    async def main():
        model = pydantic_model(kind, up)
        agent = Agent(model)
        results = []
        for wrapped in (model, agent, model.provider if hasattr(model, "provider") else model):
            with wrap(wrapped, cache):
                results.append((await agent.run("hi")).output)
        install(cache)
        try:
            results.append((await Agent(pydantic_model(kind, up)).run("hi")).output)
        finally:
            uninstall()
        return results

    assert asyncio.run(main()) == ["hello"] * 4
    assert up.count() == 1


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@needs("pydantic-ai-slim", "async stream")
def test_pydantic_ai_streams(up, hooked, kind):
    from pydantic_ai import Agent

    async def main():
        agent = Agent(pydantic_model(kind, up))

        async def ask():
            async with agent.run_stream("hi") as result:
                return [text async for text in result.stream_text(debounce_by=None)]

        return await atwice(ask)

    first, second = asyncio.run(main())
    assert first == second
    assert first[-1] == "hello"
    assert up.count() == 1


@needs("pydantic-ai-slim", "`output_type`")
def test_pydantic_ai_structured_output(up, hooked):
    from pydantic import BaseModel
    from pydantic_ai import Agent

    class Place(BaseModel):
        city: str

    def main():
        return Agent(pydantic_model("openai", up), output_type=Place).run_sync("where?").output

    assert main() == main() == Place(city="Zug")
    assert up.count() == 1


@needs("openai-agents", "async plain")
def test_openai_agents(up, cache):
    from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    async def main():
        model = OpenAIChatCompletionsModel(model="gpt-4", openai_client=AsyncOpenAI())
        agent = Agent(name="a", instructions="Be brief.", model=model)
        with wrap(model, cache):
            results = [(await Runner.run(agent, "hi")).final_output for _ in range(2)]
        install(cache)
        try:
            results.append((await Runner.run(agent, "hi")).final_output)
        finally:
            uninstall()
        return results

    assert asyncio.run(main()) == ["hello"] * 3
    assert up.count() == 1


@needs("openai-agents", "async stream")
def test_openai_agents_streams(up, hooked):
    from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    async def main():
        model = OpenAIChatCompletionsModel(model="gpt-4", openai_client=AsyncOpenAI())
        agent = Agent(name="a", instructions="Be brief.", model=model)

        async def ask():
            run = Runner.run_streamed(agent, "hi")
            kinds = [event.type async for event in run.stream_events()]
            return kinds, run.final_output

        return await atwice(ask)

    first, second = asyncio.run(main())
    assert first == second
    assert first[1] == "hello"
    assert up.count() == 1


# --- Azure AI Inference --------------------------------------------------------------------------


def azure_client(up):
    from azure.ai.inference import ChatCompletionsClient
    from azure.core.credentials import AzureKeyCredential

    return ChatCompletionsClient(up.url + "/v1", AzureKeyCredential("k"), retry_total=0)


@needs("azure-ai-inference", "sync plain")
def test_azure_ai_inference(up, cache):
    with azure_client(up) as client:
        with wrap(client, cache):
            first, second = twice(lambda: client.complete(messages=MESSAGES, model="gpt-4"))
        install(cache)
        try:
            third = client.complete(messages=MESSAGES, model="gpt-4")
        finally:
            uninstall()
    assert first == second == third
    assert first.choices[0].message.content == "hello"
    assert up.count() == 1


@needs("azure-ai-inference", "sync stream")
def test_azure_ai_inference_streams(up, cache):
    with azure_client(up) as client, wrap(client, cache):
        first, second = twice(lambda: list(client.complete(messages=MESSAGES, model="gpt-4", stream=True)))
    assert first == second
    assert len(first) > 2
    assert up.count() == 1


AIOHTTP = "it sends with aiohttp, which has no place for a cache; `llm-cache run` and the proxy cover it"


@needs("azure-ai-inference", "async plain", no=AIOHTTP)
def test_azure_ai_inference_async_is_not_covered(up, hooked):
    from azure.ai.inference.aio import ChatCompletionsClient
    from azure.core.credentials import AzureKeyCredential

    async def main():
        async with ChatCompletionsClient(up.url + "/v1", AzureKeyCredential("k"), retry_total=0) as client:
            return await atwice(lambda: client.complete(messages=MESSAGES, model="gpt-4"))

    first, second = asyncio.run(main())
    assert first.choices[0].message.content == second.choices[0].message.content == "hello"
    assert up.count() == 2


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
    assert first == second == Place(city="Zug")
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
    assert first == second == Place(city="Zug")
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
    import requests

    up.reply(CHAT, Reply(status=429, json={"error": {"message": "slow down"}}, headers={"retry-after": "1"}))
    with requests.Session() as session, wrap(session, cache):
        for _ in range(2):
            reply = session.post(up.url + CHAT, json={"model": "m", "messages": MESSAGES})
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    assert up.count() == 2
