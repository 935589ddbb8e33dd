"""Promises 5 and 6 for streams, through a client: what is whole is kept at its end, what is not leaves nothing."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.testing import Reply, anthropic_error_event, anthropic_stream, openai_chat_stream

ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "stream": True}
CHAT = "/v1/chat/completions"


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


@pytest.fixture
def client(cache):
    with httpx.Client(trust_env=False) as made, wrap(made, cache):
        yield made


def stored(cache) -> int:
    return len(list(cache.entries()))


def test_a_consumer_that_stops_at_done_leaves_a_stored_answer(upstream, cache, client):
    done = threading.Event()
    chunks = list(openai_chat_stream(["a", "b"]).chunks)
    upstream.reply(CHAT, Reply(chunks=[*chunks, b": after the end\n\n"], gates={"end": done}))
    with client.stream("POST", upstream.url + CHAT, json=ASK) as response:
        seen = b""
        for piece in response.iter_bytes():
            seen += piece
            if b"[DONE]" in seen:
                assert stored(cache) == 1
                break
    done.set()
    assert stored(cache) == 1


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_an_abandoned_stream_leaves_nothing(upstream, cache, client, how):
    upstream.reply(CHAT, openai_chat_stream(["a", "b", "c"]))
    request = client.build_request("POST", upstream.url + CHAT, json=ASK)
    response = client.send(request, stream=True)
    next(response.iter_bytes())
    if how == "closed":
        response.close()
    del response, request
    gc.collect()
    assert cache.engine.access.writer.drain(5)
    assert stored(cache) == 0
    assert not cache.engine.world.flights.busy(next(iter(cache.engine.world.flights._aloft), ""))


def test_a_stream_that_is_cut_off_leaves_nothing_and_raises_what_it_would_have_raised(upstream, cache, client):
    chunks = list(openai_chat_stream(["a", "b", "c"]).chunks)
    upstream.reply(CHAT, Reply(chunks=chunks, break_after_chunks=2))
    with pytest.raises(httpx.RemoteProtocolError), client.stream("POST", upstream.url + CHAT, json=ASK) as response:
        for _ in response.iter_bytes():
            pass
    assert stored(cache) == 0


def test_a_stream_with_an_error_event_leaves_nothing(upstream, cache, client):
    chunks = list(anthropic_stream(["a", "b"]).chunks)
    upstream.reply("/v1/messages", Reply(chunks=[*chunks[:3], anthropic_error_event()]))
    ask = {"model": "claude", "max_tokens": 5, "messages": ASK["messages"], "stream": True}
    for _ in range(2):
        with client.stream("POST", upstream.url + "/v1/messages", json=ask) as response:
            assert b"overloaded_error" in b"".join(response.iter_bytes())
    assert stored(cache) == 0
    assert upstream.count() == 2


def test_anthropic_is_stored_before_the_stop_reason_is_handed_on(upstream, cache, client):
    """Some programs stop reading at the `message_delta` that carries the stop reason."""
    upstream.reply("/v1/messages", anthropic_stream(["a", "b"]))
    ask = {"model": "claude", "max_tokens": 5, "messages": ASK["messages"], "stream": True}
    with client.stream("POST", upstream.url + "/v1/messages", json=ask) as response:
        seen = b""
        for piece in response.iter_bytes():
            seen += piece
            if b'stop_reason":"end_turn' in seen.replace(b": ", b":"):
                assert stored(cache) == 1
                return
    pytest.fail("no stop reason passed")


def test_a_gzipped_stream_is_stored_decoded(upstream, cache, client):
    reply = openai_chat_stream(["a", "b"])
    plain = b"".join(reply.chunks)
    upstream.reply(CHAT, Reply(chunks=list(reply.chunks), gzip=True))
    for outcome in ("miss", "hit"):
        with client.stream("POST", upstream.url + CHAT, json=ASK) as response:
            assert b"".join(response.iter_bytes()) == plain
            assert response.extensions["llm_cache"].status == outcome
            assert "content-encoding" not in response.headers
    assert upstream.count() == 1


KILLED = """
    import os, signal, sys
    import httpx
    from llm_cache import LLMCache, wrap

    url, database = sys.argv[1:]
    cache = LLMCache(database_url=database)
    with httpx.Client(trust_env=False) as client, wrap(client, cache):
        ask = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        with client.stream("POST", url, json=ask) as response:
            seen = b""
            for piece in response.iter_bytes():
                seen += piece
                if b"[DONE]" in seen:
                    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_right_after_the_end_loses_nothing(upstream, database):
    upstream.reply(CHAT, openai_chat_stream(["a", "b"]))
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), upstream.url + CHAT, database]
        done = subprocess.run(command, check=False, timeout=30, env={**os.environ, "LLMCACHE_MODE": "refresh"})
        assert done.returncode == -signal.SIGKILL
        with LLMCache(database_url=database) as cache:
            (entry,) = cache.entries()
            assert entry.body == b"".join(openai_chat_stream(["a", "b"]).chunks) or b"[DONE]" in entry.body
            assert cache.check() == []
            cache.purge(everything=True)


def test_every_follower_has_its_first_chunk_before_the_leader_has_its_last(upstream, cache):
    held = threading.Event()
    chunks = list(openai_chat_stream(["a", "b", "c"]).chunks)
    upstream.reply(CHAT, Reply(chunks=chunks, gates={len(chunks) - 1: held}))
    firsts, bodies, lock = [], [], threading.Lock()

    def ask():
        with (
            httpx.Client(trust_env=False) as client,
            wrap(client, cache),
            client.stream("POST", upstream.url + CHAT, json=ASK) as response,
        ):
            pieces = response.iter_bytes()
            body = next(pieces)
            with lock:
                firsts.append(body)
            for piece in pieces:
                body += piece
            with lock:
                bodies.append(body)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(firsts) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(firsts) == 50
    assert bodies == []
    held.set()
    for thread in threads:
        thread.join(20)
    assert len(bodies) == 50
    assert set(bodies) == {b"".join(chunks)}
    assert upstream.count() == 1
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.joined) == (49, 1, 49)
