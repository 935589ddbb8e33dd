"""What programs do with their SDKs beyond a plain call: helpers, files, loops, agents, as a user would write them."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from llm_cache import last_call, wrap
from llm_cache.testing import (
    Reply,
    anthropic_message,
    google_content,
    openai_chat,
    openai_chat_stream,
    openai_error_event,
    openai_responses,
    openai_responses_stream,
)
from tests.sdk.gathering import aclose, close
from tests.sdk.sdks import major

pytestmark = [
    # The SDKs' own.
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]
MESSAGES = [{"role": "user", "content": "hi"}]
openai = pytest.importorskip("openai")


@pytest.fixture
def client(upstream, cache):
    with openai.OpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=0) as made, wrap(made, cache):
        yield made


def twice(call):
    """What a call gives, twice: a miss and a hit."""
    first = call()
    assert last_call().status == "miss"
    second = call()
    assert last_call().status == "hit"
    return first, second


# --- openai ----------------------------------------------------------------------------------------


def test_responses_in_a_stream(upstream, client):
    if not hasattr(client.responses, "stream"):
        pytest.skip("this SDK has no helper for streams of responses")
    upstream.reply("/v1/responses", openai_responses_stream(["Hel", "lo"]))

    def ask():
        with client.responses.stream(model="gpt-5", input="hi") as stream:
            return [event.type for event in stream], stream.get_final_response()

    first, second = twice(ask)
    assert first == second
    assert first[1].output_text == "Hello"
    assert upstream.count() == 1


def test_answers_of_a_class_of_ones_own(upstream, client):
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    said = '{"city":"Zug"}'
    upstream.reply("/v1/chat/completions", openai_chat(said))
    upstream.reply("/v1/responses", openai_responses(said))
    completions = client.chat.completions if hasattr(client.chat.completions, "parse") else client.beta.chat.completions
    first, second = twice(lambda: completions.parse(model="m", messages=MESSAGES, response_format=Place))
    assert first == second
    assert second.choices[0].message.parsed == Place(city="Zug")
    first, second = twice(lambda: client.responses.parse(model="m", input="hi", text_format=Place))
    assert second.output_parsed == Place(city="Zug")
    assert upstream.count() == 2


def test_sound_into_a_file(upstream, client, tmp_path):
    sound = bytes(range(256)) * 200
    upstream.reply("/v1/audio/speech", Reply(body=sound, headers={"content-type": "audio/mpeg"}, transfer="chunked"))
    ask = {"model": "tts-1", "voice": "alloy", "input": "hi"}

    def into_a_file():
        with client.audio.speech.with_streaming_response.create(**ask) as reply:
            reply.stream_to_file(tmp_path / "a.mp3")
        return (tmp_path / "a.mp3").read_bytes()

    assert twice(into_a_file) == (sound, sound)
    assert client.audio.speech.create(**ask).content == sound
    assert upstream.count() == 1


def test_files_to_edit_and_to_write_down(upstream, client, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG" * 30_000)
    upstream.reply("/v1/images/edits", Reply(json={"created": 1, "data": [{"b64_json": "aGk="}]}))
    upstream.reply("/v1/audio/transcriptions", Reply(json={"text": "hello"}))

    def edit():
        with picture.open("rb") as file:
            return client.images.edit(model="gpt-image-1", image=file, prompt="a hat")

    first, second = twice(edit)
    assert first == second
    # The same bytes under another name, other bytes, and several pictures are other questions.
    for image in (io.BytesIO(picture.read_bytes()), io.BytesIO(b"\x89PNG2"), [b"\x89PNG1", b"\x89PNG2"]):
        client.images.edit(model="gpt-image-1", image=image, prompt="a hat")
        assert last_call().status == "miss"
    assert upstream.count() == 4
    twice(lambda: client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", b"ID3" * 1000)))
    upstream.reply("/v1/audio/transcriptions", Reply(body=b"hello\n", headers={"content-type": "text/plain"}))
    ask = {"model": "whisper-1", "file": ("a.mp3", b"ID3" * 1000), "response_format": "text"}
    assert twice(lambda: client.audio.transcriptions.create(**ask)) == ("hello\n", "hello\n")


def test_copies_of_a_client_and_raw_replies(upstream, client):
    upstream.reply("/v1/chat/completions", openai_chat("hi"))
    ask = {"model": "m", "messages": MESSAGES}
    first = client.with_options(timeout=3).chat.completions.create(**ask)
    for copy in (client, client.copy(), client.with_options(max_retries=5, default_headers={"x-a": "b"})):
        assert copy.chat.completions.create(**ask) == first
    raw = client.chat.completions.with_raw_response.create(**ask)
    assert (raw.parse(), raw.retries_taken) == (first, 0)
    upstream.reply("/v1/chat/completions", openai_chat_stream(["a", "b"]))

    def lines():
        with client.chat.completions.with_streaming_response.create(**ask, stream=True) as reply:
            return list(reply.iter_lines())

    first, second = twice(lines)
    assert first == second
    assert upstream.count() == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_was_tried_again_is_kept_once_it_is_good(upstream, client, status):
    upstream.reply("/v1/chat/completions", openai_chat("hi"))
    upstream.fail("/v1/chat/completions", times=2, status=status, headers={"retry-after-ms": "1"})
    first, second = twice(lambda: client.with_options(max_retries=3).chat.completions.create(model="m", messages=[]))
    assert first == second
    assert upstream.count() == 3


def test_a_client_in_one_loop_after_another(upstream, cache):
    upstream.reply("/v1/chat/completions", openai_chat_stream(["a", "b"]))

    async def ask():
        async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="k", max_retries=0) as made:
            with wrap(made, cache):
                stream = await made.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                return [chunk async for chunk in stream], last_call().status

    found = [asyncio.run(ask()) for _ in range(3)]
    assert [status for _, status in found] == ["miss", "hit", "hit"]
    assert found[0][0] == found[1][0] == found[2][0]
    assert upstream.count() == 1


def test_a_transcription_in_a_stream(upstream, client, cache):
    events = [
        {"type": "transcript.text.delta", "delta": "hel"},
        {"type": "transcript.text.done", "text": "hello", "usage": {"input_tokens": 3, "output_tokens": 1}},
    ]
    sent = [f"data: {json.dumps(event)}\n\n" for event in events]
    upstream.reply("/v1/audio/transcriptions", Reply(chunks=sent, headers={"content-type": "text/event-stream"}))
    ask = {"model": "gpt-4o-transcribe", "file": ("a.mp3", b"ID3"), "stream": True}
    first, second = twice(lambda: list(client.audio.transcriptions.create(**ask)))
    assert first == second
    (entry,) = cache.entries()
    assert (entry.text, entry.input_tokens, entry.output_tokens) == ("hello", 3, 1)


def test_what_a_server_keeps_is_not_kept_here(upstream, client):
    """A conversation there, a batch, a file, a list of models, and a response that is still being worked on."""
    upstream.reply("/v1/responses", openai_responses("hi"))
    for _ in range(2):
        client.responses.create(model="m", input="hi", extra_body={"conversation": "conv_1"})
        assert last_call().status == "bypass"
    begun = {**openai_responses("hi").json, "status": "queued", "output": []}
    upstream.reply("/v1/responses", Reply(json=begun))
    for _ in range(2):
        client.responses.create(model="m", input="hi", extra_body={"background": True})
        assert last_call().status == "miss"
    upstream.reply("/v1/models", Reply(json={"object": "list", "data": []}))
    for _ in range(2):
        client.models.list()
        assert last_call().status == "bypass"
    assert upstream.count() == 6


def test_an_error_in_the_middle_of_a_stream_is_the_sdks_own(upstream, client, cache):
    sent = list(openai_chat_stream(["a", "b"]).chunks)
    headers = {"content-type": "text/event-stream"}
    upstream.reply("/v1/chat/completions", Reply(chunks=[*sent[:2], openai_error_event()], headers=headers))
    for _ in range(2):
        with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
            with pytest.raises(openai.APIError):
                list(stream)
    assert list(cache.entries()) == []
    assert upstream.count() == 2


# --- agents of the SDKs -----------------------------------------------------------------------------


def weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: where.
    """
    return f"sunny in {city}"


