"""`llm-cache run`: a proxy for as long as one program runs. It must not touch what the program says or reads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from llm_cache.config import load
from llm_cache.core.policy import Mode
from llm_cache.proxy.surroundings import surroundings, upstreams_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from llm_cache.config import Settings
    from llm_cache.core.events import Event
    from llm_cache.ledger.report import Stats
    from llm_cache.proxy.server import Server

_log = logging.getLogger("llm_cache")
NOT_FOUND, NOT_STARTED, SIGNALLED = 127, 126, 128
"""Exit statuses of a shell: no such program; it cannot be started; ended by the signal of that number."""
# What a program may want to hear of; the others either are about this process or cannot be passed on.
_PASSED = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")


def launch(
    command: Sequence[str], options: Mapping[str, object], environ: Mapping[str, str]
) -> tuple[int, Stats, float]:
    """Run a program whose calls go through a proxy of its own.

    Answers are shared with the library and with whatever else this user runs, whoever's keys fetched them: the store
    is the user's, and a token made for this run keeps everybody else out.

    Args:
        command: the program and its arguments.
        options: settings beside those that a run has of its own.
        environ: the environment that it would have had.

    Returns:
        The program's exit status as a shell has it, what became of its calls, and how many seconds it took.

    Raises:
        ConfigError: a setting is wrong, or a variable that names an upstream is.
        OSError: the program cannot be started.
    """
    token = secrets.token_urlsafe(24)
    given = {
        "log_level": environ.get("LLMCACHE_LOG_LEVEL") or "WARNING",
        **options,
        "proxy_host": "127.0.0.1",
        "proxy_port": 0,
        "proxy_scope": "shared",
        "proxy_tokens": {"run": token},
        "upstreams": upstreams_in(environ) or None,
        "workers": 1,
    }
    settings = load(given, environ)
    offline = Mode.OFFLINE in {settings.mode, settings.ceiling}
    from llm_cache.proxy.serve import logging_to

    began = time.monotonic()
    with logging_to(settings), _account(settings) as account, _Serving(settings, account.hear) as serving:
        status = _run(command, surroundings(environ, serving.url, token, offline=offline), serving)
        took_s = time.monotonic() - began
        serving.stop()
        return status, account.stats(), took_s


class _account:  # noqa: N801 - a context manager, used as one
    """What became of the calls of this run alone, whatever else the store counts."""

    def __init__(self, settings: Settings) -> None:
        from llm_cache.ledger.ledger import Ledger
        from llm_cache.runtime.writer import writer
        from llm_cache.stores.memory import MemoryStore

        self._ledger = Ledger(MemoryStore(), writer(), settings.pricing_table, time.time)

    def hear(self, event: Event) -> None:
        self._ledger(event)

    def stats(self) -> Stats:
        return self._ledger.stats(lenient=True)

    def __enter__(self) -> _account:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()


class _Serving:
    """The proxy in a thread, since the main one waits for the program and its signals."""

    def __init__(self, settings: Settings, listener: Callable[[Event], None]) -> None:
        from llm_cache.proxy.app import create_app
        from llm_cache.proxy.serve import bind
        from llm_cache.proxy.server import Server, url_of

        self._sockets = bind(settings.proxy_host, settings.proxy_port)
        self.url = url_of(self._sockets[0])
        self._app = create_app(settings, listener)
        self._server: Server = Server(self._app, settings)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        # A daemon, so that nothing keeps a run from ending that was told twice to end.
        self._thread = threading.Thread(target=self._serve, name="llm-cache-proxy", daemon=True)

    def __enter__(self) -> _Serving:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for each in self._sockets:
            each.close()

    def stop(self) -> None:
        """End what is under way, as `serve` does, and put everything away. A second call does nothing."""
        self._server.should_exit = True
        while self._thread.is_alive():
            # In pieces, so that a signal is heard meanwhile.
            self._thread.join(0.2)

    def interrupt(self) -> None:
        """Stop: at once, if it is stopping already."""
        if self._server.should_exit:
            self._server.abort()
        self._server.should_exit = True

    def _serve(self) -> None:
        from llm_cache.proxy.serve import run_loop

        async def main() -> None:
            serving = asyncio.ensure_future(self._server.serve(sockets=self._sockets))
            while not self._server.started and not serving.done():  # noqa: ASYNC110 - uvicorn sets no event
                await asyncio.sleep(0.001)
            self._ready.set()
            try:
                await serving
            finally:
                await self._app.close()

        try:
            run_loop(main())
        except BaseException as error:  # whoever waits for it must hear of it
            self._failure = error
        finally:
            self._ready.set()


def _run(command: Sequence[str], environ: Mapping[str, str], serving: _Serving) -> int:
    child: subprocess.Popen[bytes] | None = None
    missed: list[int] = []

    def forward(sig: int, _frame: FrameType | None) -> None:
        if child is None:
            missed.append(sig)
        elif child.returncode is not None:
            serving.interrupt()
        elif sig != signal.SIGINT or not _from_terminal():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(sig)

    with _hearing(forward):
        child = subprocess.Popen(list(command), env=dict(environ))  # noqa: S603 - it is what the user asked to run
        for sig in missed:
            child.send_signal(sig)
        status = child.wait()
        return status if status >= 0 else SIGNALLED - status


def _from_terminal() -> bool:
    """Whether an interrupt comes from the terminal's keyboard, which has then told the program as well."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return False


@contextlib.contextmanager
def _hearing(forward: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have signals passed on. They stay so after the program's end, until the process ends: what then still goes on
    in the proxy is ended by the first of them.
    """
    for name in ("SIGINT", *_PASSED):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            # What is ignored stays so: the program inherits that (`nohup`).
            signal.signal(getattr(signal, name), forward)
    yield
