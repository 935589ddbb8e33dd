"""`log_level` and `log_file` mean something in a library too."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache import ConfigError, LLMCache

PROGRAM = """
import sys
from llm_cache import LLMCache
cache = LLMCache(database_url=sys.argv[1])
for key in "abc":
    assert cache.get_or_set(key, lambda: 1, "openai", "gpt-4", "/v1/chat/completions", {}) == 1
"""


def run(database: Path, tmp_path: Path, **environment: str) -> str:
    environment = {"HOME": str(tmp_path), **environment}
    command = [sys.executable, "-c", PROGRAM, str(database)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=30)
    return done.stderr


def test_a_warning_goes_to_standard_error_once(tmp_path):
    database = tmp_path / "cache.db"
    database.mkdir()
    assert run(database, tmp_path).count("go on without the cache") == 1


def test_it_goes_to_the_file_that_is_named(tmp_path):
    database = tmp_path / "cache.db"
    database.mkdir()
    file = tmp_path / "log"
    run(database, tmp_path, LLMCACHE_LOG_FILE=str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "WARNING" in file.read_text()


def test_a_level_silences(tmp_path):
    database = tmp_path / "cache.db"
    database.mkdir()
    assert run(database, tmp_path, LLMCACHE_LOG_LEVEL="CRITICAL") == ""


def test_a_file_that_cannot_be_written_is_a_mistake_in_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match="log_file"):
        LLMCache(database_url=":memory:", log_file=str(tmp_path / "no" / "such" / "folder"))
    assert logging.getLogger("llm_cache").handlers == []
