"""Whatever bytes come, in whatever pieces: the short way of a hit says and does what the long way does."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from llm_cache.testing import FakeUpstream, Reply, openai_chat, openai_chat_stream

from .running import ASK, STREAM, Running, running

_SECONDS = re.compile(rb"(?<= ttl=)\d+(?=;)|(?<=\r\nage: )\d+|(?<=\r\ndate: )[^\r]+")
_INTERIM = re.compile(rb"(?:HTTP/1\.1 100 [^\r]*\r\n\r\n)*")
_SILENT_S = 0.25
CHAT = "/v1/chat/completions"
PLAIN, STREAMED = json.dumps(ASK).encode(), json.dumps(STREAM).encode()
BODIES = (PLAIN, STREAMED, PLAIN.replace(b" ", b""), b"{}", b"[", b"", b"\x00\xff")
FIELDS = (
    "accept: */*",
    "X-Stainless-Lang: python",
    "cache-control: max-age=600",
    "cache-control: only-if-cached",
    "Connection: keep-alive",
    "connection: close",
    "x-llm-cache-ttl: 60",
    "x-llm-cache-ttl: x",
    "expect: 100-continue",
    "te: trailers",
    "origin: http://evil.example",
    "host: other.example",
    "authorization: Bearer sk-else",
    "authorization:\tBearer sk-test \t",
    "x: " + "y" * 3000,
)
ODD = (
    "content-length: 5",
    "content-length: +5",
    "transfer-encoding: chunked, identity",
    "transfer-encoding : chunked",
    " folded: a",
    "x\x00y: a",
    "x: a\nb: c",
    "no colon",
    "",
)


def framed(body: bytes, how: str, cuts: list[int]) -> tuple[list[str], bytes]:
    """The fields that frame a body, and the body in that framing."""
    if how == "length":
        return [f"content-length: {len(body)}"], body
    if how == "short":
        return [f"content-length: {max(0, len(body) - 3)}"], body
    if how == "none":
        return [], body
    at = [0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]
    pieces = [body[a:b] for a, b in pairwise(at) if a < b]
    chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    trailer = b"x-sum: 1\r\n" if how == "trailers" else b""
    return ["transfer-encoding: chunked"], chunks + b"0\r\n" + trailer + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request, mostly sound, mostly the one that everybody sends."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(min_size=1, max_size=40))
    body = draw(st.sampled_from(BODIES[:2] * 3 + BODIES))
    path = draw(st.sampled_from((CHAT,) * 8 + ("/chat/completions", "/v1/files", "//x/y", "http://a/b")))
    # What passes through unread may reach its upstream before its body turns out to be none.
    framing = draw(
        st.sampled_from(("length",) * 6 + (("chunked", "trailers", "short", "none") if path == CHAT else ()))
    )
    fields, sent = framed(body, framing, draw(st.lists(st.integers(0, 200), max_size=3)))
    lines = ["host: localhost", "content-type: application/json", "authorization: Bearer sk-test", *fields]
    lines += draw(st.lists(st.sampled_from(FIELDS), max_size=2))
    if draw(st.integers(0, 9)) == 0:
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(ODD)))
    if draw(st.integers(0, 3)) == 0:
        lines = draw(st.permutations(lines))
    method = draw(st.sampled_from(("POST",) * 12 + ("GET", "HEAD", "post", "OPTIONS")))
    version = draw(st.sampled_from(("1.1",) * 12 + ("1.0", "1.2")))
    end = draw(st.sampled_from(("\r\n",) * 15 + ("\n",)))
    return end.join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode("latin-1") + sent


KNOWN = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer sk-test\r\ncontent-length: %d\r\n\r\n" % len(PLAIN)
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Who logs every hit wants none of them to go the short way; another test may have asked for that."""
    logger = logging.getLogger("llm_cache")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running, FakeUpstream]]:
    """A proxy that has the short way, and one before the same provider and store that has not."""
    place: Path = tmp_path_factory.mktemp("both") / "cache.db"
    patch = pytest.MonkeyPatch()
    patch.setattr("llm_cache.proxy.protocol.SILENCE_S", _SILENT_S)
    with FakeUpstream() as upstream:
        upstream.reply("*", Reply(json={"passed": True}))
        upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
        with running(upstream.url, database_url=str(place), proxy_max_header_kb=2) as short:
            with running(upstream.url, database_url=str(place), proxy_max_header_kb=2) as long:
                long.server.config.http.shortcut = None  # type: ignore[union-attr]
                yield short, long, upstream
    patch.undo()


