"""A process that forks in the middle of calls: the child waits for nobody who stayed behind, and ends nothing there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

PRELUDE = """
import faulthandler, gc, os, sys, threading, time
faulthandler.dump_traceback_later(20, exit=True)
from tests.runtime.staging import *

def in_child(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed"

OK, BODY = Head(200), b"a\\nb\\nEND\\n"
gate = Gate()
"""


def runs(script: str, *, quiet: bool = False) -> None:
    """In a process of its own, since this one may have threads that a fork would surprise."""
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=50)
    assert ("" if quiet else run.stderr, run.returncode) == ("", 0), run.stderr


def test_a_child_does_not_wait_for_a_fetch_of_its_parent():
    runs(
        """
        stage = Stage(Script(gate, OK, *WHOLE), Script(*WHOLE))
        leader = thread(stage.call)
        settled(lambda: stage.source.sends == 1)

        def act():
            began = time.monotonic()
            assert stage.call() == BODY
            assert time.monotonic() - began < 5
            assert stage.source.sends == 2

        in_child(act)
        gate.open()
        assert leader.join() == [BODY]
        assert stage.source.sends == 1
        """
    )


def test_locks_that_other_threads_held_do_not_hang_the_child():
    runs(
        """
        stage = Stage()
        held = threading.Event()

        def hold():
            with stage.world.flights.lock, stage.access.writer._starting:
                held.set()
                gate.wait()

        holding = thread(hold)
        held.wait()

        def act():
            assert stage.call() == BODY

        in_child(act)
        gate.open()
        holding.join()
        """
    )


def test_a_fork_in_the_middle_of_lookups_hangs_neither_side():
    runs(
        """
        stage = Stage(memory_bytes=1_000_000)
        stage.call()
        stage.access._reading.failed(0.0, OSError())
        over = threading.Event()

        def look():
            while not over.is_set():
                stage.access.lookup(ask().signature.key)
                stage.access._reading.failed(0.0, OSError())
                stage.access._reading.succeeded()

        looking = [thread(look) for _ in range(3)]

        def act():
            for _ in range(3):
                assert stage.call() == BODY

        for _ in range(12):  # each must win its locks from three threads that never pause
            in_child(act)
        over.set()
        for each in looking:
            each.join()
        """,
        quiet=True,
    )


def test_a_child_that_drops_its_parents_reader_ends_nothing():
    runs(
        """
        stage = Stage()
        readers = [stage.run()]
        next(readers[0])
        flight = readers[0]._flight

        def act():
            readers.clear()
            gc.collect()
            stage.access.writer.drain(5)
            assert stage.source.closed == 0
            assert stage.ear.count(Dropped) == 0

        in_child(act)
        assert body(readers[0]) == b"b\\nEND\\n"
        assert stage.source.closed == 1
        """
    )


def test_a_child_that_drops_its_parents_reader_does_not_wait_for_locks_of_other_threads():
    runs(
        """
        stage = Stage()
        readers = [stage.run()]
        flight = readers[0]._flight
        held = threading.Event()

        def hold():
            with flight._changed:
                held.set()
                gate.wait()

        holding = thread(hold)
        held.wait()

        def act():
            readers.clear()
            gc.collect()
            assert stage.access.writer.drain(5)
            assert stage.call() == BODY

        in_child(act)
        gate.open()
        holding.join()
        """
    )


def test_what_was_queued_is_done_by_the_parent_only():
    runs(
        """
        from llm_cache.runtime.writer import writer
        done = []
        writer().post(gate.wait)
        writer().post(lambda: done.append(os.getpid()))
        writer().every(0.01, "tick", lambda: None)

        def act():
            assert writer().drain(5)
            assert done == []
            assert writer().submit(lambda: 7).result(5) == 7
            assert writer()._periodic == {}

        in_child(act)
        gate.open()
        assert writer().drain(5)
        assert done == [os.getpid()]
        """
    )


def test_a_fork_on_a_loop_with_a_call_in_flight_leaves_both_sides_working():
    runs(
        """
        event = asyncio.Event()
        stage = Stage(Script(b"a\\n", event, b"END\\n"), Script(*WHOLE))

        async def main():
            readers = [await stage.arun(), await stage.arun()]
            reader = readers[0]
            assert await anext(reader) == b"a\\n"

            ready = asyncio.get_running_loop()._ready

            def act():
                before = list(ready)
                readers.pop()
                gc.collect()
                assert list(ready) == before, "the parent's loop is not ours to call"
                assert stage.call() == BODY

            in_child(act)
            event.set()
            assert await abody(reader) == b"END\\n"

        asyncio.run(main())
        assert stage.stored == [b"a\\nEND\\n"]
        """
    )


def test_keys_that_were_refused_are_forgotten_by_the_child():
    runs(
        """
        stage = Stage(Script(Head(500), b"no"), Script(*WHOLE))
        stage.call()

        def act():
            readers = [stage.run() for _ in range(2)]
            assert [reader.follows for reader in readers] == [False, True]

        in_child(act)
        """
    )
