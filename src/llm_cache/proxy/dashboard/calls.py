"""The latest calls: those this process noted, and what entries tell of those of others. It must keep no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_cache.core.events import Bypassed, Dropped, Hit, Joined, Missed

if TYPE_CHECKING:
    from llm_cache.ledger.books import Note
    from llm_cache.stores.base import Row

_STATUS = {Hit: "hit", Joined: "joined", Missed: "miss", Bypassed: "bypass", Dropped: "not kept"}
_SAME_S = 2.0
"""A note and what its entry tells of the same call are no further apart."""


def latest(notes: list[Note], rows: list[Row], most: int) -> list[dict[str, object]]:
    """What happened last, the latest first.

    Args:
        notes: what this process noted.
        rows: the newest entries, which know when they were made and last served.
        most: how many.
    """
    own = [_noted(note) for note in notes if note[0] in _STATUS]
    known: dict[tuple[str, str], list[float]] = {}
    for call in own:
        known.setdefault((str(call["key"]), str(call["status"])), []).append(float(str(call["at"])))
    for row in rows:
        # An entry is made by a call that missed; that was noted before the answer had come.
        told = [("miss", row.created_at, _SAME_S + row.latency_ms / 1000)]
        if row.last_hit_at is not None:
            told.append(("hit", row.last_hit_at, _SAME_S))
        for status, at, near in told:
            heard = known.get((row.key.hex(), status), [])
            if not any(abs(at - each) <= near for each in heard):
                own.append(_told(row, status, at))
    own.sort(key=lambda call: -float(str(call["at"])))
    return own[:most]


def _noted(note: Note) -> dict[str, object]:
    kind, about, at, _, said = note
    reason = getattr(said, "reason", "")
    return {
        "at": at,
        "status": "stale" if kind is Hit and said is True else _STATUS[kind],
        "reason": reason if isinstance(reason, str) else "",
        "provider": about.provider,
        "model": about.model,
        "endpoint": about.endpoint,
        "namespace": about.namespace,
        "key": about.key,
    }


def _told(row: Row, status: str, at: float) -> dict[str, object]:
    return {
        "at": at,
        "status": status,
        "reason": "",
        "provider": row.provider,
        "model": row.model,
        "endpoint": row.endpoint,
        "namespace": row.namespace,
        "key": row.key.hex(),
    }
