"""Money that cannot be told at once: kept as counts of equal bills, priced by whoever can, and exact all along."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pytest

from llm_cache.core.events import Dropped, Hit, Stored
from llm_cache.core.model import Usage
from llm_cache.errors import StoreError
from llm_cache.ledger.ledger import Ledger
from llm_cache.ledger.prices import Prices
from llm_cache.ledger.sums import PENDING, Pending, pending_of
from llm_cache.stores.sqlite import SqliteStore
from tests.ledger.conftest import KEY, NOON, Background, about, entry

GPT = about("openai", "gpt-4o")
COST = Decimal("0.0075")


def gpt(key=KEY, **more):
    return entry(Usage(1000, 500), provider="openai", model="gpt-4o-2024-08-06", key=key, **more)


def pending(store):
    return [label for label, amounts in store.sums().items() if label[0] == PENDING and any(amounts.values())]


def test_what_is_unpriced_is_left_in_the_store_and_priced_by_the_next_reader(store, ledger, clock):
    ledger(Stored(GPT, gpt()))
    ledger(Hit(GPT, gpt()))
    ledger(Hit(GPT, gpt()))
    ledger(Dropped(GPT, "empty", Usage(1000, 500)))
    ledger.close()
    assert not ledger.prices.loaded
    assert len(pending(store)) == 2

    reader = Ledger(store, Background(), {}, clock)
    stats = reader.stats()
    assert (stats.cost_spent_usd, stats.cost_saved_usd) == (2 * COST, 2 * COST)
    assert pending(store) == []
    again = Ledger(store, Background(), {}, clock).stats()
    assert (again.cost_spent_usd, again.cost_saved_usd) == (2 * COST, 2 * COST)


def test_nobody_is_told_of_the_price_before_it_is_asked_for(ledger):
    ledger(Stored(GPT, gpt()))
    ledger.flush()
    assert not ledger.prices.loaded


def test_own_prices_never_wait_for_anybody(ledger, store):
    ledger(Stored(about(), entry()))
    ledger(Hit(about(), entry()))
    ledger.flush()
    assert pending(store) == []
    assert not ledger.prices.loaded


def test_entries_are_told_what_they_cost(ledger, store):
    priced = []
    store.price = priced.extend
    ledger(Stored(about(), entry()))
    ledger(Stored(about(), entry(created_at=NOON), again=True))
    ledger(Stored(GPT, gpt("cd" * 32)))
    ledger.flush()
    assert priced == [(bytes.fromhex(KEY), NOON - 60, 40_000_000), (bytes.fromhex(KEY), NOON, 40_000_000)]
    ledger.stats()
    assert priced[2:] == [(bytes.fromhex("cd" * 32), NOON - 60, 7_500_000_000)]


def test_once_loaded_nothing_waits_any_more(ledger, store):
    ledger.prices.load()
    ledger(Stored(GPT, gpt()))
    ledger.flush()
    assert pending(store) == []
    assert ledger.stats().cost_spent_usd == COST


def test_a_process_that_lives_longer_loads_the_prices_itself(ledger, store, background):
    ledger(Stored(GPT, gpt()))
    for _ in range(3):
        assert not ledger.prices.loaded
        background.second()
    deadline = time.monotonic() + 30
    while not ledger.prices.loaded or ledger._loading:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    background.second()
    assert pending(store) == []
    spent = [amounts.get("spent_pico", 0) for label, amounts in store.sums().items() if label[0] == "calls"]
    assert spent == [7_500_000_000]


def test_an_idle_ledger_lets_the_background_thread_sleep(ledger, background):
    assert background.jobs == {}
    ledger(Hit(about(), entry()))
    assert len(background.jobs) == 1
    background.second()
    background.second()
    assert background.jobs == {}
    ledger(Hit(about(), entry()))
    assert len(background.jobs) == 1


@pytest.mark.parametrize("both_first", [True, False])
def test_two_readers_at_once_leave_the_sums_exact(store, clock, both_first):
    writer = Ledger(store, Background(), {}, clock)
    writer(Stored(GPT, gpt()))
    writer.close()

    meanwhile = store.sums
    readers = [Ledger(store, Background(), {}, clock) for _ in range(2)]
    if both_first:
        # Both have read what is pending before either has settled it.
        seen = store.sums()
        store.sums = lambda: {label: dict(amounts) for label, amounts in seen.items()}
    for reader in readers:
        assert reader.stats().cost_spent_usd == COST
    store.sums = meanwhile
    assert Ledger(store, Background(), {}, clock).stats().cost_spent_usd == COST
    assert pending(store) == []


def test_many_processes_settle_one_store_exactly(tmp_path):
    path = str(tmp_path / "cache.db")
    writer = Ledger(SqliteStore(path), Background(), {}, time.time)
    for number in range(20):
        writer(Stored(GPT, gpt(f"{number:064x}")))
    writer.close()
    code = f"""
