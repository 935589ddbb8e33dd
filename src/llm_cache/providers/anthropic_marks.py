"""Takes Anthropic's `cache_control` marks out of a request body. It must not touch a field of that name elsewhere.

A mark says where the vendor's prompt cache may cut; the answer is the same without it. It stands at
the top level, on system blocks, tools and content blocks, and on the blocks inside tool results,
search results and documents (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
Tool inputs and schemas are the user's own data and may have a field of that name that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MARK = "cache_control"
_NESTING = frozenset({"tool_result", "mcp_tool_result", "search_result"})
_DEPTH = 8  # the API nests three deep; what lies deeper is left as it is


def unmark(body: object) -> object:
    """The body without marks: a copy where there were any, else the same object."""
    if not isinstance(body, dict):
        return body
    body = _without_mark(body)
    body = _mapped(body, "system", _block)
    body = _mapped(body, "tools", _block)
    return _mapped(body, "messages", lambda message: _mapped(message, "content", _block))


def _block(value: Any, depth: int = _DEPTH) -> Any:
    """A content block without the marks on it and on the blocks inside it."""
    if not isinstance(value, dict):
        return value
    block = _without_mark(value)
    kind = block.get("type")
    if depth == 0 or not isinstance(kind, str):
        return block
    if kind in _NESTING:
        return _mapped(block, "content", lambda inner: _block(inner, depth - 1))
    if kind == "document" and isinstance(block.get("source"), dict):
        source = _mapped(block["source"], "content", lambda inner: _block(inner, depth - 1))
        return block if source is block["source"] else {**block, "source": source}
    return block


def _without_mark(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name != _MARK} if _MARK in value else value


def _mapped(value: Any, field: str, change: Callable[[Any], Any]) -> Any:
    """The object with every item of that list changed, or the same object if none changes."""
    items = value.get(field) if isinstance(value, dict) else None
    if not isinstance(items, list):
        return value
    changed = [change(item) for item in items]
    if all(new is old for new, old in zip(changed, items, strict=True)):
        return value
    return {**value, field: changed}
