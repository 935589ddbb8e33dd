"""Listens to what happens and keeps the account of it. It must cost a call a microsecond and never an error.

A call leaves a note; notes become sums behind its back, sums go to the store every second on the background thread.
What costs money is priced there too, once the prices are loaded. Loading them takes most of a second, so a process that
ends soon leaves what is unpriced in the store, as counts of equal bills, for whoever reads the account next.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from typing import Protocol

from llm_cache.core.events import Event
from llm_cache.core.model import Entry
from llm_cache.errors import StoreBusy, StoreError
from llm_cache.ledger import endings, misses, recent, rollup
from llm_cache.ledger.books import Books, Note, note_of, together
from llm_cache.ledger.misses import Costly
from llm_cache.ledger.outbox import Outbox
from llm_cache.ledger.prices import Prices, to_usd
from llm_cache.ledger.recent import Call
from llm_cache.ledger.report import Line, Stats, lines_by
from llm_cache.ledger.spans import Spans
from llm_cache.ledger.sums import PENDING, Names, Sums, merge, pending_of
from llm_cache.ledger.table import PriceTable
from llm_cache.stores.base import Backend, Summary

_log = logging.getLogger("llm_cache")
FLUSH_S = 1.0
_NOTES = 128
"""How many notes may lie about before a call takes the time to count them: one call in as many, so that 99 do not."""
_MOST_RESTS = 15
"""How many flushes in a row are left out at most while the store is known to fail."""
_PATIENCE = 3
"""After how many seconds with something unpriced the prices are loaded; a short script is over by then."""


class Background(Protocol):
    """The part of the background thread that the ledger needs; `runtime.writer` has it."""

    def every(self, seconds: float, name: object, job: Callable[[], object]) -> None:
        """Run the job about that often."""
        ...

    def cease(self, name: object) -> None:
        """Stop it."""
        ...


class Ledger:
    """The account of one store, as far as this process adds to it.

    Call it with every event, from any thread, signal handler or finalizer. All other methods may wait for the store.

    Args:
        store: keeps the sums, and is told what its entries cost.
        background: flushes every second while there is something to flush.
        table: the user's own prices.
        clock: seconds since the epoch.
    """

    def __init__(self, store: Backend, background: Background, table: PriceTable, clock: Callable[[], float]) -> None:
        self._store = store
        self._background = background
        self._clock = clock
        self.prices = Prices(table)
        self.spans = Spans(clock)
        self.digest: misses.Digest = _digest
        """Makes the short texts that stand for fields of missed requests; a sealed store's depends on its secret."""
        self.priced: Callable[[list[str]], None] = _nobody
        """Told which entries have learnt their price; whoever keeps them in memory reads them again."""
        self.excused: Callable[[], bool] = _never
        """Whether it is known already, and was told of, that the store fails."""
        self.silent: Callable[[], bool] = _never
        """Whether it is known that the store does not even answer a lookup."""
        self.reset()
        endings.remember(self)

    def reset(self) -> None:
        """Forget what was not flushed, and every lock: for a forked child, whose parent counts it."""
        self._notes: deque[Note] = deque()
        self._names = Names()
        self._books = Books(self.prices, self._names)
        self._outbox = Outbox(self._store)
        self._counting = threading.Lock()
        self._flushing = threading.RLock()
        self._watched = False
        self._failing = False
        self._rests = self._rested = 0
        self._impatience = 0
        self._loading = False
        self._left_pending = False
        self._last: Sums = {}
        self._since: Sums = {}

    def __call__(self, event: Event) -> None:
        """Note what happened."""
        self._notes.append(note_of(event, self._clock()))
        if not self._watched:
            self._watched = True
            self._background.every(FLUSH_S, self, self._tick)
        elif len(self._notes) > _NOTES:
            self._count(wait=False)
        if self.spans.active:
            self.spans(event)

    def price(self, entry: Entry) -> Decimal | None:
        """What an entry cost in USD, None if nobody knows. May load the prices."""
        if entry.cost_usd is not None:
            return entry.cost_usd
        models = (entry.answered_model or entry.model, entry.model)
        cost = self.prices.cost(entry.provider, models, entry.usage, entry.created_at)
        return None if cost is None else to_usd(cost)

    def flush(self) -> bool:
        """Bring everything that was noted into the store; False if that failed, and then it is kept for later."""
        with self._flushing:
            if self._outbox.waiting and not self._send():
                return False
            self._count(wait=True)
            with self._counting:
                books, self._books = self._books, Books(self.prices, self._names)
            if self.prices.loaded:
                for pending, counts in books.pending.items():
                    books.settle(pending, counts)
                books.pending.clear()
            if not books:
                return True
            self._outbox.put(books)
            return self._send()

    def _send(self) -> bool:
        try:
            books, deltas = self._outbox.send()
        except Exception as error:
            if not self._failing and not self.excused():
                _log.warning("the account could not be written, it is kept for later: %s", error)
            self._failing = True
            self._rests, self._rested = min(2 * self._rests + 1, _MOST_RESTS), 0
            return False
        self._left_pending = self._left_pending or bool(books.pending)
        merge(self._since, {label: amounts for label, amounts in deltas.items() if label[0] != PENDING})
        self._failing, self._rests = False, 0
        self._tell_entries(books)
        return True

    def account(self, *, lenient: bool = False) -> Sums:
        """All sums by label, with everything that can be priced: of this process and what others have flushed.

        Args:
            lenient: whether a store that fails gives what was last known and what happened here since, not an error.
                One that is known not to answer is not asked then.

        Raises:
            StoreError: the sums cannot be read.
        """
        spared = lenient and self.silent()
        if not spared:
            endings.flush_all()
        with self._flushing:
            try:
                if spared:
                    raise StoreBusy("the store does not answer")
                sums = self._store.sums()
            except StoreError:
                if not lenient:
                    raise
                sums = {label: dict(amounts) for label, amounts in self._last.items()}
                merge(sums, self._since)
            else:
                self._settle(sums)
                self._roll_up(sums)
                self._last = {label: dict(amounts) for label, amounts in sums.items()}
                self._since = {}
            self._count(wait=True)
            with self._counting:
                # A store that cannot be written to keeps us from flushing, not from counting.
                left = [self._books] if self._outbox.waiting is None else [self._outbox.waiting[0], self._books]
                for books in left:
                    merge(sums, books.sums)
                    for pending, counts in books.pending.items():
                        unknown = Books(self.prices, self._names)
                        unknown.book(pending.label, counts, None)
                        merge(sums, unknown.sums)
            return sums

    def stats(self, *, lenient: bool = False, since: str | None = None) -> Stats:
        """The account, with what the store holds.

        Args:
            lenient: as in `account`; the entries are then counted as none.
            since: a day, `2026-01-31`: only calls of that day and later, but all entries.

        Raises:
            StoreError: the store cannot be read.
        """
        sums = self.account(lenient=lenient)
        summary = Summary(0, 0, (), ())
        if not (lenient and self.silent()):
            try:
                summary = self._store.summary()
            except StoreError:
                if not lenient:
                    raise
        return Stats.of(sums, summary, since)

    def report(self, *by: str, since: str | None = None) -> tuple[Line, ...]:
        """The account by any of `day`, `provider`, `model` and `namespace`; see `report.lines_by`.

        Raises:
            StoreError: the sums cannot be read.
        """
        return lines_by(self.account(), *by, since=since)

    def recent(self, limit: int = 100) -> list[Call]:
        """The latest calls of all processes, newest first, each with what it cost or saved as far as that is known.

        Raises:
            StoreError: the journal cannot be read.
        """
        self.flush()
        told = recent.calls(self._store.jotted(recent.JOURNAL, min(recent.MOST, 2 * limit)))
        return [
            call if call.cost_usd is not None or not call.key else replace(call, cost_usd=self._paid(call.key))
            for call in islice(told, limit)
        ]

    def costly(self) -> list[Costly]:
        """Which fields of requests cost the most hits and money lately, the dearest first.

        Raises:
            StoreError: the journal cannot be read.
        """
        self.account(lenient=True)
        return misses.rank(self._store.jotted(misses.JOURNAL, misses.MOST), self._paid)

    def _paid(self, key: str) -> Decimal | None:
        """What the stored answer of a key has cost."""
        try:
            row = self._store.get(bytes.fromhex(key))
        except (StoreError, ValueError):
            return None
        return None if row is None or row.cost_pico is None else to_usd(row.cost_pico)

    def close(self, *, hopeless: bool = False) -> bool:
        """Flush and stop; whether the store took it. What cannot be priced at once is left there for the next reader.

        Args:
            hopeless: the store does not answer, so that waiting for it would be in vain.
        """
        flushed = not hopeless and self.flush()
        self._count(wait=True)
        if not flushed and (self._books or self._outbox.waiting):
            _log.warning("the store still fails at the end: what was counted since it last answered is lost")
        if flushed and self._left_pending and self.prices.loaded:
            with contextlib.suppress(StoreError):
                self.account()
        self._background.cease(self)
        self._watched = True  # so that a late event does not begin anew
        endings.forget(self)
        return flushed

    def _tick(self) -> None:
        """Every second on the background thread, which others need too: a store that fails is tried ever less often."""
        if self._failing and self.excused() and self._rested < self._rests:
            self._rested += 1
            return
        flushed = self.flush()
        if self._left_pending and not self._loading and not self.prices.broken:
            self._impatience += 1
            if self.prices.loaded:
                self._left_pending = False
                with contextlib.suppress(StoreError):
                    self.account()
            elif self._impatience >= _PATIENCE:
                self._load()
        elif flushed and not self._notes:
            # Nothing to do until the next event, which calls for this again.
            self._background.cease(self)
            self._watched = False
            if self._notes and not self._watched:
                self._watched = True
                self._background.every(FLUSH_S, self, self._tick)

    def _load(self) -> None:
        self._loading = True

        def load() -> None:
            try:
                self.prices.load()
            finally:
                self._loading = False

        # A thread of its own, since the background thread also saves answers that calls wait for; and no daemon, since
        # one that is stopped by the end of the interpreter inside of foreign code may crash it.
        with contextlib.suppress(RuntimeError):  # no thread can be started any more: the next reader will do it
            threading.Thread(target=load, name="llm-cache-prices").start()

    def _count(self, *, wait: bool) -> None:
        """Make sums of notes. Without `wait` whoever else is at it does it: this may be a finalizer inside of it."""
        if not self._counting.acquire(blocking=wait):
            return
        try:
            enter = self._books.enter
            for note in together(self._notes):
                try:
                    enter(note)
                except Exception:
                    # A call is waiting: what cannot be counted is not worth an error.
                    _log.debug("an event could not be counted", exc_info=True)
        finally:
            self._counting.release()

    def _settle(self, sums: Sums) -> None:
        """Price what is pending in the store, here and there."""
        waiting = [
            (label, dict(amounts), pending)
            for label, amounts in sums.items()
            if any(amounts.values()) and (pending := pending_of(label)) is not None
        ]
        if not waiting:
            return
        self.prices.load()
        books = Books(self.prices, self._names)
        for label, amounts, pending in waiting:
            if self.prices.loaded:
                books.settle(pending, amounts)
                merge(books.sums, {label: {name: -amount for name, amount in amounts.items()}})
            else:
                books.book(pending.label, amounts, None)
        if self.prices.loaded:
            # Who may only read still gets the right sums.
            with contextlib.suppress(StoreError):
                self._store.add(books.sums)
                self._tell_entries(books)
        merge(sums, books.sums)

    def _roll_up(self, sums: Sums) -> None:
        """Let old days become months, here and in the store."""
        deltas = rollup.moves(sums, self._clock())
        if deltas:
            with contextlib.suppress(StoreError):
                self._store.add(deltas)
                merge(sums, deltas)
                for label in deltas:
                    if not any(sums[label].values()):
                        del sums[label]

    def _jot(self, books: Books) -> None:
        calls = [line for note in books.recent if (line := recent.line_of(note)) is not None]
        if calls:
            self._store.jot(recent.JOURNAL, calls, recent.MOST)
        missed = [
            line
            for _, about, at, _, said in books.missed
            if (line := misses.line_of(at, about.key, about.endpoint, said.document, self.digest)) is not None
        ]
        if missed:
            self._store.jot(misses.JOURNAL, missed, misses.MOST)

    def _tell_entries(self, books: Books) -> None:
        """Write into entries what they cost and how often they were served, and into the journals what happened last.

        A failure costs no more than that.
        """
        try:
            if books.rows:
                self._store.price([(bytes.fromhex(key), at, cost) for (key, at), cost in books.rows.items()])
                self.priced([key for key, _ in books.rows])
            if books.hits:
                self._store.touch({bytes.fromhex(key): hits for key, hits in books.hits.items()})
            self._jot(books)
        except Exception as error:
            _log.debug("entries and journals could not be told what was counted: %s", error)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


def _never() -> bool:
    """Nothing is known of the store but what is met here."""
    return False


def _nobody(keys: list[str]) -> None:
    """Listens where nobody keeps entries."""
