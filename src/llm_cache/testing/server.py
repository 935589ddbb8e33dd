"""Runs an asyncio server in a thread of its own. It must not know HTTP, and its end must never hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

_START_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 5.0
_BACKLOG: Final = 1024
"""Hundreds of clients may connect in one instant; the kernel cuts it to its own limit."""

_TURNS: Final = 5
"""Turns of the loop from accepting a connection to knowing its protocol: three, and some to spare."""


class Peer(Protocol):
    """What the server must be able to do to a connection."""

    def shut(self) -> None:
        """Drop it now, whatever it is doing."""


Factory: TypeAlias = Callable[[], asyncio.BaseProtocol]


class LoopThread:
    """One running server: a thread, an event loop, a listening socket."""

    def __init__(self, factory: Factory, host: str, port: int, peers: Collection[Peer]) -> None:
        """Listen, and return when connections are accepted. Raises OSError if the address cannot be had."""
        self._factory = factory
        self._peers = peers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        started: Future[int] = Future()
        # A daemon, so that not even a test that forgets to stop it keeps the interpreter from ending.
        self._thread = threading.Thread(
            target=self._run, args=(host, port, started), name="llm-cache-fake-upstream", daemon=True
        )
        self._thread.start()
        self.port = started.result(_START_TIMEOUT_S)

    def post(self, call: Callable[[], object]) -> None:
        """Have it called on the loop, soon; nothing happens if the loop has ended."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            return

    def stop(self) -> None:
        """Close everything and wait for the thread's end. Raises RuntimeError if it does not end in five seconds."""
        if self._stopping is not None:
            self.post(self._stopping.set)
        self._thread.join(_STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise RuntimeError("the fake upstream's loop is blocked: do chunks come from an iterator that blocks?")

    def _run(self, host: str, port: int, started: Future[int]) -> None:
        # Named outright: the policy may be uvloop's, which would make faults differ from one test run to the next.
        loop = asyncio.SelectorEventLoop()
        self._loop = loop
        try:
            loop.run_until_complete(self._serve(host, port, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            loop.close()

    async def _serve(self, host: str, port: int, started: Future[int]) -> None:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._factory, host, port, backlog=_BACKLOG)
        try:
            started.set_result(server.sockets[0].getsockname()[1])
            await self._stopping.wait()
        finally:
            # First stop accepting, without closing: asyncio loses the sockets whose transports it is about to make when
            # their server is closed (`Server._attach` asserts).
            loop.remove_reader(server.sockets[0].fileno())
            await self._turn()
            # Not `wait_closed`: since Python 3.12 it waits for connections, which is what must not happen.
            server.close()
            await self._drop_all()

    async def _drop_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A dropped transport closes its socket only one turn later.
        await self._turn()

    async def _turn(self) -> None:
        for _ in range(_TURNS):
            for peer in list(self._peers):
                peer.shut()
            await asyncio.sleep(0)
