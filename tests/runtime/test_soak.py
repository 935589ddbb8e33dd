"""Half a minute of everything at once: threads, loops, failures, readers that go. Invariants, not outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
import time

import pytest

from llm_cache.core.events import Dropped, Hit, Joined, Missed, Stored
from llm_cache.core.model import Head
from llm_cache.core.policy import Policy
from llm_cache.runtime.sync import SyncReader
from tests.core.making import request
from tests.runtime.staging import Script, Stage, abody, body, settled

OK = Head(200)
SOAK_S = 25.0
WHOLE = b"a\nb\nc\nEND\n"
PIECES = (b"a\n", b"b\n", b"c\n", b"END\n")


class Mixed(Stage):
    """Every fetch takes a script by chance: most are whole, some die early, some late, some are refused."""

    def __init__(self) -> None:
        super().__init__(policy=Policy(join_timeout_s=5.0))
        self.chance = random.Random(3)
        self.source._next = self._script  # type: ignore[method-assign]
        self.sends = 0

    def _script(self, _request) -> Script:
        self.sends += 1
        dies = OSError("reset")
        return self.chance.choice(
            [
                *[Script(OK, *PIECES)] * 6,
                Script(dies, OK),
                Script(OK, dies),
                Script(OK, b"a\n", dies),
                Script(OK, b"a\n", b"b\n"),  # cut off
                Script(Head(429), b"no"),
            ]
        )


@pytest.mark.slow
def test_nothing_hangs_leaks_or_is_told_twice_however_calls_come_and_go():
    stage, until, calls = Mixed(), time.monotonic() + SOAK_S, [0] * 12
    wrong: list[object] = []
    expected = {WHOLE, b"a\nb\n", b"no"}

    def threads(number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < until:
            calls[number] += 1
            with contextlib.suppress(OSError):
                outcome = stage.run(what=request(b"%d" % chance.randrange(3)))
                if isinstance(outcome, SyncReader) and chance.random() < 0.3:
                    for _ in range(chance.randrange(3)):
                        next(outcome, None)
                    if chance.random() < 0.5:
                        outcome.close()
                elif (read := body(outcome)) not in expected:
                    wrong.append(read)

    def loops(number: int) -> None:
        chance = random.Random(number)

        async def one() -> None:
            outcome = await stage.arun(what=request(b"%d" % chance.randrange(3)))
            if (read := await abody(outcome)) not in expected:
                wrong.append(read)

        async def several() -> None:
            tasks = [asyncio.create_task(one()) for _ in range(6)]
            calls[number] += 6
            await asyncio.sleep(0)
            if chance.random() < 0.3:
                tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            wrong.extend(each for each in results if isinstance(each, Exception) and not isinstance(each, OSError))

        while time.monotonic() < until:
            asyncio.run(several())

    def purges(_: int) -> None:
        while time.monotonic() < until:
            time.sleep(0.003)
            stage.store._rows.clear()
            stage.world.flights._failed_until.clear()

    acts = [threads] * 7 + [loops] * 4 + [purges]
    crowd = [threading.Thread(target=act, args=(number,), daemon=True) for number, act in enumerate(acts)]
    for member in crowd:
        member.start()
    for member in crowd:
        member.join(SOAK_S + 15)
        assert not member.is_alive(), "a thread hangs"
    assert wrong == []
    gc.collect()
    settled(lambda: stage.aloft == 0 and stage.source.all_closed)
    told = stage.ear.count(Hit, Missed, Joined)
    # A caller that is cancelled before it knows what it is may be told of not at all, never twice.
    assert sum(calls) - 0.2 * sum(calls[7:11]) <= told <= sum(calls)
    ends = [event for event in stage.ear.of(Stored, Dropped) if not getattr(event, "again", False)]
    assert len(ends) == stage.source.opened
    assert sum(calls) > 1000
