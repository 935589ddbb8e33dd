"""The stored request nearest to an entry's, and what differs: why the second was no hit. It must change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_cache.clients.explaining import why_entry
from llm_cache.core.explain import advice, shown
from llm_cache.errors import EntryError
from llm_cache.proxy.dashboard.answers import Problem

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.stores.base import Row

_MOST = 50


def differs(engine: Engine, row: Row) -> dict[str, object]:
    """What differs, place by place, long values around where they begin to.

    Raises:
        Problem: the entry cannot be read.
    """
    try:
        found = why_entry(engine, row)
    except EntryError as error:
        raise Problem(409, f"What was asked cannot be read: {error}") from error
    near, other = found.near, found.row
    if near is None or other is None:
        return {"searched": found.searched, "near": None}
    places = []
    for difference in near.found[:_MOST]:
        here, there = shown(difference.ours, difference.theirs)
        places.append({"path": difference.path, "here": here, "there": there, "look": difference.look})
    return {
        "searched": found.searched,
        "near": {
            "key": near.key,
            "provider": other.provider,
            "model": other.model,
            "namespace": other.namespace,
            "created_at": other.created_at,
        },
        "differences": places,
        "more": len(near.found) - len(places),
        "note": near.note,
        "advice": advice(near),
    }
