"""A stream's events as the whole answer that they amount to, by their shapes. It must not judge whether it is whole."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.sse import EventSplitter
from llm_cache.providers.parse import Malformed, parse

Json = dict[str, Any]
_MOST = 100_000
"""Events that are looked at."""


def events_of(body: bytes) -> list[Json]:
    """The JSON objects of a stream: of server-sent events, of AWS's binary messages, of lines, or of one array."""
    if body.lstrip()[:1] == b"[":
        items = _parsed(body)
        return [each for each in items[:_MOST] if isinstance(each, dict)] if isinstance(items, list) else []
    splitter = EventSplitter()
    datas = [event.data for event in splitter.feed(body + b"\n\n")]
    binary = FrameSplitter()
    messages = [] if datas else binary.feed(body)
    if messages:
        datas = [event.data for event in messages]
    elif not datas:
        datas = body.splitlines()
    return [_unwrapped(each) for each in map(_parsed, datas[:_MOST]) if isinstance(each, dict)]


def _unwrapped(event: Json) -> Json:
    """The event of a model's own format that Bedrock carries in base64."""
    inner = event.get("bytes")
    if not isinstance(inner, str):
        return event
    try:
        made = parse(base64.b64decode(inner))
    except (ValueError, Malformed):
        return event
    return made if isinstance(made, dict) else event


def _parsed(data: bytes) -> object:
    try:
        return parse(data)
    except Malformed:
        return None


def whole(events: list[Json]) -> object:
    """The body that a call without streaming would have had, as far as messages are concerned; None if unknown."""
    for known, make in _SHAPES:
        if any(known(event) for event in events):
            return make(events)
    return None


def _chat(events: list[Json]) -> Json:
    choices: dict[int, Json] = {}
    for choice in _each(events, "choices"):
        made = choices.setdefault(_index(choice), {"message": {"role": "assistant"}})
        if choice.get("finish_reason"):
            made["finish_reason"] = choice["finish_reason"]
        if isinstance(choice.get("text"), str):
            made["message"]["content"] = made["message"].get("content", "") + choice["text"]
        _add(made["message"], choice.get("delta"))
    return {"choices": [choices[index] for index in sorted(choices)]}


def _add(message: Json, delta: object) -> None:
    for name, value in delta.items() if isinstance(delta, dict) else ():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", [])
            for piece in value if isinstance(value, list) else ():
                if isinstance(piece, dict):
                    _add_call(calls, piece)
        elif name in {"content", "refusal", "reasoning", "reasoning_content"} and value:
            before = message.get(name)
            if isinstance(value, list):
                message[name] = [*(before if isinstance(before, list) else [before] if before else []), *value]
            elif isinstance(before, list):
                message[name] = [*before, value]
            else:
                message[name] = (before or "") + str(value)


def _add_call(calls: list[Json], piece: Json) -> None:
    place = piece.get("index")
    known = next((call for call in calls if place is not None and call.get("index") == place), None)
    if known is None:
        known = {"index": place, "id": "", "function": {"name": "", "arguments": ""}}
        calls.append(known)
    known["id"] = known["id"] or piece.get("id") or ""
    function = piece.get("function")
    function = function if isinstance(function, dict) else {}
    for name in ("name", "arguments"):
        value = function.get(name)
        if value:
            known["function"][name] += value if isinstance(value, str) else json.dumps(value)


def _blocks(events: list[Json]) -> Json:
    """Anthropic's blocks, and those of Bedrock's `converse`, which have a name instead of a type."""
    blocks: dict[int, Json] = {}
    ended: object = None
    for event in events:
        kind = event.get("type")
        block = event.get("content_block")
        delta = event.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        if kind == "content_block_start" and isinstance(block, dict):
            blocks[_index(event)] = dict(block)
        elif kind == "content_block_delta":
            made = blocks.setdefault(_index(event), {"type": "text", "text": ""})
            for name in ("text", "thinking"):
                if isinstance(delta.get(name), str):
                    made[name] = str(made.get(name) or "") + delta[name]
            if isinstance(delta.get("partial_json"), str):
                so_far = made.get("input")
                made["input"] = (so_far if isinstance(so_far, str) else "") + delta["partial_json"]
        elif kind == "message_delta":
            ended = delta.get("stop_reason") or ended
    return {"role": "assistant", "content": [blocks[index] for index in sorted(blocks)], "stop_reason": ended}


