"""The background thread does everything in order, loses nothing, and outlives whatever its jobs do."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest

from llm_cache.runtime.writer import Writer, writer
from tests.runtime.staging import PATIENCE_S, Gate, settled


@pytest.fixture
def mine():
    return Writer()


@pytest.fixture
def _silent(monkeypatch):
    """What fails on purpose here is logged as it should be, and no failure of the test."""
    monkeypatch.setattr(logging.getLogger("llm_cache"), "disabled", True)


def test_jobs_run_in_the_order_in_which_they_came(mine):
    done = []
    for number in range(100):
        mine.post(lambda number=number: done.append(number))
    assert mine.drain(PATIENCE_S)
    assert done == list(range(100))


def test_no_thread_is_started_before_the_first_job(mine):
    assert mine._thread is None
    assert mine.drain(0)
    assert mine._thread is None
    mine.post(lambda: None)
    assert mine._thread.daemon


def test_many_threads_start_one(mine):
    threads = []
    barrier = threading.Barrier(20)

    def post():
        barrier.wait()
        mine.post(lambda: threads.append(threading.current_thread()))

    crowd = [threading.Thread(target=post) for _ in range(20)]
    for member in crowd:
        member.start()
    for member in crowd:
        member.join()
    assert mine.drain(PATIENCE_S)
    assert len(threads) == 20
    assert len(set(threads)) == 1


def test_a_future_tells_the_result_or_the_error(mine):
    assert mine.submit(lambda: 7).result(PATIENCE_S) == 7
    with pytest.raises(KeyError):
        mine.submit(lambda: {}["x"]).result(PATIENCE_S)


def test_a_future_that_was_cancelled_in_time_is_not_run(mine):
    gate, done = Gate(), []
    mine.post(gate.wait)
    future = mine.submit(lambda: done.append(1))
    assert future.cancel()
    gate.open()
    assert mine.drain(PATIENCE_S)
    assert done == []


@pytest.mark.usefixtures("_silent")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_job_that_raises_anything_costs_nobody_else_anything(mine, error):
    def fail():
        raise error

    mine.post(fail)
    mine.every(0.01, "fails", fail)
    assert mine.submit(lambda: 7).result(PATIENCE_S) == 7
    with pytest.raises(error):
        mine.submit(fail).result(PATIENCE_S)
    time.sleep(0.03)
    assert mine.submit(lambda: 8).result(PATIENCE_S) == 8
    mine.cease("fails")


def test_a_job_that_raises_is_logged(mine, monkeypatch):
    lines = []
    monkeypatch.setattr("llm_cache.runtime.writer._log.exception", lines.append)
    mine.post(lambda: {}["x"])
    assert mine.drain(PATIENCE_S)
    assert lines == ["a background job failed"]


# --- periodic jobs ----------------------------------------------------------------------------------


def test_a_periodic_job_runs_about_as_often_as_was_asked_until_it_ceases(mine):
    times = []
    began = time.monotonic()
    mine.every(0.02, "tick", lambda: times.append(time.monotonic()))
    settled(lambda: len(times) >= 4)
    assert times[0] - began >= 0.02
    assert times[3] - began >= 0.07
    mine.cease("tick")
    assert mine.drain(PATIENCE_S)
    before = len(times)
    time.sleep(0.06)
    assert len(times) == before
    mine.cease("unknown")


def test_periodic_jobs_run_also_while_there_is_always_something_to_do(mine):
    ticks, over = [], []

    def busy():
        if not over:
            mine.post(busy)

    mine.every(0.01, "tick", lambda: ticks.append(1))
    mine.post(busy)
    settled(lambda: len(ticks) >= 3)
    over.append(1)
    mine.cease("tick")


def test_a_name_that_is_given_again_replaces_the_job(mine):
    done = []
    mine.every(0.01, "tick", lambda: done.append("old"))
    mine.every(0.01, "tick", lambda: done.append("new"))
    settled(lambda: len(done) >= 2)
    mine.cease("tick")
    assert set(done) == {"new"}


def test_a_thread_with_nothing_to_do_sleeps(mine):
    mine.every(60, "rarely", lambda: None)
    assert mine.drain(PATIENCE_S)
    cpu = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - cpu < 0.05
    mine.cease("rarely")


# --- draining ---------------------------------------------------------------------------------------


def test_draining_is_bounded(mine):
    gate = Gate()
    mine.post(gate.wait)
    assert mine.drain(0.05) is False
    gate.open()
    assert mine.drain(PATIENCE_S) is True


def test_draining_from_a_job_does_not_wait_for_itself(mine):
    assert mine.submit(lambda: mine.drain(PATIENCE_S)).result(PATIENCE_S) is True


def test_without_a_thread_what_is_queued_is_done_at_the_end(mine, monkeypatch):
    def none_left(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    done = []
    mine.post(lambda: done.append(1))
    assert done == []
    assert mine.drain(PATIENCE_S)
    assert done == [1]


def test_when_no_thread_can_be_started_now_the_next_job_tries_again(mine, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no more")))
    done = []
    mine.post(lambda: done.append(1))
    monkeypatch.undo()
    mine.post(lambda: done.append(2))
    assert mine.drain(PATIENCE_S)
    assert done == [1, 2]


def test_a_finalizer_may_post_while_the_thread_is_being_started(mine, monkeypatch):
    """The collector runs wherever memory is asked for; a lock that is not reentrant would hang here."""
    done = []

    class Dropped:
        pass

    start = threading.Thread.start

    def collecting(self):
        dropped = Dropped()
        weakref.finalize(dropped, mine.post, lambda: done.append("late"))
        del dropped
        gc.collect()
        start(self)

    monkeypatch.setattr(threading.Thread, "start", collecting)
    mine.post(lambda: done.append("first"))
    monkeypatch.undo()
    assert mine.drain(PATIENCE_S)
    assert done == ["first", "late"]
    assert sum(thread.name == "llm-cache" and thread is mine._thread for thread in threading.enumerate()) == 1


def test_the_interpreter_does_not_end_before_what_is_queued_is_done():
    script = """
        import time
        from llm_cache.runtime.writer import writer
        writer().post(lambda: (time.sleep(0.2), print("done", flush=True)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (run.stdout, run.stderr, run.returncode) == ("done\n", "", 0)


def test_there_is_one_in_the_process():
    assert writer() is writer()


# --- what is done when there is time ----------------------------------------------------------------


def test_slices_run_until_they_are_done_and_others_take_turns(mine):
    done = []

    def slices(name, count):
        def run():
            done.append(name)
            return done.count(name) < count

        return run

    gate = Gate()
    mine.post(gate.wait)
    mine.spare("a", slices("a", 3))
    mine.spare("b", slices("b", 2))
    gate.open()
    settled(lambda: len(done) == 5)
    assert done == ["a", "b", "a", "b", "a"]
    assert mine._spare == {}


def test_what_is_posted_goes_before_the_next_slice(mine):
    order = []
    gate = Gate()

    def run():
        if len(order) == 0:
            order.append("slice")
            for number in range(3):
                mine.post(lambda number=number: order.append(number))
            return True
        order.append("slice")
        return False

    mine.post(gate.wait)
    mine.spare("job", run)
    gate.open()
    settled(lambda: len(order) == 5)
    assert order == ["slice", 0, 1, 2, "slice"]


def test_slices_get_a_turn_while_there_is_always_something_to_do(mine):
    over, slices = [], []

    def busy():
        if not over:
            mine.post(busy)

    mine.post(busy)
    mine.spare("job", lambda: slices.append(1) or True)
    settled(lambda: len(slices) >= 3)
    over.append(1)


@pytest.mark.usefixtures("_silent")
def test_a_slice_that_raises_is_not_tried_again_and_harms_nobody(mine):
    tried = []

    def fail():
        tried.append(1)
        raise ValueError

    mine.spare("job", fail)
    settled(lambda: tried)
    assert mine.submit(lambda: 7).result(PATIENCE_S) == 7
    assert len(tried) == 1
