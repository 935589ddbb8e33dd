"""The cache's own side of a call: lookups and saves that cost a miss when they fail, never a call.

Everything a store or a codec may raise ends here, as an event and a breaker's count. It decides
nothing about calls.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from typing import TYPE_CHECKING

from llm_cache.core import explain
from llm_cache.core.events import About, StoreFailed
from llm_cache.core.signature import Signature
from llm_cache.errors import EntryError, StoreBusy, StoreError
from llm_cache.runtime.breaker import Breaker
from llm_cache.runtime.tier import Tier
from llm_cache.stores.base import Filter

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from llm_cache.codec.codec import Codec
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry, Request
    from llm_cache.runtime.writer import Writer
    from llm_cache.stores.base import Backend

_log = logging.getLogger("llm_cache")
EXPLAINED_ROWS = 10_000
"""How many of the newest rows an explanation looks at."""


class Access:
    """One store, one codec, and what is done when they fail.

    Args:
        write_timeout_s: how long a call waits for its answer to be kept.
        listener: told of failures; the same that hears a plan's events.
        memory_bytes: how much of what was read is kept decoded; 0 is nothing.
    """

    def __init__(
        self,
        store: Backend,
        codec: Codec,
        writer: Writer,
        listener: Callable[[Event], None],
        *,
        write_timeout_s: float,
        memory_bytes: int = 0,
    ) -> None:
        self.store = store
        self.codec = codec
        self.writer = writer
        self._listener = listener
        self._write_timeout_s = write_timeout_s
        self._tier = Tier(memory_bytes)
        place = store.location()
        self._reading = Breaker(f"reading the cache in {place}")
        self._writing = Breaker(f"writing the cache in {place}")

    @property
    def healthy(self) -> bool:
        """Whether the latest read and the latest write worked."""
        return not (self._reading.failing or self._writing.failing)

    def lookup(self, key: str, verify: Callable[[Entry], None] | None = None) -> Entry | None:
        """The entry of that key, or None; also when the store fails or `verify` raises EntryError."""
        reading = self._reading
        if reading.failing and not reading.allows(time.monotonic()):
            self._listener(StoreFailed(About(key=key), "get", "skipped"))
            return None
        try:
            # Asked before the row is read: what is replaced in between is noticed at the next look.
            generation = self.store.generation()
            entry = self._tier.get(key, generation)
            row = self.store.get(bytes.fromhex(key)) if entry is None else None
        except Exception as error:
            self._failed(reading, key, "get", error)
            return None
        if reading.failing:
            reading.succeeded()
        try:
            if row is not None:
                entry = self.codec.decode(row)
                self._tier.put(entry, generation)
            if entry is not None and verify is not None:
                verify(entry)
            return entry
        except EntryError as error:
            # One record is bad, the store is not: no reason to stop asking it.
            self._listener(StoreFailed(About(key=key), "decode", str(error)))
            _log.warning("a stored record counts as a miss: %s", error)
            return None

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
            self._listener(StoreFailed(About(key=entry.key), "put", "skipped"))
            return None
        return self.writer.submit(lambda: self._put(entry))

    def overdue(self, entry: Entry) -> bool:
        """Count a save that was not done by its deadline. Always False."""
        late = StoreBusy(f"not written within {self._write_timeout_s:g} s")
        self._failed(self._writing, entry.key, "put", late)
        return False

    @property
    def write_timeout_s(self) -> float:
        """The deadline of `save`."""
        return self._write_timeout_s

    def _put(self, entry: Entry) -> bool:
        try:
            self.store.put(self.codec.encode(entry))
        except Exception as error:
            self._failed(self._writing, entry.key, "put", error)
            return False
        self._writing.succeeded()
        return True

    def _failed(self, breaker: Breaker, key: str, operation: str, error: Exception) -> None:
        breaker.failed(time.monotonic(), error)
        if not isinstance(error, StoreError):
            _log.error("the store raised what it should not", exc_info=error)
        self._listener(StoreFailed(About(key=key), operation, str(error)))

    def explain(self, signature: Signature, where: Filter, resign: Callable[[Request], Signature | None]) -> str:
        """Which stored request is nearest to one that missed, and what differs, as text.

        `resign` makes the signature of a stored request the way the missing one was made.
        """
        candidates: list[tuple[str, bytes]] = []
        try:
            for row in islice(self.store.scan(where), EXPLAINED_ROWS):
                request = self.codec.asked(row)
                theirs = resign(request) if request is not None else None
                if theirs is not None:
                    candidates.append((row.key.hex(), theirs.document))
        except (StoreError, EntryError) as error:
            _log.warning("a miss could not be explained: %s", error)
        return explain.render(*explain.nearest(signature.document, candidates))
