"""Whole replies of every framing, and ways to damage them. It must not hold tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from llm_cache.core.model import Endpoint, Head, Request
from llm_cache.providers.registry import recognise
from llm_cache.testing import (
    Reply,
    anthropic_stream,
    bedrock_converse_stream,
    bedrock_invoke_stream,
    cohere_chat,
    cohere_chat_stream,
    google_content,
    google_stream,
    ollama_chat,
    ollama_chat_stream,
    openai_chat,
    openai_chat_stream,
    openai_responses_stream,
)

METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 2}}
CONTENTS = {"contents": [{"parts": [{"text": "?"}]}]}
CHAT = {"model": "m", "messages": [], "max_tokens": 5}


class Sample(NamedTuple):
    """A request's path and body, and its whole answer."""

    name: str
    path: str
    body: dict
    reply: Reply

    @property
    def endpoint(self) -> Endpoint:
        host = "https://llm.test" if "stranger" in self.name else "http://127.0.0.1:8000"
        found = recognise(Request("POST", host + self.path), self.body)
        assert found is not None
        return found

    @property
    def head(self) -> Head:
        return Head(200, (("content-type", self.reply.content_type or ""),))


SAMPLES = (
    Sample(
        "sse of a stranger",
        "/v1/chat/completions",
        {**CHAT, "stream": True},
        Reply(chunks=list(openai_chat_stream(["Hel", "lo!"]).chunks or ())[:-1]),
    ),
    Sample(
        "sse of OpenAI", "/v1/chat/completions", {**CHAT, "stream": True}, openai_chat_stream(["Hel", "lo \u00e9!"])
    ),
    Sample(
        "sse of responses", "/v1/responses", {"input": "?", "stream": True}, openai_responses_stream(["Hel", "lo!"])
    ),
    Sample("sse of Anthropic", "/v1/messages", {**CHAT, "stream": True}, anthropic_stream(["Hel", "lo!"])),
    Sample("sse of Cohere", "/v2/chat", {**CHAT, "stream": True}, cohere_chat_stream()),
    Sample("lines of Cohere", "/v1/chat", {"message": "?", "stream": True}, cohere_chat_stream(version=1)),
    Sample("lines of Ollama", "/api/chat", CHAT, ollama_chat_stream()),
    Sample("sse of Gemini", "/v1beta/models/m:streamGenerateContent", CONTENTS, google_stream()),
    Sample("array of Gemini", "/v1beta/models/m:streamGenerateContent", CONTENTS, google_stream(array=True)),
    Sample("frames of converse", "/model/m/converse-stream", CHAT, bedrock_converse_stream()),
    Sample(
        "frames of invoke",
        "/model/m/invoke-with-response-stream",
        {"inputText": "?"},
        bedrock_invoke_stream([{"outputText": "Hel"}, {"outputText": "lo!", "completionReason": "FINISH", **METRICS}]),
    ),
    Sample("body of OpenAI", "/v1/chat/completions", CHAT, openai_chat("Hello!")),
    Sample("body of Gemini", "/v1beta/models/m:generateContent", CONTENTS, google_content()),
    Sample("body of Cohere", "/v2/chat", CHAT, cohere_chat()),
    Sample("body of Ollama", "/api/chat", {**CHAT, "stream": False}, ollama_chat()),
)
WORDS = (
    *(b"data: ", b"\n\n", b"\r\n", b"\r", b"[DONE]", b"event: error\n", b'"', b"\\", b"{", b"}", b"[", b"]", b","),
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"NaN", b"1e999", b'{"error":{}}', b"null"),
    *(b'"finishReason":"STOP"', b'"done":true'),
)


def damaged(body: bytes, chance: random.Random) -> bytes:
    """The body with a few pieces flipped, dropped, doubled, moved or put in."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        size = chance.choice([1, 2, 7, 40, 400])
        what = chance.random()
        if what < 0.25 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif what < 0.45:
            del made[at : at + size]
        elif what < 0.6:
            made[at:at] = made[at : at + size]
        elif what < 0.7:
            piece = made[at : at + size]
            del made[at : at + size]
            to = chance.randrange(len(made) + 1)
            made[to:to] = piece
        elif what < 0.8:
            del made[at:]
        else:
            made[at:at] = chance.choice(WORDS) * chance.choice([1, 1, 1, 50])
    return bytes(made)


def pieces(body: bytes, chance: random.Random) -> Iterator[bytes]:
    """The body in pieces of random sizes, some of them empty."""
    at = 0
    while at < len(body):
        size = chance.choice([0, 1, 1, 2, 5, 30, 300])
        yield body[at : at + size]
        at += size
