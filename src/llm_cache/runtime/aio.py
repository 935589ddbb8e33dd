"""Performs plans on an event loop.

`run` drives `answer` and says what to do; an `AsyncReader` is the body of a reply that is being
fetched. Once a call leads, the rest of its plan runs in the flight's own task, so that a caller
who is cancelled, before the head or after it, kills nothing that others wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
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
from llm_cache.runtime.aio_flights import OK, AsyncFlight, let_go_of
from llm_cache.runtime.aio_reader import AsyncReader, behind_the_back
from llm_cache.runtime.aio_save import arrived
from llm_cache.runtime.aside import aside
from llm_cache.runtime.listening import heard
from llm_cache.runtime.recall import recalled
from llm_cache.runtime.registry import fetching, note_inner, running_loop, within
from llm_cache.runtime.sync import POLL_S, followed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from llm_cache.core.events import Event
    from llm_cache.core.model import Request
    from llm_cache.runtime.aio_flights import AsyncUpstream
    from llm_cache.runtime.world import World

__all__ = ["AsyncReader", "run"]


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
        self.tell = partial(heard, tell)
        self.answer: Generator[Effect, Any, plan.Outcome] = plan.answer(ask, world.clock())
        self.key = ask.signature.key if ask.signature else ""
        self.origin = ask.signature.origin if ask.signature else ""
        self.loop = running_loop()
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
                    reply = await self._claim(effect)
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
                    reply = await self._explain()
                elif isinstance(effect, Revalidate):
                    self._revalidate()
                effect = answer.send(reply)
        except StopIteration as stop:
            outcome: plan.Outcome = stop.value
            return outcome

    async def _lookup(self, key: str) -> object:
        access = self.world.access
        look = partial(access.lookup, key, self.ask.verify, self.origin)
        if self.loop is None or access.at_once(key):
            return look()
        future = aside(look)
        if await arrived(future, access.lookup_timeout_s):
            return future.result()
        future.cancel()
        access.overdue_lookup(key)
        return None

    async def _explain(self) -> str:
        explain = self.world.explain
        # Looks at thousands of rows: nothing to hold up a loop with.
        return explain(self.ask) if self.loop is None else await asyncio.to_thread(explain, self.ask)

    async def _claim(self, effect: Claim) -> Claimed:
        if self.loop is None or within(effect.key):
            return Claimed.ALONE
        claimed, flight, self.seat = self.world.flights.claim(
            effect.key, self.loop, partial(self.new_flight, registered=True), time.monotonic()
        )
        assert flight is None or isinstance(flight, AsyncFlight)  # noqa: S101 - of this domain
        self.flight = flight
        return claimed if flight is None or claimed is not Claimed.LEAD else await self._lease(flight)

    async def _lease(self, flight: AsyncFlight) -> Claimed:
        """Lead only if no other process does. Those who follow meanwhile are told when it does not."""
        leases = self.world.access.leases
        flight.release = partial(leases.release, self.key)
        leads = False
        try:
            future = leases.taking(self.key)
            if future is None:
                leads = True
            else:
                leads = future.result() if await arrived(future, leases.patience_s) else leases.overdue(self.key)
        finally:
            # Also when this caller is cancelled meanwhile.
            if not leads:
                flight.died()
                self.flight = None
        return Claimed.LEAD if leads else Claimed.BUSY

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
        began = time.monotonic()
        try:
            # One bound for all that this call waits for, however many leaders die before it.
            patience_s = max(0.0, self.ask.policy.join_timeout_s - self._waited_s)
            landing = await flight.wait_for_first_byte(self.ask.credentials, patience_s)
        finally:
            self._waited_s += time.monotonic() - began
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
            if not (self.world.flights.busy(key) or await self._held(key)):
                break
            nap_s = min(longest_s, nap_s * 2)
        return self._waited_s

    async def _held(self, key: str) -> bool:
        """Whether another process is fetching it."""
        access = self.world.access
        if access.inline or self.loop is None:
            return access.leases.held(key)
        future = aside(partial(access.leases.held, key))
        return await arrived(future, access.lookup_timeout_s) and future.result()

    def _revalidate(self) -> None:
        key, world = self.key, self.world
        if self.loop is None or not world.begins_refreshing(key):
            return
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

        behind_the_back(fetch(), self.loop)

    def take_off(self, flight: AsyncFlight, relay: plan.Relay) -> None:
        """Let a flight have the reply."""
        assert self.upstream is not None  # noqa: S101 - a relay comes after Send
        whom = plan.about(self.ask)
        abandon = partial(plan.abandoned, relay, whom)
        flight.take_off(self.upstream, relay, self.tell, abandon, ahead=self.ask.kind == "http")

    async def let_go(self) -> None:
        """Close a reply that nobody will read."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            await let_go_of(upstream)


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
    replay = recalled(ask, world, tell)
    if replay is not None:
        note_inner()
        return replay
    call = _Call(ask, world, send, tell)
    try:
        outcome = await call.drive(None)
        if outcome is None:
            return await _lead(call)
        if isinstance(outcome, (plan.Replay, plan.Pass)):
            if isinstance(outcome, plan.Replay):
                note_inner()
            return outcome
        if isinstance(outcome, plan.Relay):
            flight = call.new_flight(registered=False)
            call.seat = flight.sit() or 0
            call.take_off(flight, outcome)
            call.flight = flight
        return _reader(call, outcome)
    finally:
        if call.upstream is not None and call.flight is None:
            await call.let_go()


def _reader(call: _Call, outcome: plan.Relay | plan.Follow) -> AsyncReader:
    flight, post = call.flight, call.world.access.writer.post
    assert flight is not None  # noqa: S101 - it was led, joined or made
    if isinstance(outcome, plan.Follow):
        note_inner()
        done = partial(followed, call.tell, plan.about(call.ask))
        return AsyncReader(flight, call.seat, flight.head, follows=True, reason="joined", done=done, post=post)
    head = outcome.sent.head
    return AsyncReader(flight, call.seat, head, follows=False, reason=outcome.reason, done=_led, post=post)


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
    assert not isinstance(outcome, plan.Follow)  # noqa: S101 - a leader follows nobody
    return _reader(call, outcome) if isinstance(outcome, plan.Relay) else outcome


async def _fly(call: _Call, flight: AsyncFlight, begun: asyncio.Future[plan.Outcome]) -> None:
    """The flight's own task, from its claim to its end."""
    result: plan.Outcome | Exception | None = None
    try:
        result = await call.drive(Claimed.LEAD)
        if isinstance(result, plan.Relay):
            call.take_off(flight, result)
    except Exception as error:
        result = error
    except BaseException:
        # Cancelled, or the coroutine is closed because its loop is gone; no reply is at hand yet.
        flight.died()
        with contextlib.suppress(RuntimeError):  # the loop is closed, then nobody waits
            begun.cancel()
        raise
    if not isinstance(result, plan.Relay):
        # Landed before the leader knows of it.
        flight.died(refused=call.upstream is not None and call.upstream.head.status != OK)
    if not begun.done():
        if isinstance(result, Exception):
            begun.set_exception(result)
        elif result is not None:
            begun.set_result(result)
    if isinstance(result, plan.Relay):
        await flight.fly()
    else:
        await call.let_go()


def _retrieve(future: asyncio.Future[plan.Outcome]) -> None:
    """Look at what a leader who has gone will not look at, so that nobody is warned of it."""
    if not future.cancelled():
        future.exception()


def _led(flight: AsyncFlight, error: Exception | None) -> None:
    """The plan has told all there is to tell."""
