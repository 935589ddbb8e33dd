"""One test under the cache: its cassette, the process-wide hook, the closed door to providers. It knows no pytest."""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_cache.clients.cache import LLMCache, standing_in
from llm_cache.clients.install import install, uninstall
from llm_cache.providers.compatible import vendor_of
from llm_cache.transfer import cassettes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from llm_cache.core.plan import Ask

_CACHE_MODES = {"offline": "offline", "auto": "read-write", "refresh": "refresh"}
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
_LONGEST_NAME = 120
FOLDER = "cassettes"


class RecordedTest:
    """A context in which every call of a model goes through a cache of the test's own.

    Args:
        file: the test's file.
        name: the test's name in the whole run, which may name its file first.
        mode: `offline`, `auto` or `refresh`.
        store: a store for all tests; without one the test has a cassette.
        cassette: the cassette's path, relative to the test's file; without it one is found by the test's name.
    """

    def __init__(self, file: Path, name: str, mode: str, store: str | None, cassette: str | None) -> None:
        self.mode = mode
        self.path = None if store else file.parent / (cassette or _path_of(file, name))
        self._store = store
        self._stack = ExitStack()
        self.misses: list[str] = []
        """Calls that were not recorded, each with what comes nearest."""
        self.failed = False

    def __enter__(self) -> RecordedTest:
        with ExitStack() as stack:
            mode = _CACHE_MODES[self.mode]
            if mode == "offline":
                # A ceiling for caches that the test makes itself, and for programs that it starts.
                stack.enter_context(_variable("LLMCACHE_MODE", "offline"))
                stack.enter_context(_closed_door())
            self.cache = stack.enter_context(_cache(self._store, mode))
            if self.path is not None and self.mode != "refresh" and self.path.exists():
                cassettes.read(self.cache.engine, self.path)
            self._loaded = self._kept() if self.path is not None else set()
            self._listen()
            install(self.cache)
            stack.callback(uninstall)
            stack.enter_context(standing_in(self.cache))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            # What a failed test has asked is not what it asks once it works.
            if self.path is not None and self.mode != "offline" and not self.failed and self._kept() != self._loaded:
                cassettes.write(self.cache.engine, self.path)

    def told(self) -> str:
        """What was not recorded, and how to record it."""
        where = self._store or self.path
        return "\n".join([
            *self.misses,
            f"Nothing is called in this mode. To record what is missing in {where}: pytest --llm-cache=auto",
        ])  # fmt: skip

    def _kept(self) -> set[tuple[bytes, float]]:
        return {(row.key, row.created_at) for row in self.cache.engine.store.scan()}

    def _listen(self) -> None:
        engine = self.cache.engine
        explain = engine.world.explain

        def explaining(ask: Ask) -> str:
            found = explain(ask)
            model = f" ({ask.endpoint.model})" if ask.endpoint is not None and ask.endpoint.model else ""
            self.misses.append(
                f"not recorded: {ask.request.method} {ask.request.url.partition('?')[0]}{model}\n{found}"
            )
            return found

        engine.world = replace(engine.world, explain=explaining)


def _path_of(file: Path, name: str) -> str:
    own = name.rpartition(f"{file.name}::")[2]
    return f"{FOLDER}/{file.stem}/{_UNSAFE.sub('-', own)[:_LONGEST_NAME].strip('-')}.json"


def _cache(store: str | None, mode: str) -> LLMCache:
    given: dict[str, Any] = {"mode": mode, "default_ttl_days": "never", "namespace": "default"}
    if store:
        return LLMCache(database_url=store, **given)
    return LLMCache(backend="memory", enable_encryption=False, **given)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _closed_door() -> Iterator[None]:
    """No name of a provider can be looked up, so that what goes past the cache fails at once and says why."""
    before = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode("latin-1") if isinstance(host, bytes) else str(host or "")
        if (vendor := vendor_of(name.lower().rstrip("."), None)) is not None:
            raise OSError(
                f"llm-cache: this test is offline, and something in it wanted to connect to {name} ({vendor})"
            )
        return before(host, *rest, **more)

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = before
