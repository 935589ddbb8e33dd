"""What every store must do about its size, as tests for `StoreContract`. It must know no particular store."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from llm_cache.stores.base import EVERYTHING, Backend, Filter, Shrunk
from llm_cache.testing.contract_rows import a_row


class SpaceContract:
    """The tests. `shrinks` is false for a store that another program bounds."""

    shrinks = True

    def test_a_store_that_is_small_enough_is_left_alone(self, store: Backend) -> None:
        store.put(a_row(1, expires_at=1.0))
        assert store.shrink(1 << 40, now=2.0) == Shrunk()
        assert store.get(a_row(1).key) is not None

    def test_an_empty_value_comes_and_goes_as_any_other(self, store: Backend) -> None:
        """A size of 0 is taken off as well as added."""
        for number in range(2):
            store.put(a_row(number, value=b""))
            store.put(a_row(number, value=b"", model="other"))
        assert (store.summary().entries, store.summary().size_bytes) == (2, 0)
        assert store.remove(EVERYTHING) == 2
        assert store.summary().entries == 0

    def test_what_is_worth_least_goes_first(self, store: Backend) -> None:
        if not self.shrinks:
            pytest.skip("something else bounds this store")
        day, at, size = 86_400.0, a_row().created_at, 20_000
        value = bytes(size)
        # What each would cost to fetch again is the same for all but the second.
        kinds: list[dict[str, Any]] = [
            {"cost_pico": 10**9},
            {"cost_pico": 10**12},
            {"cost_pico": 10**9, "created_at": at - 20 * day},
            {"cost_pico": 10**9, "expires_at": at},
        ]
        for number in range(200):
            store.put(a_row(number, value=value, **{"created_at": at, **kinds[number % 4]}))
        # Those that were used since are better than new ones.
        store.touch({a_row(2).key: (1, at + day), a_row(6).key: (1, at + day)})
        before = store.generation()

        def kept() -> list[int]:
            counts = Counter(number % 4 for number in range(200) if store.get(a_row(number).key))
            return [counts[kind] for kind in range(4)]

        removed = 0
        for limit in (160, 120, 90):
            for _ in range(1000):
                step = store.shrink(limit * size, now=at + 1)
                removed += step.entries
                assert step.size_bytes == step.entries * size
                if not step.more:
                    break
            assert store.summary().entries == 200 - removed == sum(kept())
            assert store.get(a_row(2).key)
            assert store.get(a_row(6).key)
            new, dear, old, expired = kept()
            # Each kind is touched only when the one before it is gone.
            assert not (old < 50 and expired)
            assert not (new < 50 and old > 2)
            assert dear == 50
        assert removed > 50
        # What has been removed is still true.
        assert store.generation() == before

    def test_compacting_changes_no_row(self, store: Backend) -> None:
        rows = [a_row(number, value=bytes(3000), model=str(number % 3)) for number in range(300)]
        for row in rows:
            store.put(row)
        store.remove(Filter(model="1"))
        assert store.compact() >= 0
        left = [row for row in reversed(rows) if row.model != "1"]
        assert list(store.scan()) == left
        assert store.summary().models == ("0", "2")
        store.put(a_row(1))
        assert store.get(a_row(1).key) == a_row(1)
