"""Plays the provider on this machine when OPENAI_API_KEY is not set, so that every example runs without a key.

Not for your own programs: leave out the line that imports it. With a key in OPENAI_API_KEY it does nothing at all. The
answers it makes up are just clever enough for the examples; what the cache does with them is real.
"""

from __future__ import annotations

import array
import base64
import hashlib
import json
import math
import os
import re
import sys
import tempfile
from dataclasses import replace

from llm_cache.testing import FakeUpstream, Received, Reply, openai_chat, openai_chat_stream

WAIT_S = 0.2  # until the first byte: a quick provider on a good day
PIECE_S = 0.02
DIMENSIONS = 64


def chat(received: Received) -> Reply:
    """An answer to a chat completion: a tool call where one is due, else a text."""
    asked = json.loads(received.body)
    messages = asked["messages"]
    question = next(each["content"] for each in reversed(messages) if each["role"] == "user")
    heard = [json.loads(each["content"]) for each in messages if each["role"] == "tool"]
    cities = re.findall(r"Oslo|Lagos|Lima", question)
    if asked.get("tools") and len(heard) < len(cities):
        call = (asked["tools"][0]["function"]["name"], {"city": cities[len(heard)]})
        return replace(openai_chat(None, model=asked["model"], tool_calls=[call]), delay_s=WAIT_S)
    if heard:
        warmest = max(heard, key=lambda each: each["degrees"])
        text = f"{warmest['city']} is the warmest, at {warmest['degrees']} degrees."
    else:
        text = say(question, float(asked.get("temperature", 0)))
    if asked.get("stream"):
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        reply = openai_chat_stream(re.findall(r"\S+\s*", text), model=asked["model"], include_usage=usage)
        return replace(reply, delay_s=WAIT_S, chunk_delay_s=PIECE_S)
    return replace(openai_chat(text, model=asked["model"]), delay_s=WAIT_S)


def say(question: str, temperature: float) -> str:
    """A text that has something to do with the question; at a temperature it is sometimes wrong, as models are."""
    product = re.search(r"(\d+) times (\d+)", question)
    if product:
        slip = int.from_bytes(os.urandom(1), "big") % 3 == 0 and temperature > 0
        return str(int(product[1]) * int(product[2]) + 10 * slip)
    kinds = [kind for kind in ("biology", "physics", "economics") if kind in question.lower()]
    if "one word" in question and kinds:
        stars, cells = "star" in question.rpartition(":")[2], "cell" in question.rpartition(":")[2]
        return "physics" if stars else "biology" if cells else "economics"
    context = re.search(r"Context:\n- (.+)", question)
    if context:
        return context[1]
    return f"You asked: {question.strip().splitlines()[-1]} I am only a stand-in, so that is all I can say about it."


def embeddings(received: Received) -> Reply:
    """Vectors that are near each other where texts share words."""
    asked = json.loads(received.body)
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = []
    for index, text in enumerate(texts):
        vector = array.array("f", bag_of_words(text))
        packed = (
            base64.b64encode(vector.tobytes()).decode() if asked.get("encoding_format") == "base64" else list(vector)
        )
        data.append({"object": "embedding", "index": index, "embedding": packed})
    count = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Reply(json={"object": "list", "data": data, "model": asked["model"], "usage": usage}, delay_s=WAIT_S)


def bag_of_words(text: str) -> list[float]:
    """A unit vector that counts words, each at a place of its own."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"[a-z]{4,}", text.lower()):
        vector[hashlib.sha256(word.rstrip("s").encode()).digest()[0] % DIMENSIONS] += 1.0
    length = math.hypot(*vector) or 1.0
    return [each / length for each in vector]


def begin() -> None:
    """Listen, and point the SDK, the proxy and the cache of this process and of those that it starts here."""
    upstream = FakeUpstream(split="whole")
    upstream.reply("/v1/chat/completions", chat)
    upstream.reply("/v1/embeddings", embeddings)
    upstream.start()
    os.environ["OPENAI_API_KEY"] = "stand-in"
    os.environ["OPENAI_BASE_URL"] = os.environ["LLMCACHE_UPSTREAMS__OPENAI"] = f"{upstream.url}/v1"
    if "LLMCACHE_DATABASE_URL" not in os.environ:
        # What is made up must not come to lie in your own cache.
        folder = tempfile.mkdtemp(prefix="llm-cache-example-")
        os.environ["LLMCACHE_DATABASE_URL"] = f"{folder}/cache.db"
    print("no OPENAI_API_KEY: a stand-in on this machine plays the provider", file=sys.stderr)


if not os.environ.get("OPENAI_API_KEY"):
    begin()
