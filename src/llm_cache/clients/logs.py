"""Puts `log_level` and `log_file` into effect in a library, and opens the file for the proxy. It logs nothing."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from llm_cache.errors import ConfigError

if TYPE_CHECKING:
    from llm_cache.config import Settings

_log = logging.getLogger("llm_cache")
_files: dict[str, logging.Handler] = {}
_lock = threading.Lock()


def apply(settings: Settings) -> None:
    """Have the logger `llm_cache` do what the settings say; what they do not say is left as the program set it.

    Without a file, and where the program has configured no logging, Python writes warnings to standard error.

    Raises:
        ConfigError: the log file cannot be written.
    """
    if settings.log_level is not None:
        _log.setLevel(settings.log_level)
    if settings.log_file is None:
        return
    path = os.path.realpath(settings.log_file)
    with _lock:
        if path in _files:
            return
        handler = _files[path] = written_to(path)
        _log.addHandler(handler)


def written_to(path: str) -> logging.Handler:
    """A handler that appends to a file, which nobody else may read if it is made here.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"log_file is {path!r}, which cannot be written: {error.strerror or error}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler
