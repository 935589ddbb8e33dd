"""What somebody who had not written the proxy found by attacking it. Each of these worked once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from llm_cache.core.policy import Policy
from llm_cache.providers.upstreams import detect
from llm_cache.proxy.client import Client, Gone
from llm_cache.proxy.incoming import _ROLES, Incoming
from llm_cache.proxy.memo import Memo
from llm_cache.proxy.refusal import Refusal
from llm_cache.proxy.routes import Routes
from llm_cache.proxy.steering import steer
from llm_cache.testing import FakeUpstream, Reply, openai_chat

from .running import ASK, Running, running

CHAT = "/v1/chat/completions"
BODY = json.dumps(ASK).encode()
OFFERS = (
    b"connection: upgrade\r\nupgrade: h2c\r\n",
    b"Connection: HTTP2-Settings ,UPGRADE\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"connection: x-none\r\nconnection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\n",
    b"proxy-connection: upgrade\r\nupgrade: other/1\r\n",
)


def request(path: str, more: bytes, body: bytes, key: bytes = b"sk-test") -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" % path.encode()
    return b"%bauthorization: Bearer %b\r\n%bcontent-length: %d\r\n\r\n%b" % (head, key, more, len(body), body)


def send(proxy: Running, *pieces: bytes) -> bytes:
    """What comes back to these pieces within ten seconds, until an answer seems whole."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            line.sendall(piece)
            time.sleep(0.01)
        got = b""
        while not got.endswith((b"}", b">")) and (data := line.recv(65536)):
            got += data
        return got


# A body that never comes, and whose length goes on


class Hasty:
    """An upstream that answers as soon as it has a head, and takes the body off the connection afterwards."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as reader, contextlib.suppress(OSError):
            while first := reader.readline():
                head = first + b"".join(iter(reader.readline, b"\r\n"))
                key = re.search(rb"authorization: ([^\r]*)", head)
                said = b'{"to": "%b"}' % (key[1] if key else b"nobody")
                reply = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                line.sendall(reply % (len(said), said))
                length = re.search(rb"content-length: (\d+)", head)
                reader.read(int(length[1]) if length else 0)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    upstream = Hasty()
    yield upstream
    upstream.close()


@pytest.mark.parametrize("offer", OFFERS)
def test_nobodys_request_is_taken_for_the_body_of_anothers(offer: bytes, hasty: Hasty) -> None:
    with running(hasty.url, database_url=":memory:") as proxy:
        send(proxy, request("/v1/files", offer, b"x" * 150, b"sk-attacker"))
        hidden = b"GET /hidden HTTP/1.1\r\nauthorization: Bearer sk-hidden\r\n\r\n".ljust(500)
        got = send(proxy, request("/v1/files", b"", hidden, b"sk-victim"))
        assert got.endswith(b'{"to": "Bearer sk-victim"}')


@pytest.mark.parametrize("offer", OFFERS[:2] + OFFERS[3:])
@pytest.mark.parametrize("cut", [False, True])
def test_an_offer_of_another_protocol_is_ignored(
    offer: bytes, cut: bool, upstream: FakeUpstream, proxy: Running
) -> None:
    """Java's own client makes one with each request."""
    upstream.reply("*", openai_chat("Hello!"))
    call = request(CHAT, offer, BODY)
    pieces = [call[at : at + 7] for at in range(0, len(call), 7)] if cut else [call]
    for status in (b"miss", b"hit", b"hit"):
        assert b"x-llm-cache: " + status in send(proxy, *pieces)
    assert send(proxy, request("/v1/files", offer, b"some bytes")).startswith(b"HTTP/1.1 200")
    assert [each.body for each in upstream.requests] == [BODY, b"some bytes"]
    assert all(each.header("upgrade") is None for each in upstream.requests)


def test_websockets_are_still_refused(upstream: FakeUpstream, proxy: Running) -> None:
    offer = b"connection: upgrade\r\nupgrade: websocket\r\n"
    assert send(proxy, request(CHAT, offer, BODY)).startswith(b"HTTP/1.1 501")
    assert upstream.count() == 0


@pytest.mark.parametrize("pieces", [[b""], [b"abc"], [b"abcdef"], [b"ab", b"cd"]])
async def test_a_body_of_another_length_than_declared_is_none(pieces: list[bytes]) -> None:
    def client() -> Client:
        messages = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
        messages[-1]["more_body"] = False

        async def receive() -> dict[str, object]:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop(0)

        return Client(receive)

    with pytest.raises(Gone):
        await client().read(100, 5)
    with pytest.raises(Gone):
        _ = [piece async for piece in client().pieces(5)]
    assert await client().read(100, len(b"".join(pieces))) == b"".join(pieces)
    whole = client()
    assert [piece async for piece in whole.pieces(None)] == [piece for piece in pieces if piece]
    whole.finish()


