"""A world to run calls in: a store in memory, scripted upstreams with gates, an ear for events. No tests."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from llm_cache.codec.codec import Codec
from llm_cache.core.events import Bypassed, Dropped, Event, Hit, Joined, Missed, Stored, StoreFailed
from llm_cache.core.model import Head
from llm_cache.core.plan import Ask, Pass, Replay
from llm_cache.core.policy import Policy
from llm_cache.core.replay import chunks
from llm_cache.runtime import aio, sync
from llm_cache.runtime.access import Access
from llm_cache.runtime.registry import Flights
from llm_cache.runtime.world import World
from llm_cache.runtime.writer import writer
from llm_cache.stores.memory import MemoryStore
from tests.core.making import OK, ask

PATIENCE_S = 20.0
"""How long a test waits for what must come; a test that fails is slow, one that passes is not."""
WHOLE = (b"a\n", b"b\n", b"END\n")


class Ear:
    """Hears events, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in list(self.events) if isinstance(event, kinds)]

    def count(self, *kinds: type[Event]) -> int:
        return len(self.of(*kinds))

    def balance(self, *, calls: int, fetches: int) -> None:
        """Every call is told once as what it was, and every fetch that had a head once as what became of it."""
        seen = Counter(type(event).__name__ for event in self.events)
        assert self.count(Hit, Missed, Joined, Bypassed) == calls, seen
        ends = [event for event in self.of(Stored, Dropped) if not getattr(event, "again", False)]
        assert len(ends) == fetches, seen


class Gate:
    """Opened once, waited for by threads and tasks alike; a test that forgets to open it fails soon."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(PATIENCE_S), "a gate was not opened"

    async def reached(self) -> None:
        for _ in range(int(PATIENCE_S / 0.001)):
            if self._event.is_set():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("a gate was not opened")


class Script:
    """One reply: its pieces in order. Bytes are a chunk, a Gate is waited for, an error raised, a function called.

    What comes before a `Head` happens before the head; without one, it is a 200 at the start.
    """

    def __init__(self, *pieces: Any) -> None:
        if not any(isinstance(piece, Head) for piece in pieces):
            pieces = (OK, *pieces)
        at = next(index for index, piece in enumerate(pieces) if isinstance(piece, Head))
        self.before, self.head, self.after = pieces[:at], pieces[at], pieces[at + 1 :]


class Source:
    """An upstream that answers its first call by the first script, the second by the second; the last repeats."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = scripts or (Script(*WHOLE),)
        self.sends = 0
        self.opened = 0
        self.closed = 0
        self.asked: list[Any] = []
        self._lock = threading.Lock()

    def _next(self, request: Any) -> Script:
        with self._lock:
            self.asked.append(request)
            self.sends += 1
            return self.scripts[min(self.sends, len(self.scripts)) - 1]

    def send(self, request: Any) -> SyncReply:
        script = self._next(request)
        for piece in script.before:
            _happen(piece)
        return SyncReply(self, script)

    async def asend(self, request: Any) -> AsyncReply:
        script = self._next(request)
        for piece in script.before:
            await _ahappen(piece)
        return AsyncReply(self, script)

    def count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    @property
    def all_closed(self) -> bool:
        """Whether every connection was let go of, once."""
        return self.closed == self.opened


def _happen(piece: Any) -> bytes | None:
    if isinstance(piece, Gate):
        piece.wait()
    elif isinstance(piece, asyncio.Event):
        raise TypeError("an asyncio.Event is for tasks")
    elif isinstance(piece, BaseException):
        raise piece
    elif callable(piece):
        piece()
    else:
        return piece
    return None


async def _ahappen(piece: Any) -> bytes | None:
    if isinstance(piece, asyncio.Event):
        await piece.wait()
        return None
    if isinstance(piece, Gate):
        await piece.reached()
        return None
    happened = _happen(piece)
    await asyncio.sleep(0)
    return happened


class SyncReply:
    def __init__(self, source: Source, script: Script) -> None:
        self.head = script.head
        self._source = source
        self._script = script
        self._open = True
        source.count("opened")

    def chunks(self):
        for piece in self._script.after:
            data = _happen(piece)
            if not self._open:
                raise ConnectionError("read after close")
            if data is not None:
                yield data

    def close(self) -> None:
        self._open = False
        self._source.count("closed")


