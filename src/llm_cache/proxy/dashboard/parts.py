"""What a message is made of, whoever's format it is in: text, thoughts, tool calls and results, images.

It goes by shapes, since a request may hold anything. It must not fetch anything, nor believe what an image says it is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from llm_cache.proxy.dashboard.texts import Texts

Part = dict[str, Any]
_DEEPEST = 4
_MOST_IMAGE = 4 * 1024 * 1024
"""Characters of base64 beyond which an image is only told of."""
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
"""The kinds that are shown. SVG is not: it is a document, and may refer to others."""
_THOUGHTS = frozenset({"thinking", "reasoning", "redacted_thinking", "reasoning_content"})
_CALLS = frozenset({"tool_use", "function_call", "custom_tool_call", "server_tool_use", "mcp_call", "tool_call"})
_RESULTS = frozenset({"tool_result", "function_call_output", "custom_tool_call_output", "web_search_tool_result"})
_IMAGES = frozenset({"image_url", "input_image", "image", "output_image"})


def parts_of(content: object, texts: Texts, depth: int = 0) -> Iterator[Part]:
    """The parts of a message's content."""
    if content is None or content in ("", []) or texts.full:
        return
    if isinstance(content, str):
        yield {"kind": "text", **texts.add(content)}
    elif isinstance(content, list) and depth < _DEEPEST:
        for each in content:
            yield from parts_of(each, texts, depth + 1)
    elif isinstance(content, dict) and depth < _DEEPEST:
        yield from _of_block(content, texts, depth)
    else:
        yield {"kind": "json", **texts.json(content)}


def _of_block(block: dict[str, Any], texts: Texts, depth: int) -> Iterator[Part]:
    kind = block.get("type")
    kind = kind if isinstance(kind, str) else ""
    if kind in _THOUGHTS or block.get("thought") is True or "reasoningContent" in block:
        yield {"kind": "thought", **texts.json(_thought(block))}
    elif kind in _CALLS or "functionCall" in block or "toolUse" in block or "function" in block:
        yield _call(block, texts)
    elif kind in _RESULTS or "functionResponse" in block or "toolResult" in block:
        yield _result(block, texts, depth)
    elif kind == "refusal" and isinstance(block.get("refusal"), str):
        yield {"kind": "refusal", **texts.add(block["refusal"])}
    elif kind in _IMAGES or "inlineData" in block or "inline_data" in block or _is_converse_image(block):
        yield _image(block, texts)
    elif "fileData" in block:
        yield _link(_of(block["fileData"], "fileUri"), texts)
    elif isinstance(block.get("text"), str):
        yield {"kind": "text", **texts.add(block["text"])}
    else:
        yield {"kind": "json", **texts.json(block)}


def _thought(block: dict[str, Any]) -> object:
    for name in ("thinking", "text", "reasoning", "reasoning_content"):
        if isinstance(block.get(name), str):
            return block[name]
    inner = _of(_of(block.get("reasoningContent"), "reasoningText"), "text")
    if isinstance(inner, str):
        return inner
    listed = block.get("thinking") or block.get("summary") or block.get("content")
    if isinstance(listed, list):
        said = [_of(each, "text") for each in listed]
        return "\n".join(each for each in said if isinstance(each, str)) or "(not told)"
    return "(hidden by the provider)"


def _call(block: dict[str, Any], texts: Texts) -> Part:
    """A tool call. Most formats write the arguments as JSON in a string, some as JSON."""
    for inside in ("function", "functionCall", "toolUse"):
        if isinstance(block.get(inside), dict):
            block = {**block, **block[inside]}
    given = next((block[name] for name in ("arguments", "input", "args", "parameters") if name in block), "")
    ref = next((block[name] for name in ("call_id", "id", "toolUseId") if isinstance(block.get(name), str)), "")
    return {"kind": "call", "name": str(block.get("name", "")), "ref": ref, **texts.json(given)}


def _result(block: dict[str, Any], texts: Texts, depth: int) -> Part:
    for inside in ("functionResponse", "toolResult"):
        if isinstance(block.get(inside), dict):
            block = {**block, **block[inside]}
    names = ("tool_use_id", "call_id", "toolUseId", "id")
    ref = next((block[name] for name in names if isinstance(block.get(name), str)), "")
    content = next((block[name] for name in ("content", "output", "response") if name in block), None)
    failed = bool(block.get("is_error")) or block.get("status") == "error"
    inner = list(parts_of(content, texts, depth + 1))
    return {"kind": "result", "name": str(block.get("name", "")), "ref": ref, "failed": failed, "parts": inner}


def _is_converse_image(block: dict[str, Any]) -> bool:
    return isinstance(block.get("image"), dict) and "source" in block["image"]


def _image(block: dict[str, Any], texts: Texts) -> Part:
    """An image by what holds it: a URL, a data URL, or base64 beside its type."""
    source = block.get("source") or _of(block.get("image"), "source") or block
    inline = block.get("inlineData") or block.get("inline_data") or source
    for data in (_of(inline, "data"), _of(source, "bytes"), _of(source, "b64_json")):
        if isinstance(data, str):
            return image(data, texts)
    url = block.get("image_url") or _of(source, "url")
    url = _of(url, "url") or url
    return _link(url, texts) if isinstance(url, str) else {"kind": "json", **texts.json(block)}


def image(data: str, texts: Texts) -> Part:
    """An image in base64, if it is one that a page may show."""
    try:
        head = base64.b64decode(data[:64], validate=True)
        whole = len(data) <= _MOST_IMAGE and base64.b64decode(data, validate=True) is not None
    except (binascii.Error, ValueError):
        return {"kind": "note", **texts.add("an image that cannot be read")}
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None or (kind == "image/webp" and head[8:12] != b"WEBP"):
        return {"kind": "note", **texts.add(f"data of a kind that is not shown here ({len(data) * 3 // 4:,} bytes)")}
    if not whole:
        return {"kind": "note", **texts.add(f"an image ({kind}) that is too large to be shown")}
    return {"kind": "image", "src": f"data:{kind};base64,{data}"}


def _link(url: object, texts: Texts) -> Part:
    """An image that is elsewhere. It is never fetched: whoever serves it would learn who looks at this."""
    text = url if isinstance(url, str) else ""
    if text.startswith("data:"):
        head, comma, data = text.partition(",")
        if comma and head.endswith(";base64"):
            return image(data, texts)
    return {"kind": "link", **texts.add(text)}


def _of(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
