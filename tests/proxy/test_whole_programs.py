"""Programs that say nothing of a cache or a base URL, under `llm-cache run`: the second time they call nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_cache.testing import (
    FakeUpstream,
    Received,
    Reply,
    anthropic_message,
    anthropic_stream,
    openai_chat,
    openai_chat_stream,
    openai_embeddings,
    openai_responses,
)

from .test_every_sdk import COHERE, GEMINI, OLLAMA

PROGRAM = """
import asyncio

import anthropic, cohere, google.genai, groq, ollama, openai, together

messages = [{"role": "user", "content": "Hello"}]


def chat(client, model):
    print(model, client.chat.completions.create(model=model, messages=messages).choices[0].message.content)


async def at_once():
    async with openai.AsyncOpenAI() as client:
        said = await client.chat.completions.create(model="async", messages=messages)
        print("async", said.choices[0].message.content)
    async with anthropic.AsyncAnthropic() as client:
        async with client.messages.stream(model="claude-s", max_tokens=5, messages=messages) as stream:
            print("claude-s", await stream.get_final_text())
    client = google.genai.Client()
    print("gemini", (await client.aio.models.generate_content(model="gemini-2.5-flash", contents="async")).text)
    print("command", (await cohere.AsyncClientV2().chat(model="s", messages=messages)).message.content[0].text)


chat(openai.OpenAI(), "gpt")
stream = openai.OpenAI().chat.completions.create(model="stream", messages=messages, stream=True)
print("stream", "".join(chunk.choices[0].delta.content or "" for chunk in stream))
print("responses", openai.OpenAI().responses.create(model="gpt", input="Hello").output_text)
print("embedding", "Hello!" if openai.OpenAI().embeddings.create(model="e", input="Hello").data else "")
chat(openai.AzureOpenAI(api_version="2024-10-21"), "deployment")
chat(groq.Groq(), "groq")
chat(together.Together(), "together")
print("claude", anthropic.Anthropic().messages.create(model="c", max_tokens=5, messages=messages).content[0].text)
bedrock = anthropic.AnthropicBedrock(aws_region="us-east-1")
print("bedrock", bedrock.messages.create(model="anthropic.c", max_tokens=5, messages=messages).content[0].text)
print("command", cohere.ClientV2().chat(model="c", messages=messages).message.content[0].text)
print("llama", ollama.Client().chat(model="llama3", messages=messages).message.content)
client = google.genai.Client()
print("gemini", client.models.generate_content(model="gemini-2.5-flash", contents="Hello").text)
asyncio.run(at_once())
"""
MODULES = ("anthropic", "cohere", "google.genai", "groq", "ollama", "openai", "together", "httpx2")
KEYS = ("OPENAI", "ANTHROPIC", "CO", "GEMINI", "GROQ", "TOGETHER", "AZURE_OPENAI")


def _streams(received: Received) -> bool:
    return b'"stream":true' in received.body.replace(b" ", b"")


@pytest.mark.slow
@pytest.mark.sdk
def test_a_program_with_every_sdk_that_reads_a_variable(upstream: FakeUpstream, tmp_path: Path) -> None:
    if missing := [name for name in MODULES if find_spec(name.partition(".")[0]) is None]:
        pytest.skip(f"the SDKs of today are not all here: {', '.join(missing)}")
    upstream.reply("*", lambda asked: openai_chat_stream(["Hel", "lo!"]) if _streams(asked) else openai_chat("Hello!"))
    upstream.reply("/v1/responses", openai_responses("Hello!"))
    upstream.reply("/v1/embeddings", openai_embeddings())
    claude = anthropic_message("Hello!")
    upstream.reply("/v1/messages", lambda asked: anthropic_stream(["Hel", "lo!"]) if _streams(asked) else claude)
    upstream.reply("/model/anthropic.c/invoke", claude)
    upstream.reply("/v2/chat", Reply(json=COHERE))
    upstream.reply("/api/chat", Reply(json=OLLAMA))
    for version in ("v1", "v1beta"):
        upstream.reply(f"/{version}/models/gemini-2.5-flash:generateContent", Reply(json=GEMINI))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    # What is set already names the upstream; the program gets the proxy's address instead.
    named = ("ANTHROPIC_BASE_URL", "CO_API_URL", "GOOGLE_GEMINI_BASE_URL", "GROQ_BASE_URL", "OLLAMA_HOST")
    environ = {
        **os.environ,
        **dict.fromkeys((*named, "AZURE_OPENAI_ENDPOINT", "ANTHROPIC_BEDROCK_BASE_URL"), upstream.url),
        **dict.fromkeys(("OPENAI_BASE_URL", "TOGETHER_BASE_URL"), f"{upstream.url}/v1"),
        **{f"{name}_API_KEY": "none" for name in KEYS},
        "AWS_BEARER_TOKEN_BEDROCK": "none",
        "LLMCACHE_DATABASE_URL": str(tmp_path / "cache.db"),
    }
    run = [sys.executable, "-m", "llm_cache.cli.main", "run", "--", sys.executable, "-W", "ignore", str(program)]
    for calls in (16, 0):
        before = upstream.count()
        done = subprocess.run(run, env=environ, capture_output=True, text=True, timeout=55)
        assert done.returncode == 0, done.stderr
        assert [line.split()[1] for line in done.stdout.splitlines()] == ["Hello!"] * 16
        assert upstream.count() - before == calls
        assert f"16 calls, {16 - calls} hits" in done.stderr.splitlines()[-1]
