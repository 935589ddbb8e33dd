"""Performs plans in the caller's thread.

`run` drives `answer` and says what to do; a `SyncReader` is the body of a reply that is being
fetched. The event loop's counterpart is `aio`; they differ in verbs only.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

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
from llm_cache.core.events import About, Dropped, Joined, Missed, Stored
from llm_cache.core.policy import Mode
from llm_cache.runtime.flights import OK, THREADS, SyncFlight
from llm_cache.runtime.listening import heard
from llm_cache.runtime.recall import recalled
from llm_cache.runtime.registry import fetching, note_inner, running_loop, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_cache.core.events import Event
    from llm_cache.core.model import Head, Request
    from llm_cache.runtime.flights import Upstream
    from llm_cache.runtime.world import World

POLL_S = (0.002, 0.05)
"""The first and the longest nap while somebody out of reach is fetching."""


class SyncReader:
    """The body of a reply in flight, chunk by chunk, for one caller.

    Attributes:
        head: status and headers, as this caller may see them.
        follows: whether somebody else pays for it.
        reason: why the cache did not have it.
    """

    def __init__(
        self,
        flight: SyncFlight,
        seat: int,
        head: Head,
        *,
        follows: bool,
        reason: str,
        done: Callable[[SyncFlight, Exception | None], None],
        post: Callable[[Callable[[], object]], None],
    ) -> None:
        self.head = head
        self.follows = follows
        self.reason = reason
        self._flight = flight
        self._seat = seat
        self._done = done
        # A reader that is dropped unread must not keep its flight; the finalizer may run
        # anywhere, under any lock, so that it only leaves a note.
        self._finalizer = weakref.finalize(self, post, partial(_gone, flight, seat, done))
        self._finalizer.atexit = False

    def __iter__(self) -> Iterator[bytes]:
        """Continues where it is: a second call does not begin anew."""
        return self

    def __next__(self) -> bytes:
        if not self._finalizer.alive:
            raise StopIteration
        try:
            data = self._flight.read(self._seat, follows=self.follows)
        except Exception as error:
            self._close(error)
            raise
        if data is None:
            self._close(None)
            raise StopIteration
        return data

    def close(self) -> None:
        """Read no more. The fetch goes on for those who follow."""
        self._close(None)

    def _close(self, error: Exception | None) -> None:
        if self._finalizer.detach() is not None:
            self._flight.leave(self._seat)
            self._done(self._flight, error)


def _gone(flight: SyncFlight, seat: int, done: Callable[[SyncFlight, Exception | None], None]) -> None:
    if flight.inherited:
        # It is the parent's to end, and its locks may be held by threads that stayed there.
        return
    flight.leave(seat)
    done(flight, None)


class _Call:
    """One call being decided: the plan, and what has been gathered for it so far."""

    def __init__(
        self,
        ask: plan.Ask,
        world: World,
        send: Callable[[Request], Upstream],
        tell: Callable[[Event], None],
    ) -> None:
        self.ask = ask
        self.world = world
        self.send = send
        self.tell = partial(heard, tell)
        self.key = ask.signature.key if ask.signature else ""
        self.origin = ask.signature.origin if ask.signature else ""
        self.flight: SyncFlight | None = None
        self.seat = 0
        self.leads = False
        self.upstream: Upstream | None = None
        self._waited_s = 0.0

    def drive(self) -> plan.Outcome:
        """Perform the plan's effects to its end."""
        world = self.world
        answer = plan.answer(self.ask, world.clock())
        try:
            effect = next(answer)
            while True:
                reply: object = None
                # By type, since a hit has a Lookup and a Tell and should cost no more than those.
                kind = type(effect)
                if kind is Lookup:
                    reply = world.access.lookup(effect.key, self.ask.verify, self.origin)  # type: ignore[union-attr]
                elif kind is Tell:
                    self.tell(effect.event)  # type: ignore[union-attr]
                elif kind is Send:
                    try:
                        reply = self._send(effect.request)  # type: ignore[union-attr]
                    except Exception as error:
                        effect = answer.throw(error)
                        continue
                else:
                    reply = self._perform(effect)
                effect = answer.send(reply)
        except StopIteration as stop:
            outcome: plan.Outcome = stop.value
            return outcome

    def _send(self, request: Request) -> Sent:
        sent_at = self.world.clock()
        with fetching(self.key) as fetch:
            self.upstream = self.send(request)
        return Sent(self.upstream.head, sent_at, self.world.clock(), fetch.nested)

    def _perform(self, effect: Effect) -> object:
        if isinstance(effect, Claim):
            return self._claim()
        if isinstance(effect, Join):
            return self._join()
        if isinstance(effect, Pause):
            return self._pause()
        if isinstance(effect, Explain):
            return self.world.explain(self.ask)
        if isinstance(effect, Revalidate):
            self._revalidate()
            return None
        raise AssertionError(effect)

    def new_flight(self, *, registered: bool) -> SyncFlight:
        """A flight for this call; without a registration nobody can join it."""
        ask = self.ask
        return SyncFlight(
            self.key,
            ask.credentials,
            self.world.access,
            self.world.flights if registered else None,
            ask.policy.max_entry_bytes,
            ask.policy.join_timeout_s,
            self.world.clock,
        )

    def _claim(self) -> Claimed:
        if within(self.key):
            return Claimed.ALONE
        claimed, flight, self.seat = self.world.flights.claim(
            self.key, THREADS, partial(self.new_flight, registered=True), time.monotonic()
        )
        assert flight is None or isinstance(flight, SyncFlight)  # noqa: S101 - of this domain
        self.flight = flight
        self.leads = claimed is Claimed.LEAD
        return claimed if flight is None or not self.leads else self._lease(flight)

    def _lease(self, flight: SyncFlight) -> Claimed:
        """Lead only if no other process does. Those who follow meanwhile are told when it does not."""
        leases = self.world.access.leases
        # Before it is taken, since this thread may be interrupted while it waits.
        flight.release = partial(leases.release, self.key)
        if leases.take(self.key):
            return Claimed.LEAD
        flight.died()
        self.flight, self.leads = None, False
        return Claimed.BUSY

    def _join(self) -> Landing:
        flight = self.flight
        assert flight is not None  # noqa: S101 - FOLLOW came with one
        landing = None
        began = time.monotonic()
        try:
            # One bound for all that this call waits for, however many leaders die before it.
            patience_s = max(0.0, self.ask.policy.join_timeout_s - self._waited_s)
            landing = flight.wait_for_first_byte(self.ask.credentials, patience_s)
        finally:
            self._waited_s += time.monotonic() - began
            # Also when this thread is interrupted: an empty seat must not hold the flight.
            if landing is not Landing.JOINED:
                flight.leave(self.seat)
                self.flight = None
        return landing

    def _pause(self) -> float:
        loop = running_loop()
        if loop is not None and self.world.flights.domain_of(self.key) is loop:
            # A plain call on an event loop holds that up; what flies there would not move meanwhile.
            return max(self._waited_s, self.ask.policy.join_timeout_s)
        nap_s, longest_s = POLL_S
        while self._waited_s < self.ask.policy.join_timeout_s:
            time.sleep(nap_s)
            self._waited_s += nap_s
            if not (self.world.flights.busy(self.key) or self.world.access.leases.held(self.key)):
                break
            nap_s = min(longest_s, nap_s * 2)
        return self._waited_s

    def _revalidate(self) -> None:
        key, world = self.key, self.world
        if not world.begins_refreshing(key):
            return
        again = replace(self.ask, policy=replace(self.ask.policy, mode=Mode.REFRESH))

        def fetch() -> None:
            try:
                reader = run(again, world, self.send, self.tell)
                if isinstance(reader, SyncReader):
                    for _ in reader:
                        pass
            except Exception:
                return
            finally:
                world.refreshing.discard(key)

        try:
            threading.Thread(target=fetch, name="llm-cache-revalidate", daemon=True).start()
        except RuntimeError:
            # No thread can be started: the stale answer has to do.
            world.refreshing.discard(key)

    def settle(self) -> None:
        """Land a claim that led to no relay, and let go of a reply that nobody will read."""
        flight, upstream = self.flight, self.upstream
        if flight is not None and flight.aloft:
            # Interrupted between the head and the reader: others may read on, the last closes.
            flight.leave(self.seat)
            return
        if flight is not None and self.leads:
            flight.died(refused=upstream is not None and upstream.head.status != OK)
        if upstream is not None:
            with contextlib.suppress(Exception):  # nobody reads it
                upstream.close()


