"""Hostile and odd HTTP over raw sockets: nothing is answered twice, mixed up, sent on or kept that should not be."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import replace

import pytest

from llm_cache.testing import FakeUpstream, Reply, openai_chat, openai_chat_stream

from .running import ASK, STREAM, Running, running

CHAT = "/v1/chat/completions"
BODY = json.dumps(ASK).encode()


def request(path: str = CHAT, body: bytes | None = BODY, *fields: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "authorization: Bearer sk-test", *fields]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def connect(proxy: Running) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def rest(line: socket.socket) -> bytes:
    """Everything until the other side closes."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := line.recv(65536):
            got += data
    return got


def answers(raw: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of each answer that is whole, read as strictly as it was framed."""
    found = []
    while raw:
        head, blank, raw = raw.partition(b"\r\n\r\n")
        assert blank, head
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert len(fields) == len(lines), "no field came twice"
        status = int(first.split()[1])
        if fields.get("transfer-encoding") == "chunked":
            assert "content-length" not in fields
            body = b""
            while True:
                size, _, raw = raw.partition(b"\r\n")
                length = int(size, 16)
                body, raw = body + raw[:length], raw[length + 2 :]
                if not length:
                    break
        else:
            length = int(fields.get("content-length", 0))
            body, raw = raw[:length], raw[length:]
        found.append((status, fields, body))
    return found


def test_a_hundred_pipelined_requests(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    upstream.reply("/v1/models", Reply(json={"data": []}))
    many = [request(), request("/v1/models", None, method="GET"), request("/nothing/else", b"{}")] * 33
    with connect(proxy) as line:
        line.sendall(b"".join(many) + request("/healthz", None, "connection: close", method="GET"))
        got = answers(rest(line))
    assert [status for status, _, _ in got] == [200, 200, 404] * 33 + [200]
    assert {body for _, _, body in got[1::3]} == {b'{"data": []}', b'{"data":[]}'} & {got[1][2]}
    assert {fields["x-llm-cache"] for _, fields, _ in got[:-1:3]} == {"miss", "hit"}
    assert upstream.count(CHAT) == 1


def test_a_connection_is_used_again_after_every_kind_of_answer(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat_stream(["a", "b"]))
    upstream.reply("/v1/models", Reply(json={"data": []}))
    stream = json.dumps(STREAM).encode()
    with connect(proxy) as line:
        for ask, status in (
            (request(CHAT, stream), 200),
            (request(CHAT, stream), 200),
            (request("/v1/models", None, method="GET"), 200),
            (request(CHAT, b"{}", "x-llm-cache-mode: nonsense"), 400),
            (request(CHAT, stream, "cache-control: only-if-cached", "x-llm-cache-namespace: other"), 504),
            (request("/metrics", None, method="GET"), 200),
            (request("/azure/x", b"{}"), 404),
        ):
            line.sendall(ask)
            got = b""
            while True:
                got += line.recv(65536)
                with contextlib.suppress(AssertionError, ValueError):
                    ((found, _, body),) = answers(got)
                    if status != 200 or len(body) > 5:
                        break
            assert found == status
    assert upstream.count(CHAT) == 1


def test_head_gets_no_body_and_the_next_answer_is_not_taken_for_one(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/models", Reply(json={"data": []}))
    with connect(proxy) as line:
        for path in ("/v1/models", "/healthz", "/metrics", "/~x/y"):
            line.sendall(request(path, None, method="HEAD"))
        line.sendall(request("/healthz", None, "connection: close", method="GET"))
        raw = rest(line)
    assert raw.count(b"HTTP/1.1 ") == 5
    assert raw.endswith(b'\r\n\r\n{"status":"ok"}')
    assert raw.count(b"{") == 1


@pytest.mark.parametrize(
    "chunks",
    [
        b"5;name=value\r\nhello\r\n0\r\n\r\n",  # an extension is allowed, and goes no further
        b"5\r\nhello\r\n0\r\nx-llm-cache-namespace: other\r\nauthorization: Bearer other\r\n\r\n",
        b"005\r\nhello\r\n000\r\n\r\n",
    ],
)
def test_trailers_and_extensions_change_nothing(chunks: bytes, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/files", Reply(json={}))
    with connect(proxy) as line:
        line.sendall(request("/v1/files", None, "transfer-encoding: chunked", "connection: close") + chunks)
        ((status, _, _),) = answers(rest(line))
    assert status == 200
    (received,) = upstream.requests
    assert received.body == b"hello"
    assert received.header("authorization") == "Bearer sk-test"


@pytest.mark.parametrize(
    "chunks",
    [
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"zz\r\n",
        b"fffffffffffffffff\r\n",
        b"5 \x00\r\nhello\r\n",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_chunks_that_are_none(chunks: bytes, path: str, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    with connect(proxy) as line:
        line.sendall(request(path, None, "content-type: application/json", "transfer-encoding: chunked") + chunks)
        line.sendall(request("/v1/hidden", None, method="GET"))
        raw = rest(line)
    assert raw.count(b"HTTP/1.1 ") <= 1
    assert not raw or raw.startswith(b"HTTP/1.1 400 ")
    assert not [each for each in upstream.requests if each.target == "/v1/hidden"]
    assert proxy.engine.ledger.stats().entries == 0


@pytest.mark.parametrize(
    "start",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # somebody who speaks TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/3.0\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"BREW / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\xff" * 100 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so_and_let_go(start: bytes, behind: FakeUpstream, standing: Running) -> None:
    with connect(standing) as line:
        line.sendall(start)
        raw = rest(line)
    ((status, fields, body),) = answers(raw)
    assert status == 400
    assert fields["connection"] == "close"
    assert json.loads(body)["error"]["code"] == "bad_request"
    assert behind.count() == 0


@pytest.mark.parametrize(
    ("path", "fields", "find"),
    [
        (CHAT, (), lambda body: body["error"]["code"] == "head_too_large"),
        ("/v1/messages", (), lambda body: (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")),
        ("/x", ("anthropic-version: 2023-06-01",), lambda body: body["type"] == "error"),
        ("/v1/models/m:generateContent", (), lambda body: body["error"]["status"] == "INVALID_ARGUMENT"),
        ("/cohere/v2/chat", (), lambda body: "proxy_max_header_kb" in body["message"]),
        ("/api/chat", (), lambda body: "proxy_max_header_kb" in body["error"]),
    ],
)
def test_a_head_that_is_too_large_is_told_in_the_apis_words(path, fields, find, upstream, database: str) -> None:
    with running(upstream.url, database_url=database, proxy_max_header_kb=2) as proxy:
        with connect(proxy) as line:
            line.sendall(request(path, BODY, *fields, f"x-large: {'x' * 4000}"))
            ((status, _, body),) = answers(rest(line))
    assert status == 431
    assert find(json.loads(body))
    assert upstream.count() == 0


def test_a_bad_request_behind_a_good_one_does_not_answer_for_it(upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat_stream(["a", "b"]), gates={1: gate}))
    with connect(proxy) as line:
        line.sendall(request(CHAT, json.dumps(STREAM).encode()))
        got = line.recv(65536)
        line.sendall(b"NONSENSE\x00\r\n\r\n")
        got += rest(line)
        gate.set()
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"HTTP/1.1") == 1
    until = time.monotonic() + 10
    while proxy.engine.ledger.stats().entries == 0:  # it was paid for, and is drained
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("slowly", ["head", "body"])
def test_a_slow_loris_is_let_go_and_keeps_nobody_waiting(
    slowly: str, upstream: FakeUpstream, proxy: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    monkeypatch.setattr("llm_cache.proxy.protocol.SILENCE_S", 0.3)
    monkeypatch.setattr("llm_cache.proxy.protocol.HEAD_S", 0.6)
    lines = [connect(proxy) for _ in range(50)]
    try:
        start = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" if slowly == "head" else request()[:-10]
        for line in lines:
            line.sendall(start)
        assert proxy.ask().status_code == 200
        if slowly == "head":  # a byte now and then, so that it is never silent for long
            for _ in range(8):
                time.sleep(0.15)
                for line in lines:
                    with contextlib.suppress(OSError):
                        line.sendall(b"a")
            for line in lines:
                line.settimeout(0.05)  # it is let go already, and not because it is silent now
        for line in lines:
            assert not rest(line).startswith(b"HTTP/1.1 200")
    finally:
        for line in lines:
            line.close()
    assert upstream.count() == 1


def test_a_target_that_is_a_whole_url_goes_nowhere(behind: FakeUpstream, standing: Running) -> None:
    with connect(standing) as line:
        line.sendall(request(f"http://127.0.0.1:{behind.url.rpartition(':')[2]}/v1/models", None, method="GET"))
        assert line.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert behind.count() == 0


def test_headers_that_name_another_place_are_only_headers(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/models", Reply(json={}))
    names = (
        "x-forwarded-host", "forwarded", "x-original-url", "x-rewrite-url", "x-host", "x-upstream",
        "x-llm-cache-upstream", "x-llm-cache-scope", "helicone-target-url", "proxy",
    )  # fmt: skip
    headers = dict.fromkeys(names, "http://evil.invalid/")
    assert proxy.get("/v1/models", headers={**headers, "authorization": "Bearer sk-test"}).status_code == 200
    (received,) = upstream.requests
    assert received.header("x-llm-cache-scope") is None


@pytest.mark.parametrize("path", ["/bedrock/model/m/converse", "/model/m/converse", "/v1/chat/completions"])
def test_a_signature_for_another_host_is_refused(path: str, behind: FakeUpstream, standing: Running) -> None:
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature=abc"}
    answer = standing.ask(path, headers=signed)
    assert answer.status_code == 400
    assert "AWS_BEARER_TOKEN_BEDROCK" in answer.text
    assert "AKIA" not in answer.text
    assert standing.get("/v1/models?X-Amz-Signature=abc").status_code == 400
    assert behind.count() == 0


def test_bedrocks_own_keys_pass(upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", Reply(json={}))
    with running(None, database_url=database, upstreams={"bedrock": upstream.url}) as proxy:
        answer = proxy.ask("/model/anthropic.claude%3A0/converse", headers={"authorization": "Bearer bedrock-key-x"})
    assert answer.status_code == 200
    (received,) = upstream.requests
    assert received.target == "/model/anthropic.claude%3A0/converse"
    assert received.header("authorization") == "Bearer bedrock-key-x"


def test_a_log_line_cannot_be_forged(standing: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "llm_cache")
    for path in (b"/v1/x%0a2026_INFO_forged" + b"a" * 2000, b"/azure/\xc2\x9b2J\x85x", b"/azure/\x1b[2Jx"):
        with connect(standing) as line:
            line.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            rest(line)
    lines = [record.getMessage() for record in caplog.records if record.name == "llm_cache"]
    assert lines
    assert all(each.isascii() or "…" in each for each in lines)
    assert all(each.isprintable() and len(each) < 500 for each in lines)
