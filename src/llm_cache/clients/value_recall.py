"""`get_or_set` with a key that was a hit before: the short way, on which nothing is worked out anew.

Which request a key means, and how it is treated, depends on nothing but what is given here; whether its answer may be
served is asked each time. It must not fetch, store or explain: what is no plain hit goes the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_cache.clients.options import LastCall, Layer, current_layer, layer, remember
from llm_cache.clients.values import decoded
from llm_cache.core.events import About, Hit
from llm_cache.core.plan import Ask, about, fresh
from llm_cache.errors import EntryError
from llm_cache.runtime.registry import note_inner

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.policy import Policy

MISSING = object()
_MOST = 4096
_MOST_LIFETIMES = 100
_TEXT = {str}


class ValueRecall:
    """Which calls have been hits.

    Args:
        engine: the cache behind it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._layers: dict[object, Layer] = {None: ()}
        self._known: dict[tuple[Any, ...], tuple[About, Policy]] = {}

    def layer(self, ttl_days: float | str | None) -> Layer:
        """The layer of policy of a call with this lifetime.

        Raises:
            ConfigError: it is wrong.
        """
        try:
            return self._layers[ttl_days]
        except (KeyError, TypeError):
            made = layer(ttl_days=ttl_days, source="get_or_set()")
            if len(self._layers) < _MOST_LIFETIMES:
                self._layers[ttl_days] = made
            return made

    def learn(self, name: tuple[Any, ...], ask: Ask) -> None:
        """Remember a call that has just been a hit.

        Args:
            name: key, provider, model, endpoint and layer, as the call was given them.
            ask: what it came to.
        """
        if ask.signature is None or ask.signature.origin:
            # As in `runtime.recall`.
            return
        if {*map(type, name[:4])} == _TEXT and len(name[0]) <= _MOST:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = (*name, current_layer())
            self._known[known] = about(ask), ask.policy

    def value(self, name: tuple[Any, ...]) -> Any:
        """The value of a call that was a hit before, `MISSING` if it has to go the long way."""
        try:
            known = self._known.get((*name, current_layer()))
        except TypeError:  # something in it cannot be a dictionary key
            return MISSING
        if known is None:
            return MISSING
        whom, policy = known
        engine = self._engine
        entry = engine.access.at_hand(whom.key)
        if entry is None:
            return MISSING
        now = engine.clock()
        if entry.stream or entry.kind != "value" or not entry.frames or not fresh(entry, policy, now):
            return MISSING
        try:
            value = decoded(entry.frames[0].data)
        except EntryError:
            return MISSING
        note_inner()
        age_s = max(0.0, now - entry.created_at)
        hit = Hit(whom, entry, age_s)
        engine.ledger(hit)
        last = LastCall("hit", whom.key, engine.ledger.price, age_s=age_s)
        last.note(hit)
        remember(last)
        return value