def said(proxy: Running, asked: list[bytes], cuts: list[int]) -> list[bytes | None]:
    """What comes back for each of these requests, sent one after the other on one connection and each in pieces.

    None at the end: the connection was reset, because what was refused was still being sent; its reply may be lost.
    """
    replies: list[bytes | None] = []
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for one in asked:
                for piece in cut(one, cuts):
                    line.sendall(piece)
                    time.sleep(0.0015)
                replies.append(_SECONDS.sub(b"0", reply(line, bodiless=one.startswith(b"HEAD "))))
        except (ConnectionResetError, BrokenPipeError):
            replies.append(None)
    return [each for each in replies if each != b""]  # how often one tried after the end says nothing


def agree(some: list[bytes | None], others: list[bytes | None]) -> bool:
    """Whether two conversations are the same, as far as both were heard."""
    heard = min(each.index(None) if None in each else 99 for each in (some, others))
    return some[:heard] == others[:heard]


def reply(line: socket.socket, *, bodiless: bool) -> bytes:
    """One final reply and the interim ones before it; all there is if the connection ends."""
    got = b""
    while True:
        final = _INTERIM.sub(b"", got, count=1)
        head, blank, rest = final.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        whole = len(rest) >= int(length[1]) if length else rest.endswith(b"0\r\n\r\n")
        if blank and (bodiless or whole):
            return got
        data = line.recv(65536)
        if not data:
            return got
        got += data


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted({each % (len(raw) + 1) for each in cuts}), len(raw)]
    return [raw[a:b] for a, b in pairwise(at) if a < b]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2000), max_size=4))
@example([KNOWN + PLAIN, KNOWN + PLAIN], [])
@example([KNOWN + PLAIN, KNOWN + PLAIN], [len(KNOWN)])
@example([KNOWN + PLAIN, KNOWN.replace(b"POST", b"HEAD") + PLAIN, KNOWN + PLAIN], [len(KNOWN)])
@example([KNOWN + PLAIN, KNOWN + PLAIN + b"\r\n", KNOWN + PLAIN], [])
@example([KNOWN + PLAIN, KNOWN + b"x"], [len(KNOWN)])
def test_both_ways_say_the_same(
    both: tuple[Running, Running, FakeUpstream], asked: list[bytes], cuts: list[int]
) -> None:
    short, long, _ = both
    said(long, asked, cuts)  # from now on what can be stored is
    expected = said(long, asked, cuts)
    assert not any(each and each.startswith(b"HTTP/1.1 500") for each in expected)
    for _ in range(3):
        found = said(short, asked, cuts)
        assert agree(found, expected), (found, expected)


def test_the_short_way_is_taken_there(both: tuple[Running, Running, FakeUpstream]) -> None:
    """Else the property above would compare the long way with itself."""
    short, long, upstream = both
    upstream.reply("/v1/chat/completions", openai_chat_stream(["Hel", "lo!"]))
    taken = []
    before = short.app.shortcut.reply
    short.app.shortcut.reply = lambda *each: taken.append(before(*each)) or taken[-1]  # type: ignore[method-assign,func-returns-value]
    head = KNOWN.replace(b"%d" % len(PLAIN), b"%d" % len(STREAMED))
    said(long, [head + STREAMED], [])
    for cuts in ([], [len(head)], []):
        assert said(short, [head + STREAMED] * 3, cuts) == said(long, [head + STREAMED] * 3, cuts)
    assert sum(each is not None for each in taken) >= 6
    short.app.shortcut.reply = before  # type: ignore[method-assign]
