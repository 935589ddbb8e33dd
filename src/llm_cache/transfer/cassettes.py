"""Cassettes: a few entries as a file that people read, compare and keep beside their tests. It must not call anybody.

A cassette is a JSON export of its own look: indented, in the order in which the answers were made, without what changes
from run to run or tells of an account. `llm-cache import` reads it like any other export.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_cache.core.model import Entry, Row
from llm_cache.core.signature import loads as parsed, sign
from llm_cache.providers.registry import recognise
from llm_cache.stores.base import EVERYTHING, Filter
from llm_cache.transfer.bodies import dumps
from llm_cache.transfer.exporting import Exported, records
from llm_cache.transfer.files import whole_file
from llm_cache.transfer.importing import Imported, import_entries, limit_of, read_entries
from llm_cache.transfer.records import entry_of, line_of

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.policy import Policy

_ACCOUNT = frozenset({"openai-organization", "openai-project", "anthropic-organization-id"})
"""Headers of a reply that say whose key it was."""
_HIDDEN = "redacted"
_MOST_SAMPLES = 100


def write(engine: Engine, path: Path, where: Filter = EVERYTHING, namespace: str | None = None) -> int:
    """Write the entries that match into a cassette, and say how many there were; none makes no file.

    Args:
        engine: the cache.
        path: the file.
        where: which entries.
        namespace: where they shall be found when they are read, if not where they are; see `moved`.

    Raises:
        StoreError: the store cannot be read.
        OSError: the file cannot be written.
    """
    lines = []
    for record in records(engine, where, Exported()):
        if namespace is not None:
            (entry,) = moved(engine, [entry_of(line_of(dumps(record).encode()))], namespace)
            record.update(key=entry.key if isinstance(entry, Entry) else entry.key.hex(), namespace=namespace)
        lines.append(_settled(record))
    if not lines:
        return 0
    lines.sort(key=lambda record: (record["created_at"], record["key"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(json.dumps(lines, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n")
    return len(lines)


def read(engine: Engine, path: Path, namespace: str | None = None) -> Imported:
    """Bring a cassette's entries into a cache, where they never expire; `namespace` as in `write`.

    Raises:
        LLMCacheError: it is no cassette; the message says which line is wrong.
        OSError: the file cannot be read.
    """
    entries = lasting(read_entries(str(path), limit_of(engine)))
    return import_entries(engine, entries if namespace is None else moved(engine, entries, namespace))


def lasting(entries: Iterable[Entry | Row]) -> Iterator[Entry | Row]:
    """The same entries, without an end."""
    for entry in entries:
        # What is sealed is bound to its columns.
        yield entry if isinstance(entry, Row) or entry.expires_at is None else replace(entry, expires_at=None)


def moved(engine: Engine, entries: Iterable[Entry | Row], namespace: str) -> Iterator[Entry | Row]:
    """The entries as if the library had fetched them, in this namespace.

    What a proxy has kept for one of its callers, or a run in a namespace of its own, has another key than the same
    call in a test. Results of functions and of `get_or_set` keep theirs: what their keys were made of is not kept.
    """
    for entry in entries:
        if isinstance(entry, Row):
            yield entry
            continue
        asked = entry.asked
        body = None if asked is None else parsed(asked.body)
        endpoint = None if asked is None or body is None else recognise(asked, body.value)
        if entry.kind != "http" or asked is None or body is None or endpoint is None:
            yield entry
            continue

        def key(policy: Policy, asked: Any = asked, body: Any = body, endpoint: Any = endpoint) -> str:
            return sign(asked, body, endpoint, policy).key

        there = replace(engine.policy, namespace=entry.namespace, scope="")
        # One of another scope is nobody's sample that we could tell.
        samples = (number for number in range(_MOST_SAMPLES) if key(replace(there, sample=number)) == entry.key)
        sample = next(samples, 0)
        here = replace(there, namespace=namespace, sample=sample)
        yield replace(entry, key=key(here), namespace=namespace)


def _settled(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is other in each run, or nobody's business."""
    reply = record["reply"]
    headers = [(name, _HIDDEN if name in _ACCOUNT else value) for name, value in reply["headers"]]
    return {**record, "hits": 0, "last_hit_at": None, "expires_at": None, "reply": {**reply, "headers": headers}}
