"""Error answers and error events in the providers' own formats. It must not raise anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from llm_cache.testing.noise import new_id, noise_headers
from llm_cache.testing.reply import Reply

if TYPE_CHECKING:
    from llm_cache.testing.reply import Received

# https://docs.anthropic.com/en/api/errors
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
# https://platform.openai.com/docs/guides/error-codes, and what the API is seen to send
_OPENAI_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# https://cloud.google.com/apis/design/errors
_GOOGLE_STATUSES: Final = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
_ANTHROPIC_PATH: Final = re.compile(r"/(messages|complete)(/|\Z)")
_GOOGLE_PATH: Final = re.compile(r":[A-Za-z]+\Z")
_COHERE_PATH: Final = re.compile(r"/(v2/\w+|v1/(chat|rerank|embed|generate|tokenize))\Z")
_OLLAMA_PATH: Final = re.compile(r"/api/\w+\Z")


def openai_error(
    status: int = 500,
    message: str = "The server had an error while processing your request.",
    *,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error answer as OpenAI and those compatible with it send it; `kind` is the error's `type`."""
    error = {"message": message, "type": kind or _openai_type(status), "param": param, "code": code}
    return _error_reply("openai", status, {"error": error}, headers)


def openai_error_event(message: str = "The server is overloaded.", *, kind: str = "server_error") -> bytes:
    """An error in the middle of a chat stream that began with 200."""
    error = {"message": message, "type": kind, "param": None, "code": None}
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"


def anthropic_error(
    status: int = 529,
    message: str = "Overloaded",
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error answer as Anthropic sends it; `kind` is the error's `type`."""
    named = kind or _ANTHROPIC_TYPES.get(status, "api_error")
    body = {"type": "error", "error": {"type": named, "message": message}, "request_id": new_id("req_011C")}
    return _error_reply("anthropic", status, body, headers)


def anthropic_error_event(message: str = "Overloaded", *, kind: str = "overloaded_error") -> bytes:
    """An error in the middle of a message stream that began with 200."""
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return b"event: error\ndata: " + json.dumps(body).encode() + b"\n\n"


def error_like(received: Received, status: int, message: str, *, code: str | None = None) -> Reply:
    """An error answer as the provider would send it who is meant by this request's path and headers."""
    path = received.path.replace("%3A", ":")
    if received.header("anthropic-version") or _ANTHROPIC_PATH.search(path):
        return anthropic_error(status, message)
    if "/model/" in path:
        return _error_reply("bedrock", status, {"message": message}, None)
    if _GOOGLE_PATH.search(path):
        named = _GOOGLE_STATUSES.get(status, "INTERNAL")
        body = {"error": {"code": status, "message": message, "status": named}}
        return _error_reply("google", status, body, None)
    if _COHERE_PATH.search(path):
        return _error_reply("cohere", status, {"id": new_id("", 36), "message": message}, None)
    if _OLLAMA_PATH.search(path):
        return _error_reply("ollama", status, {"error": message}, None)
    return openai_error(status, message, code=code)


def _openai_type(status: int) -> str:
    fallback = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return _OPENAI_TYPES.get(status, fallback)


def _error_reply(provider: str, status: int, body: object, headers: Mapping[str, str] | None) -> Reply:
    given = tuple((headers or {}).items())
    return Reply(status=status, json=body, headers=given + noise_headers(provider, present=given))
