"""The short way of a hit: an answer that is at hand in memory, fresh and still what the store has.

It decides what `core.plan.answer` would decide first, and nothing else: whatever is not plainly a fresh hit is left to
the plan. No lock of a store is taken and no row is read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_cache.core.events import Hit
from llm_cache.core.plan import Ask, Replay, about, fresh
from llm_cache.errors import EntryError
from llm_cache.runtime.listening import heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.core.events import Event
    from llm_cache.runtime.world import World


def recalled(ask: Ask, world: World, tell: Callable[[Event], None]) -> Replay | None:
    """The replay of an answer that is in memory; None if the plan has to decide."""
    signature, endpoint, policy = ask.signature, ask.endpoint, ask.policy
    if signature is None or endpoint is None or endpoint.uncacheable is not None or not policy.reads:
        return None
    if signature.origin:
        # On a sealed store a lookup also sees whether its keys have been changed.
        return None
    access = world.access
    if not access.remembers(signature.key):
        return None
    generation = access.generation()
    if generation is None or (entry := access.recall(signature.key, generation)) is None:
        return None
    now = world.clock()
    if not fresh(entry, policy, now):
        return None
    if ask.verify is not None:
        try:
            ask.verify(entry)
        except EntryError:
            # The plan meets it once more, and tells of it.
            return None
    age_s = max(0.0, now - entry.created_at)
    heard(tell, Hit(about(ask), entry, age_s))
    return Replay(entry, age_s=age_s)
