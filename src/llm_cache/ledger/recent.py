"""The latest calls of all processes, as lines of a journal and read back. It must not count: that is the ledger's.

A call that misses leaves two lines: that it was sent, and what became of its answer. Readers make one call of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llm_cache.core.events import Bypassed, Dropped, Hit, Joined, Missed, Stored
from llm_cache.ledger.prices import to_pico, to_usd

if TYPE_CHECKING:
    from llm_cache.ledger.books import Note

JOURNAL = "calls"
MOST = 1000
"""Lines that are kept."""
AT_ONCE = 200
"""Lines that one process adds in a second, the latest."""
_ENDED = {Stored: "stored", Dropped: "dropped"}
_ABOUT = ("provider", "model", "endpoint", "namespace", "key")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Call:
    """One of the latest calls.

    Attributes:
        at: when it ended, seconds since the epoch; for a miss whose end was not told, when it was sent.
        status: `hit`, `stale`, `joined`, `miss` or `bypass`.
        reason: why it missed or was bypassed.
        kept: of a miss, `stored`, or why its answer was dropped; None if that is not known.
        cost_usd: what a miss has cost, or what a hit has saved; None if unknown.
        times: how many calls in a row this stands for; more than one only of hits.
        latency_ms: how long the upstream took, for a hit at the time.
    """

    at: float
    status: str
    provider: str
    model: str
    endpoint: str
    namespace: str
    key: str
    reason: str = ""
    kept: str | None = None
    cost_usd: Decimal | None = None
    latency_ms: float = 0.0
    times: int = 1


def line_of(note: Note) -> bytes | None:
    """The line of what was noted; None if it is none of a call's."""
    kind, about, at, facts, said = note
    line: dict[str, Any] = {"at": at}
    if kind is Hit:
        stale, times = said
        line |= {"status": "stale" if stale else "hit", "times": times}
    elif kind is Joined:
        line["status"] = "joined"
    elif kind is Bypassed:
        line |= {"status": "bypass", "reason": said.reason}
    elif kind is Missed:
        line |= {"status": "miss", "reason": said.reason}
    elif kind is Stored:
        again, _ = said
        if again:
            return None
        line["status"] = _ENDED[Stored]
    elif kind is Dropped:
        line |= {"status": _ENDED[Dropped], "reason": said.reason, "latency_ms": said.latency_ms}
    else:
        return None
    for name in _ABOUT:
        line[name] = getattr(about, name)[:_LONGEST]
    if facts is not None:
        _, _, _, _, cost_usd, latency_ms = facts
        line |= {"cost": None if cost_usd is None else to_pico(cost_usd), "latency_ms": latency_ms}
    return json.dumps(line, separators=(",", ":")).encode()


def calls(lines: Iterable[bytes]) -> Iterator[Call]:
    """The calls that the lines of a journal tell of, newest first, as the lines are."""
    ended: dict[str, list[Call]] = {}
    for line in lines:
        call = _read(line)
        if call is None:
            continue
        if call.status in _ENDED.values():
            kept = "stored" if call.status == "stored" else call.reason
            ended.setdefault(call.key, []).append(replace(call, status="miss", reason="", kept=kept))
        elif call.status == "miss" and ended.get(call.key):
            yield replace(ended[call.key].pop(), reason=call.reason)
        else:
            yield call


def _read(line: bytes) -> Call | None:
    try:
        told = json.loads(line)
        cost = told.get("cost")
        names = {name: str(told[name]) for name in ("status", *_ABOUT)}
        return Call(
            at=float(told["at"]),
            reason=str(told.get("reason", "")),
            cost_usd=None if cost is None else to_usd(int(cost)),
            latency_ms=float(told.get("latency_ms") or 0.0),
            times=int(told.get("times", 1)),
            **names,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # a later version's, or damaged: one call of a thousand
