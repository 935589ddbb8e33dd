"""Takes credentials out of a call's arguments before they are stored. It must not change what a key is made of.

An argument counts whatever it is; what is stored of it only explains misses, and secrets are never stored.
"""

from __future__ import annotations

import re
from typing import Any

from llm_cache.core import canonical

REDACTED = "[redacted]"
_NAME = (
    r"(?:x[-_])?api[-_]?key|(?:proxy[-_])?authorization|(?:access|auth|bearer|hf|refresh|session)[-_]?token|token"
    r"|(?:client[-_]?|aws[-_])?secret(?:[-_]?(?:access[-_]?)?key)?|password|passwd|credentials?|(?:set[-_])?cookies?"
)
_NAMED = re.compile(_NAME, re.IGNORECASE)
_VALUE = re.compile(r"(?:Bearer )?(?:sk|gsk|xai|hf|pplx|AIza|AKIA|ghp)[-_]?[\w-]{16,}", re.ASCII)
_SUSPECT = re.compile(rf'"(?:{_NAME})":|"{_VALUE.pattern}"'.encode(), re.IGNORECASE)


def redacted(body: bytes) -> bytes:
    """The body of a call as it may be stored, canonical JSON like the one that was given."""
    if not _SUSPECT.search(body):
        return body
    return canonical.write(_clean(canonical.parse(body)))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: REDACTED if item is not None and _NAMED.fullmatch(name) else _clean(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return REDACTED if isinstance(value, str) and _VALUE.fullmatch(value) else value
