"""A fetch that several tasks of one event loop read: moved by a task of its own, landed once.

The task pulls only when a reader wants more, so that backpressure reaches the upstream; because
it is not a reader's task, a reader that is cancelled cuts the connection for nobody else. Without
asyncio (trio), and for calls that nobody may join, there is no task: the reader pulls itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from llm_cache.core.effects import Deliver, Effect, Landing, Pull, Pulled, Save, Tell
from llm_cache.core.events import Dropped, Event, Stored
from llm_cache.core.recorder import shared_head
from llm_cache.runtime.aio_save import save
from llm_cache.runtime.own_error import own_error
from llm_cache.runtime.registry import fetching, forks, running_loop
from llm_cache.runtime.tape import Tape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator

    from llm_cache.core.model import Head
    from llm_cache.core.plan import Relay
    from llm_cache.runtime.access import Access
    from llm_cache.runtime.registry import Flights

OK = 200


class AsyncUpstream(Protocol):
    """A reply whose head is here and whose body is on its way."""

    head: Head

    def chunks(self) -> AsyncIterator[bytes]:
        """The content-decoded body. Errors are the HTTP library's own."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


async def let_go_of(upstream: AsyncUpstream) -> None:
    """Close a reply that is over; nothing hangs on whether that works."""
    try:
        with contextlib.suppress(Exception):
            await upstream.close()
    except asyncio.CancelledError:
        # A loop that is closing cancels this too, in the middle of it, and nobody comes back for the connection.
        with contextlib.suppress(Exception):
            await upstream.close()
        raise


