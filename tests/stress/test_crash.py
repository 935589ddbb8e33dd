"""Promise 5: what a caller has received whole is in the store, and `kill -9` a moment later changes nothing about it.

Each round a process calls through the cache in threads and tasks, plain and streaming, through functions and HTTP, and
writes down what it has received; it is killed at a random moment. The next round begins on what is left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from llm_cache import LLMCache, Mode, wrap
from llm_cache.testing import FakeUpstream, openai_chat_stream
from tests.stress.crash_load import PROVIDER, digest, stuck, text_of

PATIENCE_S = 30.0
"""Far less than callers wait for each other (120 s): a lease that outlives its holder would be noticed."""


class Crashes:
    """The nursery, and what its children have written down."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "cache.db"
        self.journals = folder / "journals"
        self.journals.mkdir()
        self.noted = 0
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.stress.crash_load", self.database, self.journals],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def round(self, turn: int, url: str, lives_s: float) -> None:
        """Let a child live for so long after its first answer."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{turn} {url}\n")
        self._nursery.stdin.flush()
        pid = int(self._nursery.stdout.readline())
        try:
            journal, deadline = self.journals / f"{turn}", time.monotonic() + PATIENCE_S
            while not journal.exists() or not journal.stat().st_size:
                assert time.monotonic() < deadline, (
                    f"round {turn}: what was being fetched when its caller died is stuck"
                )
                time.sleep(0.001)
            time.sleep(lives_s)
        finally:
            os.kill(pid, signal.SIGKILL)

    def received(self, turn: int) -> dict[str, str]:
        """What the child of that round had received whole, by key."""
        lines = (self.journals / f"{turn}").read_text().splitlines()
        self.noted += len(lines)
        return dict(line.split("\t") for line in lines)

    def close(self) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(10)
        self._nursery.stdout.close()


def check(crashes: Crashes, turns: list[int], url: str) -> None:
    """Everything that was received in these rounds is there and right, without asking anybody."""
    with LLMCache(database_url=str(crashes.database), mode=Mode.OFFLINE, memory_mb=0) as cache:
        with httpx.Client(trust_env=False) as client, wrap(client, cache):
            for turn in turns:
                for key, seen in crashes.received(turn).items():
                    if key.startswith("http "):
                        found = client.post(f"{url}/v1/chat/completions", json=json.loads(key[5:])).text
                    else:
                        is_stream = key.startswith("streamed")
                        found = cache.get_or_set(key, pytest.fail, *PROVIDER, stream=is_stream)
                        found = "".join(found) if is_stream else found
                        assert found == text_of(key)
                    assert digest(found) == seen, key


def crash(folder: Path, rounds: int, seed: int) -> Crashes:
    chance = random.Random(seed)
    crashes = Crashes(folder)
    unchecked: list[int] = []
    try:
        with FakeUpstream() as up:
            up.reply("/v1/chat/completions", openai_chat_stream("Hello, this is the answer."))
            for turn in range(1, rounds + 1):
                crashes.round(turn, up.url, chance.random() ** 2 * 0.15)
                unchecked.append(turn)
                # Sometimes the next to be killed is the one who finds what the last has left.
                if chance.random() < 0.5 or turn == rounds:
                    check(crashes, unchecked, up.url)
                    unchecked.clear()
    finally:
        crashes.close()
    with LLMCache(database_url=str(crashes.database)) as cache:
        assert cache.check() == []
        # Every record can be read, those that nobody had received yet included.
        entries = sum(1 for entry in cache.entries() if entry.body is not None)
        assert entries == cache.stats().entries > rounds
        assert cache.get(stuck(rounds)) is None
    assert not list(folder.glob("*.damaged-*"))
    return crashes


def test_a_kill_loses_nothing_that_was_received(tmp_path: Path) -> None:
    crashes = crash(tmp_path, rounds=12, seed=int(time.time()))
    assert crashes.noted > 12


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_kills_lose_nothing_that_was_received(tmp_path: Path) -> None:
    crashes = crash(tmp_path, rounds=1000, seed=7)
    print(f"{crashes.noted} answers were received in 1,000 rounds")
    # How many depends on the machine: each round at least what the last one left, and then some.
    assert crashes.noted > 2000
