"""Finds the stored request that is nearest to another, for misses that nobody expected. It must not change anything.

The newest entries are looked through by the words in them, which is cheap, and the few that are
left are compared field by field. Of answers to other callers of a proxy nothing is shown: where the
asker has a scope, a stored request counts only if its key can be made under that scope.
"""

from __future__ import annotations

import heapq
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from llm_cache.clients.values import value_endpoint
from llm_cache.core import canonical
from llm_cache.core.explain import Nearest, nearest, render
from llm_cache.core.model import Request
from llm_cache.core.policy import Policy
from llm_cache.core.signature import Signature, loads, sign, sign_call, sign_value
from llm_cache.errors import EntryError
from llm_cache.providers.registry import recognise
from llm_cache.providers.upstreams import base_of, join
from llm_cache.stores.base import Filter, Row

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.plan import Ask

_log = logging.getLogger("llm_cache")
ROWS = 10_000
"""How many of the newest entries are looked through."""
_FINALISTS = 16
_IN_A_CALL_S = 2.0
"""How long a call that fails anyway may be held up to say why."""
_FOR_PEOPLE_S = 10.0
_LOOKED_AT = 64 * 1024
"""Bytes at the beginning and at the end of a request whose words are compared."""
_TO_WORDS = bytes(code if code >= 0x80 or chr(code).isalnum() or chr(code) in "._-" else 0x20 for code in range(256))
_SAMPLES = range(4)


class Pair(NamedTuple):
    """A request and a stored one as documents that can be compared, and the key of ours."""

    ours: bytes
    theirs: bytes
    key: str