class AsyncReply(SyncReply):
    async def chunks(self):
        for piece in self._script.after:
            data = await _ahappen(piece)
            if not self._open:
                raise ConnectionError("read after close")
            if data is not None:
                yield data

    async def close(self) -> None:
        await asyncio.sleep(0)
        super().close()


class Stage:
    """One cache's worth of machinery, with a source behind it."""

    def __init__(
        self,
        *scripts: Script,
        policy: Policy | None = None,
        store: Any = None,
        flights: Flights | None = None,
        clock: Callable[[], float] | None = None,
        ear: Callable[[Event], None] | None = None,
        **access: Any,
    ) -> None:
        self.source = Source(*scripts)
        self.ear = ear or Ear()
        self.policy = policy or Policy(join_timeout_s=PATIENCE_S)
        self.store = store if store is not None else MemoryStore()
        given: dict[str, Any] = {"write_timeout_s": PATIENCE_S, **access}
        self.access = Access(self.store, Codec(), given.pop("writer", writer()), self.ear, **given)
        clock = clock or (lambda: 1_700_000_000.0)
        self.world = World(self.access, flights or Flights(), clock, lambda _ask: "", set())

    def ask(self, policy: Policy | None = None, **fields: Any) -> Ask:
        return ask(policy or self.policy, **fields)

    def run(self, policy: Policy | None = None, *, source: Source | None = None, **fields: Any) -> Any:
        return sync.run(self.ask(policy, **fields), self.world, (source or self.source).send, self.ear)

    async def arun(self, policy: Policy | None = None, *, source: Source | None = None, **fields: Any) -> Any:
        return await aio.run(self.ask(policy, **fields), self.world, (source or self.source).asend, self.ear)

    def call(self, policy: Policy | None = None, **fields: Any) -> bytes:
        """A whole call, read to its end."""
        return body(self.run(policy, **fields))

    async def acall(self, policy: Policy | None = None, **fields: Any) -> bytes:
        return await abody(await self.arun(policy, **fields))

    @property
    def stored(self) -> list[bytes]:
        """The bodies of what is in the store."""
        return [self.access.codec.decode(row).body for row in self.store.scan()]

    @property
    def aloft(self) -> int:
        """How many flights are registered."""
        return len(self.world.flights._aloft)

    def rests(self) -> None:
        """Nothing is in flight, nothing open, and nobody has failed behind the scenes."""
        settled(lambda: self.aloft == 0 and self.source.all_closed)
        assert self.ear.of(StoreFailed) == []


def body(outcome: Any) -> bytes:
    assert not isinstance(outcome, Pass)
    return b"".join(chunks(outcome.entry)) if isinstance(outcome, Replay) else b"".join(outcome)


async def abody(outcome: Any) -> bytes:
    if isinstance(outcome, Replay):
        return body(outcome)
    try:
        return b"".join([chunk async for chunk in outcome])
    finally:
        await outcome.aclose()  # as HTTP libraries do, also when they are cancelled


def settled(true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait for what happens behind the scenes."""
    pause = threading.Event()
    for _ in range(int(within_s / 0.002)):
        if true():
            return
        pause.wait(0.002)
    raise AssertionError("it did not come to that")


async def asettled(true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    for _ in range(int(within_s / 0.002)):
        if true():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to that")


class Crowd:
    """Threads that begin at the same moment; `results` are what they returned or raised, in their order."""

    def __init__(self, size: int, act: Callable[[int], Any]) -> None:
        self.results: list[Any] = [None] * size
        self._barrier = threading.Barrier(size)
        self._act = act
        self._threads = [threading.Thread(target=self._play, args=(number,), daemon=True) for number in range(size)]
        for thread in self._threads:
            thread.start()

    def _play(self, number: int) -> None:
        self._barrier.wait()
        try:
            self.results[number] = self._act(number)
        except BaseException as error:
            self.results[number] = error

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a thread hangs"
        return self.results


def thread(act: Callable[[], Any]) -> Crowd:
    """One of them."""
    return Crowd(1, lambda _number: act())
