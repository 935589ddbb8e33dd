"""What a proxy counts beside the account: results, times, calls under way. It must not keep a word of any call.

The numbers are in memory that all workers share, each in a row of its own, so that any of them can add up all; a worker
that takes a dead one's place counts on in its row. Counting is one addition of an integer, with no lock and no file.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client.core import Metric

RESULTS = ("hit", "stale", "joined", "miss", "bypass", "refused", "failed")
_MICRO = 1_000_000


class Times(NamedTuple):
    """A histogram of durations; bounds are seconds, and a last bucket holds what is longer."""

    name: str
    text: str
    bounds: tuple[float, ...]


# Half a millisecond is a slow hit, a minute is no long answer.
HIT = Times(
    "llm_cache_hit_duration_seconds",
    "From a request's last byte to its answer's last, answered from the store",
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0),
)
FIRST_BYTE = Times(
    "llm_cache_upstream_first_byte_seconds",
    "From a call of an upstream to the head of its answer",
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
UPSTREAM = Times(
    "llm_cache_upstream_duration_seconds",
    "From a call of an upstream to the end of its answer",
    (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
_TIMES = (HIT, FIRST_BYTE, UPSTREAM)
_UNDER_WAY, _FLUSHED = len(RESULTS), len(RESULTS) + 1
_AT: dict[str, int] = {}
_WIDTH = len(RESULTS) + 2
for _each in _TIMES:
    _AT[_each.name] = _WIDTH
    _WIDTH += len(_each.bounds) + 2  # the last bucket, and the sum in microseconds


class Board:
    """The rows of so many workers, shared with every process that is forked from this one."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._cells = memoryview(mmap.mmap(-1, workers * _WIDTH * 8)).cast("q")

    def row(self, worker: int = 0) -> Row:
        """The row of one worker."""
        return Row(self._cells[worker * _WIDTH : (worker + 1) * _WIDTH])

    def under_way(self) -> int:
        """How many calls of upstreams are under way in all workers."""
        return sum(self._cells[_UNDER_WAY::_WIDTH])

    def metrics(self) -> Iterator[Metric]:
        """The sums of all rows, for Prometheus."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        cells = self._cells
        sums = [sum(cells[at::_WIDTH]) for at in range(_WIDTH)]
        requests = CounterMetricFamily("llm_cache_requests", "Requests by what became of them", labels=["result"])
        for result, count in zip(RESULTS, sums, strict=False):
            requests.add_metric([result], count)
        yield requests
        yield GaugeMetricFamily("llm_cache_upstream_calls", "Calls of upstreams under way", sums[_UNDER_WAY])
        yield GaugeMetricFamily("llm_cache_workers", "Processes that serve", self.workers)
        for times in _TIMES:
            at, buckets = _AT[times.name], len(times.bounds) + 1
            bounds = [*(str(bound) for bound in times.bounds), "+Inf"]
            counts = accumulate(sums[at : at + buckets])
            histogram = HistogramMetricFamily(times.name, times.text)
            histogram.add_metric([], list(zip(bounds, counts, strict=True)), sums[at + buckets] / _MICRO)
            yield histogram


class Row:
    """One worker's numbers. Only that worker writes them."""

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells

    def count(self, result: str, more: int = 1) -> None:
        """So many more requests that came to this, one of `RESULTS`."""
        self._cells[RESULTS.index(result)] += more

    def took(self, times: Times, seconds: float, more: int = 1) -> None:
        """So many more durations."""
        at, cells = _AT[times.name], self._cells
        cells[at + bisect_left(times.bounds, seconds)] += more
        cells[at + len(times.bounds) + 1] += int(seconds * _MICRO * more)

    @property
    def under_way(self) -> int:
        """How many calls of upstreams are under way."""
        return int(self._cells[_UNDER_WAY])

    @under_way.setter
    def under_way(self, count: int) -> None:
        self._cells[_UNDER_WAY] = count

    @property
    def flushed_ns(self) -> int:
        """When the account was last brought into the store: everything counted before that is there (monotonic)."""
        return int(self._cells[_FLUSHED])

    @flushed_ns.setter
    def flushed_ns(self, at: int) -> None:
        self._cells[_FLUSHED] = at
