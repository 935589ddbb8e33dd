"""What a store of many entries costs: a hit, a write, statistics, lists and purges, at 10,000 entries and a million.

`--only scale`; a run of its own, since building the larger store takes half a minute.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.stores.filling import fill

from benchmarks.measure import Result, alternately, versus
from llm_cache import LLMCache
from llm_cache.core.model import Row
from llm_cache.stores.base import Filter
from llm_cache.stores.sqlite import SqliteStore

SMALL, LARGE = 10_000, 1_000_000
VALUE_BYTES = 400
"""About what a short chat with its answer takes when it is compressed."""
_DAY_S = 86_400.0
_NOW = 1_780_000_000.0
TEXT = "An answer of some hundred bytes, as models give them, in words that compress. " * 6
_ABOUT = "openai", "gpt-4o", "/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}]}
_MODELS = [(f"provider-{number % 10}", f"model-{number}") for number in range(40)]


def rows(count: int, seed: int = 1) -> Iterator[Row]:
    """That many rows, made over a year: forty models of ten providers, three namespaces."""
    chance = random.Random(seed)
    for number in range(count):
        provider, model = _MODELS[int(chance.random() ** 3 * len(_MODELS))]
        at = _NOW - _DAY_S * 365 * (1 - number / count)
        yield Row(
            key=key(number, seed),
            value=chance.randbytes(VALUE_BYTES),
            kind="http",
            provider=provider,
            model=model,
            endpoint="/v1/chat/completions",
            namespace=("default", "team", "ci")[number % 3],
            stream=number % 4 == 0,
            status=200,
            created_at=at,
            expires_at=at + 30 * _DAY_S if number % 10 else None,
            input_tokens=chance.randrange(2000),
            output_tokens=chance.randrange(500),
            cost_pico=chance.randrange(10**10),
            latency_ms=chance.random() * 5000,
        )


def key(number: int, seed: int = 1) -> bytes:
    """The key of the row of that number: as random as a digest, and quicker made."""
    return random.Random(number * 1_000_003 + seed).randbytes(32)


def answers(folder: Path, count: int = SMALL) -> list[Row]:
    """Rows that can be answered from, in place of as many of the others."""
    with LLMCache(database_url=str(folder / "answers.db")) as cache:
        for number in range(count):
            cache.set(f"key {number}", f"{number}: {TEXT}", *_ABOUT, ttl_days="never")
        return list(cache.engine.store.scan())


class Built:
    """A store of so many rows, and what is done with it."""

    def __init__(self, folder: Path, count: int, answering: list[Row], *, fresh: bool = True) -> None:
        self.count = count
        self.path = folder / f"{count}.db"
        self.store = SqliteStore(self.path, write_timeout_ms=60_000)
        begun = time.perf_counter()
        if fresh:
            fill(self.store, self._mixed(answering))
        self.build_s = time.perf_counter() - begun
        # Without the memory tier, which would make both the same.
        self.cache = LLMCache(database_url=str(self.path), memory_mb=0)
        self._order = random.Random(5).sample(range(len(answering)), len(answering))
        self._keys = [answering[number].key for number in self._order]
        self._new = rows(1_000_000, seed=2)
        self._next = 0

    @property
    def bytes_per_row(self) -> float:
        """What an entry takes on the disk beside its value."""
        return self.path.stat().st_size / self.count - VALUE_BYTES

    def _mixed(self, answering: list[Row]) -> Iterator[Row]:
        every = self.count // len(answering)
        for number, row in enumerate(rows(self.count)):
            yield row if number % every else answering[number // every]

    def hit(self) -> None:
        """A whole call, each time another."""
        self._next = (self._next + 1) % len(self._order)
        self.cache.get_or_set(f"key {self._order[self._next]}", _absent, *_ABOUT)

    def lookup(self) -> None:
        """The store's part of it."""
        self._next = (self._next + 1) % len(self._order)
        self.store.generation()
        self.store.get(self._keys[self._next])

    def write(self) -> None:
        """One row more."""
        self.store.put(next(self._new))

    def once(self) -> dict[str, float]:
        """Milliseconds of what people ask for."""
        store, taken = self.store, {}

        def timed(name: str, job: object) -> None:
            begun = time.perf_counter()
            job()  # type: ignore[operator]
            taken[name] = (time.perf_counter() - begun) * 1000

        timed("statistics", store.summary)
        timed("statistics of a model", lambda: store.summary(Filter(model="model-3")))
        timed("list, the newest 50", lambda: list(store.scan(limit=50)))
        timed("list, 50 of a rare model", lambda: list(store.scan(Filter(model="model-39"), limit=50)))
        timed("list, a model there is not", lambda: list(store.scan(Filter(model="nothing"), limit=50)))
        timed("show by a prefix", lambda: list(store.scan(Filter(key_prefix=key(7).hex()[:8]))))
        timed("purge --dry-run --expired", lambda: store.summary(Filter(expired_at=_NOW)))
        timed(
            "purge --dry-run --provider --older-than",
            lambda: store.summary(Filter(provider="provider-3", created_before=_NOW - 30 * _DAY_S)),
        )
        timed("purge, nothing matches", lambda: store.remove(Filter(model="nothing")))
        timed(
            "purge, the 1,000 oldest",
            lambda: store.remove(Filter(created_before=_NOW - _DAY_S * 365 * (1 - 1000 / self.count))),
        )
        return taken


def _absent() -> None:
    raise AssertionError("a hit was expected")


def run(*, quick: bool) -> list[Result]:
    """Compare the large store with the small one."""
    large = LARGE // 10 if quick else LARGE
    with tempfile.TemporaryDirectory() as folder:
        answering = answers(Path(folder))
        small, big = Built(Path(folder), SMALL, answering), Built(Path(folder), large, answering)
        peer = f"at {SMALL:,}"
        rounds = 4 if quick else 10
        hits = alternately({"small": small.hit, "big": big.hit}, rounds=rounds, calls=2000)
        lookups = alternately({"small": small.lookup, "big": big.lookup}, rounds=rounds, calls=2000)
        writes = alternately({"small": small.write, "big": big.write}, rounds=rounds, calls=200)
        results = [
            versus(f"lookup in the store at {large:,} entries", peer, lookups["big"], lookups["small"], ratio=2),
            versus(f"hit at {large:,} entries", peer, hits["big"], hits["small"], ratio=1.3),
            versus(f"write at {large:,} entries", peer, writes["big"], writes["small"], ratio=2),
        ]
        before = small.once()
        for name, taken in big.once().items():
            data = {"ours_ms": taken, "theirs_ms": before[name]}
            shown = f"{taken:.1f} ms", f"{before[name]:.1f} ms"
            results.append(Result(name, peer, *shown, f"{taken:.0f} ms", "under 1000 ms", taken < 1000, data))
        own = big.bytes_per_row
        results.append(
            Result(
                "bytes a row takes beside its value",
                peer,
                f"{own:.0f}",
                f"{small.bytes_per_row:.0f}",
                f"{own:.0f}",
                "under 250",
                own < 250,
                {"build_s": big.build_s, "ours": own},
            )
        )
        for built in (small, big):
            built.cache.close()
            built.store.close()
        return results
