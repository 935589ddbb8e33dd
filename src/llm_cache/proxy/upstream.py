"""The way out: one HTTP client for all upstreams. It must not retry, follow a redirect, or keep a cookie.

What a caller sent goes on as it is, to the one URL that was chosen; what comes back is passed on the same way. Only
where the cache listens is the body decoded.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import hdrs
from yarl import URL

from llm_cache.core.model import Head, Headers
from llm_cache.proxy.board import FIRST_BYTE, UPSTREAM, Board, Row
from llm_cache.proxy.guard import is_loopback
from llm_cache.proxy.incoming import Raw
from llm_cache.proxy.refusal import Refusal

DECODED = tuple(coding.strip() for coding in aiohttp.ClientRequest.DEFAULT_HEADERS[hdrs.ACCEPT_ENCODING].split(","))
"""The content codings that the client library decodes here; some depend on what else is installed."""
_HEADER_BYTES = 64 * 1024
# Twice this is held of an answer whose reader is slow. There may be thousands of them.
_BUFFER_BYTES = 32 * 1024
_LARGE = 1024 * 1024
# Longer than clients keep theirs (httpx 5 s, aiohttp 15 s), shorter than most load balancers' 60 s: who closes first
# loses no request.
_KEEP_ALIVE_S = 30.0
_AUTOMATIC = ("accept", "accept-encoding", "content-type", "user-agent")

Body = bytes | AsyncIterator[bytes] | None
FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What `Outbound.open` and `Answer.chunks` raise when an upstream fails."""


class Busy(ConnectionError):
    """As many calls as are allowed are under way."""


class NoWay(ConnectionError):
    """The environment wants a kind of proxy that the client library does not speak to."""


