"""Reads what a decorated function returned as the provider's reply that it may be. It must not rebuild any object.

The head says what the chunks are: one value, items of a stream, or the bytes that an SDK's stream object read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from llm_cache.codec import values_format as form
from llm_cache.codec.values import viewable
from llm_cache.core.model import Entry, Head, Headers, Reader, Reading, Step
from llm_cache.providers.registry import endpoint_named

RESULT = "application/x-llm-cache-result"
"""One chunk: the encoded value."""
ITEMS = "application/x-llm-cache-items"
"""Each chunk is one encoded item; the last may be what a generator returned, after a `RETURNED`."""
STREAM = "application/x-llm-cache-stream"
"""The bytes of a streamed reply, whose SDK and class the parameters name."""
BINARY = "application/x-llm-cache-binary"
"""The bytes of a reply that an SDK hands out as a file."""
RETURNED = b"\0"
"""No encoded value begins with it."""
RESULT_HEAD = Head(200, (("content-type", RESULT),))
ITEMS_HEAD = Head(200, (("content-type", ITEMS),))

_CERTAIN = frozenset({"error", "failed", "cancelled", "unfinished"})
"""Flaws that a provider's own reply declares; anything else may just be a value of another kind."""
_VENDORS = {
    "anthropic": "anthropic",
    "cohere": "cohere",
    "google.genai": "google",
    "groq": "groq",
    "huggingface_hub": "huggingface",
    "mistralai": "mistral",
    "ollama": "ollama",
    "openai": "openai",
    "together": "together",
}
_VENDOR = re.compile(f"({'|'.join(map(re.escape, _VENDORS))})\\.")
_OBJECTS = {
    "chat.completion": "/v1/chat/completions",
    "chat.completion.chunk": "/v1/chat/completions",
    "response": "/v1/responses",
    "text_completion": "/v1/completions",
}
"""OpenAI's name for what an object is."""


def head_of(kind: str, parameters: dict[str, str], headers: Headers) -> Head:
    """The head of a reply that came over HTTP, with what is needed to rebuild its object."""
    others = tuple(pair for pair in headers if pair[0] != "content-type")
    return Head(200, (("content-type", f"{kind};{urlencode(parameters)}"), *others))


def told(head: Head) -> tuple[str, dict[str, str]]:
    """What the chunks are, and the parameters."""
    kind, _, parameters = (head.header("content-type") or "").partition(";")
    return kind, dict(parse_qsl(parameters, keep_blank_values=True)) if parameters else {}


class CallReader:
    """The reader of what a function returned."""

    def __init__(self, head: Head) -> None:
        self._kind, self._parameters = told(head)
        self._chunks: list[bytes] = []
        self._bytes = stream_reader(self._parameters) if self._kind == STREAM else None

    def feed(self, data: bytes) -> Step:
        """Take the next chunk."""
        if self._bytes is not None:
            return self._bytes.feed(data)
        if self._kind != BINARY and not data.startswith(RETURNED):
            self._chunks.append(data)
        return Step.MORE

    def finish(self) -> Reading:
        """What was returned amounts to."""
        provider, model = self._parameters.get("provider"), self._parameters.get("model")
        if self._bytes is not None:
            reading = self._bytes.finish()
            return replace(reading, provider=provider, model=reading.model or model or None)
        if self._kind == BINARY:
            return Reading(provider=provider, model=model or None, plain=True)
        views = [viewable(chunk) for chunk in self._chunks]
        reading = _as_reply(views, stream=self._kind == ITEMS) or Reading(text=_text(views))
        return replace(reading, provider=_vendor(self._chunks), plain=self._kind == RESULT)


def stream_reader(parameters: dict[str, str]) -> Reader:
    """The reader of the bytes of a provider's stream.

    Raises:
        ValueError: the endpoint is none that is known here.
    """
    make = endpoint_named(parameters.get("provider", ""), parameters.get("path", "")).reader
    if make is None:
        raise ValueError(f"the endpoint {parameters.get('path')!r} is unknown")
    count = parameters.get("n", "1")
    head = Head(200, (("content-type", parameters.get("type") or "text/event-stream"),))
    return make(head, stream=True, count=int(count) if count.isdigit() else 1)


def has_values(entry: Entry) -> bool:
    """Whether an entry holds Python values, and not what came over HTTP."""
    return told(entry.head)[0] in {RESULT, ITEMS}


def shown(entry: Entry) -> object:
    """The values of an entry in JSON's types, for people: one, or those of a stream.

    Raises:
        FormatError: they are none.
    """
    if told(entry.head)[0] == RESULT:
        return viewable(entry.body)
    return [viewable(frame.data) for frame in entry.frames if not frame.data.startswith(RETURNED)]


def _text(views: Sequence[object]) -> str | None:
    texts = [view for view in views if isinstance(view, str)]
    return "".join(texts) if texts and len(texts) == len(views) else None


def _as_reply(views: Sequence[object], *, stream: bool) -> Reading | None:
    """The values read as what a provider sends, if they look like that."""
    if not views or not all(isinstance(view, dict) for view in views):
        return None
    first: Any = views[0]
    if not stream and isinstance(first.get("error"), dict) and not first.keys() - {"error", "type", "request_id"}:
        return Reading(flaw="error")
    path = _path(first)
    make = endpoint_named("", path).reader if path else None
    if make is None:
        return None
    kind = "text/event-stream" if stream else "application/json"
    reader = make(Head(200, (("content-type", kind),)), stream=stream, count=1)
    for view in views:
        text = msgspec.json.encode(view)
        reader.feed(b"data: %b\n\n" % text if stream else text)
    if stream:
        # Items come from an iterator that has ended by itself.
        reader.feed(b"data: [DONE]\n\n")
    reading = reader.finish()
    return None if reading.flaw is not None and reading.flaw not in _CERTAIN else reading


def _path(view: dict[str, Any]) -> str | None:
    """The endpoint that sends such a body or such a first event."""
    name = view.get("object")
    if isinstance(name, str) and name in _OBJECTS:
        return _OBJECTS[name]
    kind = view.get("type")
    if kind == "message_start" or (kind == "message" and "stop_reason" in view):
        return "/v1/messages"
    if isinstance(kind, str) and kind.startswith("response.") and isinstance(view.get("response"), dict):
        return "/v1/responses"
    choices, data = view.get("choices"), view.get("data")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        # Vendors that speak like OpenAI do not all say so.
        if "message" in choices[0] or "delta" in choices[0]:
            return "/v1/chat/completions"
        if "text" in choices[0]:
            return "/v1/completions"
    if isinstance(data, list) and data and isinstance(data[0], dict) and "embedding" in data[0]:
        return "/v1/embeddings"
    return None


def _vendor(chunks: Sequence[bytes]) -> str | None:
    """Whose SDK made the values, as far as the classes that are stored with them say so."""
    for chunk in chunks[:1]:
        if chunk[0] == form.PLAIN:
            return None
        for reference, _ in form.split(chunk)[0]:
            name = reference if isinstance(reference, str) else reference[0]
            match = _VENDOR.match(name) if isinstance(name, str) else None
            if match is not None:
                return _VENDORS[match[1]]
    return None
