"""Requests and whole answers as messages, by their shapes. It must know no more of a vendor than names of fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llm_cache.proxy.dashboard.parts import Part, image, parts_of
from llm_cache.proxy.dashboard.texts import Texts

Message = dict[str, Any]
_SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction", "preamble")
_TURNS = ("messages", "chat_history", "input", "contents", "prompt", "message", "query", "documents", "texts", "inputs")
_TOOLS = ("tools", "functions", "toolConfig")


def asked(body: object, texts: Texts) -> dict[str, object]:
    """A request: its messages, the tools that it offers, and everything else of it.

    Args:
        body: as JSON values, or text.
        texts: where the texts are numbered.
    """
    if not isinstance(body, dict):
        parts = list(parts_of(body, texts)) if body is not None else []
        return {"messages": [_message("", parts)] if parts else [], "tools": [], "settings": []}
    messages = [
        _message("system", [*parts_of(_unwrapped(body[name]), texts)]) for name in _SYSTEM if body.get(name) is not None
    ]
    for name in _TURNS:
        if name in body:
            messages.extend(_turns(body[name], "user" if name in {"input", "prompt", "message"} else name, texts))
    if isinstance(body.get("images"), list) and messages:
        # Ollama's `generate` has them beside the prompt.
        messages[-1]["parts"] += [image(each, texts) for each in body["images"] if isinstance(each, str)]
    tools = [tool for name in _TOOLS if name in body for tool in _tools(body[name], texts)]
    known = {*_SYSTEM, *_TURNS, *_TOOLS, "images"}
    settings = [{"name": str(name), **texts.json(value)} for name, value in body.items() if name not in known]
    return {"messages": [each for each in messages if each["parts"]], "tools": tools, "settings": settings}


def answered(body: object, texts: Texts) -> list[Message]:
    """The messages of an answer; none where it has another shape."""
    if isinstance(body, str):
        return [_message("assistant", [*parts_of(body, texts)])]
    if isinstance(body, list):
        return [message for each in body for message in answered(each, texts)]
    if not isinstance(body, dict):
        return []
    return [each for each in _answers(body, texts) if each["parts"]]


def _answers(body: dict[str, Any], texts: Texts) -> Iterator[Message]:
    if isinstance(body.get("choices"), list):
        for choice in _objects(body["choices"]):
            if isinstance(choice.get("message"), dict):
                yield _turn(choice["message"], "assistant", texts, choice.get("finish_reason"))
            else:
                parts = [*parts_of(choice.get("text"), texts)]
                yield _message("assistant", parts, choice.get("finish_reason"))
    elif isinstance(body.get("output"), list):
        yield from _turns(body["output"], "assistant", texts)
    elif isinstance(body.get("candidates"), list):
        for each in _objects(body["candidates"]):
            content = each.get("content")
            yield _turn(content if isinstance(content, dict) else {}, "assistant", texts, each.get("finishReason"))
    elif isinstance(body.get("output"), dict):
        message = body["output"].get("message")
        yield _turn(message if isinstance(message, dict) else {}, "assistant", texts, body.get("stopReason"))
    elif isinstance(body.get("message"), dict):
        ended = body.get("finish_reason") or body.get("done_reason")
        yield _turn(body["message"], "assistant", texts, ended)
    elif isinstance(body.get("content"), (list, str)):
        yield _turn(body, "assistant", texts, body.get("stop_reason"))
    elif isinstance(body.get("data"), list):
        yield _message("assistant", [*_data(body["data"], texts)])
    else:
        yield from _plain_texts(body, texts)


def _plain_texts(body: dict[str, Any], texts: Texts) -> Iterator[Message]:
    """Answers of formats without messages."""
    for name in ("generations", "results"):
        for each in _objects(body.get(name)):
            text = each.get("text") or each.get("outputText")
            if isinstance(text, str):
                yield _message("assistant", [*parts_of(text, texts)])
    for name in ("text", "response", "completion"):
        if isinstance(body.get(name), str):
            parts = [*parts_of(body[name], texts), *parts_of(body.get("tool_calls"), texts)]
            yield _message("assistant", parts, body.get("finish_reason"))


def _data(data: list[Any], texts: Texts) -> Iterator[Part]:
    """Images that were made; vectors are counted, for nobody reads them."""
    vectors = [each.get("embedding") for each in _objects(data) if "embedding" in each]
    if vectors:
        size = f"{len(vectors[0]):,} numbers each" if isinstance(vectors[0], list) else "in base64"
        yield {"kind": "note", **texts.add(f"{len(vectors):,} embedding{'s' * (len(vectors) > 1)}, {size}")}
        return
    for each in _objects(data):
        if isinstance(each.get("b64_json"), str):
            yield image(each["b64_json"], texts)
        elif isinstance(each.get("url"), str):
            yield {"kind": "link", **texts.add(each["url"])}


def _turns(value: object, role: str, texts: Texts) -> Iterator[Message]:
    if not isinstance(value, list):
        yield _message(role, [*parts_of(_unwrapped(value), texts)])
        return
    for each in value:
        if texts.full:
            yield _message("", [{"kind": "note", "text": "There is more, which is not shown here."}])
            return
        if isinstance(each, dict) and any(name in each for name in ("role", "content", "parts", "message")):
            yield _turn(each, role, texts)
        else:
            yield _message(role, [*parts_of(each, texts)])


def _turn(turn: dict[str, Any], role: str, texts: Texts, ended: object = None) -> Message:
    """One message, wherever its format puts what."""
    own = turn.get("role")
    role = own if isinstance(own, str) else role
    parts: list[Part] = []
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(turn.get(name), str) and turn[name]:
            parts.append({"kind": "thought", **texts.add(turn[name])})
            break
    content = next((turn[name] for name in ("content", "parts", "message", "text") if turn.get(name)), None)
    if turn.get("type") in {"reasoning", "tool_result", "tool_use"}:
        parts += parts_of(turn, texts)
    elif role == "tool" and "toolResult" not in turn:
        ref = turn.get("tool_call_id")
        inner = [*parts_of(content, texts, 1)]
        name = str(turn.get("name") or turn.get("tool_name") or "")
        parts.append({"kind": "result", "name": name, "ref": ref if isinstance(ref, str) else "", "parts": inner})
    else:
        parts += parts_of(content, texts)
    if isinstance(turn.get("images"), list):
        parts += [image(each, texts) for each in turn["images"] if isinstance(each, str)]
    if isinstance(turn.get("refusal"), str) and turn["refusal"]:
        parts.append({"kind": "refusal", **texts.add(turn["refusal"])})
    parts += parts_of(turn.get("tool_calls"), texts)
    if isinstance(turn.get("function_call"), dict):
        parts += parts_of({"type": "function_call", **turn["function_call"]}, texts)
    return _message(role, parts, ended)


def _message(role: str, parts: list[Part], ended: object = None) -> Message:
    message: Message = {"role": role, "parts": parts}
    if isinstance(ended, str) and ended:
        message["ended"] = ended
    return message


def _tools(value: object, texts: Texts) -> Iterator[dict[str, object]]:
    value = value.get("tools") if isinstance(value, dict) else value
    for each in _objects(value):
        inner = next((each[name] for name in ("function", "toolSpec") if isinstance(each.get(name), dict)), each)
        name = inner.get("name") or each.get("type") or "functionDeclarations"
        yield {"name": str(name), "about": str(inner.get("description") or "")[:400], **texts.json(each)}


def _unwrapped(value: object) -> object:
    """What is inside of Gemini's `{"parts": [...]}`."""
    return value["parts"] if isinstance(value, dict) and "parts" in value else value


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