def test_a_length_may_have_thousands_of_zeros(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    call = request(CHAT, b"", BODY).replace(b"content-length: ", b"content-length: " + b"0" * 5000)
    assert send(proxy, call).startswith(b"HTTP/1.1 200")
    assert upstream.requests[0].header("content-length") == str(len(BODY))


# One request that keeps everybody waiting


@pytest.mark.parametrize("value", ["a" + " " * 60000 + "b", "a=" + " " * 60000 + '"b', "a =" + " " * 60000 + 'b"'])
def test_white_space_in_a_directive_takes_no_time(value: str) -> None:
    began = time.process_time()
    with pytest.raises(Refusal):
        steer([(b"cache-control", value.encode())], Policy())
    assert time.process_time() - began < 1


@pytest.mark.parametrize("end", [":" + "a" * 30000 + "-", ":a" * 15000 + "-"])
def test_many_segments_of_a_path_take_no_time(end: str) -> None:
    began = time.process_time()
    assert detect("/projects/" * 3000 + end, "", ()) == "openai"
    assert time.process_time() - began < 1


# Memory


def test_what_has_grown_is_counted_and_goes_when_it_is_too_much() -> None:
    memo: Memo[int] = Memo(1000)
    for each in range(4):
        memo.put(each, each, 50)
    memo.weigh("unknown", 900)
    memo.weigh(3, 851)
    assert [memo.get(each) for each in range(4)] == [None, 1, 2, 3]


@pytest.mark.usefixtures("quiet")
def test_many_spellings_of_one_request_do_not_keep_its_long_answer_each(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("x" * 200_000))
    shortcut = proxy.app.shortcut
    for number in range(200):
        call = request(CHAT, b"x-number: %d\r\n" % number, BODY)
        for _ in range(2 + (number == 0)):
            send(proxy, call)
    replies = [known.reply for known, _ in shortcut._known._values.values()]
    assert any(replies), "the short way was taken"
    assert sum(map(len, replies)) < 33 * 1024 * 1024
    assert upstream.count() == 1


def test_long_names_and_paths_are_not_remembered() -> None:
    """Of 64 KB each, they took half a gigabyte of every worker for good."""
    roles, routes = dict(_ROLES), Routes({"openai": "http://127.0.0.1:9/v1"})
    for number in range(20):
        head = {"method": "GET", "raw_path": b"/openai/%d" % number + b"a" * 50_000, "query_string": b""}
        incoming = Incoming({**head, "headers": [(b"x-%d" % number + b"a" * 50_000, b"1"), (b"host", b"localhost")]})
        assert routes.find(incoming).url.endswith("a")
        assert len(incoming.headers) == 1
    assert roles == _ROLES
    assert not routes._joined


# Tokens, and the dashboard


@pytest.mark.parametrize("path", ["/~geheim/v1/x", "/openai/~geheim/v1/x", "/%7Egeheim/v1/x", "/openai/%2f%7egeheim"])
@pytest.mark.parametrize("tokens", [{}, {"a": "another"}])
def test_a_token_in_the_wrong_place_is_not_logged(
    path: str, tokens: dict[str, str], upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "llm_cache")
    upstream.reply("*", openai_chat("Hello!"))
    with running(upstream.url, database_url=":memory:", proxy_tokens=tokens) as proxy:
        send(proxy, request(path, b"", BODY))
    if "%2f" not in path:  # that is one segment with a slash in it
        assert upstream.count() == 0, "nor is it sent on"
    said = [record.getMessage() for record in caplog.records if record.name == "llm_cache"]
    assert any("POST" in each for each in said)
    assert not [each for each in said if "geheim" in each]


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml; charset=utf-8", "", "text/x"])
def test_a_page_of_an_upstream_is_none_of_ours(kind: str, behind: FakeUpstream, standing: Running) -> None:
    """A browser would let its scripts read the dashboard, which is at the same address."""
    behind.reply("*", Reply(body=b"<script>fetch('/dashboard/api/entries')</script>", headers={"content-type": kind}))
    answer = standing.get("/openai/page")
    assert "sandbox" in answer.headers.get_list("content-security-policy")


def test_data_of_an_upstream_gets_no_policy(behind: FakeUpstream, standing: Running) -> None:
    behind.reply("*", Reply(json={}))
    assert "content-security-policy" not in standing.get("/openai/v1/models").headers
