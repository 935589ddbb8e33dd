"""The cache's own side of a call: lookups and saves that cost a miss when they fail, never a call.

Everything a store or a codec may raise ends here, as an event and a breaker's count. It decides
nothing about calls.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llm_cache.codec.codec import sealed_with
from llm_cache.core.events import About, StoreFailed
from llm_cache.errors import EntryError, FormatError, SealError, StoreBusy, StoreError
from llm_cache.runtime.aside import aside
from llm_cache.runtime.breaker import Breaker
from llm_cache.runtime.evictor import Evictor
from llm_cache.runtime.keeping import Keeping
from llm_cache.runtime.leases import Leases
from llm_cache.runtime.listening import heard
from llm_cache.runtime.mending import Mending
from llm_cache.runtime.reviving import NOBODY, Reviving
from llm_cache.runtime.sealing import Sealing, belongs
from llm_cache.runtime.tier import Tier

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from llm_cache.codec.codec import Codec
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry
    from llm_cache.runtime.writer import Writer
    from llm_cache.stores.base import Backend, Row

_log = logging.getLogger("llm_cache")
_OVERRUN = 5.0
"""How many deadlines a read may take before the store is taken for blocked: a busy machine holds up any thread."""


class Access:
    """One store, one codec, and what is done when they fail.

    Args:
        write_timeout_s: how long a call waits for its answer to be kept.
        read_timeout_s: how long it waits for a lookup, once one has been seen to hang.
        listener: told of failures; the same that hears a plan's events.
        memory_bytes: how much of what was read is kept decoded; 0 is nothing.
        limit_bytes: what the store may take; None is no limit.
        clock: seconds since the epoch.

    Attributes:
        leases: who may fetch what, among all processes.
        sealing: the store's keys; by default encryption is off.
        reviving: finds out whether writing works again.
    """

    def __init__(
        self,
        store: Backend,
        codec: Codec,
        writer: Writer,
        listener: Callable[[Event], None],
        *,
        write_timeout_s: float,
        read_timeout_s: float = 0.1,
        memory_bytes: int = 0,
        limit_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        sealing: Sealing | None = None,
    ) -> None:
        self.store = store
        self.codec = codec
        self.writer = writer
        self._tell = partial(heard, listener)
        self._write_timeout_s = write_timeout_s
        self._read_timeout_s = read_timeout_s
        self._hangs = False
        self._told_of: int | None = None
        self._clock = clock
        self._tier = Tier(memory_bytes)
        self._sealing = sealing or Sealing(store, None)
        self._evictor = None if limit_bytes is None else Evictor(store, writer, listener, limit_bytes)
        self._mending = Mending(store, writer)
        place = store.location()
        beside: list[Breaker] = []
        self._reading = Breaker(f"reading the cache in {place}", beside=beside)
        self._writing = Breaker(f"writing the cache in {place}", beside=beside)
        self._keeping = Keeping(store, codec, self._sealing, self._mending, self._writing, self._tell, self._failed)
        self.reviving = Reviving(store, writer, self._writing, clock)
        self.leases = Leases(
            store.leases,
            writer,
            Breaker(f"sharing calls in flight through the cache in {place}", beside=beside),
            self._asked,
            self._tell,
            write_timeout_s,
            clock,
        )

    @property
    def healthy(self) -> bool:
        """Whether the latest read and the latest write worked, and the keys of a sealed store are at hand."""
        return not (self._reading.failing or self._writing.failing or self._sealing.useless)

    def silent(self) -> bool:
        """Whether the latest lookup has failed, so that nobody should wait for the store."""
        return self._reading.failing

    def ailing(self) -> bool:
        """Whether the store has failed the last time, which was told of then."""
        return not self.healthy

    def _asked(self) -> bool:
        """Whether the store answers, as far as one knows: then leases are worth a try."""
        return not (self._reading.failing or self._writing.failing)

    @property
    def inline(self) -> bool:
        """Whether a lookup takes microseconds, so that it may be made on an event loop."""
        return self.store.inline and not self._hangs

    def lookup(self, key: str, verify: Callable[[Entry], None] | None = None, origin: str = "") -> Entry | None:
        """The entry of that key, or None; also when the store fails or `verify` raises EntryError.

        `origin` is what the key was made of where the store is sealed; while keys are being changed, there are several.
        """
        if self._sealing.unread:
            # Finding the keys takes a tenth of a second: too long for a call, and nothing could be read without.
            self.writer.post(self._find_keys)
            self._tell(StoreFailed(About(key=key), "get", "skipped"))
            return None
        reading = self._reading
        if reading.failing and not self._may_read(time.monotonic()):
            self._tell(StoreFailed(About(key=key), "get", "skipped"))
            return None
        began = time.monotonic()
        try:
            behind = self._hangs or not self.store.timely
            generation, entry, row = self._get_behind(key, origin) if behind else self._get(key, origin)
        except SealError as error:
            # Turned off, which was said when it happened.
            self._tell(StoreFailed(About(key=key), "get", str(error)))
            return None
        except Exception as error:
            self._failed(reading, key, "get", error, time.monotonic() - began)
            return None
        # A system call that blocks cannot be interrupted, but the next one need not be waited for.
        self._hangs = time.monotonic() - began > _OVERRUN * self._read_timeout_s
        if reading.failing:
            reading.succeeded()
        try:
            if row is not None:
                entry = self._decoded(row, key, origin)
                self._tier.put(entry, generation)
            if entry is not None and verify is not None:
                verify(entry)
            return entry
        except Exception as error:
            # One record is bad, the store is not: no reason to stop asking it. A call may ask twice, and so may others
            # until it is replaced.
            bad = hash((key, row.value)) if row is not None else None
            if bad is None or bad != self._told_of:
                self._told_of = bad
                self._tell(StoreFailed(About(key=key), "decode", str(error)))
                _log.warning("a stored record counts as a miss: %s", error, exc_info=not isinstance(error, EntryError))
            return None

    def generation(self) -> int | None:
        """The store's generation, for `recall`; None if it cannot be had at once. Tells nobody anything."""
        if not self._tier.limit or not self.inline or self._reading.failing:
            return None
        try:
            return self.store.generation()
        except Exception:
            # Whoever looks something up now will meet the same, and tell.
            return None

    def at_hand(self, key: str) -> Entry | None:
        """The entry of a key that was a hit before, if nobody has to be waited for. Tells nobody anything."""
        generation = self.generation()
        if generation is not None and (entry := self.recall(key, generation)) is not None:
            return entry
        return self.glance(key, generation)

    def glance(self, key: str, generation: int | None) -> Entry | None:
        """The same by one look into a store that answers within microseconds, and not into memory.

        Whatever is odd there, `lookup` will meet again, and tell. `generation` is the store's before, if it is known.
        """
        store, sealing = self.store, self._sealing
        if self._reading.failing or not (self.inline and store.timely):
            return None
        began = time.monotonic()
        try:
            if sealing.on:
                sealing.look(store.generation() if generation is None else generation)
            row = store.get(bytes.fromhex(key))
            # A plain row under a sealed key is not one of ours.
            known = row is not None and (not sealing.on or sealed_with(row) is not None)
            entry = self.codec.decode(row) if row is not None and known else None
        except Exception:
            entry = None
        self._hangs = time.monotonic() - began > _OVERRUN * self._read_timeout_s
        if generation is not None and entry is not None:
            self._tier.put(entry, generation)
        return entry

    def remembers(self, key: str) -> bool:
        """Whether `recall` is worth asking: something of that key is in memory, be it out of date."""
        return key in self._tier

    def recall(self, key: str, generation: int) -> Entry | None:
        """The entry of that key if it is at hand in memory and still what the store of this generation has."""
        return self._tier.get(key, generation, self._clock())

    def _decoded(self, row: Row, key: str, origin: str) -> Entry:
        if origin and not belongs(row, bytes.fromhex(origin)):
            raise FormatError("a record in plain form lies where an encrypted one belongs")
        entry = self.codec.decode(row)
        # One from before the store was sealed: its plain key must not get into what is counted.
        return replace(entry, key=key) if entry.key == origin else entry

    def _get(self, key: str, origin: str) -> tuple[int, Entry | None, Row | None]:
        # Asked before the row is read: what is replaced in between is noticed at the next look.
        generation = self.store.generation()
        self._sealing.look(generation)
        if origin:
            return self._get_sealed(bytes.fromhex(origin), generation)
        entry = self._tier.get(key, generation, self._clock())
        return generation, entry, self.store.get(bytes.fromhex(key)) if entry is None else None

    def _get_sealed(self, origin: bytes, generation: int) -> tuple[int, Entry | None, Row | None]:
        names, now = self._sealing.names(origin), self._clock()
        for name in names:
            entry = self._tier.get(name.hex(), generation, now)
            if entry is not None:
                return generation, entry, None
        for name in names:
            row = self.store.get(name)
            if row is not None:
                return generation, None, row
        return generation, None, None

    def _find_keys(self) -> None:
        try:
            self._sealing.try_again()
        except StoreError as error:
            if not error.damaged or not self._mending.begin(error):
                self._reading.failed(time.monotonic(), error)

    def at_once(self, key: str) -> bool:
        """Whether a lookup asks nobody who may have to be waited for: the entry is in memory, or the store at rest."""
        if self.inline or self._reading.rests(time.monotonic()):
            return True
        if self.store.inline:
            return False
        generation = self.store.known_generation()
        return generation is not None and self.recall(key, generation) is not None

    def overdue_lookup(self, key: str) -> None:
        """Count a lookup in a thread that did not come to its end in time."""
        patience_s = self.lookup_timeout_s
        self._failed(self._reading, key, "get", StoreBusy(f"not read within {patience_s:g} s"), patience_s)

    @property
    def lookup_timeout_s(self) -> float:
        """After what time a lookup in a thread is given up. Its round trips have deadlines of their own."""
        return _OVERRUN * self._read_timeout_s

    def _may_read(self, now: float) -> bool:
        """Whether a call may ask a store that failed the last time."""
        reading = self._reading
        if not reading.allows(now):
            return False
        if reading.open and not self.inline:
            # No call waits for a deadline just to find out whether the store is back.
            aside(self._probe)
            return False
        return True

    def _probe(self) -> None:
        began = time.monotonic()
        try:
            self.store.get(NOBODY)
        except Exception as error:
            self._reading.failed(time.monotonic(), error)
        else:
            self._hangs = time.monotonic() - began > _OVERRUN * self._read_timeout_s
            if not self._hangs:
                self._reading.succeeded()

    def _get_behind(self, key: str, origin: str) -> tuple[int, Entry | None, Row | None]:
        job = partial(self._get, key, origin)
        future = self.writer.submit(job) if self.store.inline else aside(job)
        try:
            return future.result(self._read_timeout_s)
        except (FutureTimeoutError, TimeoutError):
            future.cancel()
            raise StoreBusy(f"not read within {self._read_timeout_s:g} s") from None

    def forget(self, keys: list[str]) -> None:
        """Read these from the store the next time, whatever is kept in memory."""
        self._tier.drop(keys)

    def save(self, entry: Entry) -> bool:
        """Keep the entry; waits until it is durable or the deadline passes, and says which."""
        future = self.saving(entry)
        if future is None:
            return False
        try:
            return future.result(self._write_timeout_s)
        except (FutureTimeoutError, TimeoutError):
            return self.overdue(entry)

    def saving(self, entry: Entry) -> Future[bool] | None:
        """Begin to keep the entry; None if the store is not asked at all for now."""
        if not self._writing.allows(time.monotonic()):
            self._tell(StoreFailed(About(key=entry.key), "put", "skipped"))
            return None
        probes = self._writing.open
        if not self.store.inline and (probes or self._reading.failing or self.leases.failing):
            # It does not answer just now: it is tried behind the call's back, which tells whether it is back.
            self._tell(StoreFailed(About(key=entry.key), "put", "not waited for"))
            self.writer.post(partial(self._keeping.behind, entry, probes=probes))
            return None
        future = self.writer.submit(partial(self._keeping.now, entry))
        if self._evictor is not None:
            # A job of its own: the caller need not wait for it.
            self.writer.post(self._evictor.wrote)
        return future

    def stop(self, *, answers: bool = True) -> None:
        """The store is about to be closed: no lease is held, and what is under way behind the calls ends first.

        Of a store that does not answer nothing is asked, and nothing waited for.
        """
        self.leases.stop(release=answers)
        if self._evictor is not None:
            self._evictor.stop()
        if self._evictor is not None and answers:
            self.writer.drain(self._write_timeout_s)

    def answers(self) -> bool:
        """Whether the store answers at this moment, found out by a lookup that nobody is told of."""
        if self.store.inline:
            return True
        ask = partial(self.store.get, NOBODY)
        try:
            try:
                aside(ask).result(self.lookup_timeout_s)
            except RuntimeError:
                ask()  # the interpreter is ending, and no thread can be had
        except Exception:
            return False
        return True

    def overdue(self, entry: Entry) -> bool:
        """Count a save that was not done by its deadline. Always False."""
        late = StoreBusy(f"not written within {self._write_timeout_s:g} s")
        self._failed(self._writing, entry.key, "put", late)
        return False

    @property
    def write_timeout_s(self) -> float:
        """The deadline of `save`."""
        return self._write_timeout_s

    def _failed(self, breaker: Breaker, key: str, operation: str, error: Exception, took_s: float = 0.0) -> None:
        if isinstance(error, StoreError) and error.damaged and self._mending.begin(error):
            # No reason to stop asking: the next to be asked is a new store.
            self._tell(StoreFailed(About(key=key), "damaged", str(error)))
            return
        breaker.failed(time.monotonic(), error, took_s)
        if not isinstance(error, StoreError):
            _log.error("the store raised what it should not", exc_info=error)
        self._tell(StoreFailed(About(key=key), operation, str(error)))
