"""One answer into the store, on the background thread: prepared, encoded, put, and put again once a file is mended.

It must not decide whether a store is asked at all, nor how long anybody waits for it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from llm_cache.core.events import About, StoreFailed
from llm_cache.errors import SealError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.codec.codec import Codec
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry
    from llm_cache.runtime.breaker import Breaker
    from llm_cache.runtime.mending import Mending
    from llm_cache.runtime.sealing import Sealing
    from llm_cache.stores.base import Backend

_log = logging.getLogger("llm_cache")


class Report(Protocol):
    """Counts what a store failed at; `Access` does."""

    def __call__(self, breaker: Breaker, key: str, operation: str, error: Exception, took_s: float, /) -> None:
        """Count it against the breaker; `took_s` is how long that took to learn."""


class Keeping:
    """Puts entries into one store.

    Args:
        writing: hears of what worked.
        tell: hears of entries that cannot be kept though the store is well.
        report: hears of what the store failed at.
    """

    def __init__(
        self,
        store: Backend,
        codec: Codec,
        sealing: Sealing,
        mending: Mending,
        writing: Breaker,
        tell: Callable[[Event], None],
        report: Report,
    ) -> None:
        self._store = store
        self._codec = codec
        self._sealing = sealing
        self._mending = mending
        self._writing = writing
        self._tell = tell
        self._report = report

    def behind(self, entry: Entry, *, probes: bool) -> None:
        """Keep what nobody waits for and is counted as lost, unless another's turn has shown that there is no use.

        Else a server that hangs would take its deadline of the background thread for every answer of that time.
        """
        if probes or not self._writing.rests(time.monotonic()):
            self.now(entry)

    def now(self, entry: Entry) -> bool:
        """Keep it, and say whether that has been done."""
        began = time.monotonic()
        try:
            self._sealing.prepare()
        except SealError as error:
            self._tell(StoreFailed(About(key=entry.key), "put", str(error)))
            return False
        except Exception as error:
            self._failed(entry, error, began)
            return False
        try:
            row = self._codec.encode(entry)
        except Exception as error:
            # As with a bad record: the store is not to blame.
            self._tell(StoreFailed(About(key=entry.key), "encode", str(error)))
            _log.warning("an answer is not kept: %s", error)
            return False
        try:
            try:
                self._store.put(row)
            except StoreError as error:
                # This is the background thread: the answer need not be lost with the store.
                if not error.damaged or not self._mending.now(error):
                    raise
                self._tell(StoreFailed(About(key=entry.key), "damaged", str(error)))
                self._store.put(row)
        except Exception as error:
            self._failed(entry, error, began)
            return False
        self._writing.succeeded()
        return True

    def _failed(self, entry: Entry, error: Exception, began: float) -> None:
        # A file may be free again a moment later; a server that hung is given a rest.
        took_s = 0.0 if self._store.inline else time.monotonic() - began
        self._report(self._writing, entry.key, "put", error, took_s)