class AsyncFlight:
    """One fetch of one event loop; `loop` None means that its only reader pulls it.

    Whoever sets `_over` does so with `_land`, which is synchronous, so that it can be done while a
    task is being cancelled, when a loop has closed, and by the collector; letting go of the upstream
    has to wait and comes after. An end that is no clean one has an `_error`, so that nobody takes it
    for one.

    Args:
        flights: where it is registered, or None if nobody may join.
        limit: see `Tape`.
        patience_s: the longest a follower waits for anything before it gives up.
    """

    def __init__(
        self,
        key: str,
        credentials: object,
        access: Access,
        flights: Flights | None,
        limit: int,
        patience_s: float,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.key = key
        self.domain: object = loop
        self.stored: Stored | Dropped | None = None
        self.release: Callable[[], None] | None = None
        self._credentials = credentials
        self._access = access
        self._flights = flights
        self._patience_s = patience_s
        self._clock = clock
        self.loop = loop
        self._forks = forks()
        self._tape = Tape(limit)
        self._landing: Landing | None = None
        self._head: Head | None = None
        self._upstream: AsyncUpstream | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._body: Generator[Effect, Any, None] | None = None
        self._tell: Callable[[Event], None] | None = None
        self._abandon: Callable[[], Dropped] | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        # What an `asyncio.Event` would be, for one who waits and at half its cost: there is one for every chunk.
        self._wanted = False
        self._idle: asyncio.Future[None] | None = None
        self._pulling = False
        self._impatient = False
        self._nested = False
        self._over = False
        self._error: Exception | None = None

    # --- seats -------------------------------------------------------------------------------

    @property
    def dead(self) -> bool:
        """Whether it has failed, was abandoned, or its loop has closed under it."""
        failed = self._over and (self._error is not None or self._landing is Landing.DIED)
        return failed or self.stranded

    @property
    def stranded(self) -> bool:
        """Whether its loop has closed under it."""
        return self.loop is not None and self.loop.is_closed()

    @property
    def inherited(self) -> bool:
        """Whether it flies in the process that this one was forked from."""
        return self._forks != forks()

    def sit(self) -> int | None:
        """Take a seat, from which the whole reply will be seen; None if it is too late for that."""
        return None if self.dead else self._tape.sit()

    def leave(self, seat: int) -> None:
        """Give a seat up; the last one to go ends a fetch that is not over."""
        last = self._tape.leave(seat)
        self._notify()
        if not last or self._over:
            return
        self._land(ConnectionError("all readers of this reply have gone"))
        if self._task is not None and not self.stranded:
            self._task.cancel()

    async def closed(self) -> None:
        """Wait until the connection has been let go of, if nobody reads any more."""
        if self._tape.seats:
            return
        if self._task is None:
            await self._release()
        elif self.loop is running_loop() and self._task is not asyncio.current_task():
            await asyncio.wait({self._task}, timeout=self._patience_s)

    # --- until the head ------------------------------------------------------------------------

    def start(self, flying: Coroutine[Any, Any, None]) -> None:
        """Give the flight the task that will move it."""
        assert self.loop is not None  # noqa: S101 - without a loop nobody can lead
        self._task = self.loop.create_task(flying)
        # A loop that is closed under it is its owner's choice, and no reason to warn of our task.
        with contextlib.suppress(AttributeError):
            self._task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio.gather does

    def take_off(
        self,
        upstream: AsyncUpstream,
        relay: Relay,
        tell: Callable[[Event], None],
        abandon: Callable[[], Dropped],
        *,
        ahead: bool,
    ) -> None:
        """The head is here: everyone who waits may read along, or is sent away. `tell` must not raise.

        `ahead`: ask for the first chunk before anybody has, which a generator of the caller's may not be meant for.
        """
        self._upstream, self._body, self._tell = upstream, relay.body, tell
        self._abandon = abandon
        self._chunks = upstream.chunks()
        self._head = relay.sent.head
        if relay.sent.head.status != OK and self._flights is not None:
            self._flights.land(self.key, self, failed_at=time.monotonic())
        next(relay.body)  # to its first Pull
        self._landing = Landing.JOINED
        if ahead:
            self._want()  # mostly it has come with the head, and the leader asks some turns of the loop later
        self._notify()

    def died(self, *, refused: bool = False) -> None:
        """No head will come: those who wait must fetch for themselves. May be called twice.

        `refused` if one came that is not passed on, because it was an error.
        """
        if self._flights is not None:
            self._flights.land(self.key, self, failed_at=time.monotonic() if refused else None)
        if self._landing is None:
            self._landing = Landing.DIED
            self._over = True
            self._notify()

    async def wait_for_first_byte(self, credentials: object, timeout_s: float) -> Landing:
        """How the fetch began, for a follower with these credentials who has a seat.

        Also asks for that byte: a leader that does not read yet must not keep others from it.
        """
        deadline = time.monotonic() + timeout_s
        while self._landing is None:
            if not await self._wait(deadline - time.monotonic()):
                return Landing.LATE
        if self._landing is not Landing.JOINED:
            return self._landing
        if self._head is not None and self._head.status != OK:
            return Landing.JOINED if credentials == self._credentials else Landing.REFUSED
        while True:
            if self.dead:
                # Also if others have seen a part of it: this one has not, and may call anew.
                return Landing.DIED
            if self._tape.begun or self._over:
                return Landing.JOINED
            self._want()
            if not await self._wait(deadline - time.monotonic()):
                return Landing.LATE

    @property
    def head(self) -> Head:
        """The reply's head as followers see it."""
        assert self._head is not None  # noqa: S101 - seats are read only after take_off
        return shared_head(self._head) if self._head.status == OK else self._head

    # --- the body ------------------------------------------------------------------------------

    async def read(self, seat: int, *, follows: bool) -> bytes | None:
        """The next chunk of that seat; None at the end.

        Raises what the upstream raised (followers a copy), or `TimeoutError` for a follower who saw
        no progress for as long as it is patient.
        """
        while True:
            crowded = self._tape.crowded
            data = self._tape.next(seat)
            if data is not None:
                if crowded:
                    # It may be so no longer.
                    self._notify()
                return data
            if self._over:
                if self._error is not None:
                    raise own_error(self._error) if follows else self._error
                return None
            if not self._tape.taken(seat):
                raise ConnectionError("this reply was closed while it was being read")
            if self._task is None:
                await self._pull_alone()
                continue
            self._want()
            moved = await self._wait(self._patience_s if follows else None)
            if not moved and not self._holding_back():
                raise TimeoutError(f"an identical call in flight was silent for {self._patience_s:g} s")

    async def _pull_alone(self) -> None:
        """Pull in the reader's own task, for a flight that has none."""
        if self._pulling:
            raise RuntimeError("two tasks read one reply at the same time")
        self._pulling = True
        try:
            await self._pull()
        except BaseException:
            # Cancelled within the upstream, which ends its iterator: what follows is no clean end.
            self._land(ConnectionError("reading this reply was cancelled"))
            raise
        finally:
            self._pulling = False

    async def fly(self) -> None:
        """Move the relay, a chunk whenever somebody wants one. Runs in the flight's task."""
        assert self.loop is not None  # noqa: S101 - else nobody calls this
        try:
            while not self._over:
                if not self._wanted:
                    self._idle = self.loop.create_future()
                    await self._idle
                self._wanted = False
                if self._holding_back():
                    await self._wait_for_the_slowest()
                if not self._over:
                    await self._pull()
                    self._notify()
            await self._release()
        except asyncio.CancelledError:
            # By the last reader, who has landed it, or by a loop that is closing.
            self._land(ConnectionError("the event loop is closing"))
            await self._release()
            raise

    def _holding_back(self) -> bool:
        """Whether the slowest is to be waited for."""
        return self._tape.crowded and not self._impatient and not self._over

    async def _wait_for_the_slowest(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while self._holding_back():
            # One bounded wait; from then on memory is the lesser evil.
            if not await self._wait(deadline - time.monotonic()):
                self._impatient = True
                self._notify()

    async def _pull(self) -> None:
        """Perform the relay up to its next Pull."""
        error: Exception | None = None
        try:
            over = await self._step()
        except Exception as problem:
            over, error = True, problem
        if over:
            self._land(error)

    async def _step(self) -> bool:
        body, chunks = self._body, self._chunks
        assert body is not None  # noqa: S101 - read after take_off only
        assert chunks is not None  # noqa: S101
        try:
            data, error = None, None
            # A decorated generator makes its calls here, not before its head.
            with fetching(self.key) as fetch:
                try:
                    data = await anext(chunks, None)
                except Exception as problem:
                    error = problem
            self._nested = self._nested or fetch.nested
            effect: Effect = body.throw(error) if error is not None else body.send(Pulled(data, self._clock()))
            while type(effect) is not Pull:
                reply: object = None
                if isinstance(effect, Deliver):
                    self._tape.add(effect.data)
                elif isinstance(effect, Save):
                    reply = await save(self._access, effect.entry, self.loop)
                elif isinstance(effect, Tell):
                    self._note(effect.event)
                effect = body.send(reply)
        except StopIteration:
            return True
        return False

    def _note(self, event: Event) -> None:
        if isinstance(event, (Stored, Dropped)):
            event = self.stored = replace(event, nested=True) if self._nested else event
        if self._tell is not None:
            self._tell(event)

    def _land(self, error: Exception | None) -> None:
        """It is over, cleanly or with this error. A second call does nothing."""
        if self._over:
            return
        self._over, self._error = True, error
        if self._flights is not None:
            self._flights.land(self.key, self)
        if self._body is not None:
            self._body.close()
        if self.stored is None and self._abandon is not None:
            self._note(self._abandon())
        self._notify()

    async def _release(self) -> None:
        """Let go of the upstream, after it has landed. A second call does nothing."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await let_go_of(upstream)

    # --- waiting -------------------------------------------------------------------------------

    def _want(self) -> None:
        self._wanted = True
        idle, self._idle = self._idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    def _notify(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done() and not self.stranded:
                waiter.set_result(None)

    async def _wait(self, timeout_s: float | None) -> bool:
        assert self.loop is not None  # noqa: S101 - only flights with a loop are waited for
        waiter = self.loop.create_future()
        self._waiters.append(waiter)
        try:
            if timeout_s is None:
                await waiter
                return True
            done, _ = await asyncio.wait({waiter}, timeout=max(0.0, timeout_s))
            return bool(done)
        finally:
            if not waiter.done():
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
