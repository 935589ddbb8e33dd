"""Requests reach the upstream that is meant, and nothing in one makes the proxy ask another server."""

from __future__ import annotations

import socket

import pytest

from llm_cache.proxy.incoming import Incoming
from llm_cache.proxy.refusal import Refusal
from llm_cache.proxy.routes import Route, Routes
from llm_cache.testing import FakeUpstream, openai_chat

from .running import ASK, Running, running


def find(
    path: str, *, method: str = "POST", query: str = "", configured: dict[str, str] | None = None, **headers: str
) -> Route:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"method": method, "raw_path": path.encode(), "query_string": query.encode(), "headers": raw}
    return Routes(configured or {}).find(Incoming(scope))


@pytest.mark.parametrize(
    ("path", "headers", "name", "url"),
    [
        ("/chat/completions", {}, "openai", "https://api.openai.com/v1/chat/completions"),
        ("/v1/chat/completions", {}, "openai", "https://api.openai.com/v1/chat/completions"),
        ("/v1/messages", {}, "anthropic", "https://api.anthropic.com/v1/messages"),
        ("/groq/chat/completions", {}, "groq", "https://api.groq.com/openai/v1/chat/completions"),
        ("/openai/v1/chat/completions", {"authorization": "Bearer gsk_a"}, "groq", "https://api.groq.com/openai/v1/chat/completions"),
        ("/v1/chat/completions", {"authorization": "Bearer sk-or-a"}, "openrouter", "https://openrouter.ai/api/v1/chat/completions"),
        ("/acme/v1/chat/completions", {}, "acme", "https://llm.acme.example/v1/chat/completions"),
        ("/anthropic/v1/messages", {"authorization": "Bearer sk-or-a"}, "anthropic", "https://api.anthropic.com/v1/messages"),
    ],
)  # fmt: skip
def test_where_requests_go(path: str, headers: dict[str, str], name: str, url: str) -> None:
    route = find(path, configured={"acme": "https://llm.acme.example/v1"}, **headers)
    assert route == Route(name, url, endpoint=True)


def test_query_and_percent_encoding_stay_as_sent() -> None:
    route = find("/openai/v1/files/a%2Fb", query="a=%20b&c=d+e&a=1")
    assert route.url == "https://api.openai.com/v1/files/a%2Fb?a=%20b&c=d+e&a=1"
    assert not route.endpoint


def test_configuration_moves_a_built_in_upstream() -> None:
    assert find("/chat/completions", configured={"openai": "http://10.0.0.1:9/x/v1"}).url == (
        "http://10.0.0.1:9/x/v1/chat/completions"
    )


@pytest.mark.parametrize(
    ("path", "headers", "variable"),
    [
        ("/openai/deployments/d/chat/completions", {}, "LLMCACHE_UPSTREAMS__AZURE"),
        ("/v1/chat/completions", {"api_key": "k"}, "LLMCACHE_UPSTREAMS__AZURE"),
        ("/model/m/converse", {}, "LLMCACHE_UPSTREAMS__BEDROCK"),
    ],
)
def test_an_upstream_without_an_address_says_what_to_configure(
    path: str, headers: dict[str, str], variable: str
) -> None:
    with pytest.raises(Refusal, match=variable) as refused:
        find(path, **headers)
    assert refused.value.status == 404


HOSTILE = [
    "GET http://evil.example/v1/chat/completions",
    "POST https://evil.example/v1/chat/completions",
    "GET http://evil.example",
    "GET //evil.example/v1/chat/completions",
    "GET ///evil.example/x",
    "GET //evil/v1/models",
    "GET //user@evil/v1/models",
    "GET /../v1/models",
    "GET /v1/../../x",
    "GET /openai/../anthropic/v1/models",
    "GET /%2e%2e/x",
    "GET /v1/%2E./x",
    "GET /v1/%252e%252e/x",
    "GET /v1/..;/x",
    "GET /v1\\..\\x",
    "GET /v1/..%5cx",
    "CONNECT evil.example:443",
    "CONNECT /v1/models",
    "TRACE /v1/models",
    "OPTIONS *",
    "GET @evil.example/",
    "GET evil.example/",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_a_target_cannot_choose_the_server(line: str, behind: FakeUpstream, standing: Running) -> None:
    with socket.create_connection(("127.0.0.1", standing.port), timeout=10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert behind.count() == 0


@pytest.mark.parametrize("path", ["/~secret/v1/chat/completions", "/%7Esecret/v1/models", "//~secret/x", "/~"])
def test_a_token_segment_is_never_sent_upstream(path: str, behind: FakeUpstream, standing: Running) -> None:
    answer = standing.ask(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "no_tokens"
    assert "secret" not in answer.text
    assert behind.count() == 0


def test_a_redirect_is_not_followed(upstream: FakeUpstream, proxy: Running) -> None:
    from llm_cache.testing import Reply

    moved = Reply(status=307, json={}, headers={"location": "http://evil.example/v1/chat/completions"})
    upstream.reply("*", moved)
    for answer in (proxy.ask(), proxy.get("/v1/models")):
        assert answer.status_code == 307
        assert answer.headers["location"] == "http://evil.example/v1/chat/completions"
    assert upstream.count() == 2


def test_a_key_goes_only_where_its_request_goes(database: str) -> None:
    with FakeUpstream() as one, FakeUpstream() as two:
        for up in (one, two):
            up.reply("*", openai_chat("Hello!"))
        upstreams = {"openai": one.url, "anthropic": two.url, "groq": two.url}
        with running(None, database_url=database, upstreams=upstreams) as proxy:
            proxy.ask("/openai/v1/chat/completions", headers={"authorization": "Bearer sk-openai"})
            proxy.ask("/groq/v1/chat/completions", headers={"authorization": "Bearer sk-groq"})
            proxy.ask("/v1/chat/completions", headers={"authorization": "Bearer gsk_root"})
            proxy.ask("/v1/chat/completions", json={**ASK, "n": 1}, headers={"x-api-key": "sk-ant-root"})
        assert [received.header("authorization") for received in one.requests] == ["Bearer sk-openai"]
        assert [received.header("authorization") for received in two.requests][:2] == [
            "Bearer sk-groq",
            "Bearer gsk_root",
        ]
        assert one.count() == 1


def test_a_websocket_is_refused_clearly(behind: FakeUpstream, standing: Running) -> None:
    with socket.create_connection(("127.0.0.1", standing.port), timeout=10) as connection:
        connection.sendall(
            b"GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"WebSocket" in answer
    assert behind.count() == 0


def test_an_outer_proxy_of_the_environment_is_used_but_never_for_loopback(
    upstream: FakeUpstream, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeUpstream() as outer:
        outer.reply("*", openai_chat("Hello!"))
        upstream.reply("*", openai_chat("Hello!"))
        monkeypatch.setenv("HTTP_PROXY", outer.url.replace("//", "//user:password@"))
        monkeypatch.setenv("NO_PROXY", "direct.invalid")
        upstreams = {"acme": "http://acme.invalid/v1", "openai": upstream.url, "direct": "http://direct.invalid"}
        with running(None, database_url=database, upstreams=upstreams) as proxy:
            assert proxy.ask("/acme/chat/completions").status_code == 200
            assert proxy.ask().status_code == 200
            assert proxy.ask("/direct/v1/chat/completions").status_code in {502, 504}
        (received,) = outer.requests
        assert received.header("host") == "acme.invalid"
        assert received.path == "/v1/chat/completions"
        assert received.header("proxy-authorization")
        assert upstream.requests[0].header("proxy-authorization") is None
