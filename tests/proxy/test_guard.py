"""Web pages cannot use the proxy: neither by a name bound to our address, nor from another origin."""

from __future__ import annotations

import socket

import pytest

from llm_cache.proxy.guard import Guard, is_loopback
from llm_cache.proxy.incoming import Incoming
from llm_cache.proxy.refusal import Refusal
from llm_cache.testing import FakeUpstream, openai_chat

from .running import Running


def check(
    host: str | None, *, origin: str | None = None, allowed: tuple[str, ...] = (), bound: str = "127.0.0.1"
) -> None:
    headers = [(b"host", host.encode())] if host is not None else []
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    scope = {"method": "GET", "raw_path": b"/", "query_string": b"", "headers": headers}
    Guard(bound, allowed).check(Incoming(scope))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8100",
        "LocalHost.",
        "app.localhost:1",
        "127.0.0.1:8100",
        "10.1.2.3",
        "[::1]:8100",
        "[2001:db8::1]",
        "proxy.example:8100",
        "exact.example:9",
    ],
)
def test_our_own_names(host: str) -> None:
    check(host, allowed=("Proxy.Example", "exact.example:9"))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "example.org",
        "127.0.0.1.evil.example",
        "",
        "127.1",
        "exact.example:8",
        None,
    ],
)
def test_other_names(host: str | None) -> None:
    with pytest.raises(Refusal):
        check(host, allowed=("exact.example:9"))


def test_the_bound_name() -> None:
    check("proxy.internal:8100", bound="proxy.internal")


@pytest.mark.parametrize("origin", ["http://localhost:8100", "https://LOCALHOST:8100"])
def test_our_own_origin(origin: str) -> None:
    check("localhost:8100", origin=origin)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://localhost:3000", "http://localhost", "localhost:8100"]
)
def test_foreign_origins(origin: str) -> None:
    with pytest.raises(Refusal) as refused:
        check("localhost:8100", origin=origin)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9:80", True), ("localhost:1", True), ("[::1]:1", True), ("::1", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("proxy.example", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/metrics", "/health", "/readyz", "/dashboard"])
@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
def test_everything_is_guarded(path: str, headers: dict[str, str], behind: FakeUpstream, standing: Running) -> None:
    assert standing.get(path, headers=headers).status_code == 403
    assert standing.ask(path, headers=headers).status_code == 403
    assert behind.count() == 0


def test_only_the_pulse_is_open(standing: Running) -> None:
    assert standing.get("/healthz", headers={"host": "evil.example", "origin": "null"}).status_code == 200


def test_two_hosts_are_refused(behind: FakeUpstream, standing: Running) -> None:
    behind.reply("*", openai_chat("Hello!"))
    for hosts, status in ((b"", 400), (b"host: localhost\r\nhost: localhost\r\n", 400), (b"host: localhost\r\n", 200)):
        with socket.create_connection(("127.0.0.1", standing.port), timeout=10) as connection:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\n" + hosts + b"connection: close\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status)
