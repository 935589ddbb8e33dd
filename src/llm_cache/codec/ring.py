"""The key ring: a store's data keys, wrapped by what a passphrase makes. It must not know where it is kept.

One small document a store, as msgpack: version, slots, the identifiers of the data keys (the one in use first), and
whether rows that are not sealed may be there. A slot is salt, cost and the data keys, sealed with AES-256-GCM under a
key that scrypt (RFC 7914) and HKDF make of a passphrase and that salt. While a passphrase is being changed there are
two slots, one for each, around the same keys. A ring without slots is what is left where encryption was removed.

The passphrase does not seal records itself, so that changing it need not touch them; and the data keys are random, so
that a database without its ring is beyond any passphrase.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import msgspec

from llm_cache.codec.seal import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Keys, derived, new_secret
from llm_cache.errors import FormatError

VERSION = 1
LOG2_N, R, P = 15, 8, 1
"""scrypt with 32 MiB: some 80 ms, once in a process and store. A guess costs an attacker the same."""
_MOST_LOG2_N, _MOST_R, _MOST_P = 20, 16, 4
"""What a ring may ask for; more would let whoever writes to the store stop everyone who opens it."""
_MOST_SLOTS, _MOST_KEYS = 8, 64
_WRAPPING = b"llm-cache ring 1"
_SALT_SIZE = 16


class Slot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The data keys for one passphrase."""

    salt: bytes
    log2_n: int
    r: int
    p: int
    box: bytes


class Ring(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """As it is kept."""

    version: int
    slots: tuple[Slot, ...]
    numbers: tuple[int, ...]
    unsealed: bool

    @property
    def document(self) -> bytes:
        """Its bytes."""
        return _pack(self)


_pack = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(Ring).decode
_read_secrets = msgspec.msgpack.Decoder(tuple[tuple[int, bytes], ...]).decode
_MALFORMED = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)


def read(document: bytes) -> Ring:
    """The ring of a document.

    Raises:
        FormatError: it is damaged, or from a newer version.
    """
    try:
        ring = _read(document)
    except _MALFORMED as error:
        raise FormatError(f"the key ring is malformed: {error}") from error
    if ring.version != VERSION:
        raise FormatError(f"the key ring is of version {ring.version}; this version reads {VERSION}")
    slots = ring.slots
    if len(slots) > _MOST_SLOTS or bool(slots) != bool(ring.numbers) or any(map(_odd, slots)):
        raise FormatError("the key ring is malformed: it asks for what no ring does")
    return ring


def _odd(slot: Slot) -> bool:
    cheap = 1 <= slot.log2_n <= _MOST_LOG2_N and 1 <= slot.r <= _MOST_R and 1 <= slot.p <= _MOST_P
    return not cheap or len(slot.salt) != _SALT_SIZE or len(slot.box) < NONCE_SIZE + TAG_SIZE


def made(passphrase: str, *, unsealed: bool) -> Ring:
    """A ring for a store that had none."""
    return with_keys((new_secret(),), [new_wrap(passphrase)], unsealed=unsealed)


GONE = Ring(VERSION, (), (), unsealed=False)
"""What is left where encryption was removed: other processes must notice that their keys are of no more use."""


class Wrap:
    """What a passphrase and a salt make: the key around the data keys."""

    def __init__(self, salt: bytes, cost: tuple[int, int, int], key: bytes) -> None:
        self.salt = salt
        self._cost = cost
        self._key = key

    def box(self, secrets: Sequence[tuple[int, bytes]]) -> Slot:
        """The data keys in a slot."""
        sealed = Keys([(1, self._key)]).seal(_pack(secrets), self._bound())
        return Slot(self.salt, *self._cost, sealed)

    def unbox(self, slot: Slot) -> tuple[tuple[int, bytes], ...] | None:
        """The data keys of a slot with this salt; None if its passphrase is another."""
        from llm_cache.errors import SealError

        try:
            secrets = _read_secrets(Keys([(1, self._key)]).open(1, slot.box, self._bound()))
        except (SealError, *_MALFORMED):
            return None
        good = 0 < len(secrets) <= _MOST_KEYS and all(len(secret) == KEY_SIZE for _, secret in secrets)
        return secrets if good else None

    def _bound(self) -> bytes:
        return _WRAPPING + self.salt + _pack(self._cost)


def with_keys(secrets: Sequence[tuple[int, bytes]], wraps: Sequence[Wrap], *, unsealed: bool) -> Ring:
    """The ring of these data keys for these passphrases."""
    slots = tuple(wrap.box(secrets) for wrap in wraps)
    return Ring(VERSION, slots, tuple(number for number, _ in secrets), unsealed)


def new_wrap(passphrase: str) -> Wrap:
    """A wrap with a salt of its own."""
    return wrap_of(passphrase, os.urandom(_SALT_SIZE), (LOG2_N, R, P))


class _Made:
    """What was derived already: scrypt runs once for a passphrase and a salt."""

    MOST = 64

    def __init__(self) -> None:
        self.forget_lock()
        self.keys: dict[tuple[str, bytes, tuple[int, int, int]], bytes] = {}

    def forget_lock(self) -> None:
        """After a fork: its owner may have stayed behind."""
        self.lock = threading.Lock()


_made = _Made()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_made.forget_lock)


def wrap_of(passphrase: str, salt: bytes, cost: tuple[int, int, int]) -> Wrap:
    """What a passphrase makes with that salt, at that cost (log2 of N, r, p)."""
    with _made.lock:
        key = _made.keys.get((passphrase, salt, cost))
        if key is None:
            if len(_made.keys) >= _made.MOST:
                _made.keys.clear()
            key = _made.keys[passphrase, salt, cost] = derived(_scrypt(passphrase, salt, cost), _WRAPPING)
    return Wrap(salt, cost, key)


def _scrypt(passphrase: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    log2_n, r, p = cost
    # An environment variable may hold bytes that are no text; they count as they are.
    return Scrypt(salt, KEY_SIZE, 1 << log2_n, r, p).derive(passphrase.encode("utf-8", "surrogateescape"))


def opened(ring: Ring, passphrase: str) -> tuple[Keys, Wrap] | None:
    """The keys of a ring and what opened it; None if the passphrase fits no slot."""
    for slot in ring.slots:
        wrap = wrap_of(passphrase, slot.salt, (slot.log2_n, slot.r, slot.p))
        keys = opened_by(ring, wrap)
        if keys is not None:
            return keys, wrap
    return None


def opened_by(ring: Ring, wrap: Wrap) -> Keys | None:
    """The keys of a ring, if one of its slots is of that wrap: costs no scrypt."""
    for slot in ring.slots:
        if slot.salt == wrap.salt:
            secrets = wrap.unbox(slot)
            if secrets is not None:
                return Keys(secrets, unsealed=ring.unsealed)
    return None
