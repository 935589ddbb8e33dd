"""Connections to one SQLite file: opened when first needed, one per thread for reading and one for writing.

It knows files, locks and forks, and must not know what the tables hold. Everything that fails here
fails as `StoreError`.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

from llm_cache.errors import StoreBusy, StoreError
from llm_cache.stores import forks, sqlite_files, sqlite_schema
from llm_cache.stores.sqlite_channel import Channel
from llm_cache.stores.sqlite_upgrade import Upgrade

_log = logging.getLogger("llm_cache")
RETRY_S = 1.0
"""A file that could not be opened is tried again no sooner than this."""
_RESTART_MS = 20
_forgotten: list[Channel] = []
"""What a child inherited all the same (a fork that Python was not told of). Closing it is not safe either."""


class _Local(threading.local):
    channel: Channel


class Connections:
    """All connections of one process to one file.

    Args:
        path: the file; it and its folder are made when first needed, for the owner alone.
        read_timeout_s: how long opening, and reading where there is no write-ahead log, may wait for others.
        write_timeout_s: how long a write may.
        clock: seconds on any scale that only goes forward.
    """

    def __init__(self, path: Path, read_timeout_s: float, write_timeout_s: float, clock: Callable[[], float]) -> None:
        self.path = path
        self.local = _Local()
        self._read_timeout_s = read_timeout_s
        self._write_timeout_s = write_timeout_s
        self._clock = clock
        # Taken before any channel's lock, never while holding one.
        self._opening = threading.Lock()
        self._channels: WeakSet[Channel] = WeakSet()
        self._writer: Channel | None = None
        self._identity: tuple[int, int] | None = None
        self._log_kept = True
        self._told = False
        self._log_pages = sqlite_files.LOG_PAGES
        self._failure: StoreError | None = None
        self._failed_at = 0.0
        self._damaged: tuple[int, int] | None = None
        self._closed = False
        self._upgrade = Upgrade(path)
        forks.tell(self)

    def reading(self) -> Channel:
        """This thread's channel for reading. Hold its lock, and come again if it turns out to be closed."""
        with self._opener():
            local = self.local
            self._opened()
            # Readers never wait: in a write-ahead log they need not, and elsewhere an event loop may be waiting.
            try:
                connection = sqlite_files.connect_to_read(self.path, self._read_timeout_s, log_kept=self._log_kept)
                local.channel = self._channel(connection, "PRAGMA query_only = 1")
            except sqlite3.Error as error:
                ours, useless = self._translated(error)
                if useless:
                    # What is open is of a file that has been taken away.
                    self._drop()
                raise ours from error
            return local.channel

    def read(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """All that a query finds, in one short transaction."""
        while True:
            channel = getattr(self.local, "channel", None) or self.reading()
            try:
                with channel.lock:
                    return channel.execute(sql, tuple(parameters)).fetchall()
            except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
                if channel.closed:
                    continue
                raise self.failed(error, channel) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[Channel]:
        """A transaction that holds the write lock; commits at the end, or rolls back."""
        channel = self._write_channel()
        try:
            try:
                channel.execute("BEGIN IMMEDIATE")
                yield channel
                channel.execute("COMMIT")
            except BaseException:
                if channel.in_transaction():
                    channel.execute("ROLLBACK")
                raise
            finally:
                channel.lock.release()
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            raise self.failed(error, channel) from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[Channel]:
        """The channel for writing, outside of any transaction."""
        channel = self._write_channel()
        try:
            try:
                yield channel
            finally:
                channel.lock.release()
        except sqlite3.Error as error:
            raise self.failed(error, channel) from error

    def bring_up_to_date(self) -> None:
        """Do what an older file could do without so far."""
        with self.alone() as channel:
            sqlite_schema.migrate(channel.connection, str(self.path))

    def restart_log(self) -> None:
        """Write the log back and empty it, as soon as nobody reads from it, which may take a little."""
        with self.alone() as channel:
            try:
                channel.execute(f"PRAGMA busy_timeout = {_RESTART_MS}")
                channel.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                channel.execute(f"PRAGMA busy_timeout = {int(self._write_timeout_s * 1000)}")

    def bound_log(self, pages: int) -> None:
        """Let the log grow to about that many pages at most, so that it fits beside a small file."""
        pages = max(16, min(pages, sqlite_files.LOG_PAGES))
        if pages != self._log_pages:
            with self.alone() as channel:
                for pragma in sqlite_files.log_bounds(pages):
                    channel.execute(pragma)
            self._log_pages = pages

    def _write_channel(self) -> Channel:
        """The channel for writing, locked by this thread."""
        while True:
            channel = self._writer
            if channel is None or self._moved():
                if channel is not None:
                    self.drop()
                with self._opener():
                    channel = self._opened()
            if not channel.lock.acquire(timeout=self._write_timeout_s):
                raise StoreBusy(f"the cache file {self.path} is being written by another thread")
            if not channel.closed:
                return channel
            channel.lock.release()

    def failed(self, error: Exception, channel: Channel) -> StoreError:
        """The error of a channel as one of ours. Call without holding a channel's lock."""
        ours, useless = self._translated(error)
        if channel.identity != self._identity:
            # Of a file that has been moved away meanwhile; the one that is there now has done nothing.
            ours.damaged = False
        elif ours.damaged:
            self._damaged = channel.identity
        if useless:
            self.drop()
        return ours

    def _translated(self, error: Exception) -> tuple[StoreError, bool]:
        """The error as one of ours, and whether it means that the open connections are of no more use.

        By its words: SQLite's codes can be read in Python 3.11 and later only.
        """
        text = str(error)
        if "locked" in text or "locking protocol" in text:
            return StoreBusy(f"the cache file {self.path} is locked by another process"), False
        if "malformed" in text or "not a database" in text:
            damaged = StoreError(f"the cache file {self.path} is damaged ({text})")
            damaged.damaged = True
            return damaged, True
        # Somebody has put another file there, or taken it away, or it was opened while nobody might write to it.
        gone = any(sign in text for sign in ("no such table", "disk I/O", "unable to open", "readonly"))
        return StoreError(f"the cache file {self.path} cannot be used: {text}"), gone

    def drop(self) -> None:
        """Forget all channels, so that the next use opens anew. Those in use close when their user lets go."""
        with self._opener():
            self._drop()

    def found_damaged(self) -> None:
        """Somebody has looked, and the file that is open is damaged."""
        self._damaged = self._identity

    def set_aside(self, suffix: str) -> str | None:
        """Rename the file, its log and its index, if it is still the one that was found damaged; its new name."""
        with self._opener():
            # Another thread or process may have moved it already, and begun a new one.
            damaged, self._damaged = self._damaged, None
            self._failure = None
            self._drop()
            try:
                if damaged is None or damaged != sqlite_files.identity(self.path):
                    return None
                return str(sqlite_files.move_aside(self.path, suffix))
            except FileNotFoundError:
                return None
            except OSError as error:
                raise StoreError(f"the cache file {self.path} cannot be moved aside: {error}") from error

    def close(self) -> None:
        """Let go of everything; every later use raises."""
        with self._opener():
            self._closed = True
            # What the background thread is in the middle of may still write: whoever closes a store expects its files
            # to stay as they are.
            self._drop(wait_s=self._write_timeout_s)

    def before_fork(self) -> None:
        """Close everything, whoever uses it (see `forks`), and let nobody open until the fork is over."""
        self._opening.acquire()
        channels = list(self._channels)
        self._forget()
        for channel in channels:
            if channel.lock.acquire(timeout=self._write_timeout_s):
                channel.close()
                channel.lock.release()
            else:
                self._channels.add(channel)

    def after_fork(self, *, child: bool) -> None:
        """Let threads open again."""
        if child:
            _forgotten.extend(self._channels)
            self._forget()
            self._opening = threading.Lock()
        else:
            self._opening.release()

    @contextlib.contextmanager
    def _opener(self) -> Iterator[None]:
        if not self._opening.acquire(timeout=self._write_timeout_s):
            raise StoreBusy(f"the cache file {self.path} is being opened by another thread")
        try:
            yield
        finally:
            self._opening.release()

    def _forget(self) -> None:
        self.local = _Local()
        self._channels = WeakSet()
        self._writer = None

    def _drop(self, wait_s: float = 0.0) -> None:
        channels = list(self._channels)
        self._forget()
        for channel in channels:
            if channel.lock.acquire(timeout=wait_s):
                channel.close()
                channel.lock.release()

    def _moved(self) -> bool:
        """Whether another file, or none, is where ours was: what is written to ours would be lost."""
        try:
            return sqlite_files.identity(self.path) != self._identity
        except OSError:
            return True

    def _opened(self) -> Channel:
        """The channel for writing, opened if need be. Once a second at most: failing must be cheap."""
        if self._closed:
            raise StoreError(f"the store in {self.path} is closed")
        if self._writer is not None:
            return self._writer
        now = self._clock()
        if self._failure is not None:
            if now - self._failed_at < RETRY_S:
                raise _again(self._failure)
            self._failure = None
        try:
            self._writer = self._first()
        except (sqlite3.Error, OSError, StoreError) as error:
            self._failure = error if isinstance(error, StoreError) else self._translated(error)[0]
            self._failed_at = now
            if self._failure.damaged:
                self._damaged = self._identity
            raise _again(self._failure) from error
        return self._writer

    def _first(self) -> Channel:
        """Make the file if there is none, bring it up to date, and open it for writing."""
        sqlite_files.make(self.path)
        self._identity = sqlite_files.identity(self.path)
        # One that another process is just making is worth waiting for: without its secrets nothing can be read or kept.
        new = not sqlite_files.size(str(self.path))
        connection = sqlite_files.connect(self.path, self._write_timeout_s if new else self._read_timeout_s)
        try:
            current = sqlite_schema.current(connection, str(self.path))
            # From here on as long as a write: many processes may begin at once with no file, and each waits for one.
            connection.execute(f"PRAGMA busy_timeout = {int(self._write_timeout_s * 1000)}")
            connection.execute("PRAGMA synchronous = NORMAL")
            sqlite_schema.prepare(connection)
            if not current:
                self._upgrade.unless_large(connection)
                # Of a new file only; an older one learns it by being compacted.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                sqlite_schema.migrate(connection, str(self.path))
            self._log_kept = self._has_log(connection)
            return self._channel(connection)
        except BaseException:
            connection.close()
            raise

    def _has_log(self, connection: sqlite3.Connection) -> bool:
        """Have a write-ahead log if the file system can carry one; whether it can. Tells of it once if not."""
        why = sqlite_files.keep_log(connection, self.path, self._write_timeout_s)
        if why and not self._told:
            self._told = True
            _log.warning(
                "%s, where SQLite's write-ahead log is not safe: the cache works, but readers and writers of %s wait"
                " for each other; a local disk would be better",
                why,
                self.path,
            )
        return not why

    def _channel(self, connection: sqlite3.Connection, *pragmas: str) -> Channel:
        try:
            for pragma in (
                "PRAGMA synchronous = NORMAL",
                # A mapped file would save a read 0.8 µs of 8, and kill the process when somebody truncates the file or
                # copies another over it.
                "PRAGMA mmap_size = 0",
                # A damaged page is an error when it is read, not when something trips over it.
                "PRAGMA cell_size_check = 1",
                "PRAGMA trusted_schema = 0",
                *sqlite_files.log_bounds(self._log_pages),
                *pragmas,
            ):
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        channel = Channel(connection, self._identity)
        self._channels.add(channel)
        return channel


def _again(failure: StoreError) -> StoreError:
    """The same error, new, because a raised one gathers tracebacks."""
    error = type(failure)(*failure.args)
    error.damaged = failure.damaged
    return error
