"""Hits by the short way say to the byte what the long way says, are counted alike, and never outlive a purge."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import time
from dataclasses import replace

import pytest

from llm_cache.core.model import Frame
from llm_cache.testing import Reply, load_traffic, openai_chat, openai_chat_stream, traffic_folder

from .running import ASK, STREAM, running

pytestmark = pytest.mark.usefixtures("quiet")
EXCHANGES = [each for each in load_traffic() if each.ok] if traffic_folder() else []
_SECONDS = re.compile(rb"(?<= ttl=)\d+(?=;)|(?<=\r\nage: )\d+")


def raw(proxy, body, *, path="/v1/chat/completions", more=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{proxy.port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer sk-test\r\n{more}content-length: {len(data)}\r\n\r\n"
    )
    return head.encode("latin-1"), data


class Client:
    """One connection, which reads replies by their framing and gives their bytes."""

    def __init__(self, proxy):
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_details):
        self.socket.close()

    def ask(self, *pieces, pause=0.02):
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            self.socket.sendall(piece)
        return self.reply()

    def reply(self):
        head = self._until(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if head.startswith(b"HTTP/1.1 100"):
            return head
        if length:
            return head + self._exactly(int(length[1]))
        body = b""
        while True:
            line = self._until(b"\r\n")
            piece = self._exactly(int(line, 16) + 2)
            body += line + piece
            if line == b"0\r\n":
                return head + body

    def _until(self, end):
        while end not in self.buffer:
            self._more()
        at = self.buffer.index(end) + len(end)
        found, self.buffer = self.buffer[:at], self.buffer[at:]
        return found

    def _exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def _more(self):
        data = self.socket.recv(65536)
        assert data, "the connection was closed"
        self.buffer += data


def timeless(reply):
    return _SECONDS.sub(b"0", reply)


KINDS = {
    "in memory": {},
    "in the file": {"memory_mb": 0},
    "sealed": {"memory_mb": 0, "enable_encryption": True, "encryption_key": "correct horse battery staple"},
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def proxy(request, upstream, database):
    """Where a hit comes from, the short way must give the same."""
    with running(upstream.url, database_url=database, **request.param) as proxy:
        yield proxy


@pytest.fixture
def short(proxy):
    """How many hits went the short way."""
    counted = []
    ours = proxy.app.shortcut
    before = ours.reply

    def reply(*arguments):
        found = before(*arguments)
        if found is not None:
            counted.append(found)
        return found

    ours.reply = reply
    return counted


@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "head and body apart"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_third_time_takes_the_short_way(proxy, upstream, short, apart, stream):
    upstream.reply("/v1/chat/completions", openai_chat_stream() if stream else openai_chat())
    head, body = raw(proxy, STREAM if stream else ASK)
    pieces = (head, body) if apart else (head + body,)
    with Client(proxy) as client:
        miss, long, first, second = [client.ask(*pieces) for _ in range(4)]
    assert len(short) == 2
    assert b"x-llm-cache: miss" in miss
    assert timeless(long) == timeless(first) == timeless(second)
    assert b"x-llm-cache: hit" in long
    assert upstream.count() == 1


@pytest.mark.skipif(not EXCHANGES, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder")
def test_both_ways_say_the_same_of_all_recorded_traffic(upstream, database):
    names = {each.provider for each in EXCHANGES}
    same = 0
    with running(upstream.url, database_url=database, upstreams=dict.fromkeys(names, upstream.url)) as proxy:
        for each in EXCHANGES:
            upstream.reset()
            upstream.play(each)
            more = (
                "".join(
                    f"{name}: {value}\r\n"
                    for name, value in each.request_headers
                    if name.startswith(("anthropic-", "openai-"))
                )
                + f"x-llm-cache-namespace: {each.name}\r\n"
            )
            head, body = raw(proxy, each.request, path=f"/{each.provider}{each.path}", more=more)
            with Client(proxy) as client:
                replies = [client.ask(head + body) for _ in range(3)]
            if upstream.count() == 1:
                assert timeless(replies[1]) == timeless(replies[2]), each.name
                same += proxy.app.shortcut._known.get(head + body) is not None
    assert same > len(EXCHANGES) // 3


@pytest.mark.parametrize("kind", ["in the file", "sealed"])
def test_a_damaged_answer_is_fetched_anew_and_a_plain_one_in_a_sealed_store_as_well(upstream, database, kind):
    from llm_cache import LLMCache

    upstream.reply("/v1/chat/completions", openai_chat("right"))
    with running(upstream.url, database_url=database, **KINDS[kind]) as proxy, Client(proxy) as client:
        request = b"".join(raw(proxy, ASK))
        for _ in range(3):
            reply = client.ask(request)
        assert b"x-llm-cache: hit" in reply
        with contextlib.closing(sqlite3.connect(database)) as file, file:
            (value,) = file.execute("SELECT value FROM entries").fetchone()
            file.execute("UPDATE entries SET value = ?", (value[:-1] + bytes([value[-1] ^ 1]),))
        assert b"x-llm-cache: miss" in client.ask(request)
        if kind == "sealed":
            # Whoever can write to the file, and has no key, puts an answer of his own in its place.
            with contextlib.closing(sqlite3.connect(database)) as file:
                (key,) = file.execute("SELECT key FROM entries").fetchone()
            with LLMCache(database_url=database) as plain:
                store, codec = plain.engine.access.store, plain.engine.access.codec
                entry = next(iter(proxy.engine.access.store.scan()))
                forged = replace(proxy.engine.access.codec.decode(entry), key=key.hex(), origin="")
                forged = replace(forged, frames=(Frame(b'{"forged": true}', 0),))
                store.put(codec.encode(forged))
            reply = client.ask(request)
            assert b"forged" not in reply
            assert b"right" in reply


def test_every_hit_is_counted_once_and_at_once(proxy, upstream):
    upstream.reply("/v1/chat/completions", openai_chat())
    request = b"".join(raw(proxy, ASK))
    with Client(proxy) as client:
        for _ in range(30):
            client.ask(request)
    metrics = proxy.get("/metrics").text
    assert re.search(r"^llm_cache_hits_total 29$", metrics, re.MULTILINE)
    assert proxy.engine.ledger.stats().hits == 29


def test_a_purge_shows_in_the_very_next_call(proxy, upstream, short, database):
    from llm_cache import LLMCache

    upstream.reply("/v1/chat/completions", openai_chat())
    request = b"".join(raw(proxy, ASK))
    with Client(proxy) as client, LLMCache(database_url=database) as other:
        for _ in range(4):
            client.ask(request)
        assert len(short) == 2
        assert other.purge(everything=True) == 1
        assert b"x-llm-cache: miss" in client.ask(request)
    assert upstream.count() == 2


def test_an_expired_answer_is_a_miss(proxy, upstream, short):
    upstream.reply("/v1/chat/completions", openai_chat())
    request = b"".join(raw(proxy, ASK, more="x-llm-cache-ttl: 1\r\n"))
    with Client(proxy) as client:
        for _ in range(3):
            client.ask(request)
        assert len(short) == 1
        time.sleep(1.1)
        assert b"x-llm-cache: miss" in client.ask(request)


@pytest.mark.parametrize(
    "more",
    [
        "cache-control: no-cache\r\n",
        "cache-control: no-store\r\n",
        "expect: 100-continue\r\n",
        "x-llm-cache-mode: off\r\n",
    ],
    ids=lambda more: more.split(":")[0],
)
def test_what_is_no_plain_hit_never_takes_it(proxy, upstream, short, more):
    upstream.reply("/v1/chat/completions", openai_chat())
    request = b"".join(raw(proxy, ASK, more=more))
    with Client(proxy) as client:
        for _ in range(4):
            reply = client.ask(request)
            if reply.startswith(b"HTTP/1.1 100"):
                client.reply()
    assert not short


def test_other_credentials_are_another_request(proxy, upstream, short):
    upstream.reply("/v1/chat/completions", openai_chat())
    mine = b"".join(raw(proxy, ASK))
    theirs = mine.replace(b"sk-test", b"sk-else")
    with Client(proxy) as client:
        for _ in range(3):
            client.ask(mine)
        assert b"x-llm-cache: miss" in client.ask(theirs)
    assert upstream.count() == 2


def test_pipelined_requests_are_answered_in_order(proxy, upstream):
    upstream.reply("/v1/chat/completions", openai_chat())
    known = b"".join(raw(proxy, ASK))
    unknown = b"".join(raw(proxy, {**ASK, "seed": 1}))
    with Client(proxy) as client:
        for _ in range(3):
            client.ask(known)
        upstream.reply("/v1/chat/completions", Reply(json=openai_chat("second").json, delay_s=0.1))
        # The second comes while the first is at the upstream, in a piece of its own.
        replies = [client.ask(unknown, known, pause=0.05), client.reply()]
    assert b"second" in replies[0]
    assert b"x-llm-cache: miss" in replies[0]
    assert b"x-llm-cache: hit" in replies[1]


def test_a_known_head_whose_body_is_another_is_served_as_what_it_is(proxy, upstream, short):
    upstream.reply("/v1/chat/completions", openai_chat())
    head, body = raw(proxy, ASK)
    other = body.replace(b"hello", b"jello")
    with Client(proxy) as client:
        for _ in range(3):
            client.ask(head, body)
        reply = client.ask(head, other)
        assert b"x-llm-cache: miss" in reply
        halves = client.ask(head, body[:5], body[5:])
        assert b"x-llm-cache: hit" in halves
    assert len(short) == 1
    assert upstream.count() == 2
