"""Administration of a cache from Python: entries, purge, delete. Raises where a call would not."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llm_cache.clients.call_reader import has_values, shown
from llm_cache.clients.values import VALUE_HEAD
from llm_cache.codec.codec import outside
from llm_cache.codec.values import encode_value, viewable
from llm_cache.core.effects import Sent
from llm_cache.core.events import Stored
from llm_cache.core.plan import about
from llm_cache.core.policy import DAY_S
from llm_cache.core.recorder import Recorder, Refused
from llm_cache.core.signature import sign_named
from llm_cache.errors import ConfigError, EntryError, SealError, StoreError, UncacheableError
from llm_cache.stores.base import Filter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry
    from llm_cache.core.plan import Ask
    from llm_cache.stores.base import Row

_T = TypeVar("_T")
_LISTED = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{1,64}")
_FOUND = 10
_AT_ONCE = 64


async def in_thread(job: Callable[..., _T], *arguments: Any) -> _T:
    """Run administration off the event loop: it may wait for locks that a lookup never waits for."""
    return await asyncio.get_running_loop().run_in_executor(None, job, *arguments)


def _digests(engine: Engine, key: str) -> list[bytes]:
    """What a key given by a person may mean: as it was passed, then as `list` shows it."""
    digests = engine.sealing.names(sign_named(key, engine.policy_for()).digest)
    if _LISTED.fullmatch(key):
        digests.append(bytes.fromhex(key))
    return digests


def get(engine: Engine, key: str) -> Entry | None:
    """The live entry of a key, with its readable views; None also if the store fails."""
    now = engine.clock()
    try:
        digests = _digests(engine, key)
    except EntryError:
        return None  # the keys of the store are not at hand
    for digest in digests:
        try:
            row = engine.store.get(digest)
            if row is not None and (row.expires_at is None or row.expires_at > now):
                return seen(engine, row)
        except (StoreError, EntryError):
            continue
    return None


def delete(engine: Engine, key: str) -> bool:
    """Forget the entry of a key."""
    return sum(engine.store.remove(Filter(key_prefix=digest.hex())) for digest in _digests(engine, key)) > 0


def put(engine: Engine, ask: Ask, value: object) -> str:
    """Store a value as a fetch that returned it now would have."""
    now = engine.clock()
    endpoint, signature = ask.endpoint, ask.signature
    if endpoint is None or signature is None:
        raise UncacheableError("a cache whose mode is off stores nothing")
    data = encode_value(value)
    sent = Sent(VALUE_HEAD, now, now)
    recorder = Recorder(ask.request, endpoint, ask.policy, about(ask), sent, "value", signature.origin)
    recorder.feed(data, now)
    entry = recorder.finish(now)
    if isinstance(entry, Refused):
        raise UncacheableError(f"the value is not kept: {entry.reason}")
    engine.sealing.prepare()
    engine.store.put(engine.codec.encode(entry))
    engine.ledger(Stored(about(ask), entry, nested=True))
    return entry.key


def entries(
    engine: Engine,
    provider: str | None,
    model: str | None,
    namespace: str | None,
    limit: int | None,
) -> Iterator[Entry]:
    """The entries that match, newest first; records that are damaged are passed over."""
    # Also what is still unpriced is priced now: whoever reads entries wants to know what they cost.
    engine.ledger.account(lenient=True)
    where = Filter(provider=provider, model=model, namespace=namespace)
    for row in engine.store.scan(where, limit):
        try:
            yield seen(engine, row)
        except SealError:
            yield outside(row)
        except EntryError:
            continue


class Entries:
    """Entries for an event loop: all at once when awaited, a few at a time with `async for`."""

    def __init__(self, begin: Callable[[], Iterator[Entry]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[Any, None, list[Entry]]:
        return in_thread(lambda: list(self._begin())).__await__()

    async def __aiter__(self) -> AsyncIterator[Entry]:
        left = self._begin()
        while some := await in_thread(lambda: list(islice(left, _AT_ONCE))):
            for entry in some:
                yield entry


def find(engine: Engine, prefix: str) -> list[Entry]:
    """The entries whose key begins so."""
    if not _PREFIX.fullmatch(prefix):
        return []
    return [_seen_or_outside(engine, row) for row in engine.store.scan(Filter(key_prefix=prefix), _FOUND)]


def _seen_or_outside(engine: Engine, row: Row) -> Entry:
    try:
        return seen(engine, row)
    except SealError:
        return outside(row)


def purge(
    engine: Engine,
    *,
    key: str | None,
    expired: bool,
    older_than_days: float | None,
    provider: str | None,
    model: str | None,
    namespace: str | None,
    everything: bool,
    dry_run: bool,
) -> int:
    """Delete the entries that match all filters, or count them."""
    now = engine.clock()
    if key is not None and not _PREFIX.fullmatch(key):
        raise ConfigError(f"{key!r} is no key: give the first hex digits that `list` shows")
    if older_than_days is not None and not older_than_days >= 0:
        raise ConfigError(f"{older_than_days!r} is no age in days: give a number from 0")
    where = Filter(
        provider=provider,
        model=model,
        namespace=namespace,
        key_prefix=key,
        expired_at=now if expired else None,
        created_before=None if older_than_days is None else now - older_than_days * DAY_S,
    )
    if where == Filter() and not everything:
        raise ConfigError("purge needs a filter, or everything=True")
    return engine.store.summary(where).entries if dry_run else engine.store.remove(where)


def seen(engine: Engine, row: Row) -> Entry:
    """An entry with its readable views filled in.

    Raises:
        EntryError: the record cannot be read.
    """
    entry = engine.codec.decode(row)
    asked = engine.codec.asked(row)
    request = None if asked is None else _readable(asked.body)
    if entry.kind == "http":
        response = _readable(entry.body)
    elif entry.kind == "call":
        response = shown(entry) if has_values(entry) else _readable(entry.body)
    else:
        views = [viewable(frame.data) for frame in entry.frames]
        response = views if entry.stream else (views[0] if views else None)
    return replace(entry, asked=asked, request=request, response=response, text=engine.text(entry, asked))


def _readable(body: bytes) -> object:
    """JSON as its value, other text as text, anything else as `{"base64": …}`."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}