import time
from llm_cache.ledger.ledger import Ledger
from llm_cache.stores.sqlite import SqliteStore
class B:
    every = cease = lambda *_: None
print(Ledger(SqliteStore({path!r}), B(), {{}}, time.time).stats().cost_spent_usd)
"""
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for run in runs:
        assert Decimal(run.communicate(timeout=60)[0]) == 20 * COST
    reader = Ledger(SqliteStore(path), Background(), {}, time.time)
    assert reader.stats().cost_spent_usd == 20 * COST
    assert reader.stats().cost_spent_usd == 20 * COST


def test_a_store_that_may_only_be_read_gives_exact_sums(store, ledger, clock):
    ledger(Stored(GPT, gpt()))
    ledger.close()

    def refuse(*_):
        raise StoreError("read-only")

    store.add = store.price = refuse
    for _ in range(2):
        assert Ledger(store, Background(), {}, clock).stats().cost_spent_usd == COST


def test_where_prices_cannot_be_loaded_what_is_pending_is_unknown_and_stays(store, ledger, clock):
    ledger(Stored(GPT, gpt()))
    ledger.close()
    reader = Ledger(store, Background(), {}, clock)
    reader.prices.broken = True
    stats = reader.stats()
    assert (stats.cost_spent_usd, stats.total.unpriced_spent) == (Decimal(0), 1)
    assert Ledger(store, Background(), {}, clock).stats().cost_spent_usd == COST


def test_labels_come_back_as_they_went():
    label = ("calls", "2026-01-01", "openai", "gpt", "default")
    one = Pending(label, KEY, NOON + 0.123456, ("gpt-4o", 'odd"|\n,'), Usage(1, None, 3))
    assert pending_of(one.to_label()) == one


@pytest.mark.parametrize("bill", ["", "[]", "7", '["a", "b", [], []]', "[1,2]", '["k", 1.0, 7, [1]]', "{}"])
def test_damaged_labels_count_for_nothing(store, clock, bill):
    store.add({(PENDING, "2026-01-01", "openai", "gpt", "default", bill): {"spent": 1}})
    store.add({("calls", "too", "short"): {"hits": 1}, (): {"hits": 1}})
    assert Ledger(store, Background(), {}, clock).stats().hits == 0


def test_price_answers_at_once(ledger):
    assert ledger.price(gpt()) == COST
    assert ledger.price(gpt(cost_usd=Decimal(7))) == Decimal(7)
    assert ledger.price(entry(model="odd")) is None
    assert ledger.price(entry(None)) is None


def test_the_load_happens_once_and_off_the_background_thread(monkeypatch, ledger, background):
    threads = []
    monkeypatch.setattr(Prices, "load", lambda self: threads.append(threading.current_thread()))
    ledger(Stored(GPT, gpt()))
    for _ in range(5):
        background.second()
    for thread in threads:
        thread.join()
    assert threads
    assert threading.current_thread() not in threads
    assert not any(thread.daemon for thread in threads)


def test_a_short_script_loads_no_prices(tmp_path):
    code = """
import sys
from llm_cache import LLMCache
cache = LLMCache()
answer = {"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 500}, "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]}
for _ in range(2):
    cache.get_or_set("k", lambda: answer, "openai", "gpt-4o", "/v1/chat/completions", {"messages": []})
print("genai_prices" in sys.modules)
"""
    environ = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.strip() == "False"
    store = SqliteStore(str(tmp_path / ".cache" / "llm-cache" / "cache.db"))
    stats = Ledger(store, Background(), {}, time.time).stats()
    assert (stats.hits, stats.misses, stats.cost_spent_usd, stats.cost_saved_usd) == (1, 1, COST, COST)
    assert next(store.scan()).cost_pico == 7_500_000_000
