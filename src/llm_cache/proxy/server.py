"""uvicorn's server as the proxy wants it. It must not bind, log or close what others have opened."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from llm_cache.proxy.protocol import limited

if TYPE_CHECKING:
    from types import FrameType

    from llm_cache.config import Settings
    from llm_cache.proxy.app import Proxy

_log = logging.getLogger("llm_cache")
_KEEP_ALIVE_S = 75
"""Longer than the usual clients keep a connection that they do not use, so that it is they who close it."""
_GRACE_S = 120
"""How long calls under way may go on once it shall end; an abandoned one is read on for as long at most."""


class Server(uvicorn.Server):
    """Serves one application on sockets that listen already; says where, and can stop at once."""

    def __init__(self, app: Proxy, settings: Settings, *, worker: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=limited(int(settings.proxy_max_header_kb * 1024), app.shortcut),
                ws="none",
                interface="asgi3",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                # Answers keep the upstream's own, or have none: a second one would contradict it.
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker = worker

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for each in sockets or () if not self._worker else ():
            _log.info("llm-cache serves on %s (stop it with Ctrl+C)", url_of(each))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.deaf_to(sig):
            return
        again = self.should_exit
        super().handle_exit(sig, frame)
        if self.force_exit or (again and self._worker):
            self.abort()

    def deaf_to(self, sig: int) -> bool:
        """Whether a signal is not for this process: a terminal interrupts workers too, but their parent decides."""
        return self._worker and sig == signal.SIGINT

    def orphaned(self, life: int) -> None:
        """Whoever started this worker is gone, and nobody would stop it any more."""
        asyncio.get_running_loop().remove_reader(life)
        self.should_exit = True

    def abort(self) -> None:
        """Stop at once. From any thread."""
        self.force_exit = self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        """Drop everything that is under way."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


def url_of(listening: socket.socket) -> str:
    """Where a client reaches a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
