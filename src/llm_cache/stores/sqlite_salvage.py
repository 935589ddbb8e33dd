"""What a damaged SQLite store still holds: rows, secrets, documents and sums. It must not judge, nor write anything.

Rows are known by their shape, since the schema may be what was lost. Only the codec can tell whether one is as it was
written; whatever it does not vouch for must not be used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from llm_cache.core.model import Row
from llm_cache.errors import StoreError
from llm_cache.stores.sqlite_pages import Pages, Value

_KEY: Final = 32
_GROUP, _ENTRY, _FIRST_ROW = 11, 15, 20
"""How many values a record of `groups`, of `entries` and of the first schemas' `rows` has, with its rowid."""
_EARLY_PAGES: Final = 64
"""Where secrets are: they are among the first that is written."""
_MOST_SUM: Final = 1 << 100

Names = tuple[str, str, str, str, str, bool, int]
"""What rows of a group have in common, in the order that `Row` has it: from kind to status."""


class Found(NamedTuple):
    """What there is beside rows."""

    groups: dict[int, Names]
    secrets: dict[str, bytes]
    documents: dict[str, bytes]
    sums: dict[tuple[str, ...], dict[str, int]]


def set_aside_files(path: Path) -> list[Path]:
    """The files that were set aside beside a store's file, the oldest first."""
    found = path.parent.glob(f"{path.name}.damaged-*") if path.parent.is_dir() else ()
    return sorted(file for file in found if not file.name.endswith(("-wal", "-shm", "-journal")))


def found_in(path: Path) -> Found:
    """Everything but the rows, as far as it can be read.

    Raises:
        StoreError: the file itself cannot be read.
    """
    found = Found({}, {}, {}, {})
    try:
        with Pages(path) as pages:
            for record in pages.records():
                _gather(found, record)
    except OSError as error:
        raise StoreError(f"the file {path} cannot be read: {error.strerror}") from error
    return found


def secrets_in(path: Path) -> dict[str, bytes]:
    """The secrets alone, if they are found quickly."""
    found = Found({}, {}, {}, {})
    try:
        with Pages(path, _EARLY_PAGES, log=False) as pages:
            for record in pages.records():
                _gather(found, record)
    except OSError:
        return {}
    return found.secrets


def rows_in(path: Path, groups: dict[int, Names]) -> Iterator[Row]:
    """The rows as far as they can be read, in no order; those of a group that was lost have the first names there are.

    Raises:
        StoreError: the file itself cannot be read.
    """
    lost: Names = next(iter(groups.values()), ("http", "", "", "", "default", False, 200))
    try:
        with Pages(path) as pages:
            for record in pages.records():
                row = _row(record, groups, lost)
                if row is not None:
                    yield row
    except OSError as error:
        raise StoreError(f"the file {path} cannot be read: {error.strerror}") from error


def _gather(found: Found, record: tuple[Value, ...]) -> None:
    match record:
        case (int(number), None, str(), str(), str(), str(), str(), int(), int(), int(), int()):
            provider, model, endpoint, namespace, kind, stream, status = record[2:9]
            found.groups[number] = (kind, provider, model, endpoint, namespace, stream == 1, status)  # type: ignore[assignment]
        case (_, str(name), bytes(value)) if name.startswith("secret:") and len(value) == _KEY:
            found.secrets[name.removeprefix("secret:")] = value
        case (_, str(name), bytes(value)) if name.startswith("kept:"):
            found.documents[name.removeprefix("kept:")] = value
        case (_, str(label), str(name), int() | str() as amount):
            _add(found.sums, label, name, amount)
        case _:
            pass


def _add(sums: dict[tuple[str, ...], dict[str, int]], label: str, name: str, amount: int | str) -> None:
    try:
        parts, total = json.loads(label), int(amount)
    except ValueError:
        return
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts) and abs(total) < _MOST_SUM:
        sums.setdefault(tuple(parts), {})[name] = total


def _row(record: tuple[Value, ...], groups: dict[int, Names], lost: Names) -> Row | None:
    """The row of a record, None if it is none."""
    names: tuple[Any, ...]
    own: tuple[Any, ...]
    if len(record) == _ENTRY:
        key, group, value = record[2], record[3], record[14]
        own = record[4:12]
        names = groups.get(group, lost) if isinstance(group, int) else lost
    elif len(record) == _FIRST_ROW:
        key, value = record[2], record[19]
        names = (*record[3:8], record[8] == 1, record[9])
        own = record[10:18]
        if not all(isinstance(name, str) for name in names[:5]) or not isinstance(names[6], int):
            return None
    else:
        return None
    created_at, expires_at, tokens_in, tokens_out, cost, latency, hits, last_hit = own
    times = _real(created_at), _real(expires_at), _real(latency), _real(last_hit)
    counts = (tokens_in, tokens_out, cost, hits)
    good = isinstance(key, bytes) and len(key) == _KEY and isinstance(value, bytes)
    if not good or times[0] is None or not all(count is None or isinstance(count, int) for count in counts):
        return None
    made = (key, value, *names, times[0], times[1], tokens_in, tokens_out, cost, times[2] or 0.0, hits or 0, times[3])
    return Row._make(made)


def _real(value: object) -> float | None:
    """SQLite writes a whole number as an integer."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
