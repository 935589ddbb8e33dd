"""Entries kept in memory, decoded, so that a hit need not read and unpack them again. It asks no store.

What is kept is served only while the store's generation is the one under which it was read: a purge or an overwriting
by any process shows in the very next call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from llm_cache.stores import forks

if TYPE_CHECKING:
    from llm_cache.core.model import Entry

_OVERHEAD = 2048
"""Bytes that an entry takes beside its frames and headers: some twenty objects."""
_FRAME, _HEADER = 144, 176
"""What a frame takes beside its data, and a header beside its text, as objects of CPython."""


class Tier:
    """The entries that were used last.

    Args:
        limit: bytes of all entries together; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        self._size = 0
        self._generation: int | None = None
        self._lock = threading.Lock()
        forks.tell(self)

    def get(self, key: str, generation: int, now: float = 0.0) -> Entry | None:
        """The entry of that key, if it was read under this generation and has not expired (seconds since the epoch).

        Of one that has, the store may have another by now: what replaces an entry that a store had removed by itself
        moves no generation.
        """
        with self._lock:
            if generation != self._generation:
                return None
            kept = self._entries.get(key)
            if kept is None:
                return None
            expires_at = kept[0].expires_at
            if expires_at is not None and now >= expires_at:
                del self._entries[key]
                self._size -= kept[1]
                return None
            self._entries.move_to_end(key)
            return kept[0]

    def put(self, entry: Entry, generation: int) -> None:
        """Keep an entry that was read after the store was asked for this generation."""
        size = _OVERHEAD + sum([len(frame.data) + _FRAME for frame in entry.frames])
        size += sum([len(name) + len(value) + _HEADER for name, value in entry.head.headers])
        if size > self.limit // 4:
            # One that would push out a quarter of all others is not worth it.
            return
        with self._lock:
            if generation != self._generation:
                # A thread that was late may bring an older number; then the next one to come empties it again.
                self._entries.clear()
                self._size = 0
                self._generation = generation
            before = self._entries.pop(entry.key, None)
            self._size += size - (before[1] if before is not None else 0)
            self._entries[entry.key] = entry, size
            while self._size > self.limit:
                _, (_, gone) = self._entries.popitem(last=False)
                self._size -= gone

    def drop(self, keys: list[str]) -> None:
        """Forget entries about which the store knows more by now."""
        with self._lock:
            for key in keys:
                kept = self._entries.pop(key, None)
                if kept is not None:
                    self._size -= kept[1]

    def __contains__(self, key: str) -> bool:
        """Whether an entry of that key was kept; what is in memory may still be out of date."""
        return key in self._entries

    def __len__(self) -> int:
        """How many entries are kept."""
        return len(self._entries)

    def before_fork(self) -> None:
        """Leave nothing half done."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """Go on; the lock of the child's parent may be held by a thread that stayed there."""
        if child:
            self._lock = threading.Lock()
        else:
            self._lock.release()
