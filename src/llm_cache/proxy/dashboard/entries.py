"""Pages of entries, newest first, however many there are. It must not show what is in them, but for a glance."""

from __future__ import annotations

import contextlib
import heapq
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from llm_cache.codec.codec import to_usd
from llm_cache.errors import EntryError
from llm_cache.providers.parse import Malformed, clean, parse
from llm_cache.proxy.dashboard.answers import Problem
from llm_cache.proxy.dashboard.conversation import asked
from llm_cache.proxy.dashboard.texts import Texts
from llm_cache.stores.base import Filter

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.stores.base import Row, Summary

_MOST = 200
_PREFIX = re.compile(r"[0-9a-fA-F]{1,64}")
_MOST_MODELS = 50
"""How many models a text may fit; each has a walk of its own through the store."""
_GLANCED_AT = 64 * 1024
"""Bytes of a record beyond which the list does not open it to say what was asked."""
_GLANCE = 160
_NAMES_S = 15.0
"""How long the names that can be chosen may be old: to find all of them takes a walk through an index."""


class Entries:
    """The entries of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names: tuple[float, Summary] | None = None

    def names(self) -> Summary:
        """Providers and models that there are, and how much; as of a moment ago."""
        now = time.monotonic()
        if self._names is None or now - self._names[0] > _NAMES_S:
            self._names = (now, self._engine.store.summary())
        return self._names[1]

    def forget(self) -> None:
        """Something was deleted."""
        self._names = None

    def page(self, query: Mapping[str, str]) -> dict[str, object]:
        """One page.

        Args:
            query: `key` (first digits), `provider`, `model`, `namespace`, `text` (in the model's name), `state`
                (`live` or `expired`), `limit`, and `after`, which is `next` of the page before.

        Raises:
            Problem: something in it is wrong.
        """
        limit = _number(query.get("limit") or "50", "limit", most=_MOST)
        found = list(islice(self._walk(query), limit + 1))
        rows = found[:limit]
        more = len(found) > limit
        return {
            "entries": [self.listed(row) for row in rows],
            "next": f"{rows[-1].created_at!r}~{rows[-1].key.hex()}" if more else None,
        }

    def listed(self, row: Row) -> dict[str, object]:
        """A row as the list shows it."""
        if len(row.value) > _GLANCED_AT:
            return {**columns(row), "glance": None}
        with contextlib.suppress(EntryError):
            row = self._engine.codec.whole(row)
        return {**columns(row), "glance": self._glance(row)}

    def _walk(self, query: Mapping[str, str]) -> Iterator[Row]:
        wheres = self._wheres(query)
        after = query.get("after")
        if not after:
            return self._merged(wheres)
        at, last = _cursor(after)
        # Also those made at that very moment, whose keys decide: a filter knows times only.
        until = math.nextafter(at, math.inf)
        rows = self._merged([replace(where, created_before=until) for where in wheres])
        return (row for row in rows if row.created_at < at or row.key > last)

    def _merged(self, wheres: list[Filter]) -> Iterator[Row]:
        scan = self._engine.store.scan
        if len(wheres) == 1:
            return scan(wheres[0])
        return heapq.merge(*[scan(where) for where in wheres], key=lambda row: (-row.created_at, row.key))

    def _wheres(self, query: Mapping[str, str]) -> list[Filter]:
        key = query.get("key") or None
        if key is not None and not _PREFIX.fullmatch(key):
            raise Problem(400, "A key begins with hex digits: 0 to 9 and a to f.")
        state, now = query.get("state") or "", self._engine.clock()
        if state not in {"", "live", "expired"}:
            raise Problem(400, "The state is live or expired.")
        where = Filter(
            provider=query.get("provider") or None,
            model=query.get("model") or None,
            namespace=query.get("namespace") or None,
            key_prefix=key.lower() if key else None,
            expired_at=now if state == "expired" else None,
            live_at=now if state == "live" else None,
        )
        text = (query.get("text") or "").casefold()
        if not text or where.model is not None:
            return [where] if text in (where.model or "").casefold() or not text else []
        models = [model for model in self.names().models if text in model.casefold()]
        if len(models) > _MOST_MODELS:
            raise Problem(400, f"That is in the names of {len(models)} models: write more of the name.")
        return [replace(where, model=model) for model in models]

    def _glance(self, row: Row) -> str | None:
        """The end of what was asked."""
        try:
            request = self._engine.codec.asked(row)
            body = None if request is None else parse(request.body)
        except (EntryError, Malformed):
            return None
        messages = asked(body, Texts())["messages"]
        for message in reversed(messages if isinstance(messages, list) else []):
            for part in message["parts"]:
                if part["kind"] == "text" and str(part["text"]).strip():
                    return clean(" ".join(str(part["text"]).split())[:_GLANCE])
        return None


def columns(row: Row) -> dict[str, object]:
    """What can be read of a row whether it is sealed or not."""
    return {
        "key": row.key.hex(),
        "kind": row.kind,
        "provider": row.provider,
        "model": row.model,
        "endpoint": row.endpoint,
        "namespace": row.namespace,
        "stream": row.stream,
        "status": row.status,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": to_usd(row.cost_pico),
        "latency_ms": row.latency_ms,
        "hits": row.hits,
        "last_hit_at": row.last_hit_at,
        "size_bytes": len(row.value),
    }


def _cursor(after: str) -> tuple[float, bytes]:
    at, _, key = after.partition("~")
    try:
        found = float(at), bytes.fromhex(key)
    except ValueError:
        found = math.nan, b""
    if not math.isfinite(found[0]) or len(found[1]) != 32:
        raise Problem(400, "That is no page: begin with the newest entries.")
    return found


def _number(text: str, name: str, *, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise Problem(400, f"{name} is a number from 1 to {most}.")
    return int(text)
