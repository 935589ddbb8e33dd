"""Brings sums into a store once each, however often that has to be tried. It must not count or price anything.

A server that is reached over a network may do what it was told and be unable to say so. A batch that failed therefore
stays as it is, and is sent again under its own number until the store has said that it has it; what is counted
meanwhile waits for its turn.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from llm_cache.ledger.sums import merge

if TYPE_CHECKING:
    from llm_cache.ledger.books import Books
    from llm_cache.ledger.sums import Sums
    from llm_cache.stores.base import Counters


class Outbox:
    """At most one batch on its way from this process to one store.

    Attributes:
        waiting: its books and sums, until it has arrived.
    """

    def __init__(self, store: Counters) -> None:
        self._store = store
        self._sender = secrets.token_hex(8)
        self._number = 0
        self.waiting: tuple[Books, Sums] | None = None

    def put(self, books: Books) -> None:
        """Take the next batch; nothing may be waiting."""
        sums = {label: dict(amounts) for label, amounts in books.sums.items()}
        for pending, counts in books.pending.items():
            merge(sums, {pending.to_label(): counts})
        self._number += 1
        self.waiting = books, sums

    def send(self) -> tuple[Books, Sums]:
        """Send what waits, and what that was.

        Raises:
            Exception: the store failed, and it still waits.
        """
        assert self.waiting is not None  # noqa: S101 - else nobody calls this
        books, sums = self.waiting
        if sums:
            self._store.add(sums, (self._sender, self._number))
        self.waiting = None
        return books, sums
