"""What this process knows of a store's keys: makes them, finds them, and notices when another process changes them.

It must never let anything be written plainly where it should be sealed: without keys there is a `SealError`, and the
cache is of no use until there are.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import time
from typing import TYPE_CHECKING

from llm_cache.codec import ring
from llm_cache.codec.codec import sealed_with
from llm_cache.errors import ConfigError, FormatError, SealError, StoreError

if TYPE_CHECKING:
    from llm_cache.codec.ring import Ring, Wrap
    from llm_cache.codec.seal import Keys
    from llm_cache.core.model import Row
    from llm_cache.stores.base import Backend

_log = logging.getLogger("llm_cache")
RING = "ring"
"""The name under which a store keeps its key ring."""
RETRY_S = 1.0
_TURNS = 20
"""How often the ring may change under somebody who changes it."""


class Sealing:
    """One store's keys, for one cache.

    Args:
        store: keeps the ring.
        passphrase: None where encryption is off; then the store is only watched for being sealed.
        source: where the passphrase came from, for messages.
    """

    def __init__(self, store: Backend, passphrase: str | None, source: str = "encryption_key") -> None:
        self._store = store
        self._passphrase = passphrase
        self._source = source
        self._keys: Keys | None = None
        self._wrap: Wrap | None = None
        self._document: bytes | None = None
        self._generation: int | None = None
        self._off = ""
        self._failed_at = float("-inf")
        self._lost = self._warned = False
        # Before the store could be reached: callers of this process are told apart, and nothing tells what they asked.
        self._makeshift = os.urandom(32)

    @property
    def on(self) -> bool:
        """Whether what is written is sealed."""
        return self._passphrase is not None

    def begin(self) -> None:
        """Find the store's keys, or make them if it has none. A store that fails is asked again later.

        Raises:
            ConfigError: the passphrase is not that of the store.
        """
        if self._passphrase is None:
            return
        try:
            self._open(self._passphrase)
        except StoreError as error:
            self._failed_at = time.monotonic()
            _log.debug("the keys of the cache could not be read yet: %s", error)

    def keys(self) -> Keys:
        """The keys that are in force.

        Raises:
            SealError: there are none, or not yet.
        """
        if self._keys is None:
            raise SealError(self._off or "the keys of the cache have not been read yet")
        return self._keys

    def name(self, origin: bytes) -> bytes:
        """The row's key of a request whose plain key is that."""
        if self._keys is not None:
            return self._keys.name(origin)
        return hmac.digest(self._makeshift, origin, "sha256")

    def names(self, origin: bytes) -> list[bytes]:
        """All keys under which a row of that request may be found, the likeliest first."""
        return self.keys().names(origin) if self.on else [origin]

    def digest(self, data: bytes) -> str:
        """A short text that stands for data in the account, and tells nothing to who has no key."""
        keys = self._keys
        made = hmac.digest(self._makeshift, data, "sha256") if keys is None else keys.digest(data)
        return made.hex()[:16]

    def look(self, generation: int) -> None:
        """See whether the ring has changed, if the store says that anything has. Never scrypt, never a write.

        Raises:
            StoreError: the store failed.
        """
        if generation == self._generation:
            return
        document = self._store.kept(RING)
        if self.on:
            self._noticed(document)
        elif document is not None:
            self._warn_of(document)
        self._generation = generation

    def prepare(self) -> None:
        """Before something is written, on the background thread: what `look` may not do.

        Raises:
            StoreError: the store failed.
            SealError: there are no keys.
        """
        if self._passphrase is not None and self._keys is None and not self._off:
            self.try_again()
        if not self.on:
            # Whether the store is sealed is no reason not to keep an answer.
            with contextlib.suppress(Exception):
                self.look(self._store.generation())
                self._mark_unsealed()
            return
        self.look(self._store.generation())
        if self._lost and self._document is not None and self._store.keep(RING, self._document, None):
            # Another file lies there, or all was deleted: its rows are sealed with the keys that we have.
            self._lost = False
        self.keys()

    def try_again(self, *, at_once: bool = False) -> None:
        """Read the keys if that has not worked so far, once a second. With scrypt, so not in a call."""
        if self._passphrase is None or self._keys is not None or self._off:
            return
        if not at_once and time.monotonic() - self._failed_at < RETRY_S:
            return
        self._failed_at = time.monotonic()
        try:
            self._open(self._passphrase)
        except ConfigError as error:
            self._turn_off(str(error))

    @property
    def unread(self) -> bool:
        """Whether the keys have still to be read."""
        return self.on and self._keys is None and not self._off

    @property
    def useless(self) -> bool:
        """Whether nothing can be read or written for want of keys."""
        return self.on and self._keys is None

    # The ring

    def _open(self, passphrase: str) -> None:
        for _ in range(_TURNS):
            generation = self._store.generation()
            document = self._store.kept(RING)
            found = _ring(document)
            if found is None or not found.slots:
                found = ring.made(passphrase, unsealed=next(self._store.scan(limit=1), None) is not None)
                if not self._store.keep(RING, found.document, document):
                    continue
                document = found.document
            opened = ring.opened(found, passphrase)
            if opened is None:
                raise ConfigError(
                    f"{self._source} does not open the cache in {self._store.location()}, which is encrypted with"
                    " another key: give that one, or name another database_url"
                )
            self._keys, self._wrap = opened
            self._document, self._generation, self._lost = document, generation, False
            self._tell_unsealed()
            return
        raise StoreError("the keys of the cache are being changed all the time")

    def _noticed(self, document: bytes | None) -> None:
        """Take over what another process has made of the ring."""
        if self._keys is None or self._wrap is None or document == self._document:
            return
        if document is None:
            self._lost = True
            return
        found = _ring(document)
        keys = None if found is None else ring.opened_by(found, self._wrap)
        if keys is None and found is not None and found.numbers[:1] == (self._keys.current,):
            # The passphrase is another one now. Whoever was let in before is not sent away while the keys are the same.
            keys = type(self._keys)(self._keys.secrets, unsealed=found.unsealed)
        if keys is None:
            self._keys = None
            self._turn_off(f"the encryption key of the cache in {self._store.location()} was changed or removed")
            return
        self._document, self._lost = document, False
        self._keys = keys

    def _turn_off(self, why: str) -> None:
        self._off = why
        _log.error("%s; this cache stays off until it is opened anew", why)

    # Plain rows

    def _tell_unsealed(self) -> None:
        if self._keys is not None and self._keys.unsealed and not self._warned:
            self._warned = True
            _log.warning(
                "the cache in %s holds entries from before it was encrypted; they stay readable until"
                " `llm-cache rekey` has encrypted them",
                self._store.location(),
            )

    def _warn_of(self, document: bytes) -> None:
        """Encryption is off; if the store is sealed, that was perhaps not meant."""
        found = _ring(document)
        if found is not None and found.slots and not self._warned:
            self._warned = True
            _log.warning(
                "the cache in %s is encrypted, and encryption is off here: its entries count as misses, and new ones"
                " are written in plain form",
                self._store.location(),
            )

    def _mark_unsealed(self) -> None:
        """Say in the ring that a plain row is about to come, so that sealed caches look for such."""
        for _ in range(_TURNS):
            document = self._store.kept(RING) if self._warned else None
            found = _ring(document)
            if found is None or found.unsealed or not found.slots:
                return
            if self._store.keep(RING, marked(found, unsealed=True).document, document):
                return


def marked(found: Ring, *, unsealed: bool) -> Ring:
    """The ring with that mark."""
    return type(found)(found.version, found.slots, found.numbers, unsealed)


def _ring(document: bytes | None) -> Ring | None:
    try:
        return None if document is None else ring.read(document)
    except FormatError as error:
        raise StoreError(str(error)) from error


def plain_rows(store: Backend) -> int:
    """How many rows are not sealed. Reads them all.

    Raises:
        StoreError: the store failed.
    """
    return sum(1 for row in store.scan() if sealed_with(row) is None)


def ring_of(store: Backend) -> Ring | None:
    """The store's ring, if it is sealed.

    Raises:
        StoreError: the store failed.
    """
    found = _ring(store.kept(RING))
    return found if found is not None and found.slots else None


def belongs(row: Row, origin: bytes) -> bool:
    """Whether a row may be the answer under its key: one that is not sealed only under a key that is no HMAC."""
    return row.key == origin or sealed_with(row) is not None
