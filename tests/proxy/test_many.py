"""Many at once: slow streams by the hundred, and load in the middle of which a worker is killed. Slow in full size."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import aiohttp
import pytest
from benchmarks.streams import measure

from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream

from .running import ASK, Process

CHAT = "/v1/chat/completions"
SYSTEM = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@SYSTEM
@pytest.mark.parametrize(
    ("streams", "chunks"), [(60, 4), pytest.param(1000, 20, marks=[pytest.mark.slow, pytest.mark.timeout(180)])]
)
def test_slow_streams_all_complete(streams: int, chunks: int) -> None:
    found = measure(streams, chunks, 0.25 if streams < 100 else 0.5, rounds=1)
    print(found)
    assert found.whole == streams
    if streams >= 1000:
        assert found.kib_per_stream < 100


def _workers(process: Process) -> list[int]:
    pid = process.popen.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@SYSTEM
@pytest.mark.parametrize(
    ("rounds", "clients"), [(1, 8), pytest.param(8, 24, marks=[pytest.mark.slow, pytest.mark.timeout(240)])]
)
async def test_a_worker_is_killed_under_load(rounds: int, clients: int, upstream: FakeUpstream, database: str) -> None:
    """Who was not connected to it sees no error, and whatever was delivered whole is a hit afterwards."""
    plain, stream = openai_chat("Hello!"), openai_chat_stream(["a", "b", "c"])
    upstream.reply(CHAT, lambda received: stream if b'"stream": true' in received.body else plain)
    given = {"proxy_port": 0, "upstreams": {"openai": upstream.url}, "database_url": database, "workers": 2}
    with Process(given) as process:
        url = process.url()
        delivered: set[str] = set()
        errors: list[tuple[int, Exception]] = []
        stop = asyncio.Event()

        async def client(number: int) -> None:
            chance = random.Random(number)
            # One connection each, so that it is known whose worker died.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
                while not stop.is_set():
                    ask = {**ASK, "seed": chance.randrange(200), "stream": chance.random() < 0.5}
                    body = json.dumps(ask)
                    try:
                        async with session.post(
                            url + CHAT, data=body, headers={"content-type": "application/json"}
                        ) as answer:
                            assert answer.status == 200
                            await answer.read()
                            delivered.add(body)
                    except (aiohttp.ClientError, OSError) as error:
                        errors.append((number, error))

        tasks = [asyncio.ensure_future(client(number)) for number in range(clients)]
        for _ in range(rounds):
            await asyncio.sleep(1.0)
            before = len(errors)
            os.kill(_workers(process)[0], signal.SIGKILL)
            await asyncio.sleep(1.0)
            # Each client of the dead one loses the connection that it had, once.
            lost = [number for number, _ in errors[before:]]
            assert len(lost) == len(set(lost)), errors[before:]
            assert len(set(lost)) < clients, "those of the other worker saw nothing"
        stop.set()
        await asyncio.gather(*tasks)
        calls = upstream.count()
        async with aiohttp.ClientSession() as session:
            for body in delivered:
                async with session.post(url + CHAT, data=body, headers={"content-type": "application/json"}) as answer:
                    assert answer.headers["x-llm-cache"] == "hit"
                    await answer.read()
        assert upstream.count() == calls
        assert len(delivered) > clients
        process.send(signal.SIGTERM)
        assert process.end() == 0
