"""Backend and URL: which store is meant when both are given, in one place or in two."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def test_a_url_alone_decides(loaded):
    settings = loaded(arguments={"database_url": ":memory:"})
    assert (settings.backend, settings.database_url) == ("memory", ":memory:")
    assert settings.origin("backend") == "argument"


def test_a_backend_alone_takes_its_default_url(loaded, tmp_path):
    assert loaded(arguments={"backend": "memory"}).database_url == ":memory:"
    assert loaded(BACKEND="SQLite").database_url == str(tmp_path / ".cache" / "llm-cache" / "cache.db")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/a.db", "/var/lib/a.db"),
        ("sqlite:///a.db", "{cwd}/a.db"),
        ("SQLITE:///./a.db", "{cwd}/a.db"),
        ("sqlite:///~/a.db", "{home}/a.db"),
        ("a.db", "{cwd}/a.db"),
        ("/var/lib/../a.db", "/var/a.db"),
        ("~/a b.db", "{home}/a b.db"),
    ],
)
def test_paths_are_absolute_from_the_start(loaded, url, path, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = loaded(arguments={"database_url": url})
    assert settings.backend == "sqlite"
    assert settings.database_url == path.format(cwd=os.getcwd(), home=tmp_path)  # noqa: PTH109 - what the code does


def test_a_path_may_be_a_path(loaded, tmp_path):
    assert loaded(arguments={"database_url": Path("/x") / "a.db"}).database_url == "/x/a.db"


@pytest.mark.parametrize("url", [":memory:", "memory://", "sqlite://", "sqlite:///:memory:"])
def test_memory_has_several_spellings(loaded, url):
    settings = loaded(arguments={"database_url": url})
    assert (settings.backend, settings.database_url) == ("memory", ":memory:")


@pytest.mark.parametrize("url", ["sqlite://host/a.db", "sqlite:///a.db?mode=ro", "mysql://x", "http://x", "a\0b", 7])
def test_other_urls_are_refused(refused, url):
    assert refused(arguments={"database_url": url}).startswith("database_url")


def test_backend_and_url_of_one_place_must_fit(refused):
    for given in (
        {"arguments": {"backend": "memory", "database_url": "/x/a.db"}},
        {"arguments": {"backend": "sqlite", "database_url": "redis://h"}},
        {"BACKEND": "redis", "DATABASE_URL": "/x/a.db"},
    ):
        assert "give one of them, or two that fit" in refused(**given)
    message = refused("backend = 'memory'\ndatabase_url = '/x/a.db'")
    assert "line 1" in message
    assert "line 2" in message


def test_sqlites_own_word_for_memory_fits_sqlite(loaded):
    assert loaded(arguments={"backend": "sqlite", "database_url": ":memory:"}).backend == "memory"


def test_they_must_fit_in_a_far_place_too(refused):
    assert "fit" in refused(arguments={"backend": "sqlite"}, BACKEND="memory", DATABASE_URL="/x/a.db")


def test_a_nearer_backend_of_another_kind_takes_its_own_default(loaded):
    settings = loaded(arguments={"backend": "memory"}, DATABASE_URL="/x/a.db")
    assert (settings.backend, settings.database_url) == ("memory", ":memory:")
    assert settings.origin("database_url") == "default"
    # A Redis of the environment is not asked for by who names another backend.
    assert loaded(arguments={"backend": "memory"}, DATABASE_URL="redis://h/0").backend == "memory"


def test_a_nearer_backend_of_the_same_kind_keeps_the_url(loaded):
    settings = loaded(arguments={"backend": "sqlite"}, DATABASE_URL="/x/a.db")
    assert settings.database_url == "/x/a.db"
    assert (settings.origin("backend"), settings.origin("database_url")) == ("argument", "LLMCACHE_DATABASE_URL")


def test_a_nearer_url_decides_the_backend(loaded):
    settings = loaded("backend = 'memory'", DATABASE_URL="/x/a.db")
    assert (settings.backend, settings.database_url) == ("sqlite", "/x/a.db")
    assert settings.origin("backend") == "LLMCACHE_DATABASE_URL"


def test_the_seeds_redis_example(loaded):
    settings = loaded(arguments={"backend": "redis", "database_url": "redis://localhost:6379/0"})
    assert (settings.backend, settings.database_url) == ("redis", "redis://localhost:6379/0")
    assert loaded(arguments={"backend": "redis"}).database_url == "redis://localhost:6379/0"
    assert loaded(DATABASE_URL="REDISS://h/1").backend == "redis"


def test_what_is_wrong_with_a_redis_url_is_said_with_its_source_and_without_its_password(refused):
    message = refused(DATABASE_URL="redis://u:geheim@h:x/0")
    assert message.startswith("LLMCACHE_DATABASE_URL")
    assert "port" in message
    assert "geheim" not in message
