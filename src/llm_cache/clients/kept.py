"""What is in a cache, as one asks it from Python: to look, to put, to delete. It answers no call.

The half of `LLMCache` that is about entries; the other half, in `cache`, is about calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_cache.clients import admin
from llm_cache.clients.value_call import ValueCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_cache.clients.engine import Engine
    from llm_cache.clients.value_recall import ValueRecall
    from llm_cache.config import Settings
    from llm_cache.core.model import Entry
    from llm_cache.ledger.report import Stats


class Kept:
    """The entries of a cache."""

    engine: Engine
    _recall: ValueRecall

    def get(self, key: str) -> Entry | None:
        """The entry of a key, given as it was passed to `get_or_set` or as `list` shows it.

        Counts as no call. None if there is none, it has expired, or the store fails.
        """
        return admin.get(self.engine, key)

    def set(
        self,
        key: str | None,
        value: Any,
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
    ) -> str:
        """Store a value as `get_or_set` would have, and say under which 64 hex digits.

        Raises:
            UncacheableError: the value cannot be stored, or `key` is None and `request_data` is
                not JSON.
            StoreError: the store failed.
        """
        call = ValueCall(
            self.engine, self._recall.layer(ttl_days), key, provider, model, endpoint, request_data, stream=False
        )
        return admin.put(self.engine, call.ask, value)

    def delete(self, key: str) -> bool:
        """Forget the entry of a key, given as for `get`; whether there was one.

        Raises:
            StoreError: the store failed.
        """
        return admin.delete(self.engine, key)

    def entries(
        self,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """The entries that match, newest first, expired ones included.

        Raises:
            StoreError: the store failed.
        """
        return admin.entries(self.engine, provider, model, namespace, limit)

    def find(self, prefix: str) -> list[Entry]:
        """The entries whose key begins with these hex digits; at most ten.

        Raises:
            StoreError: the store failed.
        """
        return admin.find(self.engine, prefix)

    def purge(
        self,
        *,
        key: str | None = None,
        expired: bool = False,
        older_than_days: float | None = None,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Delete the entries that match all filters that are given, and say how many.

        Args:
            key: the first hex digits of keys as `list` shows them.
            expired: only what is past its expiry.
            older_than_days: only what was made longer ago.
            provider: only this provider's.
            model: only this model's.
            namespace: only this namespace's.
            everything: required where no filter is given.
            dry_run: only count them.

        Raises:
            ConfigError: no filter and not `everything`, or a value is wrong.
            StoreError: the store failed.
        """
        return admin.purge(
            self.engine,
            key=key,
            expired=expired,
            older_than_days=older_than_days,
            provider=provider,
            model=model,
            namespace=namespace,
            everything=everything,
            dry_run=dry_run,
        )

    def stats(self) -> Stats:
        """What the cache holds and what it has done, by this and all other processes.

        Raises:
            StoreError: the store failed.
        """
        return self.engine.ledger.stats()

    def check(self) -> list[str]:
        """Look for damage in the store; one sentence for each finding.

        Raises:
            StoreError: the store failed.
        """
        return self.engine.store.check()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.engine.settings

    @property
    def location(self) -> str:
        """Where the entries are: a path or a URL without its password."""
        return self.engine.store.location()

    # --- async twins ------------------------------------------------------------------------

    async def aget(self, key: str) -> Entry | None:
        """As `get`, off the event loop."""
        return await admin.in_thread(self.get, key)

    async def aset(
        self,
        key: str | None,
        value: Any,
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
    ) -> str:
        """As `set`, off the event loop."""
        return await admin.in_thread(self.set, key, value, provider, model, endpoint, request_data, ttl_days)

    async def adelete(self, key: str) -> bool:
        """As `delete`, off the event loop."""
        return await admin.in_thread(self.delete, key)

    def aentries(
        self,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        limit: int | None = None,
    ) -> admin.Entries:
        """As `entries`, off the event loop: awaited, a list; walked with `async for`, one after the other."""
        return admin.Entries(lambda: self.entries(provider, model, namespace, limit))

    async def astats(self) -> Stats:
        """As `stats`, off the event loop."""
        return await admin.in_thread(self.stats)

    async def apurge(
        self,
        *,
        key: str | None = None,
        expired: bool = False,
        older_than_days: float | None = None,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> int:
        """As `purge`, off the event loop."""
        return await admin.in_thread(
            lambda: self.purge(
                key=key,
                expired=expired,
                older_than_days=older_than_days,
                provider=provider,
                model=model,
                namespace=namespace,
                everything=everything,
                dry_run=dry_run,
            )
        )