def run(
    ask: plan.Ask,
    world: World,
    send: Callable[[Request], Upstream],
    tell: Callable[[Event], None],
) -> plan.Replay | plan.Pass | SyncReader:
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
    reader: SyncReader | None = None
    try:
        outcome = call.drive()
        if isinstance(outcome, plan.Replay):
            note_inner()
        if isinstance(outcome, (plan.Replay, plan.Pass)):
            return outcome
        reader = _reader(call, outcome)
        return reader
    finally:
        # Whatever happened, the claim is landed exactly once and no connection is left behind.
        if reader is None:
            call.settle()


def _reader(call: _Call, outcome: plan.Relay | plan.Follow) -> SyncReader:
    whom, post = plan.about(call.ask), call.world.access.writer.post
    flight = call.flight
    if isinstance(outcome, plan.Follow):
        assert flight is not None  # noqa: S101 - it was joined
        note_inner()
        done = partial(followed, call.tell, whom)
        return SyncReader(flight, call.seat, flight.head, follows=True, reason="joined", done=done, post=post)
    assert call.upstream is not None  # noqa: S101 - a relay comes after Send
    if flight is None:
        flight = call.flight = call.new_flight(registered=False)
        seat = flight.sit()
        assert seat is not None  # noqa: S101 - it is new
        call.seat = seat
    flight.take_off(call.upstream, outcome, call.tell, partial(plan.abandoned, outcome, whom))
    head = outcome.sent.head
    return SyncReader(flight, call.seat, head, follows=False, reason=outcome.reason, done=_led, post=post)


class _Settled(Protocol):
    """What became of a fetch: stored, dropped, or not settled yet."""

    stored: Stored | Dropped | None


def followed(tell: Callable[[Event], None], whom: About, flight: _Settled, error: Exception | None) -> None:
    """Tell how a call ended that somebody else's fetch answered."""
    if error is not None:
        tell(Missed(whom, "broken_off"))
    elif isinstance(flight.stored, Stored):
        tell(Joined(whom, flight.stored.entry, flight.stored.entry.usage))
    else:
        tell(Joined(whom, None, flight.stored.usage if flight.stored else None))


def _led(flight: SyncFlight, error: Exception | None) -> None:
    """The plan has told all there is to tell."""
