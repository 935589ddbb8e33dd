"""Promise 5 on Redis: what a cache has counted as kept is there, and whole, whoever of them was killed, and when.

Each round a process calls through the cache as in `test_crash`; then the server is killed under it, or the process, or
one after the other. The server has `appendfsync always` and makes its file anew all the time.
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

from llm_cache import CacheMissError, LLMCache, Mode, wrap
from llm_cache.testing import FakeUpstream, openai_chat_stream
from tests.redis_servers import Server
from tests.stress.crash_load import PROVIDER, digest, stuck, text_of
from tests.stress.redis_load import LEASE_S

PATIENCE_S = 30.0
"""Far less than callers wait for each other (120 s): a lease that outlives its holder would be noticed."""
_AT_ONCE_MS = 100


class Crashes:
    """A server, a nursery, and what its children have written down."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(
            folder / "redis",
            appendonly="yes",
            appendfsync="always",
            auto_aof_rewrite_percentage="20",
            auto_aof_rewrite_min_size="256kb",
        ).start()
        self.journals = folder / "journals"
        self.journals.mkdir()
        self.kept = self.lost = self.unkept = 0
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.stress.redis_load", self.server.url, self.journals],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def round(self, turn: int, url: str, chance: random.Random) -> None:
        """Let a child live for some answers, and have somebody die."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{turn} {url}\n")
        self._nursery.stdin.flush()
        pid = int(self._nursery.stdout.readline())
        try:
            self._wait_for(turn, answers=1)
            self._wait_for(turn, answers=chance.randrange(1, 60))
            time.sleep(chance.random() * 0.02)
            # In most rounds the server goes first, and its clients find out.
            if turn % 4:
                self.server.kill()
                time.sleep(chance.random() * 0.1)
        finally:
            os.kill(pid, signal.SIGKILL)
        if turn % 4 == 0:
            self.server.kill()
        self.server.start()
        self._no_lease_is_stuck()

    def _wait_for(self, turn: int, answers: int) -> None:
        journal, deadline = self.journals / f"{turn}", time.monotonic() + PATIENCE_S
        while not journal.exists() or journal.read_bytes().count(b"\n") < answers:
            # The first of them was being fetched when the one before died.
            assert time.monotonic() < deadline, f"round {turn}: somebody waits for what nobody is fetching"
            time.sleep(0.002)

    def _no_lease_is_stuck(self) -> None:
        """Each has an end, and that not further away than a lease lasts."""
        client = self.server.client()
        for name in client.scan_iter(match="*:lease:*", count=10_000):
            left_ms = client.pttl(name)
            assert left_ms == -2 or 0 <= left_ms <= LEASE_S * 1000, (name, left_ms)

    def received(self, turn: int) -> dict[str, tuple[str, bool]]:
        """What the child of that round had received whole, by key: its digest, and whether it was counted as kept."""
        found = {}
        for line in (self.journals / f"{turn}").read_text().splitlines():
            key, seen, mark = line.split("\t")
            found[key] = (seen, mark == "+")
        self.kept += sum(kept for _, kept in found.values())
        self.unkept += sum(not kept for _, kept in found.values())
        return found

    def close(self) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(10)
        self._nursery.stdout.close()
        self.server.stop()


def check(crashes: Crashes, turns: list[int], url: str) -> None:
    """Everything that was counted as kept in these rounds is there; whatever is there is right. Nobody is asked."""
    with LLMCache(
        database_url=crashes.server.url, mode=Mode.OFFLINE, memory_mb=0, read_timeout_ms=10_000, write_timeout_ms=10_000
    ) as cache:
        with httpx.Client(trust_env=False) as client, wrap(client, cache):
            for turn in turns:
                for key, (seen, kept) in crashes.received(turn).items():
                    if key.startswith("http "):
                        found = replayed(client, f"{url}/v1/chat/completions", json.loads(key[5:]))
                    else:
                        assert seen == digest(text_of(key)), f"{key} was answered wrongly"
                        found = stored(cache, key)
                    if found is None:
                        assert not kept, f"round {turn}: {key} was kept, and is lost"
                        crashes.lost += 1
                    else:
                        assert digest(found) == seen, f"round {turn}: {key} is not what it was"
        assert cache.stats().reasons.get("fail", {}).get("decode", 0) == 0


def replayed(client: httpx.Client, url: str, ask: object) -> str | None:
    try:
        return client.post(url, json=ask).text
    except CacheMissError:
        return None


def stored(cache: LLMCache, key: str) -> str | None:
    if cache.get(key) is None:
        return None
    is_stream = key.startswith("streamed")
    found = cache.get_or_set(key, pytest.fail, *PROVIDER, stream=is_stream)
    return "".join(found) if is_stream else found


def crash(folder: Path, rounds: int, seed: int) -> Crashes:
    chance = random.Random(seed)
    crashes = Crashes(folder)
    unchecked: list[int] = []
    try:
        with FakeUpstream() as up:
            up.reply("/v1/chat/completions", openai_chat_stream("Hello, this is the answer."))
            for turn in range(1, rounds + 1):
                crashes.round(turn, up.url, chance)
                unchecked.append(turn)
                # Sometimes the next to be killed is the one who finds what the last has left.
                if chance.random() < 0.5 or turn == rounds:
                    check(crashes, unchecked, up.url)
                    unchecked.clear()
        with LLMCache(database_url=crashes.server.url, read_timeout_ms=10_000, write_timeout_ms=10_000) as cache:
            assert cache.check() == []
            # Every record can be read, those that nobody had received yet included.
            entries = sum(1 for entry in cache.entries() if entry.body is not None)
            assert entries == cache.stats().entries > rounds
            assert cache.get(stuck(rounds)) is None
        time.sleep(LEASE_S + _AT_ONCE_MS / 1000)
        assert list(crashes.server.client().scan_iter(match="*:lease:*", count=10_000)) == []
    finally:
        crashes.close()
    return crashes


def test_a_kill_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    crashes = crash(tmp_path, rounds=4, seed=int(time.time()))
    assert crashes.kept > 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills_lose_nothing_that_was_kept(tmp_path: Path) -> None:
    crashes = crash(tmp_path, rounds=200, seed=11)
    print(f"{crashes.kept} answers were kept in 200 rounds, {crashes.unkept} counted as not kept")
    assert crashes.kept > 2_000
    # There is something to be found: the server did die under calls.
    assert crashes.unkept > crashes.lost > 0
