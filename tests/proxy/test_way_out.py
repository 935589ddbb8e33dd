"""The way to an upstream: TLS that can be trusted or not, proxies of the environment, redirects that nobody follows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from llm_cache.proxy.upstream import trusted
from llm_cache.testing import FakeUpstream, Reply, openai_chat

from .running import ASK, NO_PROXY, Process, running
from .tls import behind_tls, certificate

CHAT = "/v1/chat/completions"
THROUGH = 'The upstream "openai" could not be reached through the proxy that the environment names: '


def test_a_certificate_that_nobody_vouches_for(upstream: FakeUpstream, database: str, tmp_path: Path) -> None:
    with behind_tls(upstream.port, certificate(tmp_path)) as url, running(url, database_url=database) as proxy:
        answer = proxy.ask()
    assert answer.status_code == 502
    assert answer.json()["error"]["message"].endswith("there is no TLS connection that can be trusted.")
    assert upstream.count() == 0


def test_a_certificate_that_the_environment_vouches_for(upstream: FakeUpstream, database: str, tmp_path: Path) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    files = certificate(tmp_path)
    with behind_tls(upstream.port, files) as url:
        given = {"proxy_port": 0, "upstreams": {"openai": url}, "database_url": database}
        with Process(given, {"SSL_CERT_FILE": files[0]}) as process, httpx.Client(**NO_PROXY) as client:
            assert client.post(process.url() + CHAT, json=ASK).status_code == 200
    assert upstream.count() == 1


def test_where_the_system_trusts_nobody_it_is_whom_the_sdks_trust() -> None:
    pytest.importorskip("certifi")
    code = "from llm_cache.proxy.upstream import trusted; print(trusted().cert_store_stats()['x509_ca'])"
    nothing = {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **nothing}, capture_output=True, text=True, timeout=30
    )
    assert int(done.stdout) > 50, done.stderr
    assert trusted() is True, "what the environment names is enough"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_the_clients_to_follow(status: int, upstream: FakeUpstream, database: str) -> None:
    with FakeUpstream() as other:
        where = f"{other.url}/v1/elsewhere"
        upstream.reply("*", Reply(status=status, headers=(("location", where),), body=b""))
        with running(upstream.url, database_url=database) as proxy:
            for answer in (proxy.ask(), proxy.ask(), proxy.get("/v1/models")):
                assert (answer.status_code, answer.headers["location"]) == (status, where)
        assert upstream.count() == 3, "and none of it is kept"
        assert other.count() == 0


@contextmanager
def forwarding(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A forward proxy that says the same to everybody, and the first line of each request that it got."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    asked.append(line.recv(65536).partition(b"\r\n")[0])
                    line.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_calls_go_through_the_proxy_of_the_environment(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = openai_chat("Hello!").payload
    said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with forwarding(said) as (url, asked):
        monkeypatch.setenv("HTTP_PROXY", url)
        with running("http://llm.invalid", database_url=database) as proxy:
            assert [proxy.ask().headers["x-llm-cache"] for _ in range(2)] == ["miss", "hit"]
        assert asked == [b"POST http://llm.invalid/v1/chat/completions HTTP/1.1"]
        monkeypatch.setenv("NO_PROXY", ".invalid")
        with running("http://llm.invalid", database_url=database) as proxy:
            assert proxy.ask(json={**ASK, "seed": 1}).status_code in {502, 504}
        assert len(asked) == 1


def test_loopback_is_reached_without(upstream: FakeUpstream, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with running(upstream.url, database_url=database) as proxy:
        assert proxy.ask().status_code == 200


def test_a_proxy_that_refuses_is_told_from_the_upstream(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with forwarding(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n") as (url, asked):
        monkeypatch.setenv("HTTPS_PROXY", url)
        with running("https://llm.invalid", database_url=database) as proxy:
            answer = proxy.ask()
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == THROUGH + "it answered 407."
    assert asked == [b"CONNECT llm.invalid:443 HTTP/1.1"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("http://127.0.0.1:1", "Connection refused."),
        ("127.0.0.1:1", "Connection refused."),
        ("socks5://127.0.0.1:1", "it is of the kind socks5, and only HTTP proxies are used."),
    ],
)
def test_a_proxy_that_cannot_be_used(value: str, why: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with running("https://llm.invalid", database_url=database) as proxy:
        answer = proxy.ask()
    assert (answer.status_code, answer.json()["error"]["message"]) == (502, THROUGH + why)
    assert proxy.app._row.under_way == 0
