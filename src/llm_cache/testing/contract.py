"""What every store must do, as tests to inherit. It must know no particular store.

class TestMyStore(StoreContract):
    persistent = True

    def make_store(self, folder: Path) -> Backend:
        return MyStore(folder / "rows")
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from llm_cache.core.model import Row
from llm_cache.errors import StoreError
from llm_cache.stores.base import EVERYTHING, Backend, Filter, Summary
from llm_cache.testing.contract_loading import LoadingContract
from llm_cache.testing.contract_rows import FILTERS, ODD_NAMES, a_row
from llm_cache.testing.contract_space import SpaceContract

__all__ = ["StoreContract", "a_row"]


class StoreContract(SpaceContract, LoadingContract):
    """The tests. A subclass says how to make a store.

    Attributes:
        persistent: whether its rows outlive it.
        shrinks: whether it removes rows to stay under a size; one that another program bounds does not.
    """

    persistent = False

    def make_store(self, folder: Path) -> Backend:
        """A store, empty in an empty folder; another one in the same folder sees the same rows if they persist."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Backend]:
        """The store under test."""
        store = self.make_store(tmp_path)
        yield store
        store.close()

    # Rows by key

    def test_get_returns_what_put_kept(self, store: Backend) -> None:
        row = a_row(1, stream=True, expires_at=1_800_000_000.5)
        store.put(row)
        found = store.get(row.key)
        assert found == row
        assert isinstance(found, Row)
        # Equal is not enough: what is digested or shown depends on the types too.
        assert [type(part) for part in found] == [type(part) for part in row]

    def test_unknown_values_stay_unknown(self, store: Backend) -> None:
        row = a_row(1, expires_at=None, input_tokens=None, output_tokens=None, cost_pico=None)
        store.put(row)
        assert store.get(row.key) == row

    def test_get_of_an_unknown_key_is_none(self, store: Backend) -> None:
        assert store.get(bytes(32)) is None
        store.put(a_row(1))
        assert store.get(bytes(32)) is None
        assert store.get(b"") is None

    def test_put_replaces_the_whole_row(self, store: Backend) -> None:
        store.put(a_row(1, cost_pico=5, expires_at=9.0))
        other = a_row(1, value=b"", model="other", stream=True, cost_pico=None, created_at=5.0)
        store.put(other)
        assert store.get(other.key) == other
        assert list(store.scan()) == [other]
        assert store.summary() == Summary(1, 0, ("openai",), ("other",))

    def test_put_keeps_no_hits_old_or_given(self, store: Backend) -> None:
        store.put(a_row(1, hits=7, last_hit_at=3.0))
        assert store.get(a_row(1).key) == a_row(1)
        store.touch({a_row(1).key: (2, 4.0)})
        store.put(a_row(1))
        assert store.get(a_row(1).key) == a_row(1)

    def test_get_returns_expired_rows_unchanged(self, store: Backend) -> None:
        row = a_row(1, expires_at=1.0)
        store.put(row)
        assert [store.get(row.key) for _ in range(3)] == [row] * 3

    @pytest.mark.parametrize("field", ["kind", "provider", "model", "endpoint", "namespace"])
    def test_any_text_is_a_name(self, store: Backend, field: str) -> None:
        rows = [a_row(number, **{field: name}) for number, name in enumerate(ODD_NAMES)]
        for row in rows:
            store.put(row)
        assert [store.get(row.key) for row in rows] == rows
        if field != "kind":
            for row, name in zip(rows, ODD_NAMES, strict=True):
                only: dict[str, Any] = {field: name}
                assert list(store.scan(Filter(**only))) == [row]

    @pytest.mark.parametrize("cost_pico", [0, -1, -(2**63), 2**63 - 1, None])
    def test_money_is_exact(self, store: Backend, cost_pico: int | None) -> None:
        store.put(a_row(1, cost_pico=cost_pico))
        assert store.get(a_row(1).key) == a_row(1, cost_pico=cost_pico)

    @pytest.mark.parametrize("at", [0.0, 0.1, 1e-9, 1_700_000_000.123456, 4e9])
    def test_times_are_exact(self, store: Backend, at: float) -> None:
        row = a_row(1, created_at=at, expires_at=at, latency_ms=at)
        store.put(row)
        assert store.get(row.key) == row

    def test_values_of_any_bytes_and_of_20_mb(self, store: Backend) -> None:
        values = [b"", b"\0", bytes(range(256)), hashlib.sha256(b"x").digest() * (20 * 1024 * 1024 // 32)]
        for number, value in enumerate(values):
            store.put(a_row(number, value=value))
        for number, value in enumerate(values):
            found = store.get(a_row(number).key)
            assert found is not None
            assert found.value == value
        assert store.summary().size_bytes == sum(map(len, values))

    # Scanning

    def test_scan_is_newest_first_then_by_key(self, store: Backend) -> None:
        rows = [a_row(number, created_at=float(number % 3)) for number in range(20)]
        for row in rows:
            store.put(row)
        assert list(store.scan()) == sorted(rows, key=lambda row: (-row.created_at, row.key))

    @pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
    def test_scan_sees_every_row_once_also_of_one_instant(self, store: Backend, count: int) -> None:
        rows = [a_row(number, created_at=1.0 if number % 2 else float(number)) for number in range(count)]
        for row in rows:
            store.put(row)
        assert list(store.scan()) == sorted(rows, key=lambda row: (-row.created_at, row.key))

    def test_scan_stops_at_the_limit(self, store: Backend) -> None:
        for number in range(10):
            store.put(a_row(number))
        assert [row.created_at - a_row().created_at for row in store.scan(limit=3)] == [9, 8, 7]
        assert list(store.scan(limit=0)) == []
        assert len(list(store.scan(limit=100))) == 10

    def test_scan_goes_on_while_rows_change(self, store: Backend) -> None:
        for number in range(1000):
            store.put(a_row(number))
        scan = store.scan()
        seen = list(islice(scan, 300))
        # Newer ones, one removed that is yet to come, one made newer, one made older, and a reader in between.
        for number in range(1000, 1010):
            store.put(a_row(number))
        store.remove(Filter(key_prefix=a_row(100).key.hex()))
        store.put(a_row(200, created_at=a_row(5000).created_at))
        store.put(a_row(300, created_at=a_row(150).created_at + 0.5))
        assert store.get(a_row(50).key) is not None
        seen += scan
        assert Counter(row.key for row in seen).most_common(1)[0][1] == 1
        assert [row.created_at for row in seen] == sorted((row.created_at for row in seen), reverse=True)
        changed = {a_row(number).key for number in (100, 200, 300, *range(1000, 1010))}
        assert {row.key for row in seen} - changed == {a_row(number).key for number in range(1000)} - changed

    def test_two_scans_do_not_disturb_each_other(self, store: Backend) -> None:
        for number in range(600):
            store.put(a_row(number))
        for one, other in zip(store.scan(), store.scan(), strict=True):
            assert one == other

    # Filters

    @pytest.fixture
    def mixed(self, store: Backend) -> list[Row]:
        """Rows of every combination, with and without expiry."""
        rows = [
            a_row(
                number,
                provider=("openai", "anthropic")[number % 2],
                model=("a", "b", "c")[number % 3],
                endpoint=("/v1/x", "/v1/y")[number // 2 % 2],
                namespace=("default", "team", "")[number // 3 % 3],
                created_at=float(number // 2),
                expires_at=None if number % 5 == 0 else float(number % 7),
            )
            for number in range(120)
        ]
        for row in rows:
            store.put(row)
        return sorted(rows, key=lambda row: (-row.created_at, row.key))

    @pytest.mark.parametrize("where", FILTERS, ids=repr)
    def test_filters_mean_the_same_everywhere(self, store: Backend, mixed: list[Row], where: Filter) -> None:
        matching = [row for row in mixed if where.matches(row)]
        assert list(store.scan(where)) == matching
        assert list(store.scan(where, limit=2)) == matching[:2]
        assert store.summary(where) == Summary(
            entries=len(matching),
            size_bytes=sum(len(row.value) for row in matching),
            providers=tuple(sorted({row.provider for row in matching})),
            models=tuple(sorted({row.model for row in matching})),
        )
        assert store.remove(where) == len(matching)
        assert list(store.scan()) == [row for row in mixed if not where.matches(row)]
        assert store.remove(where) == 0

    def test_remove_of_many(self, store: Backend) -> None:
        for number in range(2500):
            store.put(a_row(number, model=str(number % 2)))
        assert store.remove(Filter(model="1")) == 1250
        assert store.summary().entries == 1250

    # Hits, money, sums, secrets

    def test_touch_adds_hits_and_keeps_the_latest_time(self, store: Backend) -> None:
        store.put(a_row(1))
        store.put(a_row(2))
        store.touch({a_row(1).key: (2, 50.0), a_row(3).key: (9, 9.0)})
        store.touch({a_row(1).key: (1, 40.0)})
        store.touch({})
        assert store.get(a_row(1).key) == a_row(1, hits=3, last_hit_at=50.0)
        assert store.get(a_row(2).key) == a_row(2)
        assert store.get(a_row(3).key) is None

    def test_price_meets_only_the_very_row(self, store: Backend) -> None:
        one, two = a_row(1, cost_pico=None), a_row(2, cost_pico=None)
        store.put(one)
        store.put(two)
        store.price([(one.key, one.created_at, 77), (two.key, two.created_at + 1, 88), (a_row(3).key, 0.0, 99)])
        assert store.get(one.key) == one._replace(cost_pico=77)
        assert store.get(two.key) == two

    def test_a_sum_that_comes_to_nothing_is_forgotten(self, store: Backend) -> None:
        store.add({("a",): {"x": 2, "y": 1}})
        store.add({("a",): {"x": -2}})
        assert store.sums() == {("a",): {"y": 1}}

    def test_the_generation_moves_when_rows_are_replaced_or_removed_and_only_then(self, store: Backend) -> None:
        store.put(a_row(1))
        before = store.generation()
        store.put(a_row(2))
        store.touch({a_row(1).key: (3, 5.0)})
        store.price([(a_row(1).key, a_row(1).created_at, 7)])
        store.add({("a",): {"x": 2}})
        assert store.generation() == before
        store.put(a_row(1))
        replaced = store.generation()
        assert replaced != before
        store.remove(Filter(key_prefix=a_row(2).key.hex()))
        assert store.generation() != replaced

    def test_sums_are_by_label_and_name(self, store: Backend) -> None:
        assert store.sums() == {}
        store.add({("2026-01-01", "openai"): {"hits": 1, "spent": -5}, (): {"x": 0}})
        store.add({("2026-01-01", "openai"): {"hits": 2}, ("2026-01-01",): {"hits": 4}, ('"', "\0", "ü"): {"\0": 1}})
        assert store.sums() == {
            ("2026-01-01", "openai"): {"hits": 3, "spent": -5},
            ("2026-01-01",): {"hits": 4},
            ('"', "\0", "ü"): {"\0": 1},
        }

    def test_sums_are_exact_beyond_64_bits(self, store: Backend) -> None:
        label = ("money",)
        for _ in range(4):
            store.add({label: {"pico": 2**62 + 1, "debt": -(2**63)}})
        store.add({label: {"pico": 2**100}})
        assert store.sums() == {label: {"pico": 2**100 + 4 * (2**62 + 1), "debt": -4 * 2**63}}
        store.add({label: {"pico": -(2**100)}})
        assert store.sums()[label]["pico"] == 4 * (2**62 + 1)

    def test_sums_lose_nothing_under_threads(self, store: Backend) -> None:
        def add(number: int) -> None:
            for _ in range(50):
                store.add({("all",): {"n": 1, str(number): 1}})

        self.in_threads(8, add)
        assert store.sums() == {("all",): {"n": 400, **{str(number): 50 for number in range(8)}}}

    def test_secrets_are_random_and_stay(self, store: Backend) -> None:
        secret = store.secret("scope")
        assert len(secret) == 32
        assert store.secret("scope") == secret
        assert store.secret("other") != secret
        assert len(set(self.in_threads(8, lambda _: store.secret("raced")))) == 1

    def test_journals_keep_what_came_last(self, store: Backend) -> None:
        assert store.jotted("calls", 5) == []
        store.jot("calls", [b"1", b"", b"\0\xff"], most=4)
        store.jot("other", [b"x"], most=4)
        store.jot("calls", [b"4", b"5"], most=4)
        assert store.jotted("calls", 10) == [b"5", b"4", b"\0\xff", b""]
        assert store.jotted("calls", 2) == [b"5", b"4"]
        store.jot("calls", [str(number).encode() for number in range(9)], most=3)
        assert store.jotted("calls", 10) == [b"8", b"7", b"6"]
        assert store.jotted("other", 10) == [b"x"]

    def test_what_is_kept_changes_only_for_who_knows_what_it_was(self, store: Backend) -> None:
        assert store.kept("ring") is None
        before = store.generation()
        assert store.keep("ring", b"one", None)
        assert store.generation() != before
        assert not store.keep("ring", b"two", None)
        assert not store.keep("ring", None, b"zero")
        assert (store.kept("ring"), store.kept("other")) == (b"one", None)
        assert store.keep("ring", bytes(range(256)), b"one")
        assert store.kept("ring") == bytes(range(256))
        assert store.keep("ring", None, bytes(range(256)))
        assert store.kept("ring") is None
        assert sum(self.in_threads(8, lambda number: store.keep("raced", bytes([number]), None))) == 1

    # Life and concurrency

    def test_readers_and_writers_do_not_disturb_each_other(self, store: Backend) -> None:
        keys = [a_row(number).key for number in range(20)]

        def write(offset: int) -> None:
            for turn in range(60):
                number = (turn + offset * 7) % 20
                store.put(a_row(number, value=bytes([turn]) * 5000, status=turn))

        def read(_: int) -> None:
            for turn in range(400):
                row = store.get(keys[turn % 20])
                # A row is whole: value and columns are of one write.
                assert row is None or row.value == bytes([row.status]) * 5000

        self.in_threads(8, lambda number: write(number) if number < 2 else read(number))
        assert store.summary().entries == 20
        assert store.check() == []

    def test_a_new_store_is_sound_and_empty(self, store: Backend) -> None:
        assert store.check() == []
        assert list(store.scan()) == []
        assert store.summary() == Summary(0, 0, (), ())
        assert store.remove(EVERYTHING) == 0
        assert store.location()
        assert store.inline in {True, False}

    def test_a_closed_store_refuses_and_closes_again(self, store: Backend) -> None:
        store.put(a_row(1))
        store.close()
        store.close()
        uses: list[Callable[[], object]] = [
            lambda: store.get(a_row(1).key),
            lambda: store.put(a_row(2)),
            lambda: list(store.scan()),
            lambda: store.remove(EVERYTHING),
            lambda: store.touch({a_row(1).key: (1, 1.0)}),
            store.summary,
            lambda: store.add({("x",): {"y": 1}}),
            store.sums,
            lambda: store.price([(a_row(1).key, 1.0, 1)]),
            lambda: store.secret("x"),
            lambda: store.kept("x"),
            lambda: store.keep("x", b"y", None),
            store.check,
            lambda: store.shrink(0, 1.0),
            store.compact,
        ]
        for use in uses:
            with pytest.raises(StoreError):
                use()

    def test_what_is_kept_is_there_for_the_next(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("what this store keeps ends with it")
        store = self.make_store(tmp_path)
        row = a_row(1, stream=True)
        store.put(row)
        store.touch({row.key: (3, 9.0)})
        store.add({("x",): {"y": 2**70}})
        secret = store.secret("scope")
        # One that opens beside it, and one that opens after it.
        for close in (False, True):
            if close:
                store.close()
            other = self.make_store(tmp_path)
            assert list(other.scan()) == [row._replace(hits=3, last_hit_at=9.0)]
            assert other.sums() == {("x",): {"y": 2**70}}
            assert other.secret("scope") == secret
            other.close()

    @staticmethod
    def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
        """What the work returns in that many threads, which all begin at once."""
        barrier = threading.Barrier(count)

        def begin(number: int) -> Any:
            barrier.wait()
            return work(number)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(begin, range(count)))
