"""Nothing counted is lost: flushed every second, at close, at exit, in forked children; kept while a store fails."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from llm_cache.core.events import Hit, Missed
from llm_cache.errors import StoreBusy, StoreError
from llm_cache.ledger.ledger import Ledger
from llm_cache.runtime.writer import writer
from llm_cache.stores.memory import MemoryStore
from llm_cache.stores.sqlite import SqliteStore
from tests.ledger.conftest import TABLE, Background, about, entry

SCRIPT = """
import os, sys, time
from llm_cache.core.events import About, Missed
from llm_cache.ledger.ledger import Ledger
from llm_cache.runtime.writer import writer
from llm_cache.stores.sqlite import SqliteStore
ledger = Ledger(SqliteStore(sys.argv[1]), writer(), {}, time.time)
def call(count=1):
    for _ in range(count):
        ledger(Missed(About("acme", "big"), "absent"))
"""


def run(path, code):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + code, path], capture_output=True, text=True, timeout=60, check=False
    )


def misses(path):
    return Ledger(SqliteStore(path), Background(), {}, time.time).stats().misses


def eventually(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_one_process_counts_another_sees_within_a_second(database):
    store = SqliteStore(database)
    ledger = Ledger(store, writer(), {}, time.time)
    ledger(Missed(about(), "absent"))
    started = time.monotonic()
    eventually(lambda: misses(database) == 1)
    assert time.monotonic() - started < 5
    ledger.close()
    store.close()


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise RuntimeError", "ledger.close()", "del ledger"])
def test_every_end_of_a_process_flushes(database, end):
    run(database, f"call(3)\n{end}")
    assert misses(database) == 3


def test_a_killed_process_loses_no_more_than_its_last_second(database):
    code = "call(5)\ntime.sleep(2.5)\ncall(7)\nos.kill(os.getpid(), 9)"
    assert run(database, code).returncode == -signal.SIGKILL
    assert misses(database) in {5, 12}


def test_a_forked_child_does_not_count_what_its_parent_will(database):
    done = run(database, "call(3)\nif os.fork() == 0:\n    call(4)\n    sys.exit()\nos.wait()\ncall(5)")
    assert done.returncode == 0, done.stderr
    assert misses(database) == 12


def test_a_forked_child_has_locks_of_its_own(database):
    code = """
call(3)
with ledger._counting, ledger._flushing:
    child = os.fork()
    if child == 0:
        call(4)
        sys.exit(0 if ledger.flush() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    done = run(database, code)
    assert done.returncode == 0, done.stderr
    assert misses(database) == 7


def test_children_of_multiprocessing_flush_too(database):
    code = """
import multiprocessing
if __name__ == "__main__":
    call(1)
    ledger.flush()
    kind = multiprocessing.get_context("fork")
    children = [kind.Process(target=call, args=(2,)) for _ in range(3)]
    for child in children: child.start()
    for child in children: child.join()
    call(1)
"""
    done = run(database, code)
    assert done.returncode == 0, done.stderr
    assert misses(database) == 8


def _in_a_child(path):
    exec(SCRIPT.replace("sys.argv[1]", repr(path)) + "call(4)", {})


@pytest.mark.parametrize("kind", ["spawn", "forkserver"])
def test_children_that_begin_anew_flush_too(database, kind):
    child = multiprocessing.get_context(kind).Process(target=_in_a_child, args=(database,))
    child.start()
    child.join(60)
    assert misses(database) == 4


def test_a_ledger_that_nobody_closed_and_nobody_has_is_flushed(database):
    code = "call(3)\nimport gc\nledger = None\ngc.collect()\ntime.sleep(0.1)"
    run(database, code)
    assert misses(database) == 3


def test_a_store_that_fails_costs_nothing_but_patience(store, ledger, caplog):
    real = store.add

    def refuse(_):
        raise StoreBusy("locked by another process")

    store.add = refuse
    for _ in range(3):
        ledger(Hit(about(), entry()))
        assert ledger.flush() is False
    assert len([record for record in caplog.records if record.name == "llm_cache"]) == 1
    assert ledger.stats().hits == 3  # in this process it is known all along
    assert ledger.stats().cost_saved_usd == Decimal("0.00012")
    store.add = real
    assert ledger.flush() is True
    assert ledger.stats().hits == 3
    assert Ledger(store, Background(), {}, time.time).stats().hits == 3


def test_a_store_that_is_gone_is_an_error_for_who_asks_and_none_for_metrics(ledger, store):
    ledger(Hit(about(), entry()))
    assert ledger.stats().hits == 1
    ledger(Hit(about(), entry()))
    ledger.flush()
    ledger(Missed(about(), "absent"))

    def refuse(*_):
        raise StoreError("damaged")

    store.sums = store.add = store.summary = refuse
    with pytest.raises(StoreError):
        ledger.stats()
    # Neither forgets what the store knew nor counts anything twice: Prometheus would see a restart.
    for _ in range(2):
        stats = ledger.stats(lenient=True)
        assert (stats.hits, stats.misses, stats.entries) == (2, 1, 0)


def test_two_caches_of_one_process_see_each_others_calls():
    store = MemoryStore()
    one, two = (Ledger(store, Background(), TABLE, time.time) for _ in range(2))
    one(Hit(about(), entry()))
    assert two.stats().hits == 1
    one.close()
    two.close()


def test_a_late_event_after_the_end_is_not_an_error(ledger, background):
    ledger.close()
    for _ in range(300):
        ledger(Hit(about(), entry()))
    assert background.jobs == {}


def test_counting_is_about_a_microsecond(ledger):
    """A coarse net: ten times what it takes, so that only another order of magnitude is caught."""
    hit = Hit(about(), entry(cost_usd=Decimal("0.00004")))
    ledger(hit)
    best = min(_took(ledger, hit) for _ in range(5))
    assert best < 20e-6


def _took(ledger, event):
    started = time.perf_counter()
    for _ in range(2000):
        ledger(event)
    return (time.perf_counter() - started) / 2000
