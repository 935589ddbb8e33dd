"""Promise 1 for the SDKs' own objects, built by the real SDKs from recorded answers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from llm_cache.codec.values import decode_value, encode_value, viewable
from llm_cache.testing import Exchange, FakeUpstream, load_traffic, openai_chat, traffic_folder

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

pytestmark = pytest.mark.sdk
needs_traffic = pytest.mark.skipif(traffic_folder() is None, reason="no recorded traffic beside the repository")


class Answer(pydantic.BaseModel):
    city: str
    country: str = "?"


@dataclass
class Result:
    """What an eval keeps of a call."""

    answer: Any
    parts: tuple[Any, ...]


def kinds(path: str) -> tuple[Any, Any] | None:
    """What the SDK makes of a plain answer and of a stream's events, or None if it is none of its endpoints."""
    path = path.partition("?")[0]
    types = openai.types
    table = {
        "/chat/completions": (types.chat.ChatCompletion, types.chat.ChatCompletionChunk),
        "/responses": (types.responses.Response, types.responses.ResponseStreamEvent),
        "/embeddings": (types.CreateEmbeddingResponse, None),
        "/moderations": (types.ModerationCreateResponse, None),
        "/images/generations": (types.ImagesResponse, None),
        "/v1/messages": (anthropic.types.Message, anthropic.types.RawMessageStreamEvent),
        "/v1/messages/count_tokens": (anthropic.types.MessageTokensCount, None),
        "/completions": (types.Completion, types.Completion),
    }
    return next((kind for end, kind in table.items() if path.endswith(end)), None)


def exchanges() -> list[Exchange]:
    if traffic_folder() is None:
        return []
    return [found for found in load_traffic() if found.ok and kinds(found.path) and found.status == 200]


@pytest.fixture(scope="module")
def up() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def received(up: FakeUpstream, exchange: Exchange) -> list[Any]:
    """The objects that the SDK makes of the answer."""
    plain, event = kinds(exchange.path)
    up.reply("*", exchange.reply())
    make = anthropic.Anthropic if plain.__module__.startswith("anthropic") else openai.OpenAI
    with make(base_url=up.url, api_key="none", max_retries=0) as client:
        if not exchange.stream:
            return [client.post("/v1/x", cast_to=plain, body={})]
        sdk = openai if make is openai.OpenAI else anthropic
        events: list[Any] = []
        # One of the recorded streams ends in an error; what came before it is as good as any.
        with contextlib.suppress(sdk.APIError):
            events.extend(client.post("/v1/x", cast_to=event, body={}, stream=True, stream_cls=sdk.Stream[event]))
        return events


def check(back: Any, value: Any) -> None:
    """Nothing that a program could ask of the object tells it from the original."""
    assert back == value
    assert back is not value
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    for options in ({}, {"exclude_unset": True}, {"exclude_none": True}, {"by_alias": True}):
        assert back.model_dump(warnings=False, **options) == value.model_dump(warnings=False, **options)
    assert back.model_dump_json(warnings=False) == value.model_dump_json(warnings=False)
    assert back.model_fields_set == value.model_fields_set
    assert back.model_extra == value.model_extra
    assert back.__dict__ == value.__dict__
    assert getattr(back, "_request_id", "none") == getattr(value, "_request_id", "none")


@needs_traffic
@pytest.mark.parametrize("exchange", exchanges(), ids=lambda exchange: exchange.name)
def test_what_an_sdk_made_of_an_answer_comes_back(up: FakeUpstream, exchange: Exchange) -> None:
    values = received(up, exchange)
    assert values
    back = decode_value(encode_value(values))
    assert len(back) == len(values)
    for one, value in zip(back, values, strict=True):
        check(one, value)
    assert isinstance(viewable(encode_value(values[0])), dict)


@needs_traffic
def test_enough_was_looked_at() -> None:
    found = exchanges()
    assert len(found) > 40
    assert {exchange.stream for exchange in found} == {True, False}


def test_a_request_id_survives(up: FakeUpstream) -> None:
    up.reply("*", openai_chat("Hello."))
    with openai.OpenAI(base_url=up.url, api_key="none") as client:
        value = client.chat.completions.create(model="m", messages=[])
    back = decode_value(encode_value(Result(value, (value, {"again": value}))))
    assert back.answer._request_id == value._request_id is not None
    check(back.answer, value)
    check(back.parts[1]["again"], value)


def test_parsed_answers_keep_their_own_class(up: FakeUpstream) -> None:
    up.reply("*", openai_chat('{"city": "Zug"}'))
    with openai.OpenAI(base_url=up.url, api_key="none") as client:
        value = client.chat.completions.parse(model="m", messages=[], response_format=Answer)
    back = decode_value(encode_value(value))
    assert back.choices[0].message.parsed == Answer(city="Zug")
    assert type(back.choices[0].message) is type(value.choices[0].message)
    check(back, value)


def test_a_fresh_process_reads_what_this_one_wrote(up: FakeUpstream) -> None:
    up.reply("*", openai_chat("Hello."))
    with openai.OpenAI(base_url=up.url, api_key="none") as client:
        value = client.chat.completions.create(model="m", messages=[])
    message = anthropic.types.Message.construct(id="x", content=[{"type": "text", "text": "Hi."}], role="assistant")
    code = """
import sys
import openai, anthropic
from llm_cache.codec.values import decode_value
# As if the SDK loaded its types only when a call needs them; some do.
for name in [name for name in sys.modules if name.startswith(("openai.types.", "anthropic.types."))]:
    del sys.modules[name]
chat, message = decode_value(bytes.fromhex(sys.argv[1]))
print(type(chat).__name__, chat.choices[0].message.content, type(message).__name__, message.content[0].text)
"""
    data = encode_value([value, message]).hex()
    done = subprocess.run([sys.executable, "-c", code, data], capture_output=True, text=True, check=False)
    assert done.stdout == "ChatCompletion Hello. Message Hi.\n", done.stderr
