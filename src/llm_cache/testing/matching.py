"""Says which paths are the same endpoint, which bodies the same question, and what was nearest. It must not answer."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_cache.testing.reply import Received
    from llm_cache.testing.traffic import Exchange

_VERSION: Final = re.compile(r"v\d+((alpha|beta)\d*)?\Z")
_STREAMING: Final = ("/api/chat", "/api/generate")
"""What streams unless it is told not to (https://docs.ollama.com/api)."""
_MOST_DIFFERENCES: Final = 8

EXACT, SAME_PATH, SAME_ENDPOINT, ANY = range(4)
"""How near a path is to what was asked for; less is nearer."""


def endpoint(path: str) -> str:
    """A path without what SDKs, gateways and base URLs disagree about.

    `/v1/chat/completions`, `/chat/completions`, `/v1/v1/chat/completions`, `/openai/v1/chat/completions` and
    `/api/paas/v4/chat/completions` are one endpoint: what stands before a version segment is where the provider's API
    is mounted. (`/novita/v3/openai/…` is mounted once more.)
    """
    segments = [segment for segment in unquote(path.partition("?")[0]).split("/") if segment]
    versions = [at for at, segment in enumerate(segments) if _VERSION.match(segment)]
    rest = segments[versions[0] + 1 :] if versions else segments
    rest = [segment for segment in rest if not _VERSION.match(segment)]
    if versions and rest[:1] == ["openai"]:
        del rest[0]
    return "/".join(rest)


def nearness(pattern: str, target: str) -> int | None:
    """How near a request's target is to a pattern (a path, with a query or without, or a glob); None if it is not."""
    if pattern == target:
        return EXACT
    pattern_path, path = pattern.partition("?")[0], target.partition("?")[0]
    if unquote(pattern_path) == unquote(path):
        return SAME_PATH
    if "*" in pattern_path:
        return ANY if fnmatch.fnmatchcase(path, pattern_path) else None
    return SAME_ENDPOINT if endpoint(pattern_path) == endpoint(path) else None


def canonical(body: bytes, target: str = "") -> bytes:
    """Equal for bodies that ask the same: as JSON whatever its spelling, without `stream` where it is the default.

    That is false, and true at Ollama's own endpoints; what is no JSON counts as bytes. Deliberately not `llm_cache`'s
    own key: the judge must not share the mistakes of what it judges.
    """
    try:
        parsed = json.loads(body)
    except ValueError:
        return body
    default = target.partition("?")[0].endswith(_STREAMING)
    if isinstance(parsed, dict) and parsed.get("stream") is default:
        del parsed["stream"]
    return json.dumps(_plain_numbers(parsed), sort_keys=True).encode()


def _plain_numbers(value: object) -> object:
    """1.0 as 1, all the way down: SDKs write either."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(item) for item in value]
    return value


class Recordings:
    """Recorded exchanges by what was asked.

    The same question was sometimes recorded several times: it gets the recordings in turn.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self.exchanges: Sequence[Exchange] = tuple(exchanges)
        self._by_body: dict[bytes, list[Exchange]] = {}
        for exchange in self.exchanges:
            self._by_body.setdefault(canonical(exchange.request, exchange.path), []).append(exchange)
        self._turns: dict[tuple[str, ...], int] = {}

    def find(self, received: Received) -> Exchange | None:
        """The recording of this question, at the nearest path there is; None if it was never asked."""
        nearest: dict[int, list[Exchange]] = {}
        for exchange in self._by_body.get(canonical(received.body, received.target), ()):
            level = nearness(exchange.path, received.target)
            if level is not None:
                nearest.setdefault(level, []).append(exchange)
        if not nearest:
            return None
        found = nearest[min(nearest)]
        series = tuple(exchange.id for exchange in found)
        turn = self._turns.get(series, 0)
        self._turns[series] = turn + 1
        return found[turn % len(found)]

    def rewind(self) -> None:
        """Let every series begin with its first recording again."""
        self._turns.clear()

    def explain(self, received: Received) -> str:
        """One line on why nothing was found: the nearest recording, and where the question differs from it."""
        asked = f"nothing is recorded or scripted for {received.method} {received.target}"
        if not self.exchanges:
            return f"{asked}: this upstream has no recordings."
        there = [exchange for exchange in self.exchanges if nearness(exchange.path, received.target) is not None]
        if not there:
            paths = sorted({exchange.path for exchange in self.exchanges})
            return f"{asked}. No recording has this path; it was recorded for: {', '.join(paths)}."
        target = received.target
        nearest = min(there, key=lambda exchange: len(_differences(exchange.request, received.body, target)))
        differing = _differences(nearest.request, received.body, target)
        shown = ", ".join(differing[:_MOST_DIFFERENCES]) + (", …" if len(differing) > _MOST_DIFFERENCES else "")
        return f"{asked}. The nearest recording is {nearest.name} ({nearest.path}); what differs: {shown}."


def _differences(recorded: bytes, asked: bytes, target: str) -> list[str]:
    """The places at which two bodies differ, as paths into the JSON."""
    try:
        return list(_walk("body", json.loads(canonical(recorded, target)), json.loads(canonical(asked, target))))
    except ValueError:
        return ["body (not JSON)"]


def _walk(at: str, left: object, right: object) -> Iterable[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if key not in right:
                yield f"{at}.{key} (only recorded)"
            elif key not in left:
                yield f"{at}.{key} (only asked)"
            else:
                yield from _walk(f"{at}.{key}", left[key], right[key])
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _walk(f"{at}[{number}]", one, other)
    elif left != right:
        yield at
