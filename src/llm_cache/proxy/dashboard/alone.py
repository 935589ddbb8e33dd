"""The dashboard without the proxy, for `llm-cache ui`: on loopback, behind a token. It must relay nothing."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import signal
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from llm_cache.proxy.dashboard.answers import Problem
from llm_cache.proxy.dashboard.site import ROOT, Dashboard
from llm_cache.proxy.guard import Guard
from llm_cache.proxy.incoming import Incoming
from llm_cache.proxy.refusal import Refusal

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.proxy.client import Receive, Send

HOST = "127.0.0.1"


class Alone:
    """An ASGI application that has the dashboard at `/~TOKEN/dashboard` and nothing else.

    Args:
        engine: what is looked at.
        token: what whoever looks must know.
    """

    def __init__(self, engine: Engine, token: str) -> None:
        self._dashboard = Dashboard(engine)
        self._guard = Guard(HOST, ())
        self._before = f"/~{token}"

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        incoming = Incoming(scope)
        first, slash, rest = incoming.path[1:].partition("/")

        def admit() -> None:
            try:
                self._guard.check(incoming)
            except Refusal as refusal:
                raise Problem(refusal.status, str(refusal)) from refusal
            if not hmac.compare_digest(f"/{first}".encode(), self._before.encode()):
                raise Problem(401, "The address must be the one that llm-cache ui has printed, with its token.")

        path = slash + rest
        await self._dashboard.serve(scope, path if self._dashboard.has(path) else f"{ROOT}{path}", receive, send, admit)


def serve(engine: Engine, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        engine: what is looked at; closed by whoever made it.
        port: to listen on; 0 is a free one.
        ready: told the URL once it can be opened.

    Raises:
        ConfigError: the port cannot be had.
    """
    import uvicorn

    from llm_cache.proxy.serve import bind
    from llm_cache.proxy.server import url_of

    sockets = bind(HOST, port)
    token = secrets.token_urlsafe(24)
    url = f"{url_of(sockets[0])}/~{token}{ROOT}/"

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready(url)

    config = uvicorn.Config(
        Alone(engine, token),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = Server(config)

    def stop(_sig: int, _frame: object) -> None:
        server.should_exit = True

    # uvicorn raises again, at its end, what it was stopped by: by then that has been heard.
    before = {sig: signal.signal(sig, stop) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        asyncio.run(server.serve(sockets=sockets))
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
        for each in sockets:
            each.close()
