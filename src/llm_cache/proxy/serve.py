"""`llm-cache serve`: binds, serves until it is told to stop, and puts everything away. It must do nothing at import."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from llm_cache.clients.logs import written_to
from llm_cache.errors import ConfigError
from llm_cache.proxy.guard import is_loopback
from llm_cache.proxy.workers import check_workers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import FrameType

    from llm_cache.config import Settings
    from llm_cache.proxy.server import Server
    from llm_cache.proxy.siblings import Siblings

_log = logging.getLogger("llm_cache")
BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel cuts it to its own limit."""
_SAID = (
    "ASGI callable returned without completing response.",  # we broke it off, and our own line says why
    "Unsupported upgrade request.",  # which is refused in words of our own,
    "No supported WebSocket library detected.",  # and is no reason to install something
)


def serve(settings: Settings) -> int:
    """Run the proxy until SIGTERM or SIGINT; then finish the calls under way. A second SIGINT stops at once.

    Returns:
        0, or 130 if it was stopped at once.

    Raises:
        ConfigError: the settings ask for what there is not, or what may not be; the address cannot be had.
    """
    check(settings)
    check_workers(settings.workers, settings.backend)
    _raise_limits()
    sockets = bind(settings.proxy_host, settings.proxy_port)
    try:
        with logging_to(settings):
            return _serve(settings, sockets) if settings.workers == 1 else _serve_many(settings, sockets)
    finally:
        for each in sockets:
            each.close()


def _raise_limits() -> None:
    """Allow as many connections as the system does: the usual 1,024 are used up by 500 calls, which take two each."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems name a limit that they do not allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check(settings: Settings) -> None:
    """Refuse settings that would show everybody's answers to everybody.

    Raises:
        ConfigError: they would.
    """
    if settings.proxy_scope == "shared" and not settings.proxy_tokens and not is_loopback(settings.proxy_host):
        raise ConfigError(
            f'proxy_scope = "shared" with proxy_host = "{settings.proxy_host}" would give every answer to whoever can'
            ' reach this machine: give it tokens (--token NAME=SECRET), use proxy_scope = "credential",'
            " or bind to 127.0.0.1"
        )


def bind(host: str, port: int, *, again: bool = False) -> list[socket.socket]:
    """Listening sockets on every address of a host; port 0 is a free one, the same on all of them.

    Args:
        host: a name or an address; "" is every address.
        port: which.
        again: whether others of this proxy listen there as well.

    Raises:
        ConfigError: the host has no address here, or the port cannot be had.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"proxy_host is {host!r}, which is no address of this machine: {error.strerror}") from None
    sockets: list[socket.socket] = []
    try:
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        for family, address in addresses:
            chosen = sockets[0].getsockname()[1] if sockets else port
            place = (address[0], chosen, *address[2:])
            sockets.append(_listen(socket.AddressFamily(family), place, alone=len(addresses) == 1, again=again))
    except OSError as error:
        for each in sockets:
            each.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is taken by another program: choose another with --port, or stop that one"
            ) from None
        raise ConfigError(f"the proxy cannot listen on {host} port {port}: {error.strerror or error}") from None
    return sockets


def _listen(family: socket.AddressFamily, address: Any, *, alone: bool, again: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            # There it would let two programs listen on one port.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if again:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family is socket.AF_INET6:
            # `::` by itself means every address of the machine, those of IPv4 too.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if alone else 1)
        made.bind(address)
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _serve_many(settings: Settings, sockets: list[socket.socket]) -> int:
    """Run several workers; `sockets` show that the port is free."""
    # Imported here for all of them, so that a worker that takes another's place is there at once.
    import llm_cache.proxy.app
    import llm_cache.proxy.server
    from llm_cache.proxy.board import Board
    from llm_cache.proxy.siblings import Siblings, pipes_for
    from llm_cache.proxy.workers import SHARED_OUT, Supervisor

    _log.info(
        "llm-cache serves on %s with %d workers (stop it with Ctrl+C)",
        llm_cache.proxy.server.url_of(sockets[0]),
        settings.workers,
    )
    each_own = [sockets]
    if SHARED_OUT:
        # A socket that does not share its port keeps those that do from it, and so finds out whether it is free.
        port = sockets[0].getsockname()[1]
        for each in sockets:
            each.close()
        each_own = [bind(settings.proxy_host, port, again=True) for _ in range(settings.workers)]
    board, pipes = Board(settings.workers), pipes_for(settings.workers)

    def release() -> None:
        for each in (each for own in each_own for each in own):
            each.close()

    def work(index: int, life: int) -> int:
        mine = each_own[index % len(each_own)]
        for other in each_own:
            if other is not mine:
                for each in other:
                    each.close()
        return _serve(settings, mine, Siblings(board, index, pipes), life)

    try:
        return Supervisor(settings.workers, work, release).run()
    finally:
        release()


def _serve(
    settings: Settings, sockets: list[socket.socket], siblings: Siblings | None = None, life: int | None = None
) -> int:
    """Serve in this process. Of a worker `life` is a pipe that ends with whoever started it."""
    # What only a server needs is imported here: it takes a quarter of a second.
    from llm_cache.proxy.app import create_app
    from llm_cache.proxy.server import Server

    app = create_app(settings, siblings=siblings)
    server = Server(app, settings, worker=siblings is not None)

    async def main() -> None:
        if siblings is not None:
            siblings.listen(app.flush)
        if life is not None:
            asyncio.get_running_loop().add_reader(life, server.orphaned, life)
        # What is there now stays: the collector need not look through it again and again. A call leaves few cycles
        # behind, so that looking for them every 700 objects would cost a tenth of a hit.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        # The background thread may hold the interpreter for as long as that, and while it loads prices it does.
        sys.setswitchinterval(0.001)
        try:
            await server.serve(sockets=sockets)
        finally:
            # Not left to the lifespan: a server that stops at once does not tell it.
            await app.close()

    with _signals(server):
        run_loop(main())
    return 130 if server.force_exit else 0


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run it on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:  # Windows
        asyncio.run(main)
    else:
        uvloop.run(main)


@contextmanager
def _signals(server: Server) -> Iterator[None]:
    """Stop on signals that come before uvicorn listens for them, and outlive those that it raises again at its end."""

    def stop(sig: int, _frame: FrameType | None) -> None:
        if not server.deaf_to(sig):
            server.should_exit = True

    before = {sig: signal.signal(sig, stop) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _news(record: logging.LogRecord) -> bool:
    """Whether the server says something that we have not said already: calls that break off, or are dropped."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and not record.getMessage().startswith(_SAID)


@contextmanager
def logging_to(settings: Settings) -> Iterator[None]:
    """Write what the proxy and the server under it log, to standard error or the log file."""
    if settings.log_file is None:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    else:
        handler = written_to(str(settings.log_file))
    server = logging.getLogger("uvicorn")
    logging.getLogger("uvicorn.error").addFilter(_news)
    before = [(each, each.level, each.propagate) for each in (_log, server)]
    for each, level in ((_log, settings.log_level or "INFO"), (server, "WARNING")):
        each.addHandler(handler)
        each.setLevel(level)
        each.propagate = False
    try:
        yield
    finally:
        logging.getLogger("uvicorn.error").removeFilter(_news)
        for each, old, propagate in before:
            each.removeHandler(handler)
            each.setLevel(old)
            each.propagate = propagate
        handler.close()
