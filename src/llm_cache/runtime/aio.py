"""Performs plans on an event loop.

`run` drives `answer` and says what to do; an `AsyncReader` is the body of a reply that is being
fetched. Once a call leads, the rest of its plan runs in the flight's own task, so that a caller
who is cancelled, before the head or after it, kills nothing that others wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_cache.core import plan
from llm_cache.core.effects import (
    Claim,
    Claimed,
    Effect,
    Explain,
    Join,
    Landing,
    Lookup,
    Pause,
    Revalidate,
    Send,
    Sent,
    Tell,
)
from llm_cache.core.policy import Mode
from llm_cache.runtime.aio_flights import AsyncFlight
from llm_cache.runtime.registry import fetching, note_inner, within
from llm_cache.runtime.sync import POLL_S, followed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator

    from llm_cache.core.events import Event
    from llm_cache.core.model import Head, Request
    from llm_cache.runtime.aio_flights import AsyncUpstream
    from llm_cache.runtime.world import World

_behind: set[asyncio.Task[None]] = set()
"""Refreshes that nobody awaits; the loop itself holds tasks only weakly."""


class AsyncReader:
    """The body of a reply in flight, chunk by chunk, for one caller; as `SyncReader`."""

    def __init__(
        self,
        flight: AsyncFlight,
        seat: int,
        head: Head,
        *,
        follows: bool,
        reason: str,
        done: Callable[[AsyncFlight, Exception | None], None],
    ) -> None:
        self.head = head
        self.follows = follows
        self.reason = reason
        self._flight = flight
        self._seat = seat
        self._done = done
        self._finalizer = weakref.finalize(self, _gone, flight, seat, done)
        self._finalizer.atexit = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Continues where it is: a second call does not begin anew."""
        return self

    async def __anext__(self) -> bytes:
        if not self._finalizer.alive:
            raise StopAsyncIteration
        try:
            data = await self._flight.read(self._seat, follows=self.follows)
        except Exception as error:
            await self._close(error)
            raise
        if data is None:
            await self._close(None)
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Read no more. The fetch goes on for those who follow."""
        await self._close(None)

    async def _close(self, error: Exception | None) -> None:
        if self._finalizer.detach() is not None:
            self._flight.leave(self._seat)
            try:
                await self._flight.closed()
            finally:
                self._done(self._flight, error)


def _gone(flight: AsyncFlight, seat: int, done: Callable[[AsyncFlight, Exception | None], None]) -> None:
    """A reader was dropped unread, in whatever thread the collector ran."""
    loop = flight.domain

    def leave() -> None:
        flight.leave(seat)
        done(flight, None)

    if isinstance(loop, asyncio.AbstractEventLoop):
        with contextlib.suppress(RuntimeError):  # closed: it was landed with its loop
            loop.call_soon_threadsafe(leave)


class _Call:
    """One call being decided: the plan, and what has been gathered for it so far."""

    def __init__(
        self,
        ask: plan.Ask,
        world: World,
        send: Callable[[Request], Awaitable[AsyncUpstream]],
        tell: Callable[[Event], None],
    ) -> None:
        self.ask = ask
        self.world = world
        self.send = send
        self.tell = tell
        self.answer: Generator[Effect, Any, plan.Outcome] = plan.answer(ask, world.clock())
        self.key = ask.signature.key if ask.signature else ""
        self.loop = _running_loop()
        self.flight: AsyncFlight | None = None
        self.seat = 0
        self.upstream: AsyncUpstream | None = None
        self._waited_s = 0.0

    async def drive(self, reply: object) -> plan.Outcome | None:
        """Perform effects to the plan's end; None as soon as the call has become a leader."""
        answer, world = self.answer, self.world
        try:
            effect = answer.send(reply)
            while True:
                reply = None
                kind = type(effect)
                if kind is Lookup:
                    reply = await self._lookup(effect.key)  # type: ignore[union-attr]
                elif kind is Tell:
                    self.tell(effect.event)  # type: ignore[union-attr]
                elif isinstance(effect, Claim):
                    reply = self._claim(effect)
                    if reply is Claimed.LEAD:
                        return None
                elif isinstance(effect, Join):
                    reply = await self._join()
                elif isinstance(effect, Pause):
                    reply = await self._pause(effect.key)
                elif isinstance(effect, Send):
                    sent_at = world.clock()
                    try:
                        with fetching(self.key) as fetch:
                            self.upstream = await self.send(effect.request)
                    except Exception as error:
                        effect = answer.throw(error)
                        continue
                    reply = Sent(self.upstream.head, sent_at, world.clock(), fetch.nested)
                elif isinstance(effect, Explain):
                    reply = world.explain(self.ask)
                elif isinstance(effect, Revalidate):
                    self._revalidate()
                effect = answer.send(reply)
        except StopIteration as stop:
            outcome: plan.Outcome = stop.value
            return outcome

    async def _lookup(self, key: str) -> object:
        access = self.world.access
        if access.store.inline or self.loop is None:
            return access.lookup(key, self.ask.verify)
        return await asyncio.to_thread(access.lookup, key, self.ask.verify)

    def _claim(self, effect: Claim) -> Claimed:
        if self.loop is None or within(effect.key):
            return Claimed.ALONE
        claimed, flight, self.seat = self.world.flights.claim(
            effect.key, self.loop, partial(self.new_flight, registered=True), time.monotonic()
        )
        assert flight is None or isinstance(flight, AsyncFlight)  # noqa: S101 - of this domain
        self.flight = flight
        return claimed

    def new_flight(self, *, registered: bool) -> AsyncFlight:
        """A flight for this call; without a registration it belongs to its one reader."""
        ask = self.ask
        return AsyncFlight(
            self.key,
            ask.credentials,
            self.world.access,
            self.world.flights if registered else None,
            ask.policy.max_entry_bytes,
            ask.policy.join_timeout_s,
            self.world.clock,
            self.loop,
        )

    async def _join(self) -> Landing:
        flight = self.flight
        assert flight is not None  # noqa: S101 - FOLLOW came with one
        landing = None
        try:
            landing = await flight.wait_for_first_byte(self.ask.credentials, self.ask.policy.join_timeout_s)
        finally:
            # Also when this follower is cancelled: an empty seat must not hold the flight.
            if landing is not Landing.JOINED:
                flight.leave(self.seat)
                self.flight = None
        return landing

    async def _pause(self, key: str) -> float:
        nap_s, longest_s = POLL_S
        while self._waited_s < self.ask.policy.join_timeout_s:
            await asyncio.sleep(nap_s)
            self._waited_s += nap_s
            if not self.world.flights.busy(key):
                break
            nap_s = min(longest_s, nap_s * 2)
        return self._waited_s

    def _revalidate(self) -> None:
        key, world = self.key, self.world
        if key in world.refreshing or self.loop is None:
            return
        world.refreshing.add(key)
        again = replace(self.ask, policy=replace(self.ask.policy, mode=Mode.REFRESH))

        async def fetch() -> None:
            try:
                reader = await run(again, world, self.send, self.tell)
                if isinstance(reader, AsyncReader):
                    async for _ in reader:
                        pass
            except Exception:
                return
            finally:
                world.refreshing.discard(key)

        task = self.loop.create_task(fetch())
        _behind.add(task)
        task.add_done_callback(_behind.discard)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop, or None where the caller runs on something else (trio)."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def run(
    ask: plan.Ask,
    world: World,
    send: Callable[[Request], Awaitable[AsyncUpstream]],
    tell: Callable[[Event], None],
) -> plan.Replay | plan.Pass | AsyncReader:
    """Decide and begin one call.

    Raises:
        CacheMissError: as `plan.answer`.
        Exception: whatever `send` raised.
    """
    call = _Call(ask, world, send, tell)
    outcome = await call.drive(None)
    if outcome is None:
        return await _lead(call)
    if isinstance(outcome, (plan.Replay, plan.Pass)):
        if call.upstream is not None:
            await call.upstream.close()
        if isinstance(outcome, plan.Replay):
            note_inner()
        return outcome
    flight = call.flight
    if isinstance(outcome, plan.Follow):
        assert flight is not None  # noqa: S101 - it was joined
        note_inner()
        done = partial(followed, tell, plan.about(ask))
        return AsyncReader(flight, call.seat, flight.head, follows=True, reason="joined", done=done)
    flight = call.new_flight(registered=False)
    seat = flight.sit()
    assert call.upstream is not None  # noqa: S101 - a relay comes after Send
    flight.take_off(call.upstream, outcome, tell, partial(plan.abandoned, outcome, plan.about(ask)))
    return AsyncReader(flight, seat, outcome.sent.head, follows=False, reason=outcome.reason, done=_led)


