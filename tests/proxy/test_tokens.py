"""With tokens the proxy serves nobody who has none, keeps their holders apart, and never tells a secret."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_cache.config import load
from llm_cache.errors import ConfigError
from llm_cache.proxy.app import create_app
from llm_cache.proxy.serve import check
from llm_cache.testing import FakeUpstream, anthropic_message, openai_chat

from .running import ASK, STREAM, Running, running

CHAT = "/v1/chat/completions"
A, B = "geheim-A", "geheim-B"
TOKENS = {"team-a": A, "team-b": B}


def token(secret: str) -> dict[str, str]:
    return {"x-llm-cache-token": secret}


@pytest.fixture
def locked(upstream: FakeUpstream, database: str) -> Iterator[Running]:
    upstream.reply(CHAT, openai_chat("Hello!"))
    upstream.reply("/v1/messages", anthropic_message("Hello!"))
    with running(upstream.url, database_url=database, proxy_tokens=TOKENS) as proxy:
        yield proxy


@pytest.mark.parametrize(
    "headers", [{}, token(""), token("wrong"), token(A[:-1]), token(A + "x"), token("team-a"), {"authorization": A}]
)
def test_nobody_without_a_token_is_served(headers: dict[str, str], upstream: FakeUpstream, locked: Running) -> None:
    for path in (CHAT, "/v1/models", "/metrics", "/readyz", "/health", "/dashboard", "/~/metrics"):
        for answer in (locked.get(path, headers=headers), locked.ask(path, headers=headers)):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"]
            assert A not in answer.text
            assert "x-llm-cache" not in answer.headers
    assert upstream.count() == 0


def test_a_wrong_token_in_the_path_is_refused(upstream: FakeUpstream, locked: Running) -> None:
    for path in ("/~wrong", "/~", "//~wrong", f"/~{A}x", "/~%67eheim", "/%7Ewrong", f"/~{A}%00"):
        assert locked.ask(path + CHAT).status_code == 401
        assert locked.get(path + "/metrics").status_code == 401
    assert upstream.count() == 0


def test_two_tokens_that_contradict_each_other_are_none(locked: Running) -> None:
    assert locked.ask(f"/~{A}{CHAT}", headers=token(B)).status_code == 401
    assert locked.ask(f"/~wrong{CHAT}", headers=token(A)).status_code == 401
    with socket.create_connection(("127.0.0.1", locked.port), timeout=10) as line:
        both = f"x-llm-cache-token: {A}\r\nx-llm-cache-token: wrong\r\n"
        line.sendall(f"GET /metrics HTTP/1.1\r\nhost: localhost\r\n{both}\r\n".encode())
        assert line.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_the_pulse_needs_none(locked: Running) -> None:
    assert locked.get("/healthz").status_code == 200


@pytest.mark.parametrize("first", ["header", "path", "encoded"])
def test_header_and_path_are_one(first: str, upstream: FakeUpstream, locked: Running) -> None:
    ways = {
        "header": lambda: locked.ask(headers=token(A)),
        "path": lambda: locked.ask(f"/~{A}{CHAT}"),
        "encoded": lambda: locked.ask(f"/%7e%67eheim-A/openai{CHAT}"),
    }
    assert ways.pop(first)().headers["x-llm-cache"] == "miss"
    assert [way().headers["x-llm-cache"] for way in ways.values()] == ["hit", "hit"]
    (received,) = upstream.requests
    assert received.target == CHAT
    assert "geheim" not in str(received.headers)


def test_the_scope_is_the_tokens_name_and_not_the_key(upstream: FakeUpstream, locked: Running) -> None:
    assert locked.ask(headers={**token(A), "authorization": "Bearer old"}).headers["x-llm-cache"] == "miss"
    assert locked.ask(headers={**token(A), "authorization": "Bearer new"}).headers["x-llm-cache"] == "hit"
    assert locked.ask(headers={**token(B), "authorization": "Bearer old"}).headers["x-llm-cache"] == "miss"
    assert upstream.count() == 2
    (entry, other) = locked.engine.store.scan()
    assert entry.key != other.key


def test_rotating_a_secret_keeps_the_answers(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    for secret, expected in (("old", "miss"), ("new", "hit")):
        with running(upstream.url, database_url=database, proxy_tokens={"team": secret}) as proxy:
            assert proxy.ask(headers=token(secret)).headers["x-llm-cache"] == expected


def test_shared_with_tokens_is_shared_by_their_holders(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with running(upstream.url, database_url=database, proxy_tokens=TOKENS, proxy_scope="shared") as proxy:
        assert proxy.ask(headers=token(A)).headers["x-llm-cache"] == "miss"
        assert proxy.ask(headers=token(B)).headers["x-llm-cache"] == "hit"
        assert proxy.ask().status_code == 401


def test_a_token_makes_the_host_unnecessary_but_no_page_may_use_it(upstream: FakeUpstream, locked: Running) -> None:
    assert locked.ask(headers={**token(A), "host": "proxy.team.example"}).status_code == 200
    assert locked.ask(f"/~{A}{CHAT}", headers={"host": "proxy.team.example"}).status_code == 200
    foreign = {**token(A), "host": "proxy.team.example", "origin": "http://evil.example"}
    assert locked.ask(headers=foreign).status_code == 403
    own = {**token(A), "host": "proxy.team.example", "origin": "https://proxy.team.example"}
    assert locked.ask(headers=own).status_code == 200


def test_pages_that_show_entries_are_the_admins(upstream: FakeUpstream, database: str) -> None:
    three = {**TOKENS, "admin": "geheim-admin"}
    with running(upstream.url, database_url=database, proxy_tokens=three) as proxy:
        assert proxy.get("/metrics", headers=token(A)).status_code == 200
        assert proxy.get("/dashboard", headers=token(A)).status_code == 403
        assert proxy.get("/dashboard/api/entries", headers=token(B)).status_code == 403
        assert proxy.get("/dashboard", headers=token("geheim-admin")).status_code != 403
        assert proxy.get("/~geheim-admin/dashboard").status_code != 403
    with running(upstream.url, database_url=database, proxy_tokens={"team": A}) as proxy:
        assert proxy.get("/dashboard", headers=token(A)).status_code != 403
    with running(upstream.url, database_url=database, proxy_host="0.0.0.0") as proxy:
        assert proxy.get("/dashboard", headers={"host": "127.0.0.1"}).status_code == 403


def test_errors_speak_the_apis_language(locked: Running) -> None:
    claude = locked.ask("/v1/messages", headers={"anthropic-version": "2023-06-01"}).json()
    assert (claude["type"], claude["error"]["type"]) == ("error", "authentication_error")
    assert locked.ask().json()["error"]["type"] == "authentication_error"


def said_by_us(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged, but for the tests' own HTTP client, which logs every URL."""
    records = [record for record in caplog.records if not record.name.startswith("http")]
    return "\n".join(f"{record.getMessage()} {record.exc_info or ''}" for record in records)