def _converse(events: list[Json]) -> Json:
    """Bedrock's own events, whose kind is told by what is in them."""
    blocks: dict[int, Json] = {}
    ended: object = None
    for event in events:
        place = event.get("contentBlockIndex")
        delta, start = event.get("delta"), event.get("start")
        if isinstance(place, int) and isinstance(start, dict) and isinstance(start.get("toolUse"), dict):
            blocks[place] = {"toolUse": {**start["toolUse"], "input": ""}}
        elif isinstance(place, int) and isinstance(delta, dict):
            _add_converse(blocks.setdefault(place, {}), delta)
        ended = event.get("stopReason") or ended
    content = [blocks[index] for index in sorted(blocks)]
    return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": ended}


def _add_converse(block: Json, delta: Json) -> None:
    tool, thought = delta.get("toolUse"), delta.get("reasoningContent")
    if isinstance(delta.get("text"), str):
        block["text"] = str(block.get("text") or "") + delta["text"]
    elif isinstance(tool, dict) and isinstance(tool.get("input"), str):
        block.setdefault("toolUse", {"input": ""})["input"] += tool["input"]
    elif isinstance(thought, dict) and isinstance(thought.get("text"), str):
        inner = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})
        inner["reasoningText"]["text"] += thought["text"]


def _responses(events: list[Json]) -> object:
    return next((event["response"] for event in reversed(events) if isinstance(event.get("response"), dict)), None)


def _gemini(events: list[Json]) -> Json:
    candidates: dict[int, Json] = {}
    for each in _each(events, "candidates"):
        made = candidates.setdefault(_index(each), {"content": {"role": "model", "parts": []}})
        made["finishReason"] = each.get("finishReason") or made.get("finishReason")
        content = each.get("content")
        for part in content.get("parts") or () if isinstance(content, dict) else ():
            _join_part(made["content"]["parts"], part)
    return {"candidates": [candidates[index] for index in sorted(candidates)]}


def _join_part(parts: list[Any], part: Any) -> None:
    last = parts[-1] if parts else None
    said = isinstance(part, dict) and isinstance(part.get("text"), str)
    if said and isinstance(last, dict) and "text" in last and last.get("thought") == part.get("thought"):
        last["text"] += part["text"]
    else:
        parts.append(dict(part) if isinstance(part, dict) else part)


def _cohere(events: list[Json]) -> Json:
    """The second version, whose events wrap everything in `delta.message`."""
    said: list[str] = []
    calls: list[Json] = []
    for event in events:
        delta = event.get("delta")
        message = delta.get("message") if isinstance(delta, dict) else None
        message = message if isinstance(message, dict) else {}
        content = message.get("content")
        if isinstance(content, dict) and isinstance(content.get("text"), str):
            said.append(content["text"])
        if isinstance(message.get("tool_calls"), dict):
            _add_call(calls, {"index": _index(event), **message["tool_calls"]})
    return {"message": {"role": "assistant", "content": "".join(said), "tool_calls": calls}}


def _lines(events: list[Json]) -> Json:
    """Ollama's lines, and those of Cohere's first version."""
    message: Json = {"role": "assistant", "content": "", "tool_calls": []}
    ended: object = None
    for event in events:
        inner = event.get("message")
        piece = inner.get("content") if isinstance(inner, dict) else event.get("response") or event.get("text")
        if event.get("event_type") not in {None, "text-generation"}:
            piece = None
        message["content"] += piece if isinstance(piece, str) else ""
        calls = inner.get("tool_calls") if isinstance(inner, dict) else event.get("tool_calls")
        message["tool_calls"] += calls if isinstance(calls, list) else []
        ended = event.get("done_reason") or event.get("finish_reason") or ended
    return {"message": message, "finish_reason": ended}


def _completion(events: list[Json]) -> Json:
    """Anthropic's first format, and Amazon's own models."""
    return {"completion": "".join(str(event.get("completion") or event.get("outputText") or "") for event in events)}


def _index(event: Json) -> int:
    index = event.get("index", 0)
    return index if isinstance(index, int) else 0


def _each(events: Iterable[Json], name: str) -> list[Json]:
    listed = [event[name] for event in events if isinstance(event.get(name), list)]
    return [each for found in listed for each in found if isinstance(each, dict)]


def _type(*starts: str) -> Callable[[Json], bool]:
    return lambda event: str(event.get("type", "")).startswith(starts)


_SHAPES: tuple[tuple[Callable[[Json], bool], Callable[[list[Json]], object]], ...] = (
    (_type("response."), _responses),
    (_type("content_block"), _blocks),
    (_type("content-", "tool-call-", "message-start"), _cohere),
    (lambda event: isinstance(event.get("choices"), list), _chat),
    (lambda event: isinstance(event.get("candidates"), list), _gemini),
    (lambda event: "done" in event or "event_type" in event, _lines),
    (lambda event: "contentBlockIndex" in event, _converse),
    (lambda event: "completion" in event or "outputText" in event, _completion),
)