async def _lead(call: _Call) -> plan.Replay | plan.Pass | AsyncReader:
    """Let a task of the flight's own do the rest of the plan, and wait for its head."""
    flight, loop = call.flight, call.loop
    assert flight is not None  # noqa: S101 - LEAD came with one
    assert loop is not None  # noqa: S101
    begun: asyncio.Future[plan.Outcome] = loop.create_future()
    flight.start(_fly(call, flight, begun))
    try:
        outcome = await asyncio.shield(begun)
    except BaseException:
        begun.add_done_callback(_retrieve)
        flight.leave(call.seat)
        raise
    if isinstance(outcome, plan.Relay):
        return AsyncReader(flight, call.seat, outcome.sent.head, follows=False, reason=outcome.reason, done=_led)
    assert isinstance(outcome, (plan.Replay, plan.Pass))  # noqa: S101 - a leader follows nobody
    return outcome


async def _fly(call: _Call, flight: AsyncFlight, begun: asyncio.Future[plan.Outcome]) -> None:
    outcome: plan.Outcome | None = None
    try:
        outcome = await call.drive(Claimed.LEAD)
    except Exception as error:
        if not begun.done():
            begun.set_exception(error)
    finally:
        if not isinstance(outcome, plan.Relay):
            flight.died()
            if call.upstream is not None:
                await call.upstream.close()
            if not begun.done():
                if outcome is None:
                    begun.cancel()
                else:
                    begun.set_result(outcome)
    if isinstance(outcome, plan.Relay):
        assert call.upstream is not None  # noqa: S101 - a relay comes after Send
        whom = plan.about(call.ask)
        flight.take_off(call.upstream, outcome, call.tell, partial(plan.abandoned, outcome, whom))
        if not begun.done():
            begun.set_result(outcome)
        await flight.fly()


def _retrieve(future: asyncio.Future[plan.Outcome]) -> None:
    """Look at what a leader who has gone will not look at, so that nobody is warned of it."""
    if not future.cancelled():
        future.exception()


def _led(flight: AsyncFlight, error: Exception | None) -> None:
    """The plan has told all there is to tell."""
