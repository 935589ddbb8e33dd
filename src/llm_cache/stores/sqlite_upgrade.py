"""Brings a large file of an older version up to date behind everybody's back. It must not make anybody wait.

To rewrite a million rows takes half a minute, which no call may wait for. Until it is done the file cannot be used, and
calls go on without it. Killed, it has changed nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from llm_cache.errors import StoreBusy, StoreError
from llm_cache.stores import sqlite_files, sqlite_schema

_log = logging.getLogger("llm_cache")
AT_ONCE_PAGES = 2000
"""What has fewer pages is rewritten in a few tenths of a second, by whoever opens it."""
_PATIENCE_S = 60.0
"""How long to wait for those who use the file as it is."""


class Upgrade:
    """Of one file, at most once at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: threading.Thread | None = None

    def unless_large(self, connection: sqlite3.Connection) -> None:
        """Do nothing if the file that is open there is small: then there is no need for this.

        Raises:
            StoreBusy: it is being brought up to date in the background.
        """
        if self._thread is None or not self._thread.is_alive():
            if connection.execute("PRAGMA page_count").fetchone()[0] < AT_ONCE_PAGES:
                return
            # No daemon: a command that finds such a file ends soon, and its file would never get anywhere.
            self._thread = threading.Thread(target=self._run, name="llm-cache upgrade")
            self._thread.start()
        raise StoreBusy(f"the cache file {self._path} is of an older version, and is being brought up to date")

    def _run(self) -> None:
        _log.info("the cache file %s is brought up to date; until then calls go on without it", self._path)
        try:
            connection = sqlite_files.connect(self._path, _PATIENCE_S)
            try:
                sqlite_schema.prepare(connection)
                sqlite_schema.migrate(connection, str(self._path))
            finally:
                connection.close()
        except (sqlite3.Error, StoreError) as error:
            # Whoever opens it next tries again.
            _log.warning("the cache file %s could not be brought up to date: %s", self._path, error)
        else:
            _log.info("the cache file %s is up to date", self._path)
