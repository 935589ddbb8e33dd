"""How things are timed here: alternately, in rounds, so that a noisy neighbour disturbs all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PRICES_LOADED_S = 8
"""Some seconds after its first paid call a process loads the prices, once, beside its calls: no part of a hit."""


@dataclass(frozen=True)
class Timing:
    """Microseconds for one call: the median, and what 99 of 100 calls stay under."""

    median_us: float
    p99_us: float


@dataclass(frozen=True)
class Result:
    """One comparison: ours, the peer's, their ratio, and what the ratio (or the difference) should stay under."""

    name: str
    peer: str
    ours: str
    theirs: str
    figure: str
    target: str
    met: bool
    data: Mapping[str, float]


def alternately(jobs: Mapping[str, Callable[[], object]], *, rounds: int, calls: int) -> dict[str, Timing]:
    """Time each job in turn, `calls` times a round, without the collector, after one round to warm up."""
    taken: dict[str, list[int]] = {name: [] for name in jobs}
    clock = time.perf_counter_ns
    for number in range(rounds + 1):
        for name, job in jobs.items():
            times = []
            gc.collect()
            gc.disable()
            for _ in range(calls):
                begun = clock()
                job()
                times.append(clock() - begun)
            gc.enable()
            if number:
                taken[name].extend(times)
    return {name: timing(times) for name, times in taken.items()}


def timing(times: list[int]) -> Timing:
    times.sort()
    return Timing(times[len(times) // 2] / 1000, times[int(len(times) * 0.99)] / 1000)


def versus(
    name: str, peer: str, ours: Timing, theirs: Timing, *, ratio: float | None = None, added_us: float | None = None
) -> Result:
    """Compare two timings by the ratio of their medians, or by their difference."""
    if ratio is not None:
        figure = ours.median_us / theirs.median_us
        shown, target, met = f"{figure:.2f}x", f"under {ratio:g}x", figure < ratio
    else:
        assert added_us is not None
        figure = ours.median_us - theirs.median_us
        shown, target, met = f"{figure:+.0f} µs", f"under +{added_us:g} µs", figure < added_us
    data = {
        "ours_median_us": ours.median_us,
        "ours_p99_us": ours.p99_us,
        "theirs_median_us": theirs.median_us,
        "theirs_p99_us": theirs.p99_us,
        "figure": figure,
    }
    return Result(name, peer, _shown(ours), _shown(theirs), shown, target, met, data)


def _shown(timing: Timing) -> str:
    return f"{timing.median_us:.1f} µs (p99 {timing.p99_us:.1f})"