class Outbound:
    """The client. It belongs to one event loop at a time and makes its session there when it is first used.

    Args:
        connect_s: the longest wait for a connection, name and TLS included.
        idle_s: the longest silence of an upstream.
        total_s: the longest call.
        most: how many calls may be under way at once, in all workers together.
        board: where they are counted.
        row: this worker's part of it.
    """

    def __init__(self, *, connect_s: float, idle_s: float, total_s: float, most: int, board: Board, row: Row) -> None:
        self._timeout = aiohttp.ClientTimeout(total=total_s, connect=connect_s, sock_read=idle_s)
        self._most = most
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxies = getproxies()
        self._board = board
        self.row = row
        row.under_way = 0  # whoever counted here before has died

    async def open(self, method: str, url: str, headers: Headers, body: Body, *, decode: bool) -> Answer:
        """Send a request and wait for the head of its answer.

        Args:
            method: as sent.
            url: as sent, percent-encoded.
            headers: as sent, without framing.
            body: None is no body; with an iterator a declared length is among the headers, else it is sent in chunks.
            decode: whether the body of the answer is wanted content-decoded.

        Raises:
            Exception: one of `FAILURES`.
        """
        if self._board.under_way() >= self._most:
            raise Busy
        self.row.under_way += 1
        began = time.monotonic()
        try:
            session = self._session_here()
            response = await session.request(
                method,
                URL(url, encoded=True),
                headers=[(name, _as_sent(value)) for name, value in (_decodable(headers) if decode else headers)],
                # Large bodies in pieces: aiohttp would hold up the loop with one, and warns of it.
                data=io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE else body,
                allow_redirects=False,
                auto_decompress=decode,
                proxy=self._proxy_for(url) if self._proxies else None,
            )
        except BaseException:
            self.row.under_way -= 1
            raise
        self.row.took(FIRST_BYTE, time.monotonic() - began)
        return Answer(self.row, response, began, decode=decode)

    async def close(self) -> None:
        """Let go of all connections. It may be used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _session_here(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                # Our own limit refuses; the connector's would make calls wait in a queue, unseen.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S, ssl=trusted()),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_AUTOMATIC,
                timeout=self._timeout,
                read_bufsize=_BUFFER_BYTES,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
                # Reading the environment is done below: aiohttp would also look for credentials in ~/.netrc.
                trust_env=False,
            )
            # It would send GET and DELETE again if a connection breaks; whether that is right, only the caller knows.
            self._session._retry_connection = False  # noqa: SLF001 - there is no argument for it
        return self._session

    def _proxy_for(self, url: str) -> str | None:
        scheme, _, rest = url.partition("://")
        host = rest.partition("/")[0]
        proxy = self._proxies.get(scheme) or self._proxies.get("all")
        # Another machine cannot reach what listens on our loopback.
        if proxy is None or is_loopback(host) or proxy_bypass(host):
            return None
        kind, _, named = proxy.partition("://")
        if not named:
            return f"http://{proxy}"  # as curl and the SDKs read it
        if kind not in {"http", "https"}:
            raise NoWay(f"it is of the kind {kind}, and only HTTP proxies are used")
        return proxy


def trusted() -> ssl.SSLContext | bool:
    """Whom to trust: whom the system or `SSL_CERT_FILE` trusts, which is True; where there is neither, whom SDKs trust.

    A Python from python.org on macOS, and a small container, have no authorities at all; SDKs work there, because httpx
    brings its own.
    """
    paths = ssl.get_default_verify_paths()
    if sys.platform == "win32" or paths.cafile or paths.capath:
        return True
    try:
        import certifi
    except ImportError:
        return True
    return ssl.create_default_context(cafile=certifi.where())


class Answer:
    """An upstream's answer whose head is here; the `AsyncUpstream` of the runners.

    Attributes:
        head: status and headers, as they describe the body that `chunks` gives.
        raw: the headers as they came.
    """

    def __init__(self, row: Row, response: aiohttp.ClientResponse, began: float, *, decode: bool) -> None:
        self._row: Row | None = row
        self._began = began
        self._response = response
        self.raw: tuple[Raw, ...] = response.raw_headers
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self.raw)
        if decode and response.headers.get(hdrs.CONTENT_ENCODING, "").lower() in DECODED:
            headers = tuple(pair for pair in headers if pair[0] not in {"content-encoding", "content-length"})
        self.head = Head(response.status, headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        content = self._response.content
        try:
            async for data in content.iter_any():
                yield data
        except aiohttp.ClientError:
            # What came before the break is withheld by the library, which only says that there was one.
            rest = _withheld(content)
            if rest:
                yield rest
            raise

    async def close(self) -> None:
        """Let go of the connection; it is used again if the body was read to its end. A second call does nothing."""
        row, self._row = self._row, None
        if row is not None:
            row.under_way -= 1
            row.took(UPSTREAM, time.monotonic() - self._began)
            self._response.close()


def _withheld(content: aiohttp.StreamReader) -> bytes:
    try:
        return content._read_nowait(-1)  # noqa: SLF001 - the public way raises the error again
    except Exception:  # another version of the library: the break is told all the same
        return b""


def refusal_of(error: BaseException, name: str) -> Refusal:
    """What to tell a caller of a failed upstream. The library's own words are not used: they may hold the URL's key."""
    if isinstance(error, Busy):
        return Refusal(
            503,
            "too_many_calls",
            "As many calls are under way as proxy_max_upstream_calls allows; try again soon.",
            ((b"retry-after", b"1"),),
            miss=True,
        )
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):  # one class only since Python 3.11
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        what = "could not be reached in time" if connecting else "did not answer in time"
        return Refusal(504, "upstream_timeout", f'The upstream "{name}" {what}.', miss=True, forwarded=True)
    code, what = "upstream_failed", "broke off its answer"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        code, what = "upstream_unreachable", "could not be reached: its name is not known"
    elif isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError, aiohttp.ClientConnectorCertificateError)):
        code, what = "upstream_unreachable", "could not be reached: there is no TLS connection that can be trusted"
    elif isinstance(error, (aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError, NoWay)):
        # Not the upstream: the one that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names.
        code, what = "upstream_unreachable", "could not be reached through the proxy that the environment names: "
        what += _of_proxy(error)
    elif isinstance(error, aiohttp.ClientConnectorError):
        code, what = "upstream_unreachable", f"could not be reached: {_reason(error.os_error)}"
    elif isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        what = "closed the connection without an answer"
    elif isinstance(error, (aiohttp.ClientResponseError, aiohttp.InvalidURL)):
        what = "gave an answer that cannot be understood"
    return Refusal(502, code, f'The upstream "{name}" {what}.', miss=True, forwarded=True)


def _of_proxy(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered {error.status}"
    return _reason(error.os_error) if isinstance(error, aiohttp.ClientConnectorError) else str(error)


def _reason(error: OSError) -> str:
    """The system's own words: those of the event loop name an address, which is no business of callers."""
    code = error.errno
    return os.strerror(code) if code is not None and code in errno.errorcode else "the connection failed"


@lru_cache(maxsize=256)
def _acceptable(value: str) -> str:
    """The client's `Accept-Encoding` without the codings that cannot be decoded here."""
    parts = [part.strip() for part in value.split(",")]
    kept = [part for part in parts if part.partition(";")[0].strip().lower() in {*DECODED, "identity"}]
    return ", ".join(kept) or "identity"


def _decodable(headers: Headers) -> Headers:
    return tuple((name, _acceptable(value) if name == "accept-encoding" else value) for name, value in headers)


def _as_sent(value: str) -> str:
    """The text that aiohttp, which writes UTF-8, turns into the bytes that came in."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value
