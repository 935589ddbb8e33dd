"""What all connections of one fake upstream share. It must hold nothing that belongs to one of them."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.testing.gates import Gates
    from llm_cache.testing.journal import Journal
    from llm_cache.testing.reply import Received, Split
    from llm_cache.testing.rules import Rules
    from llm_cache.testing.server import Peer


@dataclass(slots=True)
class Stage:
    """Made anew whenever the server starts, because gates belong to an event loop."""

    rules: Rules
    journal: Journal
    gates: Gates
    split: Split
    seed: int | None
    connections: set[Peer] = field(default_factory=set)
    _asked: dict[tuple[str, int], int] = field(default_factory=dict)

    def drop_connections(self) -> None:
        """Drop them all now; on the loop only."""
        for connection in list(self.connections):
            connection.shut()

    def rng(self, received: Received) -> random.Random:
        """Equal for the n-th request of a kind in every run, in whatever order requests of other kinds arrive."""
        kind = (received.target, zlib.crc32(received.body))
        nth = self._asked[kind] = self._asked.get(kind, 0) + 1
        return random.Random(f"{self.seed or 0}|{kind}|{nth}")
