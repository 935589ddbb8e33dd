"""What a runner needs besides the call itself. Plain wiring, made once for each cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.core.plan import Ask
    from llm_cache.runtime.access import Access
    from llm_cache.runtime.registry import Flights


@dataclass(frozen=True, slots=True)
class World:
    """The surroundings of a call.

    Attributes:
        access: lookups and saves.
        flights: who is fetching what.
        clock: seconds since the epoch.
        explain: which stored request is nearest to one that missed, as text.
        refreshing: keys that are being fetched behind their callers' backs.
    """

    access: Access
    flights: Flights
    clock: Callable[[], float]
    explain: Callable[[Ask], str]
    refreshing: set[str]

    def begins_refreshing(self, key: str) -> bool:
        """Whether nobody else is fetching it anew already; from now on the caller is."""
        with self.flights.lock:  # which survives a fork
            if key in self.refreshing:
                return False
            self.refreshing.add(key)
            return True
