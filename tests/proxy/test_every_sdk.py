"""Each SDK that can be pointed somewhere by a variable or an argument: the second run of a program calls nobody."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest

from llm_cache.proxy.surroundings import surroundings
from llm_cache.testing import (
    FakeUpstream,
    Reply,
    anthropic_message,
    bedrock_converse,
    openai_chat,
    openai_chat_stream,
)

from .running import Running, running
from .tls import behind_tls, certificate

pytestmark = pytest.mark.sdk
MESSAGES = [{"role": "user", "content": "Hello"}]
GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "Hello!"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    "modelVersion": "gemini-2.5-flash",
}
COHERE = {
    "id": "c-1",
    "finish_reason": "COMPLETE",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello!"}]},
    "usage": {
        "billed_units": {"input_tokens": 1, "output_tokens": 2},
        "tokens": {"input_tokens": 1, "output_tokens": 2},
    },
}
OLLAMA = {
    "model": "llama3",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "Hello!"},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 1,
    "eval_count": 2,
}
NAMES = (
    *("openai", "anthropic", "cohere", "google", "groq", "mistral", "together", "ollama", "huggingface", "azure"),
    "bedrock",
)
KEYS = {"OPENAI_API_KEY": "none", "AWS_BEARER_TOKEN_BEDROCK": "none"}


def groq(_: str) -> object:
    with pytest.importorskip("groq").Groq(api_key="none", max_retries=0) as client:
        return client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content


def together(_: str) -> object:
    client = pytest.importorskip("together").Together(api_key="none", max_retries=0)
    return client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content


def mistral(base: str) -> object:
    module = pytest.importorskip("mistralai")
    make = getattr(module, "Mistral", None) or pytest.importorskip("mistralai.client").Mistral
    client = make(api_key="none", server_url=f"{base}/mistral")
    return client.chat.complete(model="m", messages=MESSAGES).choices[0].message.content


def cohere(base: str) -> object:
    # Its variable is read when the module is imported, which another test may have done.
    client = pytest.importorskip("cohere").ClientV2(api_key="none", base_url=f"{base}/cohere")
    return client.chat(model="m", messages=MESSAGES).message.content[0].text


def google(_: str) -> object:
    client = pytest.importorskip("google.genai").Client(api_key="none")
    return client.models.generate_content(model="gemini-2.5-flash", contents="Hello").text


def ollama(_: str) -> object:
    client = pytest.importorskip("ollama").Client()
    return client.chat(model="llama3", messages=MESSAGES).message.content


def huggingface(base: str) -> object:
    client = pytest.importorskip("huggingface_hub").InferenceClient(base_url=f"{base}/huggingface", api_key="none")
    return client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content


def bedrock(_: str) -> object:
    make = pytest.importorskip("anthropic").AnthropicBedrock
    if "api_key" not in signature(make).parameters:
        pytest.skip("this version signs all requests for AWS")
    with make(aws_region="us-east-1", max_retries=0) as client:
        return client.messages.create(model="anthropic.claude-v9:0", max_tokens=9, messages=MESSAGES).content[0].text


def openai(_: str) -> object:
    with pytest.importorskip("openai").OpenAI(max_retries=0) as client:
        stream = client.chat.completions.create(model="streams", messages=MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


@pytest.mark.parametrize("program", [groq, together, mistral, cohere, google, ollama, huggingface, bedrock, openai])
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pydantic.PydanticDeprecatedSince20", "ignore::ResourceWarning"
)
def test_the_second_run_calls_nobody(
    program: Callable[[str], object], upstream: FakeUpstream, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.reply("*", openai_chat_stream(["Hel", "lo!"]) if program is openai else openai_chat("Hello!"))
    upstream.reply("/v2/chat", Reply(json=COHERE))
    for path in ("/v1/models/gemini-2.5-flash:generateContent", "/v1beta/models/gemini-2.5-flash:generateContent"):
        upstream.reply(path, Reply(json=GEMINI))
    upstream.reply("/api/chat", Reply(json=OLLAMA))
    upstream.reply("/model/anthropic.claude-v9:0/invoke", anthropic_message("Hello!"))
    given = {"upstreams": dict.fromkeys(NAMES, upstream.url), "proxy_tokens": {"t": "secret"}}
    with running(None, database_url=database, **given) as proxy:
        for name, value in surroundings(KEYS, proxy.url, "secret", offline=True).items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            assert program(f"{proxy.url}/~secret") == "Hello!"
            assert upstream.count() == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_boto3_with_a_key_behind_tls(
    upstream: FakeUpstream, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows a key to nobody without TLS."""
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "none")
    upstream.reply("*", bedrock_converse("Hello!"))
    files = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", files[0])
    with (
        running(None, database_url=database, upstreams={"bedrock": upstream.url}) as proxy,
        behind_tls(proxy.port, files) as url,
    ):
        client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url)
        for _ in range(2):
            asked = [{"role": "user", "content": [{"text": "Hello"}]}]
            said = client.converse(modelId="anthropic.claude-v9:0", messages=asked)
            assert said["output"]["message"]["content"][0]["text"] == "Hello!"
            assert upstream.count() == 1
        client.close()


def test_by_their_paths_alone(upstream: FakeUpstream, database: str) -> None:
    """No token, no name: what an SDK writes is enough to know whose it is."""
    upstream.reply("*", Reply(json={}))
    given = {name: f"{upstream.url}/{name}" for name in NAMES}
    calls = {
        "cohere": ("/v2/chat", {}),
        "google": ("/v1beta/models/m:generateContent", {"x-goog-api-key": "k"}),
        "groq": ("/openai/v1/chat/completions", {"authorization": "Bearer gsk_x"}),
        "ollama": ("/api/chat", {}),
        "anthropic": ("/v1/messages", {"anthropic-version": "2023-06-01"}),
        "azure": ("/openai/deployments/d/chat/completions?api-version=1", {"api-key": "k"}),
        "openai": ("/chat/completions", {}),
    }
    with running(None, database_url=database, upstreams=given) as proxy:
        _asks(proxy, calls)
    assert [each.target.split("/")[1] for each in upstream.requests] == list(calls)


def _asks(proxy: Running, calls: dict[str, tuple[str, dict[str, str]]]) -> None:
    for path, headers in calls.values():
        assert proxy.ask(path, headers=headers).status_code == 200
