"""The keys of a store, and what is done with them: sealing records and naming rows. It must not keep or read anything.

Each data key is 32 random bytes with an identifier. From it come subkeys by HKDF (RFC 5869): one for AES-256-GCM (NIST
SP 800-38D), one for the HMAC (RFC 2104) that makes a row's key of the request's, and one for digests in the account.
Who has the database alone can neither read a record nor find out whether a certain request is among them.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence

from llm_cache.errors import SealError

AES_256_GCM = 1
"""The cipher's number in a record."""
NONCE_SIZE = 12
TAG_SIZE = 16
KEY_SIZE = 32
_SEALING = b"llm-cache record 1"
_NAMING = b"llm-cache key 1"
_COUNTING = b"llm-cache digest 1"


class Keys:
    """The data keys of one store.

    A nonce is 96 random bits, so one data key should seal fewer than 2^32 records (SP 800-38D, 8.3).

    Args:
        secrets: identifier and 32 bytes of each, the one in use first.
        unsealed: whether the store may hold rows that are not sealed, under keys that are not HMACs.
    """

    def __init__(self, secrets: Sequence[tuple[int, bytes]], *, unsealed: bool = False) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.secrets = tuple(secrets)
        self.unsealed = unsealed
        self.current = secrets[0][0]
        self._ciphers = {number: AESGCM(derived(secret, _SEALING)) for number, secret in secrets}
        self._naming = [derived(secret, _NAMING) for _, secret in secrets]
        self._counting = derived(secrets[0][1], _COUNTING)

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Nonce, what was plain, and tag, by the key in use. `bound` must be the same again when it is opened."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._ciphers[self.current].encrypt(nonce, plain, bound)

    def open(self, number: int, sealed: bytes, bound: bytes) -> bytes:
        """What was sealed with the key of that identifier.

        Raises:
            SealError: there is no such key, or a bit is not as it was.
        """
        from cryptography.exceptions import InvalidTag

        cipher = self._ciphers.get(number)
        if cipher is None:
            raise SealError(f"a stored record is encrypted with the key {number:08x}, which is not at hand")
        try:
            return cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], bound)
        except (InvalidTag, ValueError) as error:
            raise SealError("a stored record is damaged or forged: its seal does not hold") from error

    def digest(self, data: bytes) -> bytes:
        """A digest that tells nothing to who has no key; for what is counted and not looked up."""
        return hmac.digest(self._counting, data, "sha256")

    def name(self, origin: bytes) -> bytes:
        """The row's key of a request whose plain key is that."""
        return hmac.digest(self._naming[0], origin, "sha256")

    def names(self, origin: bytes) -> list[bytes]:
        """All keys under which it may be found, the likeliest first: more than one while keys are being changed."""
        found = [hmac.digest(naming, origin, "sha256") for naming in self._naming]
        return [*found, origin] if self.unsealed else found


def derived(secret: bytes, purpose: bytes) -> bytes:
    """A key for one purpose."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_SIZE, None, purpose).derive(secret)


def new_secret(taken: Sequence[tuple[int, bytes]] = ()) -> tuple[int, bytes]:
    """A data key that nobody has had before, and an identifier that is free."""
    numbers = {number for number, _ in taken} | {0}
    number = 0
    while number in numbers:
        number = int.from_bytes(os.urandom(4), "little")
    return number, os.urandom(KEY_SIZE)
