"""The program under test. It knows nothing of the cache."""

from __future__ import annotations

import os

import openai

PROMPT = "Summarise in one sentence: "


def summarise(text: str) -> str:
    # The SDK wants a key before it does anything; where nothing is called, any will do.
    client = openai.OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "not needed offline"))
    reply = client.chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[{"role": "user", "content": PROMPT + text}],
    )
    return reply.choices[0].message.content or ""


def headline(text: str) -> str:
    """The same as a stream, until the first full stop."""
    client = openai.OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "not needed offline"))
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[{"role": "user", "content": "A headline for: " + text}],
        stream=True,
    )
    pieces = (choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    return "".join(pieces).partition(".")[0]
