"""Wires settings to a store, a codec, a ledger and the runners' world. Used by every way in.

It decides nothing about a call; it gathers what the plan decides with.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llm_cache.clients import explaining
from llm_cache.clients.call_reader import CallReader
from llm_cache.clients.options import Layer, current_layer
from llm_cache.clients.values import value_endpoint
from llm_cache.codec.codec import Codec
from llm_cache.core.plan import Ask
from llm_cache.core.policy import Policy, tightened
from llm_cache.core.signature import Signature, keyed, loads, sign
from llm_cache.ledger.ledger import Ledger
from llm_cache.providers.registry import recognise
from llm_cache.runtime.access import Access
from llm_cache.runtime.registry import flights_at
from llm_cache.runtime.sealing import Sealing
from llm_cache.runtime.world import World
from llm_cache.runtime.writer import writer
from llm_cache.stores.base import Filter
from llm_cache.stores.registry import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.config import Settings
    from llm_cache.core.model import Entry, Reader, Request

MEGABYTE = 1024 * 1024
_CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})


def policy_of(settings: Settings) -> Policy:
    """The policy that the configuration asks for."""
    days = settings.default_ttl_days
    return Policy(
        mode=settings.mode,
        ttl_s=None if days is None else days * 86_400.0,
        namespace=settings.namespace,
        dont_store=settings.dont_store,
        ignore_fields=settings.ignore_fields,
        max_entry_bytes=int(settings.max_entry_mb * MEGABYTE),
        stale_while_revalidate_s=settings.stale_while_revalidate_s,
        stale_if_error_s=settings.stale_if_error_s,
        join_timeout_s=settings.join_timeout_s,
    )


class Engine:
    """Everything behind one cache.

    Args:
        settings: where to keep what, and the base policy.
        clock: seconds since the epoch.

    Raises:
        ConfigError: the settings ask for what there is not, or the encryption key does not fit.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self.store = open_store(
            settings.database_url,
            read_timeout_ms=settings.read_timeout_ms,
            write_timeout_ms=settings.write_timeout_ms,
            # What is served after its expiry must be there for so long.
            keep_expired_s=max(settings.stale_while_revalidate_s, settings.stale_if_error_s),
            clock=clock,
        )
        self.sealing = Sealing(
            self.store,
            settings.encryption_key if settings.enable_encryption else None,
            f"encryption_key ({settings.origin('encryption_key')})",
        )
        self.codec = Codec(
            compress=settings.enable_compression,
            max_bytes=int(settings.max_entry_mb * MEGABYTE),
            keys=self.sealing.keys if self.sealing.on else None,
        )
        try:
            self.sealing.begin()
        except BaseException:
            self.store.close()
            raise
        self.ledger = Ledger(self.store, writer(), settings.pricing_table, clock)
        if self.sealing.on:
            self.ledger.digest = self.sealing.digest
        self.access = Access(
            self.store,
            self.codec,
            writer(),
            self.ledger,
            write_timeout_s=settings.write_timeout_ms / 1000,
            read_timeout_s=settings.read_timeout_ms / 1000,
            memory_bytes=int(settings.memory_mb * MEGABYTE),
            limit_bytes=int(settings.max_size_mb * MEGABYTE),
            clock=clock,
            sealing=self.sealing,
        )
        self.ledger.priced = self.access.forget
        self.ledger.excused = self.access.ailing
        self.ledger.silent = self.access.silent
        # For a cache that nobody closes, at the latest at the interpreter's end. On the background thread, since the
        # collector may run this anywhere, under any lock; the thread is waited for after all finalizers have run.
        self._finalizer = weakref.finalize(self, writer().post, partial(_close, self.access, self.ledger))
        self.policy = policy_of(settings)
        self._policies: dict[tuple[Layer, Layer], Policy] = {}
        place = self.store.location()
        self.world = World(
            self.access,
            flights_at(None if place == ":memory:" else place),
            clock,
            self.explain,
            set(),
        )

    def policy_for(self, layer: Layer = (), request: Layer = ()) -> Policy:
        """The policy of one call: configuration < `layer` < `options()` < `request`, then ceilings."""
        inner = current_layer() + request
        try:
            return self._policies[layer, inner]
        except KeyError:
            pass
        policy = replace(self.policy, **dict(layer + inner))  # type: ignore[arg-type]
        if self.settings.ceiling is not None:
            policy = tightened(policy, self.settings.ceiling)
        if len(self._policies) > 1000:
            self._policies.clear()
        self._policies[layer, inner] = policy
        return policy

    def keyed(self, signature: Signature) -> Signature:
        """The signature as this store keeps it: its key is an HMAC where encryption is on."""
        return keyed(signature, self.sealing.name) if self.sealing.on else signature

    def forget(self, signature: Signature) -> bool:
        """Remove the entry of a signature, as `keyed` made it; whether there was one.

        Raises:
            StoreError: the store failed.
            SealError: the keys of the store are not at hand.
        """
        names = self.sealing.names(bytes.fromhex(signature.origin)) if signature.origin else [signature.digest]
        return sum(self.store.remove(Filter(key_prefix=name.hex())) for name in names) > 0

    def ask(self, request: Request, policy: Policy, kind: str | None = None) -> Ask:
        """What is known of an HTTP request before it is decided. `kind` is the SDK's, if known."""
        if not policy.reads and not policy.writes:
            return Ask(request, policy, None, None)
        body = loads(request.body, request.header("content-type") or "")
        endpoint = recognise(request, body.value, kind=kind)
        if endpoint is None:
            return Ask(request, policy, None, None)
        credentials = tuple(pair for pair in request.headers if pair[0] in _CREDENTIALS)
        return Ask(request, policy, endpoint, self.keyed(sign(request, body, endpoint, policy)), credentials)

    def explain(self, ask: Ask) -> str:
        """The stored request nearest to one that missed, and what differs, as text."""
        return explaining.explain(self, ask)

    def text(self, entry: Entry, asked: Request | None) -> str | None:
        """What the model said, as far as the entry's format is known."""
        reader: Reader
        if entry.kind == "call":
            reader = CallReader(entry.head)
        else:
            if entry.kind == "http":
                endpoint = None if asked is None else recognise(asked, loads(asked.body).value)
            else:
                endpoint = value_endpoint(entry.provider, entry.model, entry.endpoint, entry.stream)
            if endpoint is None:
                return None
            reader = endpoint.reader(entry.head)
        for frame in entry.frames:
            reader.feed(frame.data)
        return reader.finish().text

    def close(self) -> None:
        """Flush counters and let go of the store. A second call does nothing.

        A store that does not answer costs a lookup's deadline; one that stops answering meanwhile, twice a write's.
        """
        self._finalizer.detach()
        _close(self.access, self.ledger)


def _close(access: Access, ledger: Ledger) -> None:
    answers = access.answers()
    answers = ledger.close(hopeless=not answers) and answers
    access.stop(answers=answers)
    access.store.close()
