"""Knows by its look what is new every time: times, UUIDs, generated ids, seeds. It must not know what fields mean."""

from __future__ import annotations

import re

from llm_cache.core.align import shared

_LOOKS = (
    ("a UUID", re.compile(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")),
    (
        "a time",
        re.compile(
            r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?( ?(Z|UTC|[+-]\d\d:?\d\d))?(?!\w)"
            r"|(\b[MTWFS][a-z]{2,8},? )?\b\d{1,2} [A-Z][a-z]{2,8},? \d{4},? \d\d:\d\d(:\d\d)?( [A-Z+]\w*)?"
            r"|\b\d{1,2}:\d\d:\d\d([.,]\d+)?\b"
        ),
    ),
    # From 2017 to 2033, in seconds, milli-, micro- and nanoseconds.
    ("seconds since the epoch", re.compile(r"(?<![\w.-])(1[5-9]|20)\d{8}(\d{3}|\d{6}|\d{9})?(\.\d+)?(?![\w.-])")),
    # `call_…`, `msg_…`, `chatcmpl-…`, `toolu_01…`: letters, and then much that has a digit or a capital in it.
    ("a generated id", re.compile(r"\b[a-zA-Z]{2,16}[_-](?=[A-Za-z]*\d)[A-Za-z0-9]{12,}\b")),
    ("random hex", re.compile(r"(?i)\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,}\b")),
    ("a generated id", re.compile(r"\b(?=[0-9A-Z]*\d)[0-9A-HJKMNP-TV-Z]{26}\b")),  # ULID
)
_NAMED = (
    ("a seed", re.compile(r"(?i)(random_?|rng_?)?seed")),
    (
        "a generated id",
        re.compile(r"(?i)(request|trace|session|run|span|correlation|job|task|idempotency)[_-]?(id|key)|uuid|guid"),
    ),
    ("a time", re.compile(r"(?i)time_?stamp|(created|sent|requested|updated)_?(at|on)|now|date_?time")),
    ("a random number", re.compile(r"(?i)nonce|salt|random")),
)
_LONGEST = 20_000
"""Of what differs; more than that is no generated value, and would take long to look at."""
_SHORT = 200
_AROUND = 100
"""Characters beside what differs that are looked at with it: a generated value may differ in its last digit."""


def look(name: str, ours: str | None, theirs: str | None) -> str | None:
    """What makes two values differ every time, "a UUID"; None if it is not that alone.

    Args:
        name: the member's name.
        ours: the canonical JSON text of a value that is no object and no list, or None where there is none.
        theirs: likewise.
    """
    texts = [text for text in (ours, theirs) if text is not None]
    if not texts or any(text[0] in "[{" for text in texts):
        return None
    if len(texts) == 2:
        start, end = shared(texts[0], texts[1])
        texts = [text[max(0, start - _AROUND) : len(text) - max(0, end - _AROUND)] for text in texts]
    if any(len(text) > _LONGEST for text in texts):
        return None
    if len(texts) == 2:
        # All that differs must be volatile: a prompt that has a time in it and asks something else is another prompt.
        (plain, kind), (other, _) = map(_without, texts)
        if plain == other and kind is not None:
            return kind
    if any(len(text) > _SHORT for text in texts):
        return None
    for text in texts:
        plain, kind = _without(text)
        if kind is not None and (len(texts) == 1 or plain.strip('"') == "\0"):
            return kind
    for kind, pattern in _NAMED:
        if pattern.fullmatch(name) and any(text not in {"null", "true", "false"} for text in texts):
            return kind
    return None


def mask(name: str, text: str) -> str | None:
    """The canonical JSON text of a value without what looks generated in it; None if nothing does.

    Args:
        name: the member's name, which may say it of the whole value.
        text: of any value; one that is very long is not looked at.
    """
    if len(text) > _LONGEST:
        return None
    plain, kind = _without(text)
    if kind is not None:
        return plain
    if text[0] in "[{" or text in {"null", "true", "false"} or len(text) > _SHORT:
        return None
    return "\0" if any(pattern.fullmatch(name) for _, pattern in _NAMED) else None


def _without(text: str) -> tuple[str, str | None]:
    """The text with one and the same mark for everything that looks generated, and what the first of that is."""
    found = None
    for kind, pattern in _LOOKS:
        made = pattern.sub("\0", text)
        if made is not text and made != text:
            found = found or kind
            text = made
    return text, found
