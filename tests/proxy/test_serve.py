"""`serve` in a process of its own: it says where it is, ends in good order, and its errors are one sentence."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import httpx
import pytest

from llm_cache import LLMCache
from llm_cache.config import load
from llm_cache.errors import ConfigError
from llm_cache.proxy.serve import bind, check, serve
from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream

from .running import ASK, NO_PROXY, STREAM, Process

CHAT = "/v1/chat/completions"


def arguments(upstream: FakeUpstream, database: str, **more: object) -> dict[str, object]:
    return {"proxy_port": 0, "upstreams": {"openai": upstream.url}, "database_url": database, **more}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_what_it_has_begun(sig: signal.Signals, upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    stream = openai_chat_stream(["a", "b", "c"])
    upstream.reply(CHAT, replace(stream, gates={1: gate}))
    with Process(arguments(upstream, database)) as process:
        url = process.url()
        found: list[bytes] = []

        def call() -> None:
            with httpx.Client(**NO_PROXY) as client:
                found.append(client.post(url + CHAT, json=STREAM).content)

        caller = threading.Thread(target=call)
        caller.start()
        upstream.wait_for(1)
        time.sleep(0.2)
        process.send(sig)
        time.sleep(0.5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(url + "/healthz", trust_env=False)
        assert process.popen.poll() is None
        gate.set()
        caller.join(10)
        assert found == [stream.payload]
        assert process.end() == 0
        assert not [line for line in process.log if "Traceback" in line or "ERROR" in line]
    with LLMCache(database_url=database) as cache:
        stats = cache.stats()
        assert (stats.entries, stats.misses) == (1, 1), "what was counted has been written"


def test_a_second_interrupt_stops_at_once(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, replace(openai_chat_stream(["a"]), gates={1: threading.Event()}))
    with Process(arguments(upstream, database)) as process:
        url = process.url()

        def call() -> None:
            with httpx.Client(**NO_PROXY) as client, pytest.raises(httpx.HTTPError):
                client.post(url + CHAT, json=STREAM)

        caller = threading.Thread(target=call)
        caller.start()
        upstream.wait_for(1)
        time.sleep(0.2)
        process.send(signal.SIGINT)
        time.sleep(0.5)
        assert process.popen.poll() is None
        began = time.monotonic()
        process.send(signal.SIGINT)
        assert process.end() == 130
        assert time.monotonic() - began < 5
        caller.join(5)
        assert not [line for line in process.log if "Traceback" in line], process.log


def test_an_idle_proxy_ends_soon(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with Process(arguments(upstream, database)) as process, httpx.Client(**NO_PROXY) as client:
        assert client.post(process.url() + CHAT, json=ASK).status_code == 200
        began = time.monotonic()
        process.send(signal.SIGTERM)  # with a connection that is kept alive
        assert process.end() == 0
        assert time.monotonic() - began < 5


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
            serve(load({"proxy_port": port, "backend": "memory"}))


def test_a_host_that_is_not_ours() -> None:
    for host in ("192.0.2.1", "nobody.invalid"):
        with pytest.raises(ConfigError, match=host):
            bind(host, 0)


def test_localhost_is_all_of_it() -> None:
    sockets = bind("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert "127.0.0.1" in {each.getsockname()[0] for each in sockets}
    finally:
        for each in sockets:
            each.close()


def test_answers_are_not_shared_with_a_network() -> None:
    for host in ("0.0.0.0", "::", "proxy.example", "192.0.2.1"):
        with pytest.raises(ConfigError, match="shared"):
            check(load({"proxy_host": host, "proxy_scope": "shared"}))
        check(load({"proxy_host": host}))
    for host in ("127.0.0.1", "localhost", "::1"):
        check(load({"proxy_host": host, "proxy_scope": "shared"}))


def test_importing_it_does_nothing() -> None:
    code = (
        "import sys, threading; import llm_cache.proxy.serve;"
        "assert threading.active_count() == 1;"
        "assert not {'uvicorn', 'aiohttp', 'httptools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_log_file(upstream: FakeUpstream, database: str, tmp_path) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Process(arguments(upstream, database, log_file=str(log), proxy_port=port)) as process:
        with httpx.Client(transport=httpx.HTTPTransport(retries=50), trust_env=False) as client:
            until = time.monotonic() + 10
            while True:
                try:
                    client.get(f"http://127.0.0.1:{port}/healthz")
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            for _ in range(2):
                client.post(f"http://127.0.0.1:{port}{CHAT}?key=secret", json=ASK)
        process.send(signal.SIGTERM)
        assert process.end() == 0
        assert process.log == []
    assert log.stat().st_mode & 0o777 == 0o600
    lines = log.read_text().splitlines()
    assert "serves on" in lines[0]
    assert [line for line in lines if f"POST openai {CHAT}: 200 miss" in line]
    assert not [line for line in lines if "hit" in line or "secret" in line]
