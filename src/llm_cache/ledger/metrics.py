"""The account as Prometheus reads it. It must not fetch anything, nor let callers choose how many series there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from llm_cache.ledger.report import Stats, money, top

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 32
"""Values of one label; the rest is `other`."""
OLDER = (
    ("llm_cache_entries_total", "Total number of cache entries"),
    ("llm_cache_hits_total", "Total number of cache hits"),
    ("llm_cache_cost_saved_usd", "Total cost saved in USD"),
)
"""Three that are older than this program, and named so that prometheus-client would rename them."""


def render(stats: Stats, more: Callable[[], Iterable[Metric]] | None = None, *, store_up: bool | None = None) -> bytes:
    """The page for `/metrics`, in the text format 0.0.4.

    Args:
        stats: the account.
        more: further metrics of whoever serves the page.
        store_up: whether the store works; None is not known.

    The `OLDER` ones are written by hand, exactly as the README has always shown them.
    """
    from prometheus_client.exposition import generate_latest
    from prometheus_client.registry import CollectorRegistry

    values = (str(stats.entries), str(stats.hits), money(stats.cost_saved_usd))
    written = "\n".join(
        f"# HELP {name} {text}\n# TYPE {name} counter\n{name} {value}\n"
        for (name, text), value in zip(OLDER, values, strict=True)
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(lambda: metrics(stats, store_up=store_up)))
    if more is not None:
        registry.register(_Collector(more))
    return written.encode() + b"\n" + generate_latest(registry)


class _Collector:
    def __init__(self, metrics: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics()


def metrics(stats: Stats, *, store_up: bool | None) -> Iterator[Metric]:
    """All but the older ones, as prometheus-client has them."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    total, reasons = stats.total, stats.reasons
    for name, text, value in (
        ("misses", "Calls that the cache had no answer for", stats.misses),
        ("joined", "Hits that were answered by an identical call in flight", stats.joined),
        ("stale_hits", "Hits that were answered by an expired entry", total.stale),
        ("stored", "Answers that were stored", total.stored),
        ("evicted", "Entries that were removed to keep the store under its size", total.evicted),
        ("tokens_saved", "Tokens that hits did not cost", stats.tokens_saved),
        ("cost_spent_usd", "What calls cost in USD, as far as prices are known", float(stats.cost_spent_usd)),
        ("time_saved_seconds", "Time that hits did not take", stats.time_saved_s),
    ):
        yield CounterMetricFamily(f"llm_cache_{name}", text, value)
    if store_up is not None:
        text = "Whether the store works; calls go on without the cache where it does not"
        yield GaugeMetricFamily("llm_cache_store_up", text, int(store_up))
    yield GaugeMetricFamily("llm_cache_size_bytes", "Bytes that the entries take in the store", stats.size_bytes)
    for name, text, label, counts in (
        ("bypasses", "Calls that the cache had no part in", "reason", reasons.get("bypass", {})),
        ("dropped", "Answers that were not stored", "reason", reasons.get("drop", {})),
        ("store_failures", "Store operations that failed", "operation", reasons.get("fail", {})),
        ("tokens", "Tokens that calls cost", "direction", {"input": total.tokens_in, "output": total.tokens_out}),
        (
            "unpriced",
            "Calls whose price is not known, so that they are missing in the money",
            "money",
            {"spent": total.unpriced_spent, "saved": total.unpriced_saved},
        ),
    ):
        yield _labelled(CounterMetricFamily(f"llm_cache_{name}", text, labels=[label]), counts)
    calls = CounterMetricFamily(
        "llm_cache_calls", "Calls by provider and what became of them", labels=["provider", "result"]
    )
    for result in ("hits", "misses", "bypasses"):
        by_provider: dict[str, int] = {}
        for line in stats.lines:
            by_provider[line.provider] = by_provider.get(line.provider, 0) + getattr(line, result)
        for provider, count in top(by_provider.items(), MOST_SERIES).items():
            calls.add_metric([provider, {"hits": "hit", "misses": "miss", "bypasses": "bypass"}[result]], count)
    yield calls


def _labelled(metric: CounterMetricFamily, counts: Mapping[str, int]) -> Metric:
    for value, count in top(counts.items(), MOST_SERIES).items():
        metric.add_metric([value], count)
    return metric
