"""What the cache has no part in passes through unchanged, in both directions and without waiting."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from llm_cache.testing import FakeUpstream, Received, Reply, openai_chat

from .running import ASK, NO_PROXY, Running, running


def test_a_model_list(behind: FakeUpstream, standing: Running) -> None:
    headers = {"x-ratelimit-remaining-requests": "5", "cache-control": "max-age=60", "etag": '"1"', "set-cookie": "a=b"}
    behind.reply("/v1/models", Reply(json={"data": []}, headers=headers))
    for _ in range(2):
        answer = standing.get("/v1/models")
        assert answer.json() == {"data": []}
        assert {name: answer.headers[name] for name in headers} == headers
        assert answer.headers["cache-status"] == "llm-cache; fwd=bypass; detail=unknown_endpoint"
        assert answer.headers["x-llm-cache"] == "bypass"
        assert "x-llm-cache-key" not in answer.headers
    assert behind.count() == 2


def test_an_upstreams_own_cache_status_stays_before_ours(behind: FakeUpstream, standing: Running) -> None:
    behind.reply("*", Reply(json={}, headers={"cache-status": "Edge; hit", "x-llm-cache": "hit"}))
    answer = standing.get("/v1/models")
    assert [value.partition(";")[0] for value in answer.headers.get_list("cache-status")] == ["Edge", "llm-cache"]
    assert answer.headers.get_list("x-llm-cache") == ["bypass"]


def test_compressed_bytes_stay_as_they_are(behind: FakeUpstream, standing: Running) -> None:
    plain = Reply(json={"data": ["x"] * 100})
    behind.reply("/v1/models", Reply(json={"data": ["x"] * 100}, gzip=True))
    with httpx.Client(**NO_PROXY) as client, client.stream("GET", standing.url + "/v1/models") as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.payload


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("body", [None, b"", b"some bytes"])
def test_any_method_with_and_without_a_body(
    method: str, body: bytes | None, behind: FakeUpstream, standing: Running
) -> None:
    behind.reply("*", Reply(status=202, json={"ok": True}))
    with httpx.Client(**NO_PROXY) as client:
        answer = client.request(method, standing.url + "/v1/vector_stores/vs_1?a=%20b", content=body)
    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    (received,) = behind.requests
    assert (received.method, received.target) == (method, "/v1/vector_stores/vs_1?a=%20b")
    assert received.body == (body or b"")


def test_head(behind: FakeUpstream, standing: Running) -> None:
    def reply(received: Received) -> Reply:
        return Reply(body="", headers={"x-method": received.method})

    behind.reply("*", reply)
    with httpx.Client(**NO_PROXY) as client:
        answer = client.head(standing.url + "/v1/models")
        assert (answer.status_code, answer.headers["x-method"], answer.content) == (200, "HEAD", b"")
        assert client.get(standing.url + "/v1/models").status_code == 200, "the connection is still good"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_that_have_no_body(status: int, behind: FakeUpstream, standing: Running) -> None:
    behind.reply("*", Reply(status=status, body=""))
    with httpx.Client(**NO_PROXY) as client:
        for _ in range(2):
            answer = client.delete(standing.url + "/v1/files/f")
            assert (answer.status_code, answer.content) == (status, b"")


def test_an_upload_is_not_buffered(upstream: FakeUpstream, database: str) -> None:
    seen: list[int] = []

    def reply(received: Received) -> Reply:
        seen.append(len(received.body))
        return Reply(json={"id": "file-1"})

    upstream.reply("/v1/files", reply)
    with running(upstream.url, database_url=database, proxy_max_body_mb=1) as proxy:
        with httpx.Client(**NO_PROXY) as client:
            files = {"file": ("a.jsonl", b"x" * 3_000_000), "purpose": (None, "batch")}
            assert client.post(proxy.url + "/v1/files", files=files).json() == {"id": "file-1"}

            def pieces() -> Iterator[bytes]:
                for _ in range(50):
                    yield b"y" * 100_000

            assert client.put(proxy.url + "/v1/files", content=pieces()).status_code == 200
        assert seen[0] > 3_000_000
        assert seen[1] == 5_000_000


def test_an_upload_reaches_the_upstream_while_it_is_being_sent(database: str) -> None:
    arrived = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            line, _ = server.accept()
            with line:
                got = b""
                while b"first half" not in got:
                    got += line.recv(65536)
                arrived.set()
                while b"second half" not in got:
                    got += line.recv(65536)
                line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        with running(f"http://127.0.0.1:{server.getsockname()[1]}", database_url=database) as proxy:

            def pieces() -> Iterator[bytes]:
                yield b"first half"
                assert arrived.wait(10)
                yield b"second half"

            with httpx.Client(**NO_PROXY) as client:
                assert client.post(proxy.url + "/v1/files", content=pieces()).text == "ok"
        thread.join(5)


def test_a_download_is_not_buffered(upstream: FakeUpstream, proxy: Running) -> None:
    gate = threading.Event()
    upstream.reply("*", Reply(chunks=[b"first", b"second"], gates={1: gate}, headers={"content-type": "audio/mpeg"}))
    with httpx.Client(**NO_PROXY) as client, client.stream("GET", proxy.url + "/v1/files/f/content") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        gate.set()
        assert b"".join(pieces) == b"second"


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/v1/nothing/known", "application/json", json.dumps(ASK).encode()),
        ("/v1/chat/completions", "text/plain", json.dumps(ASK).encode()),
        ("/v1/chat/completions", "application/json", b"no json"),
        ("/v1/chat/completions", "application/json", b""),
        ("/v1/chat/completions", "application/json", b'{"model": "m"}'),
        ("/v1/chat/completions", "application/json", b"[" * 100_000),
        ("/v1/responses", "application/json", b'{"model": "m", "input": "x", "conversation": "conv_1"}'),
    ],
)
def test_posts_that_cannot_be_cached(
    path: str, content_type: str, body: bytes, behind: FakeUpstream, standing: Running
) -> None:
    reply = openai_chat("Hello!")
    behind.reply("*", reply)
    with httpx.Client(**NO_PROXY) as client:
        for _ in range(2):
            answer = client.post(standing.url + path, content=body, headers={"content-type": content_type})
            assert answer.headers["x-llm-cache"] == "bypass"
            assert answer.content == reply.payload
    assert [received.body for received in behind.requests] == [body, body]


def test_a_large_json_body_arrives_whole(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    large = {"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    assert proxy.ask(json=large).headers["x-llm-cache"] == "miss"
    assert proxy.ask(json=large).headers["x-llm-cache"] == "hit"
    assert upstream.requests[0].json() == large


def test_one_connection_serves_many_requests(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    with httpx.Client(**NO_PROXY) as client:
        for at in range(20):
            body = {**ASK, "seed": at % 10}
            assert client.post(proxy.url + "/v1/chat/completions", json=body).status_code == 200
            assert client.get(proxy.url + "/v1/models").status_code == 200
    assert upstream.count() == 30
    assert upstream.connections <= 3, "connections to the upstream are used again"


def test_a_client_that_leaves_ends_what_nobody_else_wants(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", Reply(chunks=[b"first"], never_end=True, headers={"content-type": "audio/mpeg"}))
    with httpx.Client(**NO_PROXY) as client, client.stream("GET", proxy.url + "/v1/files/f/content") as answer:
        assert next(answer.iter_raw()) == b"first"
    upstream.wait_until(lambda up: up.open_connections == 0)


def test_an_upload_that_is_broken_off_is_broken_off_upstream(upstream: FakeUpstream, proxy: Running) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.sendall(b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nonly this")
        upstream.wait_until(lambda up: up.open_connections == 1)
    upstream.wait_until(lambda up: up.open_connections == 0)
    assert upstream.count() == 0, "half a request is none"


def test_the_proxy_keeps_no_cookies(upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", Reply(json={}, headers={"set-cookie": "session=somebody; Path=/"}))
    # By name, since HTTP clients keep no cookies of bare addresses anyway.
    with running(f"http://localhost:{upstream.port}", database_url=database) as proxy:
        assert proxy.get("/v1/models").headers["set-cookie"]
        proxy.get("/v1/models")
        proxy.ask()
    assert [received.header("cookie") for received in upstream.requests] == [None] * 3