class Wanted(NamedTuple):
    """What is looked for.

    Attributes:
        body: the request's body, for its words.
        wheres: which rows, the preferred ones first.
        kind: of which kind they must be; None if of any.
        pair: what to compare for a row and its request; None if that cannot be compared, or may not be.
        skip: the key of a row that is not to be found.
    """

    body: bytes
    wheres: tuple[Filter, ...]
    kind: str | None
    pair: Callable[[Row, Request], Pair | None]
    skip: bytes = b""


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest stored request, its row without the record, and how many were looked at."""

    near: Nearest | None = None
    row: Row | None = None
    searched: int = 0


# Who asks


def explain(engine: Engine, ask: Ask) -> str:
    """The stored request nearest to one that missed, and what differs, as text; "" if there is none. Never raises."""
    endpoint, signature, policy = ask.endpoint, ask.signature, ask.policy
    if endpoint is None or signature is None:
        return ""
    try:
        body = ask.request.body
        ours: Signature | None = signature
        if ask.kind != "http":
            # An explicit key says nothing of the request; its description does.
            ours = signed(ask.kind, endpoint.upstream, endpoint.model, endpoint.path, ask.request, policy)
        if ours is None:
            return ""
        document = ours.document

        def pair(row: Row, request: Request) -> Pair | None:
            theirs = placed(engine, row, request, policy)
            if theirs is None or (policy.scope and not theirs.exact):
                return None
            return Pair(document, theirs.signature.document, signature.key)

        wheres = _wheres(endpoint.provider, endpoint.model, endpoint.path, policy.namespace)
        return render(search(engine, Wanted(body, wheres, ask.kind, pair), patience_s=_IN_A_CALL_S).near)
    except Exception as error:
        _log.warning("a miss could not be explained: %s", error)
        return ""


def why_entry(engine: Engine, row: Row) -> Found:
    """The stored request nearest to that of a row, other than itself.

    Raises:
        StoreError: the store failed.
        EntryError: the row cannot be read.
    """
    row = engine.codec.whole(row)
    request = engine.codec.asked(row)
    policy = Policy(ignore_fields=engine.policy.ignore_fields)
    mine = None if request is None else placed(engine, row, request, policy)
    if request is None or mine is None:
        return Found()
    document = mine.signature.document

    def pair(other: Row, asked: Request) -> Pair | None:
        theirs = placed(engine, other, asked, policy)
        return None if theirs is None else Pair(document, theirs.signature.document, row.key.hex())

    wheres = _wheres(row.provider, row.model, row.endpoint, None)
    return search(engine, Wanted(request.body, wheres, row.kind, pair, row.key))


def why_request(engine: Engine, body: bytes, provider: str | None, endpoint: str | None) -> Found:
    """The stored request nearest to a body, which is taken to go where that one went, with its headers.

    Args:
        engine: the cache.
        body: a request's body.
        provider: where it goes, if that is known.
        endpoint: likewise, `/v1/chat/completions`.

    Raises:
        StoreError: the store failed.
    """
    value = loads(body).value
    model = value.get("model") if isinstance(value, dict) else None
    model = model if isinstance(model, str) else None
    base = None if provider is None else base_of(provider, endpoint or "", engine.settings.upstreams.get(provider))

    def pair(row: Row, request: Request) -> Pair | None:
        # A function's call has arguments and no body.
        policy = Policy(ignore_fields=engine.policy.ignore_fields)
        theirs = None if row.kind == "call" else placed(engine, row, request, policy)
        if theirs is None:
            return None
        url = request.url
        if row.kind == "http" and base is not None and provider != row.provider:
            url = join(base, row.endpoint)
        asked = Request(request.method, url, request.headers, body)
        ours = signed(row.kind, provider or row.provider, model or row.model, row.endpoint, asked, theirs.policy)
        return None if ours is None else Pair(ours.document, theirs.signature.document, engine.keyed(ours).key)

    wheres = tuple(where for path in _paths(endpoint, value) for where in _wheres(provider, model, path, None))
    return search(engine, Wanted(body, wheres, None, pair))


def _wheres(provider: str | None, model: str | None, endpoint: str | None, namespace: str | None) -> tuple[Filter, ...]:
    """Same provider, endpoint and model first, then same provider, then any."""
    near = Filter(provider=provider, model=model or None, endpoint=endpoint, namespace=namespace)
    return tuple(dict.fromkeys((near, replace(near, model=None), replace(near, provider=None, model=None))))


def _paths(endpoint: str | None, body: object) -> tuple[str | None, ...]:
    """How entries may have an endpoint that a person wrote: in its canonical form, and as it is."""
    if endpoint is None:
        return (None,)
    url = endpoint if "://" in endpoint else f"http://localhost/{endpoint.lstrip('/')}"
    known = recognise(Request("POST", url, (("anthropic-version", ""),)), body)
    return (endpoint,) if known is None or known.path == endpoint else (known.path, endpoint)


# Documents


class Placed(NamedTuple):
    """The signature of a stored request, with the policy that it was made under as far as that can be found out."""

    signature: Signature
    policy: Policy
    exact: bool
    """Whether the signature's key is the row's, which proves the policy."""


def placed(engine: Engine, row: Row, request: Request, policy: Policy) -> Placed | None:
    """The signature of a row's request; None if it has none.

    A row knows its namespace but not its sample, so a few are tried.
    """
    first: Placed | None = None
    # A call's reply may have told what its decorator did not; the URL is as it was asked.
    upstream = urlsplit(request.url).netloc if row.kind == "call" else row.provider
    for sample in dict.fromkeys((policy.sample, *_SAMPLES)):
        tried = replace(policy, namespace=row.namespace, sample=sample)
        signature = signed(row.kind, upstream, row.model, row.endpoint, request, tried)
        if signature is None:
            return None
        if row.key in engine.sealing.names(signature.digest):
            return Placed(signature, tried, exact=True)
        first = first or Placed(signature, tried, exact=False)
    return first


def signed(kind: str, upstream: str, model: str, path: str, request: Request, policy: Policy) -> Signature | None:
    """The signature of a request of any kind, made of what is stored of it; None if that cannot be done.

    Upstream, model and path count for what is no HTTP request and does not say them itself.
    """
    if kind == "http":
        body = loads(request.body)
        endpoint = recognise(request, body.value)
        return None if endpoint is None else sign(request, body, endpoint, policy)
    endpoint = value_endpoint(upstream, model, path, False)
    try:
        if kind == "call":
            canonical.parse(request.body)
            return sign_call(endpoint, request.body, policy)
        return sign_value(endpoint, model, json.loads(request.body), policy)
    except (canonical.NotCanonical, TypeError, ValueError, RecursionError):
        return None


# The search


def search(engine: Engine, wanted: Wanted, *, patience_s: float = _FOR_PEOPLE_S) -> Found:
    """Look through the store, as far as patience goes. Takes memory for one request at a time, however many there are.

    Raises:
        StoreError: the store failed.
    """
    until = time.monotonic() + patience_s
    words = _words(wanted.body)
    best: list[tuple[int, int, bytes]] = []
    searched = 0
    for row, request in _candidates(engine, wanted):
        searched += 1
        # Better is larger: few words that only one of them has, and of equals the one that came first.
        rank = (-len(words ^ _words(request.body)), -searched, row.key)
        if (len(best) < _FINALISTS or rank > best[0]) and wanted.pair(row, request) is not None:
            heapq.heappush(best, rank)
            if len(best) > _FINALISTS:
                heapq.heappop(best)
        if time.monotonic() > until:
            break
    chosen = Found(searched=searched)
    for _, _, key in sorted(best, reverse=True):
        again = engine.store.get(key)
        if again is None:
            continue
        again, asked = _asked(engine, again)
        pair = None if asked is None else wanted.pair(again, asked)
        if pair is None:
            continue  # removed meanwhile
        near = nearest(pair.ours, [(key.hex(), pair.theirs)])
        if near is not None and (chosen.near is None or near.weight < chosen.near.weight):
            near = replace(near, note=_note(near, again, pair.key, engine.clock()))
            chosen = Found(near, again._replace(value=b""), searched)
    return chosen


def _candidates(engine: Engine, wanted: Wanted) -> Iterator[tuple[Row, Request]]:
    seen = {wanted.skip}
    for where in wanted.wheres:
        for found in engine.store.scan(where, ROWS):
            if len(seen) > ROWS:
                return
            if found.key in seen:
                continue
            row, request = _asked(engine, found)
            if wanted.kind is not None and row.kind != wanted.kind:
                continue
            seen.add(row.key)
            if request is not None:
                yield row, request


def _asked(engine: Engine, row: Row) -> tuple[Row, Request | None]:
    """A row, whole also where it is sealed, and what it answers."""
    try:
        return engine.codec.whole(row), engine.codec.asked(row)
    except EntryError:
        return row, None  # this one cannot be compared, the others can


def _words(body: bytes) -> set[bytes]:
    """The distinct words of a request."""
    if len(body) > 2 * _LOOKED_AT:
        body = body[:_LOOKED_AT] + b" " + body[-_LOOKED_AT:]
    return set(body.translate(_TO_WORDS).split())


def _note(near: Nearest, row: Row, key: str, now: float) -> str:
    if row.expires_at is not None and row.expires_at <= now:
        at = datetime.fromtimestamp(row.expires_at, timezone.utc)
        return f"its answer expired at {at:%Y-%m-%dT%H:%M:%SZ}"
    if near.found:
        return ""
    if key == near.key:
        return "its answer has not expired"
    if row.kind == "value":
        return "but under another key"
    return "what differs is not stored with it: whose it is in the proxy, its sample, or other ignore_fields"
