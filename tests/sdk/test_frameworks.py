"""Frameworks on the SDKs of today, each where it is installed: wrapped by what holds the client, and with `install`."""

from __future__ import annotations

import asyncio

import pytest

from llm_cache import install, uninstall, wrap
from llm_cache.testing import anthropic_message
from tests.sdk.frameworks import AIOHTTP, FILTERS, MESSAGES, MESSAGES_PATH, atwice, needs, twice
from tests.sdk.sdks import installed

pytestmark = FILTERS


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


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@needs("pydantic-ai-slim", "sync plain")
def test_pydantic_ai_without_a_loop(up, hooked, kind):
    from pydantic_ai import Agent

    outputs = [Agent(pydantic_model(kind, up)).run_sync("hi").output for _ in range(2)]
    assert outputs == ["hello"] * 2
    assert up.count() == 1


@needs("openai-agents", "sync plain")
def test_openai_agents_without_a_loop(up, hooked):
    from agents import Agent, Runner, set_tracing_disabled

    set_tracing_disabled(True)
    # As it is without a word about models: OpenAI's responses.
    outputs = [Runner.run_sync(Agent(name="a", model="gpt-5"), "hi").final_output for _ in range(2)]
    assert outputs == ["hello"] * 2
    assert up.count("/v1/responses") == 1


@needs("openai-agents", "responses in a stream")
def test_openai_agents_stream_responses(up, hooked):
    from agents import Agent, Runner, set_tracing_disabled

    set_tracing_disabled(True)

    async def main():
        async def ask():
            run = Runner.run_streamed(Agent(name="a", model="gpt-5"), "hi")
            return [event.type async for event in run.stream_events()], run.final_output

        return await atwice(ask)

    first, second = asyncio.run(main())
    assert first == second
    assert first[1] == "hello"
    assert up.count("/v1/responses") == 1


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
