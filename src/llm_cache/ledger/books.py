"""From events to sums: what each kind of event counts. It must not price with anything that has to be loaded first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_cache.core.events import Bypassed, Dropped, Event, Evicted, Hit, Joined, Missed, Stored, StoreFailed
from llm_cache.ledger import misses, recent
from llm_cache.ledger.prices import Prices, to_pico
from llm_cache.ledger.sums import Label, Names, Pending, Sums, add

if TYPE_CHECKING:
    from decimal import Decimal

    from llm_cache.core.events import About
    from llm_cache.core.model import Entry, Usage


class Bill(NamedTuple):
    """What there is to know of an entry to count it; the entry itself may be megabytes and is let go."""

    key: str
    at: float
    model: str
    usage: Usage | None
    cost_usd: Decimal | None
    latency_ms: float


Facts = tuple[str, float, str, "Usage | None", "Decimal | None", float]
"""The fields of a `Bill`; making a plain tuple of them is five times quicker."""
Note = tuple[type[Event], "About", float, "Facts | None", Any]
"""The kind of event, the call, the time, what is known of the entry, and whatever else the event has to say."""


def note_of(event: Event, now: float) -> Note:
    """What to remember of an event; this is on the way of a call."""
    if isinstance(event, Hit):
        return Hit, event.about, now, _facts(event.entry), (event.stale, event.times)
    if isinstance(event, Stored):
        return Stored, event.about, now, _facts(event.entry), (event.again, event.nested)
    if isinstance(event, Joined):
        return Joined, event.about, now, None if event.entry is None else _facts(event.entry), event.usage
    return event.__class__, event.about, now, None, event


def together(notes: deque[Note]) -> Iterator[Note]:
    """Take the notes out, equal hits as one: the same question again and again is what a cache is for."""
    taken: list[Note] = []
    hits: dict[tuple[int, str, float, bool], int] = {}
    for _ in range(len(notes)):
        note = notes.popleft()
        kind, about, now, facts, said = note
        if kind is Hit and facts is not None:
            # By the identity of who asks: its note, which is kept here, keeps it alive.
            place = hits.setdefault((id(about), facts[0], facts[1], said[0]), len(taken))
            if place < len(taken):
                times = taken[place][4][1] + said[1]
                taken[place] = kind, about, now, facts, (said[0], times)
                continue
        taken.append(note)
    return iter(taken)


def _facts(entry: Entry) -> Facts:
    # What was answered is what was billed.
    billed = entry.answered_model or entry.model
    return entry.key, entry.created_at, billed, entry.usage, entry.cost_usd, entry.latency_ms


class Books:
    """Sums that were not flushed yet. Not to be used by two threads at once.

    Attributes:
        sums: amounts by label.
        pending: what still waits for a price, with the amounts of `sums.PENDING`.
        rows: entries that can be told their price: (key, created_at, pico-dollars).
        hits: entries that can be told of their hits: how many, and when the last one was.
        recent: the latest of what was noted, for the journal of calls.
        missed: misses with their documents, for the journal of misses.
    """

    MOST = 20_000
    """Of each of the latter; where the store takes nothing, what goes beyond is lost, not the process."""

    def __init__(self, prices: Prices, names: Names) -> None:
        self._prices = prices
        self._names = names
        self.sums: Sums = {}
        self.pending: dict[Pending, dict[str, int]] = {}
        self.rows: dict[tuple[str, float], int] = {}
        self.hits: dict[str, tuple[int, float]] = {}
        self.recent: deque[Note] = deque(maxlen=recent.AT_ONCE)
        self.missed: deque[Note] = deque(maxlen=misses.AT_ONCE)
        self._picos: dict[Decimal, int] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to flush."""
        return bool(self.sums or self.pending or self.rows or self.hits)

    def enter(self, note: Note) -> None:
        """Count one event."""
        kind, about, now, facts, said = note
        # Without the document, which may be large.
        self.recent.append((kind, about, now, facts, Missed(about, said.reason)) if kind is Missed else note)
        label = self._names.label(now, about.provider, about.model or (facts[2] if facts else ""), about.namespace)
        if kind is Hit and facts:
            self._hit(label, about, now, facts, *said)
        elif kind is Missed:
            add(self.sums, label, {"misses": 1, f"miss:{said.reason}": 1})
            if said.reason == "absent" and said.document is not None and len(said.document) <= misses.LARGEST:
                self.missed.append(note)
        elif kind is Stored and facts:
            self._stored(label, about, Bill._make(facts), *said)
        elif kind is Joined:
            bill = Bill._make(facts) if facts else Bill("", now, about.model, said, None, 0.0)
            # No time: who joins waits for the answer like the one who fetched it.
            add(self.sums, label, {"hits": 1, "joined": 1, "tokens_saved": sum(_tokens(bill.usage))})
            self._money(label, about, bill, "saved")
            self._touch(bill.key, 1, now)
        elif kind is Bypassed:
            add(self.sums, label, {"bypasses": 1, f"bypass:{said.reason}": 1})
        elif kind is Dropped:
            self._dropped(label, about, Bill("", now, about.model, said.usage, None, 0.0), said)
        elif kind is StoreFailed:
            add(self.sums, label, {"store_failures": 1, f"fail:{said.operation}": 1})
        elif kind is Evicted:
            add(self.sums, label, {"evicted": said.entries})

    def _hit(self, label: Label, about: About, now: float, facts: Facts, stale: bool, times: int) -> None:
        """As the others, without what makes them short: this may happen ten thousand times a second."""
        key, _, _, usage, cost_usd, latency_ms = facts
        amounts = self.sums.get(label)
        if amounts is None:
            amounts = self.sums[label] = {}
        get = amounts.get
        amounts["hits"] = get("hits", 0) + times
        # Microseconds, so that the rounding of a thousand hits on a quick model does not show.
        amounts["time_saved_us"] = get("time_saved_us", 0) + round(latency_ms * 1000) * times
        if usage is not None:
            saved = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            amounts["tokens_saved"] = get("tokens_saved", 0) + saved * times
        if stale:
            amounts["stale"] = get("stale", 0) + times
        if cost_usd is not None:
            amounts["saved_pico"] = get("saved_pico", 0) + self._pico(cost_usd) * times
        else:
            self._money(label, about, Bill._make(facts), "saved", times)
        self._touch(key, times, now)

    def _pico(self, usd: Decimal) -> int:
        pico = self._picos.get(usd)
        if pico is None:
            if len(self._picos) >= self.MOST:
                self._picos.clear()
            pico = self._picos[usd] = to_pico(usd)
        return pico

    def _stored(self, label: Label, about: About, bill: Bill, again: bool, nested: bool) -> None:
        if not again:
            add(self.sums, label, {"stored": 1})
        if again or nested:
            # Paid for and counted already: when the reply first seemed whole, or by the layer that met the network.
            # Its entry has no price yet, though.
            self._money(label, about, bill, "")
            return
        tokens_in, tokens_out = _tokens(bill.usage)
        add(self.sums, label, {"tokens_in": tokens_in, "tokens_out": tokens_out})
        self._money(label, about, bill, "spent")

    def _dropped(self, label: Label, about: About, bill: Bill, dropped: Dropped) -> None:
        add(self.sums, label, {"dropped": 1, f"drop:{dropped.reason}": 1})
        # An answer that is no 200 is not billed. Any other was, if only we knew how much.
        if not dropped.nested and (bill.usage is not None or not dropped.reason.startswith("status_")):
            tokens_in, tokens_out = _tokens(bill.usage)
            add(self.sums, label, {"tokens_in": tokens_in, "tokens_out": tokens_out})
            self._money(label, about, bill, "spent")

    def _money(self, label: Label, about: About, bill: Bill, what: str, times: int = 1) -> None:
        """Count what so many equal bills came to, as `spent` or `saved`, or for the entry's own record only."""
        if bill.cost_usd is not None:
            if what:
                add(self.sums, label, {f"{what}_pico": to_pico(bill.cost_usd) * times})
            return
        models = (bill.model, about.model) if about.model and about.model != bill.model else (bill.model,)
        settled, cost = self._prices.own(about.provider, models, bill.usage)
        if settled or bill.usage is None or len(self.pending) >= self.MOST:
            self.book(label, {what: times} if what else {}, cost)
            self._tell_row(bill.key, bill.at, cost)
            return
        pending = Pending(label, bill.key, bill.at, models, bill.usage)
        amounts = self.pending.setdefault(pending, {})
        for name in (what, "row") if bill.key else (what,):
            if name:
                amounts[name] = amounts.get(name, 0) + times

    def book(self, label: Label, counts: dict[str, int], cost: int | None) -> None:
        """Count calls that `spent` or `saved` that much each; None is unknown, and counted as such."""
        for what in ("spent", "saved"):
            count = counts.get(what)
            if count:
                amount = {f"unpriced_{what}": count} if cost is None else {f"{what}_pico": cost * count}
                add(self.sums, label, amount)

    def settle(self, pending: Pending, counts: dict[str, int]) -> None:
        """Price what was pending. The prices must be loaded."""
        cost = self._prices.cost(pending.label[2], pending.models, pending.usage, pending.at)
        self.book(pending.label, counts, cost)
        if counts.get("row", 0) > 0:
            self._tell_row(pending.key, pending.at, cost)

    def _tell_row(self, key: str, at: float, cost: int | None) -> None:
        if key and cost is not None and len(self.rows) < self.MOST:
            self.rows[key, at] = cost

    def _touch(self, key: str, count: int, at: float) -> None:
        before = self.hits.get(key)
        if before is not None:
            self.hits[key] = before[0] + count, max(before[1], at)
        elif key and len(self.hits) < self.MOST:
            self.hits[key] = count, at


def _tokens(usage: Usage | None) -> tuple[int, int]:
    return (0, 0) if usage is None else (usage.input_tokens or 0, usage.output_tokens or 0)