def test_tools_that_anthropic_runs(upstream, cache):
    anthropic = pytest.importorskip("anthropic")
    if not hasattr(anthropic, "beta_tool"):
        pytest.skip("this SDK runs no tools")
    called = anthropic_message(tool_calls=[("weather", {"city": "Zug"})])
    upstream.script("/v1/messages", called, anthropic_message("sunny"))
    with anthropic.Anthropic(base_url=upstream.url, api_key="k", max_retries=0) as made, wrap(made, cache):
        tools = [anthropic.beta_tool(weather)]
        runs = [
            list(made.beta.messages.tool_runner(model="claude-haiku-4-5", max_tokens=9, tools=tools, messages=MESSAGES))
            for _ in range(2)
        ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 2
    assert upstream.count() == 2


def test_functions_that_google_calls(upstream, cache):
    genai = pytest.importorskip("google.genai")
    part = {"functionCall": {"name": "weather", "args": {"city": "Zug"}}}
    body = {"candidates": [{"content": {"parts": [part], "role": "model"}, "finishReason": "STOP", "index": 0}]}
    upstream.script("*", Reply(json=body), google_content("sunny"))
    made = genai.Client(api_key="k", http_options={"base_url": upstream.url})
    found = []
    with wrap(made, cache):
        for _ in range(2):
            chat = made.chats.create(model="gemini-2.5-flash", config={"tools": [weather]})
            found.append((chat.send_message("weather?").text, len(chat.get_history())))
    close(made)
    assert found[0] == found[1]
    assert found[0][0] == "sunny"
    assert upstream.count() == 2


# --- calls that only one vendor has ------------------------------------------------------------------

CONVERSATION = {
    "object": "conversation.response",
    "conversation_id": "conv_1",
    "outputs": [{"type": "message.output", "role": "assistant", "content": "Hello", "id": "1", "model": "m"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
}
DONE = {"type": "conversation.response.done", "usage": CONVERSATION["usage"]}
DELTA = {"type": "message.output.delta", "id": "1", "content": "Hello", "role": "assistant"}
STARTED = {"type": "conversation.response.started", "conversation_id": "conv_1"}


@pytest.mark.skipif(major("mistralai") < 3, reason="mistralai 3 is not installed")
def test_conversations_of_mistral(upstream, cache):
    from mistralai.client import Mistral

    made = Mistral(api_key="k", server_url=upstream.url)
    conversations = made.beta.conversations
    ask = {"inputs": "hi", "model": "m"}
    upstream.reply("/v1/conversations", Reply(json=CONVERSATION))
    with wrap(made, cache):
        first, second = twice(lambda: conversations.start(**ask, store=False))
        assert first == second
        for _ in range(2):
            conversations.start(**ask)
            assert last_call().status == "bypass"
        events = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in (STARTED, DELTA, DONE)]
        upstream.reply("/v1/conversations", Reply(chunks=events, headers={"content-type": "text/event-stream"}))

        def streamed():
            with conversations.start_stream(**ask, store=False) as stream:
                return list(stream)

        first, second = twice(streamed)
        assert first == second
        assert len(first) == 3
    close(made)
    assert upstream.count() == 4


@pytest.mark.skipif(major("huggingface_hub") < 1, reason="huggingface_hub is not installed")
def test_a_task_of_hugging_face(upstream, cache):
    from huggingface_hub import AsyncInferenceClient, InferenceClient

    path = "/hf-inference/models/gpt2"
    upstream.reply(path, Reply(json=[{"generated_text": "Hello"}]))
    made = InferenceClient(model=upstream.url + path, api_key="k")
    with wrap(made, cache):
        assert twice(lambda: made.text_generation("hi")) == ("Hello", "Hello")
    close(made)

    async def later():
        other = AsyncInferenceClient(model=upstream.url + path, api_key="k")
        with wrap(other, cache):
            found = await other.text_generation("hi")
        await aclose(other)
        return found

    assert asyncio.run(later()) == "Hello"
    assert upstream.count() == 1


def test_claude_on_vertex(upstream, cache):
    anthropic = pytest.importorskip("anthropic")
    pytest.importorskip("google.auth")
    upstream.reply("*", anthropic_message("hey"))
    kind = {"base_url": upstream.url + "/v1", "project_id": "p", "region": "us-east5", "access_token": "t"}
    with anthropic.AnthropicVertex(**kind, max_retries=0) as made, wrap(made, cache):
        ask = {"model": "claude-sonnet-4@20250514", "messages": MESSAGES}
        first, second = twice(lambda: made.messages.create(**ask, max_tokens=9))
        assert first == second
        (entry,) = cache.entries()
        assert (entry.provider, entry.model) == ("vertex", "claude-sonnet-4@20250514")
        upstream.reply("*", Reply(json={"input_tokens": 12}))
        first, second = twice(lambda: made.messages.count_tokens(**ask))
        assert first == second
    assert upstream.count() == 2
