"""A fetch that several threads read: pulled by whoever needs the next chunk, landed exactly once.

It performs the effects of a relay and decides nothing. The event loop's kind is in `aio_flights`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from llm_cache.core.effects import Deliver, Effect, Landing, Pull, Pulled, Save, Tell
from llm_cache.core.events import Dropped, Event, Stored
from llm_cache.core.recorder import shared_head
from llm_cache.runtime.own_error import own_error
from llm_cache.runtime.registry import fetching, forks
from llm_cache.runtime.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from llm_cache.core.model import Head
    from llm_cache.core.plan import Relay
    from llm_cache.runtime.access import Access
    from llm_cache.runtime.registry import Flights

OK = 200
THREADS = "threads"
"""The domain of all sync callers."""


class Upstream(Protocol):
    """A reply whose head is here and whose body is on its way."""

    head: Head

    def chunks(self) -> Iterator[bytes]:
        """The content-decoded body. Errors are the HTTP library's own."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SyncFlight:
    """One fetch of the domain of threads.

    Whoever sets `_puller` to itself is the only one to touch the relay and the upstream until it
    takes that back; all else is under one lock. Whoever sets `_over` calls `_end`, so that it runs
    once; and an end that is no clean one has an `_error`, so that nobody takes it for one.

    Args:
        flights: where it is registered, or None if nobody may join.
        limit: see `Tape`.
        patience_s: the longest a follower waits for anything before it gives up.
    """

    domain: object = THREADS

    def __init__(
        self,
        key: str,
        credentials: object,
        access: Access,
        flights: Flights | None,
        limit: int,
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.key = key
        self.stored: Stored | Dropped | None = None
        self.release: Callable[[], None] | None = None
        self._credentials = credentials
        self._access = access
        self._flights = flights
        self._patience_s = patience_s
        self._clock = clock
        self._forks = forks()
        self._tape = Tape(limit)
        self._changed = threading.Condition()
        self._landing: Landing | None = None
        self._head: Head | None = None
        self._upstream: Upstream | None = None
        self._chunks: Iterator[bytes] | None = None
        self._body: Generator[Effect, Any, None] | None = None
        self._tell: Callable[[Event], None] | None = None
        self._abandon: Callable[[], Dropped] | None = None
        self._puller: int | None = None
        self._impatient = False
        self._nested = False
        self._over = False
        self._error: Exception | None = None

    # Seats

    @property
    def dead(self) -> bool:
        """Whether it has failed or was abandoned."""
        return self._over and (self._error is not None or self._landing is Landing.DIED)

    @property
    def aloft(self) -> bool:
        """Whether it has a head that is passed on."""
        return self._landing is Landing.JOINED

    @property
    def inherited(self) -> bool:
        """Whether it flies in the process that this one was forked from."""
        return self._forks != forks()

    def sit(self) -> int | None:
        """Take a seat, from which the whole reply will be seen; None if it is too late for that."""
        with self._changed:
            return None if self.dead else self._tape.sit()

    def leave(self, seat: int) -> None:
        """Give a seat up; the last one to go ends a fetch that is not over."""
        with self._changed:
            last = self._tape.leave(seat)
            # Whoever waits because the slowest is far behind may go on.
            self._changed.notify_all()
            if not last or self._over or self._puller is not None:
                return
            self._cut("all readers of this reply have gone")
        self._end()

    def _cut(self, why: str) -> None:
        """End it before its end. Under the lock; `_end` must follow."""
        self._over = True
        self._error = ConnectionError(why)
        self._changed.notify_all()

    # Until the head

    def take_off(
        self,
        upstream: Upstream,
        relay: Relay,
        tell: Callable[[Event], None],
        abandon: Callable[[], Dropped],
    ) -> None:
        """The leader has a head: everyone who waits may read along, or is sent away. `tell` must not raise."""
        self._upstream, self._body, self._tell = upstream, relay.body, tell
        self._abandon = abandon
        self._chunks = upstream.chunks()
        self._head = relay.sent.head
        if relay.sent.head.status != OK and self._flights is not None:
            self._flights.land(self.key, self, failed_at=time.monotonic())
        next(relay.body)  # to its first Pull
        with self._changed:
            self._landing = Landing.JOINED
            self._changed.notify_all()

    def died(self, *, refused: bool = False) -> None:
        """No head will come: those who wait must fetch for themselves. May be called twice.

        `refused` if one came that is not passed on, because it was an error.
        """
        if self._flights is not None:
            self._flights.land(self.key, self, failed_at=time.monotonic() if refused else None)
        with self._changed:
            if self._landing is None:
                self._landing = Landing.DIED
                self._over = True
                self._changed.notify_all()

    def wait_for_first_byte(self, credentials: object, timeout_s: float) -> Landing:
        """How the fetch began, for a follower with these credentials who has a seat.

        Whoever waits also pulls: a leader that does not read yet must not keep others from it.
        """
        try:
            return self._wait_for_first_byte(credentials, time.monotonic() + timeout_s)
        except BaseException:
            self._interrupted()
            raise

    def _wait_for_first_byte(self, credentials: object, deadline: float) -> Landing:
        with self._changed:
            self._changed.wait_for(lambda: self._landing is not None, max(0.0, deadline - time.monotonic()))
            if self._landing is not Landing.JOINED:
                return self._landing or Landing.LATE
        if self._head is not None and self._head.status != OK:
            return Landing.JOINED if credentials == self._credentials else Landing.REFUSED
        while True:
            with self._changed:
                if self.dead:
                    # Also if others have seen a part of it: this one has not, and may call anew.
                    return Landing.DIED
                if self._tape.begun or self._over:
                    return Landing.JOINED
                if self._puller is not None:
                    if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                        return Landing.LATE
                    continue
                self._puller = threading.get_ident()
            self._pull()

    @property
    def head(self) -> Head:
        """The reply's head as followers see it."""
        assert self._head is not None  # noqa: S101 - seats are read only after take_off
        return shared_head(self._head) if self._head.status == OK else self._head

    # The body

    def read(self, seat: int, *, follows: bool) -> bytes | None:
        """The next chunk of that seat, pulled from the upstream if nobody has it yet.

        None at the end. Raises what the upstream raised (followers a copy), or `TimeoutError` for a
        follower who saw no progress for as long as it is patient.
        """
        try:
            return self._read(seat, follows=follows)
        except Exception:
            raise
        except BaseException:
            self._interrupted()
            raise

    def _read(self, seat: int, *, follows: bool) -> bytes | None:
        while True:
            with self._changed:
                crowded = self._tape.crowded
                data = self._tape.next(seat)
                if data is not None:
                    if crowded:
                        # It may be so no longer.
                        self._changed.notify_all()
                    return data
                if self._over:
                    if self._error is not None:
                        raise own_error(self._error) if follows else self._error
                    return None
                if not self._tape.taken(seat):
                    raise ConnectionError("this reply was closed while it was being read")
                if self._tape.crowded and not self._impatient:
                    # One bounded wait for the slowest; from then on memory is the lesser evil.
                    if not self._changed.wait_for(partial(self._may_go_on, seat), self._patience_s):
                        self._impatient = True
                        self._changed.notify_all()
                    continue
                if self._puller is not None:
                    if not self._changed.wait(self._patience_s if follows else None) and follows:
                        raise TimeoutError(f"an identical call in flight was silent for {self._patience_s:g} s")
                    continue
                self._puller = threading.get_ident()
            self._pull()

    def _may_go_on(self, seat: int) -> bool:
        """Whether the fastest need not wait any more; also because it has become the slowest meanwhile."""
        return not self._tape.crowded or self._impatient or self._over or self._tape.ready(seat)

    def _pull(self) -> None:
        """Perform the relay up to its next Pull, for all seats. Only for whoever is `_puller`."""
        error: Exception | None = None
        try:
            over = self._step()
        except Exception as problem:
            over, error = True, problem
        with self._changed:
            self._puller = None
            if over:
                # With an error it is dead from here on: whoever claims because of it finds the way free.
                self._over, self._error = True, error
            elif not self._tape.seats:
                over = True
                self._cut("all readers of this reply have gone")
            self._changed.notify_all()
        if over:
            self._end()

    def _interrupted(self) -> None:
        """This thread is being stopped. If it was pulling, the reply is cut off here for the others."""
        with self._changed:
            if self._puller != threading.get_ident():
                return
            self._puller = None
            if self._over:
                return
            self._cut("the thread that was fetching this reply was stopped")
        self._end()

    def _step(self) -> bool:
        body, chunks = self._body, self._chunks
        assert body is not None  # noqa: S101 - read after take_off only
        assert chunks is not None  # noqa: S101
        try:
            data, error = None, None
            # A decorated generator makes its calls here, not before its head.
            with fetching(self.key) as fetch:
                try:
                    data = next(chunks, None)
                except Exception as problem:
                    error = problem
            self._nested = self._nested or fetch.nested
            effect: Effect = body.throw(error) if error is not None else body.send(Pulled(data, self._clock()))
            while type(effect) is not Pull:
                effect = body.send(self._perform(effect))
        except StopIteration:
            return True
        return False

    def _perform(self, effect: Effect) -> object:
        if isinstance(effect, Deliver):
            with self._changed:
                self._tape.add(effect.data)
            return None
        if isinstance(effect, Save):
            return self._access.save(effect.entry)
        if isinstance(effect, Tell):
            self._note(effect.event)
            return None
        raise AssertionError(effect)

    def _note(self, event: Event) -> None:
        if isinstance(event, (Stored, Dropped)):
            event = self.stored = replace(event, nested=True) if self._nested else event
        if self._tell is not None:
            self._tell(event)

    def _end(self) -> None:
        """Land, once nobody will pull any more."""
        if self._flights is not None:
            self._flights.land(self.key, self)
        if self._body is not None:
            self._body.close()
        if self.stored is None and self._abandon is not None:
            self._note(self._abandon())
        if self._upstream is not None:
            with contextlib.suppress(Exception):  # the reply is over; nothing hangs on it
                self._upstream.close()
