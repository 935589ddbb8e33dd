"""The real SDKs against the fake upstream: what is built is what they understand."""

import json
from dataclasses import replace

import pytest

from llm_cache.testing import (
    FakeUpstream,
    anthropic_error,
    anthropic_message,
    anthropic_stream,
    load_traffic,
    openai_chat,
    openai_chat_stream,
    openai_embeddings,
    openai_error,
    openai_responses,
    openai_responses_stream,
    traffic_folder,
)

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

pytestmark = pytest.mark.sdk
needs_traffic = pytest.mark.skipif(traffic_folder() is None, reason="no recorded traffic beside the repository")

ASK = [{"role": "user", "content": "Say hello."}]
TOOL = ("get_weather", {"city": "Zürich", "days": 3})


@pytest.fixture
def client(up):
    with openai.OpenAI(base_url=f"{up.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(up):
    with anthropic.Anthropic(base_url=up.url, api_key="none", max_retries=0) as client:
        yield client


def test_openai_chat(up, client):
    up.reply("/v1/chat/completions", openai_chat("Grüezi 🎉", tool_calls=[TOOL]))
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert answer.choices[0].message.content == "Grüezi 🎉"
    assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == TOOL[1]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")
    assert type(answer).model_validate(answer.model_dump())


@pytest.mark.parametrize("split", [None, "random", "bytes", "events"])
def test_openai_chat_stream(up, client, split):
    built = openai_chat_stream(["Grü", "", "ezi 🎉"], include_usage=True, tool_calls=[TOOL])
    with FakeUpstream(seed=3) as other:
        other.reply("*", replace(built, split=split))
        chunks = list(
            client.with_options(base_url=f"{other.url}/v1").chat.completions.create(
                model="gpt-4o-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
            )
        )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Grüezi 🎉"
    calls = [delta.tool_calls[0].function.arguments for delta in deltas if delta.tool_calls]
    assert json.loads("".join(calls)) == TOOL[1]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2
    assert len({chunk.id for chunk in chunks}) == 1


def test_openai_error_event(up, client):
    up.reply("*", openai_chat_stream(["a", "b"], error_after=1))
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
    with pytest.raises(openai.APIError, match="overloaded"):
        list(stream)


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "queued"])
def test_openai_responses(up, client, status):
    up.reply("/v1/responses", openai_responses("Hello!", tool_calls=[TOOL], status=status))
    answer = client.responses.create(model="gpt-4o-mini", input="Say hello.")
    assert answer.status == status
    assert answer.output_text == ("Hello!" if status in ("completed", "incomplete") else "")
    assert (answer.usage is not None) == (status in ("completed", "incomplete"))
    if answer.output:
        assert json.loads(answer.output[1].arguments) == TOOL[1]
    assert type(answer).model_validate(answer.model_dump())


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_openai_responses_stream(up, client, status):
    up.reply("/v1/responses", openai_responses_stream(["Hel", "lo!"], tool_calls=[TOOL], status=status))
    events = list(client.responses.create(model="gpt-4o-mini", input="Say hello.", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello!"
    assert events[-1].type == f"response.{status}"
    assert events[-1].response.id == events[0].response.id
    for event in events:
        assert type(event).model_validate(event.model_dump())


def test_openai_responses_stream_helper(up, client):
    up.reply("/v1/responses", openai_responses_stream(["Hel", "lo!"], tool_calls=[TOOL]))
    with client.responses.stream(model="gpt-4o-mini", input="Say hello.") as stream:
        answer = stream.get_final_response()
    assert answer.output_text == "Hello!"


def test_openai_responses_error_event(up, client):
    up.reply("*", openai_responses_stream(["a", "b"], error_after=1))
    stream = client.responses.create(model="gpt-4o-mini", input="x", stream=True)
    # Some versions raise, others hand the event out.
    try:
        types = [event.type for event in stream]
    except openai.APIError as error:
        assert "overloaded" in str(error)  # noqa: PT017 - either way is right
    else:
        assert types[-1] == "error"


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_embeddings(up, client, encoding):
    up.reply("/v1/embeddings", openai_embeddings(3, 16, encoding=encoding))
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b", "c"])
    vectors = [row.embedding for row in answer.data]
    assert [len(vector) for vector in vectors] == [16, 16, 16]
    assert sum(number * number for number in vectors[1]) == pytest.approx(1)
    plain = [row["embedding"] for row in json.loads(openai_embeddings(3, 16).payload)["data"]]
    assert vectors == [pytest.approx(vector) for vector in plain]


def test_openai_errors(up, client):
    up.reply("*", openai_error(429, "Slow down.", code="rate_limit_exceeded"))
    with pytest.raises(openai.RateLimitError, match="Slow down") as raised:
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert raised.value.code == "rate_limit_exceeded"


def test_openai_retries_what_was_told_to_fail(up, client):
    up.fail(status=503, headers={"retry-after-ms": "1"})
    up.fail(reset=True)
    up.reply("*", openai_chat("at last"))
    answer = client.with_options(max_retries=2).chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert answer.choices[0].message.content == "at last"
    assert up.count() == 3


def test_anthropic_message(up, claude):
    up.reply("/v1/messages", anthropic_message("Grüezi", tool_calls=[TOOL]))
    answer = claude.messages.create(model="claude-sonnet-5", max_tokens=10, messages=ASK)
    assert answer.content[0].text == "Grüezi"
    assert answer.content[1].input == TOOL[1]
    assert answer.stop_reason == "tool_use"
    assert answer._request_id.startswith("req_")
    assert type(answer).model_validate(answer.model_dump())


@pytest.mark.parametrize("split", [None, "random", "bytes"])
def test_anthropic_stream(up, claude, split):
    up.reply("/v1/messages", replace(anthropic_stream(["Grü", "ezi"], tool_calls=[TOOL]), split=split))
    with claude.messages.stream(model="claude-sonnet-5", max_tokens=10, messages=ASK) as stream:
        answer = stream.get_final_message()
    assert answer.content[0].text == "Grüezi"
    assert answer.content[1].input == TOOL[1]
    assert answer.stop_reason == "tool_use"


def test_anthropic_error_event(up, claude):
    up.reply("*", anthropic_stream(["a", "b"], error_after=1))
    stream = claude.messages.create(model="claude-sonnet-5", max_tokens=10, messages=ASK, stream=True)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(stream)


def test_anthropic_errors(up, claude):
    up.reply("*", anthropic_error(529))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as raised:
        claude.messages.create(model="claude-sonnet-5", max_tokens=10, messages=ASK)
    assert raised.value.status_code == 529


async def test_async_sdks(up):
    up.reply("/v1/chat/completions", openai_chat_stream(["a", "b"]))
    up.reply("/v1/messages", anthropic_stream(["a", "b"]))
    async with openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    async with (
        anthropic.AsyncAnthropic(base_url=up.url, api_key="none") as claude,
        claude.messages.stream(model="claude-sonnet-5", max_tokens=10, messages=ASK) as stream,
    ):
        said = await stream.get_final_text()
    assert (text, said) == ("ab", "ab")
    assert up.aborted == 0


@needs_traffic
def test_recordings_are_found_by_what_the_openai_sdk_writes():
    wanted = [e for e in load_traffic() if e.provider == "openai" and e.ok and e.path == "/v1/chat/completions"]
    assert wanted
    with FakeUpstream.from_traffic() as up, openai.OpenAI(base_url=f"{up.url}/v1", api_key="none") as client:
        for exchange in wanted:
            body = exchange.request_json()
            with client.chat.completions.with_streaming_response.create(**body) as answer:
                assert answer.status_code == 200
                read = b"".join(answer.iter_bytes())
            series = [e.response for e in wanted if e.request_json() == body]
            assert read in series


@needs_traffic
@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_recordings_are_found_by_what_the_anthropic_sdk_writes():
    wanted = [e for e in load_traffic() if e.provider == "anthropic" and e.ok and e.path == "/v1/messages"]
    assert wanted
    with FakeUpstream.from_traffic() as up, anthropic.Anthropic(base_url=up.url, api_key="none") as client:
        for exchange in wanted:
            with client.messages.with_streaming_response.create(**exchange.request_json()) as answer:
                assert b"".join(answer.iter_bytes()) == exchange.response
