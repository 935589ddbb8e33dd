"""One test under the cache: its cassette, the process-wide hook, the closed door to providers. It knows no pytest."""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from llm_cache.clients.cache import LLMCache, standing_in
from llm_cache.clients.install import install, uninstall
from llm_cache.errors import LLMCacheError
from llm_cache.providers.compatible import vendor_of
from llm_cache.transfer import cassettes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from llm_cache.core.plan import Ask

_CACHE_MODES = {"offline": "offline", "auto": "read-write", "refresh": "refresh"}
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
_LONGEST_NAME = 120
_MOST_CASSETTES = 50
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
        self._where: object = self._store or self.path

    def begin(self) -> None:
        """Nothing has failed, and nothing is missing: the test runs, perhaps once more."""
        self.failed = False
        self.misses.clear()
        self._where = self._store or self.path

    def blame(self, part: RecordedTest) -> None:
        """What is missing is missing in what a fixture has recorded."""
        self.misses += part.misses
        self._where = part.path

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
        return "\n".join([
            # A client that tries again has missed again.
            *dict.fromkeys(self.misses),
            f"Nothing is called in this mode. To record what is missing in {self._where}: pytest --llm-cache=auto",
        ])  # fmt: skip

    def _kept(self) -> set[tuple[bytes, float]]:
        return {(row.key, row.created_at) for row in self.cache.engine.store.scan()}

    def _listen(self) -> None:
        engine = self.cache.engine
        explain = engine.world.explain

        def explaining(ask: Ask) -> str:
            found = explain(ask)
            if self.path is not None and not self._loaded:
                found = _elsewhere(self.path, ask) or found
            model = f" ({ask.endpoint.model})" if ask.endpoint is not None and ask.endpoint.model else ""
            self.misses.append(
                f"not recorded: {ask.request.method} {ask.request.url.partition('?')[0]}{model}\n{found}"
            )
            return found

        engine.world = replace(engine.world, explain=explaining)


def _path_of(file: Path, name: str) -> str:
    own = name.rpartition(f"{file.name}::")[2]
    plain = own.replace("::", "-").replace("[", "-").removesuffix("]")
    safe = _UNSAFE.sub("-", plain)[:_LONGEST_NAME].strip("-")
    # `a/b` and `a-b` are two cases of one test.
    digest = "" if safe == plain else f"-{sha256(own.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return f"{FOLDER}/{file.stem}/{safe}{digest}.json"


def _elsewhere(path: Path, ask: Ask) -> str:
    """What comes nearest among the cassettes beside one that is empty or missing; "" if nothing does.

    A test that was renamed has left its recordings under the old name.
    """
    with LLMCache(backend="memory", enable_encryption=False, default_ttl_days="never") as cache:
        for other in sorted(path.parent.glob("*.json"))[:_MOST_CASSETTES]:
            with suppress(LLMCacheError, OSError):
                cassettes.read(cache.engine, other)
        found = cache.engine.world.explain(ask)
    return f"in the cassettes of other tests, {path.parent}:\n{found}" if found else ""


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
    look_up = socket.getaddrinfo

    def check(host: Any) -> None:
        name = host.decode("latin-1") if isinstance(host, bytes) else str(host or "")
        if (vendor := vendor_of(name.lower().rstrip("."), None)) is not None:
            raise OSError(
                f"llm-cache: this test is offline, and something in it wanted to connect to {name} ({vendor})"
            )

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        check(host)
        return look_up(host, *rest, **more)

    def guarded(plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        # Sockets look names up by themselves.
        def connecting(this: Any, address: Any) -> Any:
            if isinstance(address, tuple) and address:
                check(address[0])
            return plain(this, address)

        return connecting

    socket.getaddrinfo = getaddrinfo
    plain = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}
    for name, method in plain.items():
        setattr(socket.socket, name, guarded(method))
    try:
        yield
    finally:
        socket.getaddrinfo = look_up
        for name, method in plain.items():
            setattr(socket.socket, name, method)
