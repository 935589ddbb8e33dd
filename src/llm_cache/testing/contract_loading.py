"""What every store must do with many rows at once, as tests for `StoreContract`. It must know no particular store."""

from __future__ import annotations

from llm_cache.stores.base import Backend, load
from llm_cache.testing.contract_rows import a_row


class LoadingContract:
    """The tests. They hold whether the store has a `load` of its own or not."""

    def test_rows_that_are_loaded_are_those_that_were_put_and_touched(self, store: Backend) -> None:
        rows = [a_row(number, hits=number, last_hit_at=5.0 if number else None) for number in range(40)]
        rows.append(a_row(40, model="another", namespace="a", stream=True, value=bytes(300_000)))
        load(store, rows)
        assert {row.key: store.get(row.key) for row in rows} == {row.key: row for row in rows}
        assert store.summary().entries == len(rows)
        # Hits without a time have that of the row.
        load(store, [a_row(41, hits=3)])
        assert store.get(a_row(41).key) == a_row(41, hits=3, last_hit_at=a_row(41).created_at)

    def test_a_loaded_row_takes_the_place_of_an_older_one_with_all_that_it_had(self, store: Backend) -> None:
        store.put(a_row(1))
        store.touch({a_row(1).key: (9, 9.0)})
        before = store.generation()
        load(store, [a_row(1, value=b"newer", model="newer", hits=1, last_hit_at=2.0)])
        assert store.get(a_row(1).key) == a_row(1, value=b"newer", model="newer", hits=1, last_hit_at=2.0)
        assert store.generation() != before
        assert (store.summary().entries, store.summary().models) == (1, ("newer",))

    def test_no_rows_are_no_trouble(self, store: Backend) -> None:
        load(store, [])
        assert store.summary().entries == 0
