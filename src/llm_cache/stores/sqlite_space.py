"""How large an SQLite file is, which rows go when it is too large, and how it gives room back to the disk.

Everything here happens in small steps, so that whoever waits to write gets his turn; only `compact` does not.
"""

from __future__ import annotations

from llm_cache.stores import sqlite_files
from llm_cache.stores.base import Shrunk
from llm_cache.stores.sqlite_connections import Connections

STEP_ROWS = 64
"""Rows that one step removes at most: some 2 ms."""
_SLACK_BYTES = 64 << 10
_VACUUM_PAGES = 128
"""Pages that one step moves from the end of the file to where there is room."""
_FREE_PAGES = 64
_FREE_SHARE = 8
"""Room is given back when it is more than 64 pages and an eighth of the file; what is less is soon used again."""
_LOG_SHARE = 8
"""The log may take up to an eighth of the limit; half of that is when it is written back."""
_LOG_BYTES = 512 << 10
"""What it takes in any case: one large answer, one step that removes rows."""
_OLDEST = 256

_EXPIRED = (
    "SELECT e.id, e.size FROM (SELECT id, size, expires_at FROM entries ORDER BY created_at LIMIT ?) e"
    " WHERE e.expires_at <= ? LIMIT ?"
)
_LEAST = "SELECT id, size FROM entries ORDER BY rank LIMIT ?"


def shrink(connections: Connections, limit_bytes: int, now: float) -> Shrunk:
    """One step towards a file that, with its log, is no larger than that."""
    page_bytes, pages, free = _pages(connections)
    # From the first write on, since a log that has grown does not shrink soon.
    connections.bound_log(limit_bytes // (2 * _LOG_SHARE * page_bytes))
    for_log = max(limit_bytes // _LOG_SHARE, min(_LOG_BYTES, limit_bytes // 2))
    if sqlite_files.size(f"{connections.path}-wal") > for_log:
        # Somebody was reading each time it was written back, so that it could not begin anew.
        connections.restart_log()
    most = limit_bytes - for_log
    over = (pages - free) * page_bytes - most
    if over <= 0:
        return Shrunk(more=give_back(connections) if _much(pages, free) else False)
    # Pages become free only when all their rows are gone, so somewhat more than what is too much. If that was not
    # enough, the next step finds out.
    wanted = over + _SLACK_BYTES
    with connections.writing() as channel:
        found = channel.execute(_EXPIRED, (_OLDEST, now, STEP_ROWS)).fetchall()
        found = found or channel.execute(_LEAST, (STEP_ROWS,)).fetchall()
        doomed: list[int] = []
        size = 0
        for row_id, row_size in found:
            doomed.append(row_id)
            size += row_size
            if size >= wanted:
                break
        channel.execute(f"DELETE FROM entries WHERE id IN ({', '.join('?' * len(doomed))})", doomed)  # noqa: S608 - numbers
    return Shrunk(len(doomed), size, more=bool(doomed))


def give_back(connections: Connections) -> bool:
    """One step towards a file without unused pages; whether there is another.

    A file from before this was possible keeps its pages until it is compacted.
    """
    _, pages, free = _pages(connections)
    if not _much(pages, free):
        return False
    with connections.writing() as channel:
        # The pragma does a page each time it is asked for the next row.
        channel.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    _, pages, left = _pages(connections)
    if _much(pages, left) and left < free:
        return True
    # The file itself becomes smaller when the log has been written back.
    with connections.alone() as channel:
        channel.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return False


def compact(connections: Connections) -> int:
    """Write the file anew without gaps; the bytes by which it and its log have become smaller."""
    before = _on_disk(connections)
    connections.bring_up_to_date()
    with connections.alone() as channel:
        channel.execute("DELETE FROM groups WHERE entries = 0")
        channel.execute("PRAGMA auto_vacuum = INCREMENTAL")
        channel.execute("VACUUM")
        channel.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return max(0, before - _on_disk(connections))


def _much(pages: int, free: int) -> bool:
    return free > max(_FREE_PAGES, pages // _FREE_SHARE)


def _pages(connections: Connections) -> tuple[int, int, int]:
    """The size of a page in bytes, how many the file has, and how many of them are not in use."""
    ((page_bytes, pages, free),) = connections.read(
        "SELECT page_size, page_count, freelist_count FROM pragma_page_size, pragma_page_count, pragma_freelist_count"
    )
    return page_bytes, pages, free


def _on_disk(connections: Connections) -> int:
    return sum(sqlite_files.size(f"{connections.path}{part}") for part in ("", "-wal"))
