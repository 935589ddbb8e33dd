"""The real SDKs, pointed at the proxy by nothing but a base URL."""

from __future__ import annotations

import pytest

from llm_cache.testing import (
    FakeUpstream,
    anthropic_error,
    anthropic_message,
    anthropic_stream,
    openai_chat,
    openai_chat_stream,
    openai_error,
    openai_responses,
    openai_responses_stream,
)

from .running import Running, running

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
pytestmark = pytest.mark.sdk
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("base", ["", "/v1", "/openai", "/openai/v1"])
def test_openai(base: str, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    upstream.reply("/v1/responses", openai_responses("Hello!"))
    with openai.OpenAI(base_url=proxy.url + base, api_key="your-api-key", max_retries=0) as client:
        for _ in range(2):
            answer = client.chat.completions.create(model="gpt-4", messages=MESSAGES)
            assert answer.choices[0].message.content == "Hello!"
            assert client.responses.create(model="gpt-4", input="Hello").output_text == "Hello!"
        raw = client.chat.completions.with_raw_response.create(model="gpt-4", messages=MESSAGES)
        assert raw.headers["x-llm-cache"] == "hit"
        assert raw.request_id.startswith("req_")
    assert upstream.count() == 2


def test_openai_streams(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/chat/completions", openai_chat_stream(["Hel", "lo!"]))
    upstream.reply("/v1/responses", openai_responses_stream(["Hel", "lo!"]))
    with openai.OpenAI(base_url=proxy.url, api_key="none", max_retries=0) as client:
        for _ in range(2):
            stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello!"
            with client.responses.stream(model="gpt-4", input="Hello") as events:
                assert events.get_final_response().output_text == "Hello!"
    assert upstream.count() == 2


async def test_openai_async(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/chat/completions", openai_chat_stream(["Hel", "lo!"]))
    async with openai.AsyncOpenAI(base_url=proxy.url, api_key="none", max_retries=0) as client:
        for _ in range(2):
            stream = await client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello!"
    assert upstream.count() == 1


def test_azure(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    with openai.AzureOpenAI(
        azure_endpoint=proxy.url, azure_deployment="mine", api_version="2024-10-21", api_key="none", max_retries=0
    ) as client:
        for _ in range(2):
            client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    (received,) = upstream.requests
    assert received.target == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize("base", ["", "/v1", "/anthropic"])
def test_anthropic(base: str, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.script("/v1/messages", anthropic_message("Hello!"), anthropic_stream(["Hel", "lo!"]))
    with anthropic.Anthropic(base_url=proxy.url + base, api_key="none", max_retries=0) as client:
        for _ in range(2):
            answer = client.messages.create(model="claude-sonnet-5", max_tokens=10, messages=MESSAGES)
            assert answer.content[0].text == "Hello!"
            with client.messages.stream(model="claude-sonnet-5", max_tokens=10, messages=MESSAGES) as stream:
                assert stream.get_final_text() == "Hello!"
    assert upstream.count() == 2


def test_an_errors_class_is_the_providers(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.script("/v1/chat/completions", openai_error(401, "No."))
    upstream.script("/v1/messages", anthropic_error(529))
    with openai.OpenAI(base_url=proxy.url, api_key="none", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match=r"No\."):
            client.chat.completions.create(model="gpt-4", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError, match="x-llm-cache-ttl"):
            client.chat.completions.create(model="gpt-4", messages=MESSAGES, extra_headers={"x-llm-cache-ttl": "x"})
        with pytest.raises(openai.APIStatusError, match="no answer is stored") as missed:
            client.with_options(max_retries=2).chat.completions.create(
                model="gpt-4", messages=MESSAGES, extra_headers={"cache-control": "only-if-cached"}
            )
        assert missed.value.status_code == 504
    with (
        anthropic.Anthropic(base_url=proxy.url, api_key="none", max_retries=0) as claude,
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
    ):
        claude.messages.create(model="claude-sonnet-5", max_tokens=10, messages=MESSAGES)


def test_an_upstream_that_is_down_is_an_error_of_the_sdk(database: str) -> None:
    with running("http://127.0.0.1:1", database_url=database) as proxy:
        with (
            openai.OpenAI(base_url=proxy.url, api_key="none", max_retries=0) as client,
            pytest.raises(openai.InternalServerError, match="could not be reached"),
        ):
            client.chat.completions.create(model="gpt-4", messages=MESSAGES)
        with (
            anthropic.Anthropic(base_url=proxy.url, api_key="none", max_retries=0) as claude,
            pytest.raises(anthropic.InternalServerError, match="could not be reached"),
        ):
            claude.messages.create(model="claude-sonnet-5", max_tokens=10, messages=MESSAGES)


def test_a_stream_that_breaks_off_is_an_error_of_the_sdk(upstream: FakeUpstream, proxy: Running) -> None:
    from dataclasses import replace

    upstream.reply("/v1/chat/completions", replace(openai_chat_stream(["a", "b"]), break_after_chunks=2))
    with openai.OpenAI(base_url=proxy.url, api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
        with pytest.raises(Exception, match=r"incomplete|peer closed|Connection"):
            list(stream)


def test_uploads_and_lists_pass(upstream: FakeUpstream, proxy: Running) -> None:
    from llm_cache.testing import Reply

    file = {"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a", "purpose": "batch"}
    upstream.reply("/v1/files", Reply(json={**file, "status": "processed"}))
    upstream.reply("/v1/models", Reply(json={"object": "list", "data": []}))
    with openai.OpenAI(base_url=proxy.url, api_key="none", max_retries=0) as client:
        assert client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch").id == "file-1"
        assert list(client.models.list()) == []
