"""A fetch that several threads read: pulled by whoever needs the next chunk, landed exactly once.

It performs the effects of a relay and decides nothing. The event loop's kind is in `aio_flights`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from llm_cache.core.effects import Deliver, Effect, Landing, Pull, Pulled, Save, Tell
from llm_cache.core.events import Dropped, Event, Stored
from llm_cache.core.recorder import shared_head
from llm_cache.runtime.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from llm_cache.core.model import Entry, Head
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

    Args:
        flights: where it is registered, or None if nobody may join.
        limit: see `Tape`.
        patience_s: the longest a follower waits for anything before it gives up.
    """

    domain: object = THREADS
    stranded = False

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
        self.entry: Entry | None = None
        self._credentials = credentials
        self._access = access
        self._flights = flights
        self._patience_s = patience_s
        self._clock = clock
        self._tape = Tape(limit)
        self._changed = threading.Condition()
        self._landing: Landing | None = None
        self._head: Head | None = None
        self._upstream: Upstream | None = None
        self._chunks: Iterator[bytes] | None = None
        self._body: Generator[Effect, Any, None] | None = None
        self._tell: Callable[[Event], None] | None = None
        self._abandon: Callable[[], Dropped] | None = None
        self._pulling = False
        self._impatient = False
        self._over = False
        self._error: Exception | None = None
        self.stored: Stored | Dropped | None = None

    # --- seats -----------------------------------------------------------------------------

    @property
    def joinable(self) -> bool:
        """Whether a new reader would see everything."""
        return self._tape.whole and not (self._over and self._error is not None)

    def sit(self) -> int:
        """Take a seat."""
        with self._changed:
            return self._tape.sit()

    def leave(self, seat: int) -> None:
        """Give a seat up; the last one to go ends a fetch that is not over."""
        with self._changed:
            last = self._tape.leave(seat)
            # Whoever waits because the slowest is far behind may go on.
            self._changed.notify_all()
            if not last or self._over or self._pulling:
                return
            self._over = True
        self._end()

    # --- until the head ----------------------------------------------------------------------

    def take_off(
        self,
        upstream: Upstream,
        relay: Relay,
        tell: Callable[[Event], None],
        abandon: Callable[[], Dropped],
    ) -> None:
        """The leader has a head: everyone who waits may read along, or is sent away."""
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

    def died(self) -> None:
        """No head will come: those who wait must fetch for themselves. May be called twice."""
        if self._flights is not None:
            self._flights.land(self.key, self)
        with self._changed:
            if self._landing is None:
                self._landing = Landing.DIED
                self._over = True
                self._changed.notify_all()

    def wait_for_first_byte(self, seat: int, credentials: object, timeout_s: float) -> Landing:
        """How the fetch began, for a follower with these credentials.

        Whoever waits also pulls: a leader that does not read yet must not keep others from it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._landing is not None, timeout_s)
            if self._landing is not Landing.JOINED:
                return self._landing or Landing.LATE
        if self._head is not None and self._head.status != OK:
            return Landing.JOINED if credentials == self._credentials else Landing.REFUSED
        while True:
            with self._changed:
                if self._tape.begun:
                    return Landing.JOINED
                if self._over and not self._pulling:
                    return Landing.DIED if self._error is not None else Landing.JOINED
                if self._pulling:
                    if not self._changed.wait(timeout_s):
                        return Landing.LATE
                    continue
                self._pulling = True
            self._pull()

    @property
    def head(self) -> Head:
        """The reply's head as followers see it."""
        assert self._head is not None  # noqa: S101 - seats are read only after take_off
        return shared_head(self._head) if self._head.status == OK else self._head

    # --- the body ---------------------------------------------------------------------------

    def read(self, seat: int, *, follows: bool) -> bytes | None:
        """The next chunk of that seat, pulled from the upstream if nobody has it yet.

        None at the end. Raises what the upstream raised, or `TimeoutError` for a follower who saw
        no progress for as long as it is patient.
        """
        while True:
            with self._changed:
                data = self._tape.next(seat)
                if data is not None:
                    if self._tape.crowded:
                        self._changed.notify_all()
                    return data
                if self._over and not self._pulling:
                    if self._error is not None:
                        raise self._error
                    return None
                if self._tape.crowded and not self._impatient:
                    # One bounded wait for the slowest; from then on memory is the lesser evil.
                    self._impatient = not self._changed.wait_for(lambda: not self._tape.crowded, self._patience_s)
                if self._pulling:
                    timeout_s = self._patience_s if follows else None
                    if not self._changed.wait(timeout_s) and follows:
                        raise TimeoutError(f"an identical call in flight was silent for {self._patience_s:g} s")
                    continue
                self._pulling = True
            self._pull()

    def _pull(self) -> None:
        """Perform the relay up to its next Pull, for all seats."""
        over, error = True, None
        try:
            over = self._step()
        except Exception as problem:
            error = problem
        except BaseException:
            # The pulling thread is being stopped; for the others the reply is cut off here.
            error = ConnectionError("the thread that was fetching this reply was stopped")
            raise
        finally:
            with self._changed:
                self._pulling = False
                self._over = self._over or over
                self._error = self._error or error
                lonely = not self._over and self._tape.seats == 0
                self._over = self._over or lonely
                self._changed.notify_all()
            if over or lonely:
                self._end()

    def _step(self) -> bool:
        body, chunks = self._body, self._chunks
        assert body is not None  # noqa: S101 - read after take_off only
        assert chunks is not None  # noqa: S101
        try:
            effect: Effect
            try:
                data = next(chunks, None)
            except Exception as error:
                effect = body.throw(error)
            else:
                effect = body.send(Pulled(data, self._clock()))
            while type(effect) is not Pull:
                effect = body.send(self._perform(effect))
        except StopIteration:
            return True
        return False

    def _perform(self, effect: Effect) -> object:
        if isinstance(effect, Deliver):
            with self._changed:
                self._tape.add(effect.data)
                self._changed.notify_all()
            return None
        if isinstance(effect, Save):
            return self._access.save(effect.entry)
        if isinstance(effect, Tell):
            self._note(effect.event)
            return None
        raise AssertionError(effect)

    def _note(self, event: Event) -> None:
        if isinstance(event, Stored):
            self.stored, self.entry = event, event.entry
        elif isinstance(event, Dropped):
            self.stored = event
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
