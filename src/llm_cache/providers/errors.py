"""Errors of our own in the words of each provider's API, so that its SDK raises its own exception."""

from __future__ import annotations

import msgspec

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(provider: str, status: int, message: str, code: str) -> bytes:
    """The JSON body of an error reply.

    Args:
        provider: whose format; one that is not known gets OpenAI's, which most vendors speak.
        status: the HTTP status that goes with it.
        message: one sentence for people.
        code: a word for programs, `cache_miss`.
    """
    kind = _TYPES.get(status, "api_error")
    if provider == "anthropic":
        body: object = {"type": "error", "error": {"type": kind, "message": message}}
    elif provider in {"google", "vertex"}:
        body = {"error": {"code": status, "message": message, "status": code.upper()}}
    elif provider == "cohere":
        body = {"message": message}
    elif provider == "ollama":
        body = {"error": message}
    else:
        body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return msgspec.json.encode(body)
