"""What a client gets: bodies untouched, heads that say what the cache did."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.testing import (
    FakeUpstream,
    Reply,
    anthropic_message,
    openai_chat,
    openai_chat_stream,
    openai_embeddings,
    openai_error,
)

from .running import ASK, NO_PROXY, STREAM, Running, running

CHAT = "/v1/chat/completions"


def test_a_miss_is_stored_and_the_next_call_is_a_hit(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    miss, hit = proxy.ask(), proxy.ask()
    assert miss.content == hit.content
    assert miss.headers["cache-status"] == "llm-cache; fwd=miss; stored"
    assert miss.headers["x-llm-cache"] == "miss"
    assert "age" not in miss.headers
    key = miss.headers["x-llm-cache-key"]
    found = re.fullmatch(r'llm-cache; hit; ttl=(\d+); key="([0-9a-f]{64})"', hit.headers["cache-status"])
    assert found
    assert found[2] == key == hit.headers["x-llm-cache-key"]
    assert 30 * 86_400 - 60 < int(found[1]) <= 30 * 86_400
    assert hit.headers["x-llm-cache"] == "hit"
    assert hit.headers["age"] == "0"
    assert upstream.count() == 1


def test_answers_are_private_to_caches_in_front(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, Reply(json={"a": 1}, headers={"cache-control": "public, max-age=600", "age": "7"}))
    upstream.reply(CHAT, openai_chat("Hello!"))
    for _ in range(2):
        answer = proxy.ask()
        assert answer.headers.get_list("cache-control") == ["private, no-store"]


def test_a_stream_is_sent_in_chunks_and_promises_nothing_in_its_head(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat_stream(["Hel", "lo!"]))
    miss, hit = proxy.ask(json=STREAM), proxy.ask(json=STREAM)
    assert miss.content == hit.content
    assert miss.content.endswith(b"data: [DONE]\n\n")
    assert miss.headers["cache-status"] == "llm-cache; fwd=miss"
    assert hit.headers["cache-status"].startswith("llm-cache; hit; ")
    assert miss.headers["transfer-encoding"] == hit.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in hit.headers
    assert upstream.count() == 1


def test_stream_and_plain_are_two_answers(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.script(CHAT, openai_chat("one"), openai_chat_stream(["two"]))
    assert proxy.ask().json()["choices"][0]["message"]["content"] == "one"
    assert b"two" in proxy.ask(json=STREAM).content
    assert proxy.ask(json={**ASK, "stream": False}).headers["x-llm-cache"] == "hit"


def test_errors_are_delivered_unchanged_and_never_stored(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_error(429, "Slow down.", headers={"retry-after": "7"}))
    for _ in range(2):
        answer = proxy.ask()
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "7"
        assert answer.json()["error"]["message"] == "Slow down."
        assert answer.headers["cache-status"] == "llm-cache; fwd=miss"
        assert "x-ratelimit-remaining-requests" in answer.headers
    assert upstream.count() == 2


def test_compressed_answers_are_decoded_once(upstream: FakeUpstream, proxy: Running) -> None:
    from dataclasses import replace

    plain = openai_chat("Hello, hello, hello!")
    upstream.reply(CHAT, replace(plain, gzip=True))
    for _ in range(2):
        with httpx.Client(**NO_PROXY) as client:
            url = proxy.url + CHAT
            with client.stream("POST", url, json=ASK, headers={"accept-encoding": "gzip, br, zstd, x-other"}) as answer:
                raw = b"".join(answer.iter_raw())
                assert "content-encoding" not in answer.headers
                assert raw == plain.payload
                assert answer.headers["content-length"] == str(len(raw))
    assert upstream.count() == 1
    accepted = upstream.requests[0].header("accept-encoding")
    assert accepted is not None
    assert "gzip" in accepted
    assert "x-other" not in accepted, "what cannot be decoded here must not be asked for"


def test_an_upstream_hears_what_the_client_said_and_nothing_else(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    sent = {
        "authorization": "Bearer sk-test",
        "user-agent": "OpenAI/Python 3.54.0",
        "x-stainless-lang": "python",
        "x-mine": "gr\u00fc\u00dfe".encode(),
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "proxy-authorization": "Basic x",
        "te": "trailers",
        "keep-alive": "timeout=5",
        "expect": "100-continue",
        "cache-control": "max-age=600",
        "x-llm-cache-ttl": "60",
        "x-llm-cache-namespace": "n",
        "x-llm-cache-token": "secret",
        "x-llm-cache-later": "1",
    }
    proxy.ask(headers=sent)
    (received,) = upstream.requests
    names = [name for name, _ in received.headers]
    assert received.header("host") == f"127.0.0.1:{upstream.port}"
    assert received.header("user-agent") == "OpenAI/Python 3.54.0"
    assert received.header("x-mine").encode("latin-1") == "gr\u00fc\u00dfe".encode()
    assert received.json() == ASK
    gone = {"x-hop", "proxy-authorization", "te", "keep-alive", "expect", "cache-control", "connection"}
    assert not gone & set(names)
    assert not [name for name in names if name.startswith("x-llm-cache")]
    added = set(names) - {*sent, "host", "accept", "accept-encoding", "content-type", "content-length"}
    assert not added


def test_what_the_client_left_out_is_not_filled_in(upstream: FakeUpstream, proxy: Running) -> None:
    import socket

    upstream.reply(CHAT, openai_chat("Hello!"))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 15\r\n"
        line.sendall(head.encode() + b'\r\n{"messages":[]}')
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
    names = sorted(name for name, _ in upstream.requests[0].headers)
    assert names == ["content-length", "content-type", "host"]


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/chat/completions",
        "/v1/v1/chat/completions",
        "//v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/chat/completions",
    ],
)
def test_one_endpoint_however_it_is_written(path: str, upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("*", openai_chat("Hello!"))
    proxy.ask()
    assert proxy.ask(path).headers["x-llm-cache"] == "hit"
    assert upstream.count() == 1


def test_every_endpoint_of_the_first_providers(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply("/v1/messages", anthropic_message("Hello!"))
    upstream.reply("/v1/embeddings", openai_embeddings(1, 8))
    message = {"model": "claude-sonnet-5", "max_tokens": 10, "messages": ASK["messages"]}
    for path, body in (("/v1/messages", message), ("/v1/embeddings", {"model": "e", "input": ["a"]})):
        headers = {"anthropic-version": "2023-06-01"} if "messages" in path else {}
        assert proxy.ask(path, json=body, headers=headers).headers["x-llm-cache"] == "miss"
        assert proxy.ask(path, json=body, headers=headers).headers["x-llm-cache"] == "hit"


def test_library_and_proxy_share_entries_in_a_shared_scope(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with running(upstream.url, database_url=database, proxy_scope="shared") as proxy:
        first = proxy.ask()
        assert first.headers["x-llm-cache"] == "miss"
    with LLMCache(database_url=database) as cache, httpx.Client(**NO_PROXY) as client, wrap(client, cache):
        answer = client.post(upstream.url + CHAT, json=ASK)
        assert answer.extensions["llm_cache"].status == "hit"
        assert answer.extensions["llm_cache"].key == first.headers["x-llm-cache-key"]
        assert answer.content == first.content


def test_an_old_answer_says_how_old_it_is(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with running(
        upstream.url, database_url=database, default_ttl_days=1 / 86_400, stale_while_revalidate_s=60
    ) as proxy:
        proxy.ask()
        time.sleep(1.2)
        stale = proxy.ask()
        assert stale.headers["x-llm-cache"] == "stale"
        assert re.match(r"llm-cache; hit; ttl=(-\d+|0); key=", stale.headers["cache-status"])
        assert int(stale.headers["age"]) >= 1
        upstream.wait_for(2)


def test_without_expiry_no_lifetime_is_told(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with running(upstream.url, database_url=database, default_ttl_days="never") as proxy:
        proxy.ask()
        assert "ttl" not in proxy.ask().headers["cache-status"]


def test_a_large_answer_is_whole_on_the_hit(upstream: FakeUpstream, proxy: Running) -> None:
    upstream.reply(CHAT, openai_chat("x" * 3_000_000))
    miss, hit = proxy.ask(), proxy.ask()
    assert hit.headers["x-llm-cache"] == "hit"
    assert miss.content == hit.content


def test_a_reply_that_is_no_stream_but_slow_is_passed_on_as_it_comes(upstream: FakeUpstream, proxy: Running) -> None:
    # DeepSeek sends blank lines while the model thinks, so that clients with a short patience do not give up.
    body = openai_chat("Hello!").payload
    blanks = [b"\n"] * 6
    upstream.reply(CHAT, Reply(chunks=[*blanks, body], chunk_delay_s=0.3, headers={"content-type": "application/json"}))
    with httpx.Client(**{**NO_PROXY, "timeout": 1.5}) as client:
        answer = client.post(proxy.url + CHAT, json=ASK, headers={"authorization": "Bearer sk-test"})
    assert answer.content == b"\n" * 6 + body
    assert answer.headers["cache-status"] == "llm-cache; fwd=miss"
    assert proxy.ask().headers["x-llm-cache"] == "hit"
