"""From filters to SQL: which rows, in which order, by which index. It must not know how rows are written."""

from __future__ import annotations

import math
from dataclasses import replace

from llm_cache.stores.base import EVERYTHING, Filter

_RARE_PREFIX = 3
"""Hex digits; of a million rows 244 have the same three."""
_AFTER_ALL_KEYS = b"\xff" * 33


def condition(where: Filter) -> tuple[str, list[object]]:
    """The WHERE of a filter on `entries`, and its parameters."""
    return _joined(where, by_key=where.key_prefix is not None)


def page(where: Filter) -> tuple[str, list[object], tuple[float, bytes]]:
    """A query for the next (created_at, key) of a scan, its first parameters, and where the scan begins.

    Its last four parameters are created_at (twice) and key of the row before the page, and how many
    rows. Newest first, so an index on keys that thousands of rows share is of no use.
    """
    few = where.key_prefix is not None and len(where.key_prefix) >= _RARE_PREFIX
    sql, parameters = _joined(replace(where, created_before=None), by_key=few)
    created = "+created_at" if few else "created_at"
    start = (math.inf, b"") if where.created_before is None else (where.created_before, _AFTER_ALL_KEYS)
    query = (
        f"SELECT created_at, key FROM entries WHERE {sql} AND {created} <= ?"  # noqa: S608 - terms of ours
        f" AND (created_at < ? OR +key > ?) ORDER BY {created} DESC, key LIMIT ?"
    )
    return query, parameters, start


def groups(where: Filter) -> tuple[str, list[object]]:
    """The WHERE of a filter on `groups`: of its names alone."""
    terms, parameters = ["entries > 0"], []
    for name in ("provider", "model", "endpoint", "namespace"):
        value = getattr(where, name)
        if value is not None:
            terms.append(f"{name} = ?")
            parameters.append(value)
    return " AND ".join(terms), parameters


def of_names_alone(where: Filter) -> bool:
    """Whether all rows of a group match or none."""
    return replace(where, provider=None, model=None, endpoint=None, namespace=None) == EVERYTHING


def _joined(where: Filter, *, by_key: bool) -> tuple[str, list[object]]:
    """All terms, for a walk along keys or along times of creation; a `+` takes the other index from SQLite.

    It would have to guess which to use: nobody has counted the rows for it. What stands in the
    index comes first: so a row that does not match is not even looked at.
    """
    terms: list[str] = []
    parameters: list[object] = []

    def say(term: str, *values: object) -> None:
        terms.append(term)
        parameters.extend(values)

    created = "+created_at" if by_key else "created_at"
    if where.created_before is not None:
        say(f"{created} < ?", where.created_before)
    if where.created_since is not None:
        say(f"{created} >= ?", where.created_since)
    names, given = groups(where)
    if given:
        say(f"group_id IN (SELECT id FROM groups WHERE {names})", *given)  # noqa: S608 - terms of ours
    if where.expired_at is not None:
        say("expires_at <= ?", where.expired_at)
    if where.live_at is not None:
        say("(expires_at IS NULL OR expires_at > ?)", where.live_at)
    if where.key_prefix is not None:
        first, last, after = _key_range(where.key_prefix)
        key = "key" if by_key else "+key"
        if by_key:
            # For the index, which has the first eight bytes only; older files have one of whole keys.
            say("substr(key, 1, 8) >= ?", first[:8])
            say("substr(key, 1, 8) <= ?", last[:8])
        say(f"{key} >= ?", first)
        if after is not None:
            say(f"{key} < ?", after)
    return " AND ".join(terms) or "1", parameters


def _key_range(prefix: str) -> tuple[bytes, bytes, bytes | None]:
    """Keys that begin with these hex digits: the first, the last, and the first after them if there is one."""
    bits = 4 * (64 - len(prefix))
    first, after = int(prefix, 16) << bits, (int(prefix, 16) + 1) << bits
    last = (after - 1).to_bytes(32, "big")
    return first.to_bytes(32, "big"), last, None if after >> 256 else after.to_bytes(32, "big")
