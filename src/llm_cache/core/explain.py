"""Explains a miss: what differs between a request and the stored one that is nearest to it.

Works on signature documents, so that exactly what counts is compared and nothing else. It searches
nothing itself; candidates are handed to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_cache.core import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

_MISSING = object()
_SHOWN = 60
_VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-|\b1[5-9]\d{8}(\d{3})?\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two documents differ: `path` like `body.messages[1].content`.

    `ours` and `theirs` are JSON texts, None where there is nothing; `volatile` if either looks
    like something that is new every time (a time, a UUID).
    """

    path: str
    ours: str | None
    theirs: str | None

    @property
    def volatile(self) -> bool:
        """Whether either value looks generated: a time stamp, a UUID, seconds since the epoch."""
        return any(text is not None and _VOLATILE.search(text) for text in (self.ours, self.theirs))


def differences(ours: bytes, theirs: bytes) -> list[Difference]:
    """Where two signature documents differ, in the order of the first."""
    found: list[Difference] = []
    _compare("", canonical.parse(ours), canonical.parse(theirs), found)
    return found


def _compare(path: str, ours: object, theirs: object, found: list[Difference]) -> None:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            _compare(
                f"{path}.{name}" if path else name,
                ours.get(name, _MISSING),
                theirs.get(name, _MISSING),
                found,
            )
    elif isinstance(ours, list) and isinstance(theirs, list):
        for index in range(max(len(ours), len(theirs))):
            _compare(
                f"{path}[{index}]",
                ours[index] if index < len(ours) else _MISSING,
                theirs[index] if index < len(theirs) else _MISSING,
                found,
            )
    elif (text := _text(ours)) != (other := _text(theirs)):
        # By their texts, as the key does it: to Python 1 and True are equal, to binary floating
        # point 0.1 and 0.10000000000000001.
        found.append(Difference(path, text, other))


def _text(value: object) -> str | None:
    return None if value is _MISSING else canonical.write(value).decode()


def nearest(ours: bytes, candidates: Iterable[tuple[str, bytes]]) -> tuple[str, list[Difference]]:
    """The key of the candidate with the fewest differences, and those; `("", [])` without any.

    Candidates are (key, document), the preferred ones first: the first of equals wins.
    """
    best: tuple[str, list[Difference]] = ("", [])
    for key, document in candidates:
        found = differences(ours, document)
        if not best[0] or len(found) < len(best[1]):
            best = (key, found)
    return best


def render(key: str, found: list[Difference], *, limit: int = 10) -> str:
    """The explanation as lines of text for people; empty if there was no candidate."""
    if not key:
        return ""
    lines = [f"the nearest stored request is {key[:12]}…, which differs in:"]
    lines.extend(
        f"  {difference.path}: {_short(difference.ours)} here, {_short(difference.theirs)} there"
        for difference in found[:limit]
    )
    if len(found) > limit:
        lines.append(f"  and {len(found) - limit} more")
    lines.extend(_advice(found))
    return "\n".join(lines)


def _short(text: str | None) -> str:
    if text is None:
        return "absent"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _advice(found: list[Difference]) -> list[str]:
    generated = {
        difference.path.removeprefix("body.")
        for difference in found
        if difference.volatile and difference.path.startswith("body.")
    }
    # Only whole fields of the body can be left out.
    fields = sorted(name for name in generated if "." not in name and "[" not in name)
    if not fields:
        return []
    named = ", ".join(fields)
    return [f"it looks generated; to leave it out of the key: ignore_fields = {json.dumps(named)}"]
