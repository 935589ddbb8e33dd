"""Sets, changes or removes a store's encryption key while others use the store. It must not know where keys come from.

In three steps, each of which may be interrupted and done again: the ring gets what is to be used from now on beside
what was used before, so that every process reads both; every row is written anew; the ring loses what was before.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_cache.codec import ring
from llm_cache.codec.codec import Codec, sealed_with
from llm_cache.codec.seal import Keys, new_secret
from llm_cache.errors import ConfigError, EntryError, FormatError, StoreError
from llm_cache.ledger import misses, recent
from llm_cache.runtime.sealing import RING, marked
from llm_cache.stores.base import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.codec.ring import Ring, Wrap
    from llm_cache.core.model import Row
    from llm_cache.stores.base import Backend

_log = logging.getLogger("llm_cache")
_PASSES = 8
"""After so many walks somebody is writing with an old configuration all the time; what he writes is left."""
_NOTICED_S = 1.2
"""By when every process has noticed a new ring, where that cannot be seen at once."""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was done.

    Attributes:
        rows: entries that were written anew.
        lost: entries that nobody can read any more, removed.
        left: entries in plain form that others have written meanwhile.
        clean: whether what was replaced is gone from unused parts of the store, too.
    """

    rows: int = 0
    lost: int = 0
    left: int = 0
    clean: bool = True


