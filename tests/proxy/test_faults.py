"""What goes wrong is told truthfully, in the words of the API that was called; a failing store costs nobody a call."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from llm_cache.testing import FakeUpstream, Reply, anthropic_message, openai_chat, openai_chat_stream

from .running import ASK, NO_PROXY, STREAM, Running, folder, running

CHAT = "/v1/chat/completions"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_a_refused_connection(database: str) -> None:
    with running(f"http://127.0.0.1:{free_port()}", database_url=database) as proxy:
        answer = proxy.ask()
        assert answer.status_code == 502
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("api_error", "upstream_unreachable")
        assert error["message"] == 'The upstream "openai" could not be reached: Connection refused.'
        assert answer.headers["cache-status"] == "llm-cache; fwd=miss; detail=upstream_unreachable"
        claude = proxy.ask("/v1/messages", headers={"anthropic-version": "2023-06-01"})
        assert claude.json() == {"type": "error", "error": claude.json()["error"]}
        assert proxy.get("/v1/models").status_code == 502


def test_a_name_that_nobody_has(database: str) -> None:
    with running("http://nobody.invalid", database_url=database) as proxy:
        answer = proxy.ask()
        assert answer.status_code in {502, 504}  # some resolvers take their time over it


def test_tls_with_somebody_who_does_not_speak_it(database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.recv(65536)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with running(f"https://127.0.0.1:{server.getsockname()[1]}", database_url=database) as proxy:
            answered = proxy.ask()
    assert answered.status_code == 502
    assert "TLS" in answered.json()["error"]["message"]


def test_a_connection_that_takes_too_long(upstream: FakeUpstream, database: str) -> None:
    # The fake waits for a request, where it should shake hands.
    url = upstream.url.replace("http:", "https:")
    with running(url, database_url=database, proxy_connect_timeout_s=0.3) as proxy:
        answer = proxy.ask()
    assert answer.status_code == 504
    assert "could not be reached in time" in answer.json()["error"]["message"]


def test_silence_before_the_head_is_a_timeout(upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", Reply(hang=True))
    with running(upstream.url, database_url=database, proxy_idle_timeout_s=0.3) as proxy:
        for answer in (proxy.ask(), proxy.ask(json=STREAM), proxy.get("/v1/models")):
            assert answer.status_code == 504
            assert answer.json()["error"]["type"] == "timeout_error"


def test_silence_in_a_stream_breaks_it_off(upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", replace(openai_chat_stream(["a", "b"]), gates={1: threading.Event()}))
    with (
        running(upstream.url, database_url=database, proxy_idle_timeout_s=0.3) as proxy,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        proxy.ask(json=STREAM)


def test_a_call_may_not_last_for_ever(upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", Reply(chunks=iter(lambda: b"data: {}\n\n", b""), chunk_delay_s=0.05))
    with (
        running(upstream.url, database_url=database, proxy_total_timeout_s=0.5) as proxy,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        proxy.ask(json=STREAM)


@pytest.mark.parametrize("fault", [Reply(reset=True), Reply(no_head=True)])
def test_a_connection_that_dies_before_the_head(fault: Reply, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.script("*", fault, fault)
    for answer in (proxy.ask(), proxy.get("/v1/models")):
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "upstream_failed"
    assert upstream.count() == 2, "the proxy never tries again by itself"


def test_a_plain_answer_that_breaks_off_is_a_bad_gateway(upstream: FakeUpstream, proxy: Running) -> None:
    whole = openai_chat("Hello!")
    upstream.script(CHAT, replace(whole, declared_length=10_000), replace(whole, break_after_bytes=20), whole)
    assert [proxy.ask().status_code for _ in range(3)] == [502, 502, 200]
    assert upstream.count() == 3


def test_a_passing_answer_that_breaks_off_is_broken_off(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", Reply(body=b"x" * 100, declared_length=10_000))
    with pytest.raises(httpx.RemoteProtocolError):
        proxy.get("/v1/files/f/content")


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 999 Denied\r\ncontent-length: 2\r\n\r\n{}"]
)
def test_an_answer_that_is_no_http(answer: bytes, database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            for _ in range(2):
                line, _ = server.accept()
                with line:
                    line.recv(65536)
                    line.sendall(answer)

        threading.Thread(target=talk, daemon=True).start()
        with running(f"http://127.0.0.1:{server.getsockname()[1]}", database_url=database) as proxy:
            assert proxy.ask().status_code == 502
            assert proxy.get("/v1/models").status_code == 502


def test_no_message_holds_a_key(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "llm_cache")
    with running(f"http://127.0.0.1:{free_port()}", database_url=database) as proxy:
        answer = proxy.ask(f"{CHAT}?key=sk-SECRET", headers={"authorization": "Bearer sk-SECRET"})
        passing = proxy.get("/v1/models?key=sk-SECRET", headers={"x-api-key": "sk-SECRET"})
    assert "SECRET" not in answer.text + passing.text + str(answer.headers) + caplog.text
    assert "502" in caplog.text


def test_a_body_over_the_limit(upstream: FakeUpstream, database: str) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    large = {"model": "m", "messages": [{"role": "user", "content": "x" * 1_200_000}]}
    with running(upstream.url, database_url=database, proxy_max_body_mb=1) as proxy:
        for answer in (
            proxy.ask(json=large),
            proxy.ask(
                json=None, content=iter([json.dumps(large).encode()]), headers={"content-type": "application/json"}
            ),
        ):
            assert answer.status_code == 413
            assert answer.json()["error"]["type"] == "request_too_large"
            assert "proxy_max_body_mb" in answer.json()["error"]["message"]
        assert upstream.count() == 0
        assert proxy.ask("/v1/unknown", json=large).status_code == 200


def test_more_calls_than_allowed(upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    upstream.reply("*", replace(openai_chat("Hello!"), gates={"head": gate}))
    with running(upstream.url, database_url=database, proxy_max_upstream_calls=1) as proxy:
        first = threading.Thread(target=proxy.ask)
        first.start()
        upstream.wait_for(1)
        answer = proxy.ask(json={**ASK, "seed": 1})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert proxy.get("/v1/models").status_code == 503
        gate.set()
        first.join(10)
        assert proxy.ask(json={**ASK, "seed": 1}).status_code == 200
        assert proxy.ask().headers["x-llm-cache"] == "hit", "a hit needs no upstream"
        assert proxy.app._row.under_way == 0


@pytest.mark.parametrize("fault", ["a folder", "read-only", "random bytes"])
def test_a_store_that_fails_costs_no_call(
    fault: str, upstream: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "cache.db"
    if fault == "a folder":
        folder(place)
    elif fault == "read-only":
        (tmp_path / "locked").mkdir(mode=0o500)
        place = tmp_path / "locked" / "file" / "cache.db"
        (tmp_path / "locked").chmod(0o700)
        (tmp_path / "locked" / "file").write_text("not a folder")
    else:
        place.write_bytes(b"\x00random" * 1000)
    upstream.reply(CHAT, openai_chat("Hello!"))
    upstream.reply("/v1/messages", anthropic_message("Hello!"))
    with running(upstream.url, database_url=str(place)) as proxy:
        for _ in range(3):
            answer = proxy.ask()
            assert answer.json()["choices"][0]["message"]["content"] == "Hello!"
        assert proxy.ask(json=STREAM).status_code == 200
        assert proxy.get("/healthz").status_code == 200
        assert proxy.get("/metrics").status_code == 200
        if fault != "random bytes":  # which are set aside, so that the cache works again
            assert answer.headers["cache-status"] == "llm-cache; fwd=miss"
            assert proxy.get("/readyz").status_code == 503
            assert proxy.get("/health").json()["status"] == "degraded"


def test_a_store_that_comes_back_is_used_as_if_it_had_never_been_away(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_cache.proxy.scope._AGAIN_S", 0.1)
    upstream.reply(CHAT, openai_chat("Hello!"))
    place = folder(tmp_path / "cache.db")
    with running(upstream.url, database_url=place) as proxy:
        for _ in range(3):
            assert proxy.ask().headers["x-llm-cache"] == "miss"
        Path(place).rmdir()
        until = time.monotonic() + 15
        while proxy.ask().headers["x-llm-cache"] == "miss":
            assert time.monotonic() < until
            time.sleep(0.1)
    with running(upstream.url, database_url=place) as proxy:
        assert proxy.ask().headers["x-llm-cache"] == "hit", "what was kept meanwhile is in the caller's own scope"


def test_a_request_that_the_cache_cannot_look_at_passes(
    upstream: FakeUpstream, proxy: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(proxy.engine, "ask", fail)
    upstream.reply(CHAT, openai_chat("Hello!"))
    with httpx.Client(**NO_PROXY) as client:
        answer = client.post(proxy.url + CHAT, json=ASK)
    assert answer.headers["x-llm-cache"] == "bypass"
    assert "a defect" in caplog.text


@pytest.mark.parametrize("fault", [Reply(reset=True), Reply(status=500, json={}), Reply(status=529, json={})])
def test_an_expired_answer_is_better_than_none_if_one_says_so(
    fault: Reply, upstream: FakeUpstream, database: str
) -> None:
    upstream.script(CHAT, openai_chat("Hello!"), fault, Reply(status=429, json={"error": {}}), openai_chat("New."))
    with running(upstream.url, database_url=database, stale_if_error_s=3600) as proxy:
        assert proxy.ask(headers={"x-llm-cache-ttl": "0.1"}).status_code == 200
        time.sleep(0.2)
        stale = proxy.ask()
        assert (stale.status_code, stale.headers["x-llm-cache"]) == (200, "stale")
        assert "Hello!" in stale.text
        assert "ttl=-" in stale.headers["cache-status"] or "ttl=0" in stale.headers["cache-status"]

        assert proxy.ask().status_code == 429, "what says that the request is wrong is passed on"
        assert proxy.ask().headers["x-llm-cache"] == "miss"
        assert proxy.ask().headers["x-llm-cache"] == "hit"


def test_hits_are_logged_on_request_only(
    upstream: FakeUpstream, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    for level, lines in (("INFO", 0), ("DEBUG", 4)):
        caplog.clear()
        caplog.set_level(level, "llm_cache")
        with running(upstream.url, database_url=database) as proxy:
            for _ in range(4):
                proxy.ask()
        assert len([record for record in caplog.records if "200 hit" in record.getMessage()]) == lines
