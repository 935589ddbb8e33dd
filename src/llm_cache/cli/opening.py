"""The cache that a command works on, and its entries by what people call them. It must not print data."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.core.model import Entry

_HEX = re.compile(r"[0-9a-fA-F]{1,64}")
_NAMED = 10
"""How many matches of an ambiguous key are named."""


@contextlib.contextmanager
def existing_cache() -> Iterator[LLMCache | None]:
    """The configured cache; None if nobody has made it yet, since looking at a cache should not make one.

    Raises:
        ConfigError: the configuration is wrong.
    """
    from llm_cache.config import load

    settings = load()
    if settings.backend == "sqlite" and not Path(settings.database_url).exists():
        click.echo(f"There is no cache in {settings.database_url} yet.", err=True)
        yield None
        return
    if settings.backend == "memory":
        click.echo("The cache is set to be in the memory of each process: nothing of it is seen from here.", err=True)
    from llm_cache.clients.cache import LLMCache

    with LLMCache() as cache:
        yield cache


def settle(cache: LLMCache) -> None:
    """Price what was left unpriced, so that entries show what they cost."""
    from llm_cache.errors import StoreError

    # Where the account cannot be read, the entries may be.
    with contextlib.suppress(StoreError):
        cache.engine.ledger.account()


def entry_of(cache: LLMCache | None, key: str) -> Entry:
    """The entry of a key: the first hex digits of what `list` shows, or the key as `get_or_set` was given it.

    Raises:
        click.ClickException: there is none, or the digits fit several.
    """
    from llm_cache.errors import EntryError

    found: list[Entry] = []
    if cache is not None and _HEX.fullmatch(key):
        try:
            found = cache.find(key.lower())
        except EntryError as error:
            raise click.ClickException(f"the entry {key} cannot be read: {error}") from error
    if len(found) > 1:
        names = ", ".join(entry.key[: max(12, len(key) + 4)] for entry in found[: _NAMED - 1])
        more = ", …" if len(found) >= _NAMED else ""
        raise click.ClickException(f"{key} is the beginning of several keys: {names}{more}")
    if not found and cache is not None and (named := cache.get(key)) is not None:
        found = [named]
    if not found:
        raise click.ClickException(f"there is no entry {key}")
    return found[0]


def fields(entry: Entry) -> dict[str, object]:
    """An entry as `list --json` has it. Times are seconds since the epoch, money is a decimal string."""
    from llm_cache.ledger.report import money

    return {
        "key": entry.key,
        "provider": entry.provider,
        "model": entry.model,
        "endpoint": entry.endpoint,
        "namespace": entry.namespace,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "last_hit_at": entry.last_hit_at,
        "hits": entry.hits,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "cost_usd": None if entry.cost_usd is None else money(entry.cost_usd),
        "latency_ms": entry.latency_ms,
        "size_bytes": entry.size_bytes,
        "stream": entry.stream,
        "status": entry.status,
    }
