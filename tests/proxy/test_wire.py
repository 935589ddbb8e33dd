"""HTTP as it comes over the wire: in any pieces, with every framing, too large, too slow, or meant to deceive."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import pytest

from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream

from .running import ASK, STREAM, Running, running

CHAT = "/v1/chat/completions"
BODY = json.dumps(ASK).encode()
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n".encode()
CALL = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


def talk(proxy: Running, *pieces: bytes, answers: int = 1) -> bytes:
    """Send the pieces one by one on one connection, and read until so many answers are whole."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            line.sendall(piece)
            time.sleep(0.002)
        got = b""
        while got.count(b"HTTP/1.1 ") < answers or not got.endswith(b"}"):
            data = line.recv(65536)
            if not data:
                break
            got += data
        return got


def test_a_request_may_come_byte_by_byte(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    assert b"x-llm-cache: miss" in talk(proxy, *[CALL[at : at + 1] for at in range(len(CALL))])
    assert b"x-llm-cache: hit" in talk(proxy, CALL)
    assert upstream.requests[0].body == BODY


def test_pipelined_requests_are_answered_in_order(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.script(CHAT, openai_chat("one"), openai_chat("two"))
    other = BODY.replace(b"hello", b"salve")
    two = HEAD + b"content-length: %d\r\n\r\n" % len(other) + other
    got = talk(proxy, CALL + two + CALL, answers=3)
    assert got.count(b"HTTP/1.1 200") == 3
    assert got.index(b'"one"') < got.index(b'"two"') < got.rindex(b'"one"')
    assert got.count(b"x-llm-cache: hit") == 1


def test_a_chunked_request_with_trailers(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    cut = len(BODY) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:cut], BODY[cut:]))
    got = talk(
        proxy, HEAD + b"transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n" + chunks + b"0\r\nx-sum: 1\r\n\r\n"
    )
    assert got.startswith(b"HTTP/1.1 200")
    assert upstream.requests[0].body == BODY
    assert upstream.requests[0].header("content-length") == str(len(BODY))
    assert b"x-llm-cache: hit" in talk(proxy, CALL), "it is the same question"


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_a_client_that_waits_to_be_told_to_go_on(path: str, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    head = HEAD.replace(CHAT.encode(), path.encode())
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.sendall(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert line.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(BODY)
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
    assert upstream.requests[0].body == BODY


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: +5\r\n",
        b"content-length: 0x5\r\n",
        b"content-length: -1\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding : chunked\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"x: a\nb: c\r\n",
        b"x\x00y: a\r\n",
        b" folded: a\r\n",
    ],
)
def test_framing_that_could_hide_a_second_request(framing: bytes, upstream: FakeUpstream, proxy: Running) -> None:
    hidden = b"0\r\n\r\nGET /v1/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n"
    got = talk(proxy, HEAD + framing + b"\r\n" + hidden)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.count(b"HTTP/1.1 ") == 1
    assert upstream.count() == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x-a: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x-a: a\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x-a: " + b"a" * 50_000,
    ],
    ids=["long field", "many fields", "long target", "never ending"],
)
@pytest.mark.parametrize("pieces", [1, 40])
def test_a_head_over_the_limit(head: bytes, pieces: int, upstream: FakeUpstream, database: str) -> None:
    with (
        running(upstream.url, database_url=database, proxy_max_header_kb=4) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line,
    ):
        size = len(head) // pieces + 1
        for at in range(0, len(head), size):
            try:
                line.sendall(head[at : at + size])
            except OSError:
                break  # it has heard enough
            time.sleep(0.002)
        if pieces == 1 and not head.endswith(b"\n"):
            line.sendall(b"a" * 5000)
        got = b""
        with contextlib.suppress(ConnectionResetError):  # of what nobody reads any more
            while data := line.recv(65536):
                got += data
        assert got.startswith(b"HTTP/1.1 431 ")
        assert got.count(b"HTTP/1.1 ") == 1
    assert upstream.count() == 0


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_a_large_body_is_no_large_head(size: int, upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    body = json.dumps({**ASK, "pad": "x" * size}).encode()
    head = HEAD + b"content-length: %d\r\n\r\n" % len(body)
    twice = (head + body) * 2
    first = len(head) + len(body)
    with running(upstream.url, database_url=database, proxy_max_header_kb=4) as proxy:
        # In the head, at its end, and in the head that comes behind a body.
        for cut in (10, len(HEAD) + 5, len(head) - 1, len(head) + 1, first - 1, first + 30):
            got = talk(proxy, twice[:cut], twice[cut:], answers=2)
            assert got.count(b"HTTP/1.1 200") == 2


def test_a_silent_client_is_let_go(upstream: FakeUpstream, proxy: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_cache.proxy.protocol.SILENCE_S", 0.2)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    for sent in (b"", b"\r\n", b"POST /v1/chat", head + b"content-length: 9\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as line:
            line.sendall(sent)
            assert line.recv(65536) == b""


def test_http_1_0_gets_no_chunks_on_a_hit(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat_stream(["Hello"]))
    proxy.ask(json=STREAM)
    body = json.dumps(STREAM).encode()
    head = f"POST {CHAT} HTTP/1.0\r\ncontent-type: application/json\r\nauthorization: Bearer sk-test\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        got = b""
        while data := line.recv(65536):
            got += data
    assert b"x-llm-cache: hit" in got
    assert b"transfer-encoding" not in got
    assert got.endswith(b"data: [DONE]\n\n")
