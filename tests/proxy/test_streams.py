"""Streams: at once, shared, with backpressure, and kept although the client has gone."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from llm_cache.testing import FakeUpstream, Reply, openai_chat, openai_chat_stream

from .running import ASK, NO_PROXY, STREAM, Running, running

CHAT = "/v1/chat/completions"
KEY = {"authorization": "Bearer sk-test"}


def test_the_first_byte_is_out_as_soon_as_it_is_in(upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b", "c"]), gates={1: gate}))
    with (
        httpx.Client(**NO_PROXY) as client,
        client.stream("POST", proxy.url + CHAT, json=STREAM, headers=KEY) as answer,
    ):
        pieces = answer.iter_raw()
        assert b'"role"' in next(pieces)
        gate.set()
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_fifty_plain_calls_at_once_make_one(upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat("Hello!"), gates={"head": gate}))
    async with httpx.AsyncClient(**NO_PROXY, limits=httpx.Limits(max_connections=100)) as client:
        calls = [asyncio.create_task(client.post(proxy.url + CHAT, json=ASK, headers=KEY)) for _ in range(50)]
        await upstream.await_for(1)
        await asyncio.sleep(0.3)
        gate.set()
        answers = await asyncio.gather(*calls)
    assert upstream.count() == 1
    assert len({answer.content for answer in answers}) == 1
    told = sorted(answer.headers["x-llm-cache"] for answer in answers)
    assert told == ["joined"] * 49 + ["miss"]
    joined = next(answer for answer in answers if answer.headers["x-llm-cache"] == "joined")
    assert joined.headers["cache-status"] == "llm-cache; fwd=miss; collapsed"
    assert "set-cookie" not in joined.headers
    assert "content-length" in joined.headers


async def test_fifty_streams_at_once_are_one_and_each_begins_before_it_ends(
    upstream: FakeUpstream, proxy: Running
) -> None:
    gate = threading.Event()
    stream = openai_chat_stream([f"{at} " for at in range(20)])
    upstream.reply(CHAT, replace(stream, gates={10: gate}))
    begun = 0
    all_have = asyncio.Event()

    async def stream_of(client: httpx.AsyncClient) -> tuple[bytes, str]:
        nonlocal begun
        async with client.stream("POST", proxy.url + CHAT, json=STREAM, headers=KEY) as answer:
            pieces = answer.aiter_raw()
            got = await anext(pieces)
            begun += 1
            if begun == 50:
                all_have.set()
            async for data in pieces:
                got += data
            return got, answer.headers["x-llm-cache"]

    async with httpx.AsyncClient(**NO_PROXY, limits=httpx.Limits(max_connections=100)) as client:
        calls = [asyncio.create_task(stream_of(client)) for _ in range(50)]
        await asyncio.wait_for(all_have.wait(), 15)
        assert not gate.is_set()
        gate.set()
        found = await asyncio.gather(*calls)
    assert {body for body, _ in found} == {stream.payload}
    assert sorted(told for _, told in found) == ["joined"] * 49 + ["miss"]
    assert upstream.count() == 1


async def test_a_late_caller_reads_a_stream_from_its_beginning(upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    stream = openai_chat_stream([f"{at} " for at in range(6)])
    upstream.reply(CHAT, replace(stream, gates={5: gate}))
    async with (
        httpx.AsyncClient(**NO_PROXY) as client,
        client.stream("POST", proxy.url + CHAT, json=STREAM, headers=KEY) as first,
    ):
        pieces = first.aiter_raw()
        head = await anext(pieces)
        async with client.stream("POST", proxy.url + CHAT, json=STREAM, headers=KEY) as second:
            late = second.aiter_raw()
            got = await anext(late)
            gate.set()
            got += b"".join([data async for data in late])
        head += b"".join([data async for data in pieces])
    assert got == head == stream.payload
    assert upstream.count() == 1


@pytest.mark.parametrize("json", [STREAM, ASK], ids=["stream", "plain"])
def test_the_answer_of_a_client_that_leaves_is_kept(json: dict, upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    reply = openai_chat_stream(["a", "b", "c"]) if "stream" in json else openai_chat("Hello!")
    at = 1 if "stream" in json else "head"
    upstream.reply(CHAT, replace(reply, gates={at: gate}))
    leave(proxy, json, upstream)
    time.sleep(0.2)
    gate.set()
    assert eventually_hit(proxy, json).content == reply.payload
    assert (upstream.count(), upstream.aborted) == (1, 0)


def test_without_draining_a_client_that_leaves_ends_the_call(upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b", "c"]), gates={1: gate}))
    with running(upstream.url, database_url=database, drain_on_disconnect=False) as proxy:
        leave(proxy, STREAM, upstream)
        upstream.wait_until(lambda up: up.open_connections == 0)
        gate.set()
        assert proxy.ask(json=STREAM).headers["x-llm-cache"] == "miss"


def test_nothing_is_drained_that_may_not_be_kept(upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b", "c"]), gates={1: gate}))
    leave(proxy, STREAM, upstream, "cache-control: no-store\r\n")
    upstream.wait_until(lambda up: up.open_connections == 0)


def test_draining_has_an_end(upstream: FakeUpstream, proxy: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_cache.proxy.call.DRAIN_S", 0.3)
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b", "c"]), gates={1: threading.Event()}))
    leave(proxy, STREAM, upstream)
    began = time.monotonic()
    upstream.wait_until(lambda up: up.open_connections == 0)
    assert time.monotonic() - began >= 0.2


def test_a_leader_that_leaves_does_not_take_its_followers_along(upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    stream = openai_chat_stream(["a", "b", "c"])
    upstream.reply(CHAT, replace(stream, gates={1: gate}))
    with running(upstream.url, database_url=database, drain_on_disconnect=False) as proxy:
        leader = begin(proxy, STREAM)
        upstream.wait_for(1)
        found: list[httpx.Response] = []
        follower = threading.Thread(target=lambda: found.append(proxy.ask(json=STREAM)))
        follower.start()
        time.sleep(0.3)
        leader.close()
        time.sleep(0.2)
        gate.set()
        follower.join(10)
    assert found[0].content == stream.payload
    assert upstream.count() == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_stream_that_breaks_off_is_broken_off(reset: bool, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b", "c"]), break_after_chunks=2, reset=reset))
    for _ in range(2):
        got = b""
        with pytest.raises(httpx.RemoteProtocolError), call(proxy) as answer:
            for data in answer.iter_raw():
                got += data
        if not reset:  # which takes what the kernel still holds along
            assert got.startswith(b"data: ")
    assert upstream.count() == 2


def test_a_slow_reader_slows_the_upstream(upstream: FakeUpstream, database: str) -> None:
    sent = 0

    def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b'data: {"choices":[]}\n\n' + b": " + b"x" * 65_000 + b"\n\n"

    upstream.reply(CHAT, Reply(chunks=endless()))
    with running(upstream.url, database_url=database) as proxy:
        line = begin(proxy, STREAM)
        line.recv(1000)
        time.sleep(0.5)
        before = sent
        time.sleep(0.5)
        assert sent - before < 20, "nobody reads, so nobody sends"
        line.close()
        upstream.drop_connections()


def test_a_reader_that_stops_at_done_finds_it_stored(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, replace(openai_chat_stream(["a"]), never_end=True))
    with (
        httpx.Client(**NO_PROXY) as client,
        client.stream("POST", proxy.url + CHAT, json=STREAM, headers=KEY) as answer,
    ):
        got = b""
        for data in answer.iter_raw():
            got += data
            if got.endswith(b"data: [DONE]\n\n"):
                break
    assert proxy.ask(json=STREAM).headers["x-llm-cache"] == "hit"


@contextmanager
def call(proxy: Running) -> Iterator[httpx.Response]:
    """A streaming call, to be read."""
    with (
        httpx.Client(**NO_PROXY) as client,
        client.stream("POST", proxy.url + CHAT, json=STREAM, headers=KEY) as answer,
    ):
        yield answer


def begin(proxy: Running, json: dict, more: str = "") -> socket.socket:
    """A connection on which a call has been sent, and nothing read."""
    import json as jsonlib

    body = jsonlib.dumps(json).encode()
    line = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-test\r\n{more}"
    line.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    return line


def leave(proxy: Running, json: dict, upstream: FakeUpstream, more: str = "") -> None:
    """Call, and go away before the answer is whole."""
    with begin(proxy, json, more) as line:
        upstream.wait_for(1)
        if "stream" in json:
            assert line.recv(65536)


def eventually_hit(proxy: Running, json: dict) -> httpx.Response:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        answer = proxy.ask(json=json, headers={"cache-control": "only-if-cached"})
        if answer.status_code == 200:
            return answer
        time.sleep(0.02)
    raise AssertionError("it was not stored")


def test_a_stored_stream_may_come_as_slowly_as_it_did(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b", "c"]), chunk_delay_s=0.1))
    with running(upstream.url, database_url=database, replay_pace="recorded") as proxy:
        first = proxy.ask(json=STREAM).content
        with httpx.Client(**NO_PROXY) as client:
            with client.stream(
                "POST", proxy.url + CHAT, json=STREAM, headers={"authorization": "Bearer sk-test"}
            ) as hit:
                assert hit.headers["x-llm-cache"] == "hit"
                pieces = [(time.monotonic(), piece) for piece in hit.iter_raw()]
        assert b"".join(piece for _, piece in pieces) == first
        assert len(pieces) >= 4
        assert pieces[-1][0] - pieces[0][0] >= 0.2
    with running(upstream.url, database_url=database) as proxy:
        assert proxy.ask(json=STREAM).content == first
    assert upstream.count() == 1
