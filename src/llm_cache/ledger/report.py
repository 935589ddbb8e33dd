"""The account as people and programs read it. Plain data made of sums: it must not fetch or price anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from llm_cache.ledger.prices import to_usd
from llm_cache.ledger.sums import CALLS, Label, Sums, add
from llm_cache.stores.base import Summary


@dataclass(frozen=True, slots=True)
class Line:
    """What came of the calls of one day, provider, model and namespace, or of several; `""` is of several.

    Money is in USD. `unpriced_spent` and `unpriced_saved` are how many calls are missing in it, because nobody knows
    their price. `joined` and `stale` calls are among the hits. `evicted` entries were removed to keep the store under
    its size. `day` is UTC's, `2026-01-31`; of what is long ago it is a month, `2026-01`, or a year. `reasons` are as in
    `Stats`.
    """

    provider: str = ""
    model: str = ""
    hits: int = 0
    misses: int = 0
    joined: int = 0
    bypasses: int = 0
    stale: int = 0
    stored: int = 0
    dropped: int = 0
    store_failures: int = 0
    evicted: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_saved: int = 0
    unpriced_spent: int = 0
    unpriced_saved: int = 0
    cost_spent_usd: Decimal = Decimal(0)
    cost_saved_usd: Decimal = Decimal(0)
    time_saved_s: float = 0.0
    day: str = ""
    namespace: str = ""
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def calls(self) -> int:
        """All calls that were counted: each is a hit, a miss or a bypass."""
        return self.hits + self.misses + self.bypasses

    @property
    def hit_rate(self) -> float:
        """Hits among hits and misses, 0.0 where there was neither."""
        calls = self.hits + self.misses
        return self.hits / calls if calls else 0.0


NAMES = ("day", "provider", "model", "namespace")
"""What calls are counted by."""
_COUNTS = tuple(
    name
    for name in Line.__slots__
    if name not in {*NAMES, "cost_spent_usd", "cost_saved_usd", "time_saved_s", "reasons"}
)


def _line(amounts: Mapping[str, int], **names: str) -> Line:
    counts: dict[str, Any] = {name: amounts.get(name, 0) for name in _COUNTS}
    return Line(
        **(counts | names),
        reasons=_reasons(amounts),
        cost_spent_usd=to_usd(amounts.get("spent_pico", 0)),
        cost_saved_usd=to_usd(amounts.get("saved_pico", 0)),
        time_saved_s=amounts.get("time_saved_us", 0) / 1_000_000,
    )


def lines_by(sums: Mapping[Label, Mapping[str, int]], *by: str, since: str | None = None) -> tuple[Line, ...]:
    """The account by some of `day`, `provider`, `model`, `namespace`, in their order; without any, one line or none.

    Args:
        sums: as `Ledger.account` gives them, priced as far as they can be.
        by: names of `NAMES`; calls that agree in all of them are one line.
        since: a day, `2026-01-31`; of what is kept by month or year alone, all that its day is in counts.

    Raises:
        ValueError: there is no such name.
    """
    places = [NAMES.index(name) + 1 for name in by]
    grouped: Sums = {}
    for label, amounts in sums.items():
        if len(label) == 5 and label[0] == CALLS and (since is None or label[1] >= since[: len(label[1])]):
            add(grouped, tuple(label[place] for place in places), amounts)
    return tuple(_line(amounts, **dict(zip(by, names, strict=True))) for names, amounts in sorted(grouped.items()))


@dataclass(frozen=True, slots=True)
class Stats:
    """What a cache holds and what it has done, since its store was made, in all processes.

    `hit_rate` is hits among hits and misses, 0.0 where there was neither. `providers` and `models` are those of the
    entries that are stored now.

    Attributes:
        total: the same counts and more in one line.
        lines: the calls by provider and model, most calls first.
        days: the calls by day (UTC), oldest first.
        reasons: how often for each reason: `bypass`, `drop`, `miss`, `fail` and within each the reasons.
    """

    entries: int
    hits: int
    misses: int
    joined: int
    bypasses: int
    hit_rate: float
    cost_spent_usd: Decimal
    cost_saved_usd: Decimal
    tokens_saved: int
    time_saved_s: float
    size_bytes: int
    providers: tuple[str, ...]
    models: tuple[str, ...]
    total: Line = field(default=Line(), repr=False)
    lines: tuple[Line, ...] = field(default=(), repr=False)
    days: Mapping[str, Line] = field(default_factory=dict, repr=False)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, sums: Mapping[Label, Mapping[str, int]], summary: Summary, since: str | None = None) -> Stats:
        """The account of these sums, in which everything that can be priced is priced; `since` as in `lines_by`."""
        line = next(iter(lines_by(sums, since=since)), Line())
        return cls(
            entries=summary.entries,
            hits=line.hits,
            misses=line.misses,
            joined=line.joined,
            bypasses=line.bypasses,
            hit_rate=line.hit_rate,
            cost_spent_usd=line.cost_spent_usd,
            cost_saved_usd=line.cost_saved_usd,
            tokens_saved=line.tokens_saved,
            time_saved_s=line.time_saved_s,
            size_bytes=summary.size_bytes,
            providers=summary.providers,
            models=summary.models,
            total=line,
            lines=tuple(
                sorted(
                    (line for line in lines_by(sums, "provider", "model", since=since) if _counted(line)),
                    key=lambda line: (-line.calls, line.provider, line.model),
                )
            ),
            days={line.day: line for line in lines_by(sums, "day", since=since)},
            reasons=line.reasons,
        )

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from llm_cache.ledger.notebook import html_of

        return html_of(self)

    def as_json(self) -> dict[str, object]:
        """What `llm-cache stats --json` prints; money is a decimal string."""
        return {
            "entries": self.entries,
            "hits": self.hits,
            "misses": self.misses,
            "joined": self.joined,
            "bypasses": self.bypasses,
            "hit_rate": round(self.hit_rate, 6),
            "cost_spent_usd": money(self.cost_spent_usd),
            "cost_saved_usd": money(self.cost_saved_usd),
            "tokens_saved": self.tokens_saved,
            "time_saved_s": self.time_saved_s,
            "size_bytes": self.size_bytes,
            "providers": list(self.providers),
            "models": list(self.models),
        }


def money(usd: Decimal) -> str:
    """A decimal string without an exponent or trailing zeros: `0.00725`, `0`."""
    text = format(usd, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _counted(line: Line) -> bool:
    return bool(line.calls or line.stored or line.dropped)


def _reasons(total: Mapping[str, int]) -> dict[str, dict[str, int]]:
    reasons: dict[str, dict[str, int]] = {}
    for name, amount in sorted(total.items()):
        kind, colon, reason = name.partition(":")
        if colon and amount:
            reasons.setdefault(kind, {})[reason] = amount
    return reasons


def top(counts: Iterable[tuple[str, int]], most: int) -> dict[str, int]:
    """The largest counts by name, and the rest as `other`."""
    ranked = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    kept = dict(ranked[:most])
    rest = sum(count for _, count in ranked[most:])
    if rest:
        kept["other"] = kept.get("other", 0) + rest
    return kept
