"""Errors of our own in the words of each provider's API, so that its SDK raises its own exception."""

from __future__ import annotations

import msgspec

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    431: "invalid_request_error",
    501: "invalid_request_error",
    429: "rate_limit_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# google.rpc.Code, as googleapis.com spells it in `status`.
_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# The errors of the Bedrock runtime's API; boto3 raises a class of that name.
_BEDROCK = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    431: "ValidationException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
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
        body = {"error": {"code": status, "message": message, "status": _GOOGLE.get(status, "INTERNAL")}}
    elif provider == "cohere":
        body = {"message": message}
    elif provider == "bedrock":
        body = {"__type": _BEDROCK.get(status, "InternalServerException"), "message": message}
    elif provider == "mistral":
        body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    elif provider == "ollama":
        body = {"error": message}
    else:
        body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return msgspec.json.encode(body)