def test_no_secret_is_logged_or_stored(upstream: FakeUpstream, database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.reply("*", openai_chat("Hello!"))
    answers = []
    with running(upstream.url, database_url=database, proxy_tokens=TOKENS, enable_compression=False) as proxy:
        for path in (CHAT, "/v1/models", "/metrics", "/nothing"):
            answers.append(proxy.ask(f"/~{A}{path}"))
            answers.append(proxy.ask(path, headers=token(A)))
            answers.append(proxy.ask(f"/~{A}-wrong{path}"))
        answers.append(proxy.ask(f"/~{A}{CHAT}", headers={"cache-control": "only-if-cached"}, json=STREAM))
        answers.append(proxy.ask(f"/~{A}//evil.example/v1"))
    said = "".join(answer.text + str(answer.headers) for answer in answers) + said_by_us(caplog)
    assert "geheim" not in said
    assert b"geheim" not in b"".join(path.read_bytes() for path in Path(database).parent.iterdir())
    assert "200 miss" in caplog.text, "there was something to log"


def test_an_upstream_that_fails_does_not_tell_it(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running("http://127.0.0.1:1", database_url=database, proxy_tokens=TOKENS) as proxy:
        answer = proxy.ask(f"/~{A}{CHAT}")
    assert answer.status_code == 502
    assert "geheim" not in answer.text + str(answer.headers) + said_by_us(caplog)


def test_shared_with_a_network_wants_one() -> None:
    open_to_all = {"proxy_host": "0.0.0.0", "proxy_scope": "shared"}
    with pytest.raises(ConfigError, match="token"):
        check(load(open_to_all))
    check(load({**open_to_all, "proxy_tokens": {"team": "secret"}}))


def test_where_tokens_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({}, {"LLMCACHE_PROXY_TOKENS": "a=x, b=y=z"}).proxy_tokens == {"a": "x", "b": "y=z"}
    (tmp_path / "config.toml").write_text('[proxy_tokens]\nteam = "x"\n')
    assert load({}, {"LLMCACHE_CONFIG": str(tmp_path / "config.toml")}).proxy_tokens == {"team": "x"}
    assert "x" not in str(load({"proxy_tokens": {"t": "xxx"}}).shown()["proxy_tokens"]).replace("x,", "")


async def test_mounted_elsewhere_it_asks_as_well() -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    app = create_app(load({"backend": "memory", "proxy_tokens": TOKENS}))
    scope = {
        "type": "http", "method": "GET", "path": "/cache/~wrong/metrics", "raw_path": b"/cache/~wrong/metrics",
        "root_path": "/cache", "query_string": b"", "headers": [(b"host", b"localhost")], "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 401
    sent.clear()
    await app({**scope, "path": f"/cache/~{A}/metrics", "raw_path": f"/cache/~{A}/metrics".encode()}, receive, send)
    assert sent[0]["status"] == 200
    await app.close()


def test_the_memory_of_heads_remembers_whose_they_were(locked: Running) -> None:
    for _ in range(3):
        assert locked.ask(headers=token(A)).status_code == 200
        assert locked.ask(headers=token("wrong")).status_code == 401
        assert locked.ask().status_code == 401
    assert locked.ask(json=ASK, headers=token(B)).headers["x-llm-cache"] == "miss"