class Rekeying:
    """One change of a store's key.

    Args:
        store: the store.
        present: the passphrase it has, None if none is known.
        wanted: the passphrase it is to have; None removes encryption.
        fresh: whether records get a new data key, as they must when the old passphrase has become known to others: who
            has it and an older copy of the store has the old data key. Else only the passphrase changes.
        compress: whether records are compressed.
        max_bytes: as in `Codec`.
        step: called after each entry.
        source: what `present` is called in messages.

    Raises:
        ConfigError: the store is sealed with another passphrase than these.
        StoreError: the store failed.
    """

    def __init__(
        self,
        store: Backend,
        present: str | None,
        wanted: str | None,
        *,
        fresh: bool = True,
        compress: bool = True,
        max_bytes: int = 1024 * 1024 * 1024,
        step: Callable[[], None] | None = None,
        source: str = "encryption_key",
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._step = step or (lambda: None)
        self._source = source
        self._rows = self._lost = 0
        self._wrap: Wrap | None = None
        keys = self._begin(present, fresh=fresh)
        self._keys = keys
        self._source_codec = Codec(max_bytes=max_bytes, keys=None if keys is None else lambda: keys)
        self._target_codec = Codec(
            compress=compress, max_bytes=max_bytes, keys=None if keys is None or wanted is None else lambda: keys
        )

    def run(self) -> Rekeyed:
        """Write all entries anew and finish. Interrupted, it is run again, and passes over what is done.

        Raises:
            StoreError: the store failed; what was done stays done.
        """
        if self._keys is None:
            return Rekeyed()
        left = 0
        for turn in range(_PASSES):
            if turn == 1 and not self._store.inline:
                time.sleep(_NOTICED_S)
            left = self._walk()
            if not left and (turn or self._store.inline):
                break
        # What was counted until now names entries as they were called before.
        for journal in (recent.JOURNAL, misses.JOURNAL):
            self._store.jot(journal, [], 0)
        self._end(unsealed=left > 0 and self._wanted is not None)
        return Rekeyed(self._rows, self._lost, left, self._wiped())

    # The ring

    def _begin(self, present: str | None, *, fresh: bool) -> Keys | None:
        """Have the ring hold old and new; the keys of both, None if there is nothing to do at all."""
        for _ in range(_TRIES):
            document = self._store.kept(RING)
            found = _read(document)
            if found is None:
                if self._wanted is None:
                    return None
                made = ring.made(self._wanted, unsealed=True)
            else:
                made = self._extended(found, present, fresh=fresh)
            if self._store.keep(RING, made.document, document):
                opened = next((o for p in (self._wanted, present) if p and (o := ring.opened(made, p))), None)
                if opened is None:
                    raise StoreError("the keys that were just made do not open")
                self._wrap = opened[1]
                return opened[0]
        raise StoreError("the keys of the cache are being changed by another process")

    def _extended(self, found: Ring, present: str | None, *, fresh: bool) -> Ring:
        opened = [(p, o) for p in dict.fromkeys((present, self._wanted)) if p and (o := ring.opened(found, p))]
        if not opened:
            raise ConfigError(
                f"{self._source} does not open the cache in {self._store.location()}, which is encrypted with another"
                " key: give that one as encryption_key, or in LLMCACHE_ENCRYPTION_KEY"
            )
        if self._wanted is None:
            return marked(found, unsealed=True)
        keys = opened[0][1][0]
        wraps = [wrap for _, (_, wrap) in opened]
        if all(passphrase != self._wanted for passphrase, _ in opened):
            wraps.append(ring.new_wrap(self._wanted))
        # More than one data key: somebody has begun this before and was interrupted.
        begun = len(keys.secrets) > 1
        secrets = (new_secret(keys.secrets), *keys.secrets) if fresh and not begun else keys.secrets
        return ring.with_keys(secrets, wraps, unsealed=keys.unsealed)

    def _end(self, *, unsealed: bool) -> None:
        for _ in range(_TRIES):
            document = self._store.kept(RING)
            found = _read(document)
            if self._wanted is None or self._keys is None or self._wrap is None:
                done = ring.GONE
            else:
                if found is None or found.numbers[:1] != (self._keys.current,):
                    raise StoreError("the keys of the cache were changed by another process meanwhile: do it again")
                done = ring.with_keys(self._keys.secrets[:1], [self._wrap], unsealed=unsealed)
            if self._store.keep(RING, done.document, document):
                return
        raise StoreError("the keys of the cache are being changed by another process")

    # Rows

    def _walk(self) -> int:
        """Write anew what is not yet as it should be; how many rows that was."""
        wanted = None if self._wanted is None or self._keys is None else self._keys.current
        changed = 0
        for row in self._store.scan():
            if sealed_with(row) != wanted:
                changed += 1
                self._write(row)
            self._step()
        return changed

    def _write(self, row: Row) -> None:
        try:
            entry = self._source_codec.decode(row)
            asked = self._source_codec.asked(row)
        except EntryError as error:
            # It was a miss before. In plain form its damaged remains would stay readable.
            _log.debug("an entry is removed that cannot be read: %s", error)
            self._remove(row)
            self._lost += 1
            return
        origin = entry.origin or entry.key
        new = self._target_codec.encode(replace(entry, key=origin, origin=origin, asked=asked))
        there = self._store.get(new.key)
        if there is None or there.created_at <= new.created_at:
            self._store.put(new)
            if row.hits and row.last_hit_at is not None:
                self._store.touch({new.key: (row.hits, row.last_hit_at)})
        if row.key != new.key:
            self._remove(row)
        self._rows += 1

    def _remove(self, row: Row) -> None:
        # Unless somebody has just put a newer answer there, which then has its own turn.
        self._store.remove(Filter(key_prefix=row.key.hex(), created_before=row.created_at + 1e-6))

    def _wiped(self) -> bool:
        """Leave nothing of what was replaced in the store's unused parts; whether that worked."""
        if self._wanted is None:
            return True
        for turn in range(_TRIES):
            try:
                self._store.compact()
            except StoreError as error:
                _log.debug("the cache could not be compacted: %s", error)
                time.sleep(0.2 * (turn + 1))
            else:
                return True
        return False


def _read(document: bytes | None) -> Ring | None:
    """The ring, if it is one that seals."""
    try:
        found = None if document is None else ring.read(document)
    except FormatError as error:
        raise StoreError(str(error)) from error
    return found if found is not None and found.slots else None
