"""Where settings come from: arguments over environment over file over defaults, read at each construction."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from llm_cache.config import KEYS, Settings, config_path, get_config, load
from llm_cache.core.policy import Mode
from llm_cache.ledger.table import Price

SEED_FILE = """\
# Cache settings
backend = "sqlite"
default_ttl_days = 30
enable_compression = true
enable_encryption = false

# Proxy settings
proxy_host = "127.0.0.1"
proxy_port = 8100

# Pricing table (cost per 1K tokens)
[pricing_table]
openai.gpt-4 = { input = 0.03, output = 0.06 }
openai.gpt-3.5-turbo = { input = 0.0015, output = 0.002 }
anthropic.claude-3 = { input = 0.015, output = 0.075 }
"""


def test_defaults_are_those_of_the_documentation(loaded, tmp_path):
    settings = loaded()
    assert settings.backend == "sqlite"
    assert settings.database_url == str(tmp_path / ".cache" / "llm-cache" / "cache.db")
    assert settings.default_ttl_days == 30
    assert settings.enable_compression is True
    assert settings.enable_encryption is False
    assert settings.encryption_key is None
    assert settings.namespace == "default"
    assert settings.mode is Mode.READ_WRITE
    assert settings.ceiling is None
    assert settings.ignore_fields == frozenset()
    assert settings.dont_store == {"content_filter", "empty"}
    assert (settings.max_size_mb, settings.max_entry_mb, settings.memory_mb) == (10240, 16, 64)
    assert (settings.read_timeout_ms, settings.write_timeout_ms) == (100, 2000)
    assert (settings.stale_while_revalidate_s, settings.stale_if_error_s, settings.join_timeout_s) == (0, 0, 120)
    assert (settings.proxy_host, settings.proxy_port, settings.proxy_scope) == ("127.0.0.1", 8100, "credential")
    assert settings.drain_on_disconnect is True
    assert dict(settings.upstreams) == {}
    assert settings.log_level is None
    assert settings.file is None
    assert {settings.origin(key) for key in KEYS} == {"default"}


def test_the_seeds_file_works_as_written(loaded):
    settings = loaded(SEED_FILE)
    assert settings.pricing_table["openai"]["gpt-3.5-turbo"] == Price(Decimal("0.0015"), Decimal("0.002"))
    assert settings.pricing_table["openai"]["gpt-4"] == Price(Decimal("0.03"), Decimal("0.06"))
    assert settings.pricing_table["anthropic"]["claude-3"] == Price(Decimal("0.015"), Decimal("0.075"))
    assert settings.origin("proxy_port") == "config.toml line 9"
    assert settings.origin("pricing_table") == "config.toml line 12"


def test_the_seeds_variables_work_as_written(loaded, tmp_path):
    settings = loaded(
        TTL="30",
        COMPRESSION="true",
        ENCRYPTION="false",
        ENCRYPTION_KEY="secret",
        BACKEND="sqlite",
        DATABASE_URL="...",
        PROXY_HOST="127.0.0.1",
        PROXY_PORT="8100",
        LOG_LEVEL="INFO",
        LOG_FILE="/path/to/logs",
    )
    assert settings.encryption_key == "secret"
    assert settings.log_level == "INFO"
    assert settings.log_file == Path("/path/to/logs")
    assert settings.origin("default_ttl_days") == "LLMCACHE_TTL"


def test_the_nearest_place_wins(loaded):
    file = "default_ttl_days = 1\nnamespace = 'file'\nproxy_port = 1"
    settings = loaded(file, arguments={"default_ttl_days": 3}, TTL="2", NAMESPACE="environment")
    assert (settings.default_ttl_days, settings.namespace, settings.proxy_port) == (3, "environment", 1)
    assert [settings.origin(key) for key in ("default_ttl_days", "namespace", "proxy_port", "mode")] == [
        "argument",
        "LLMCACHE_NAMESPACE",
        "config.toml line 3",
        "default",
    ]


def test_none_and_an_empty_variable_are_not_given(loaded):
    settings = loaded("namespace = 'file'", arguments={"namespace": None, "mode": None}, NAMESPACE="", MODE=" ")
    assert settings.namespace == "file"
    assert settings.mode is Mode.READ_WRITE


def test_what_is_wrong_in_a_far_place_is_wrong_although_a_nearer_one_overrides_it(refused):
    assert "LLMCACHE_TTL is 'soon'" in refused(arguments={"default_ttl_days": 3}, TTL="soon")


def test_the_environment_is_read_at_each_construction(monkeypatch):
    assert get_config().default_ttl_days == 30
    monkeypatch.setenv("LLMCACHE_TTL", "5")
    assert get_config().default_ttl_days == 5
    monkeypatch.delenv("LLMCACHE_TTL")
    assert get_config().default_ttl_days == 30


def test_xdg_folders_are_honoured_and_relative_ones_ignored(tmp_path):
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_CACHE_HOME": str(tmp_path / "d")}
    (tmp_path / "c" / "llm-cache").mkdir(parents=True)
    (tmp_path / "c" / "llm-cache" / "config.toml").write_text("default_ttl_days = 9")
    settings = load(environ=environ)
    assert settings.default_ttl_days == 9
    assert settings.file == tmp_path / "c" / "llm-cache" / "config.toml"
    assert settings.database_url == str(tmp_path / "d" / "llm-cache" / "cache.db")
    relative = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "c", "XDG_CACHE_HOME": "d"}
    assert load(environ=relative).default_ttl_days == 30
    assert load(environ=relative).database_url == str(tmp_path / ".cache" / "llm-cache" / "cache.db")


def test_a_named_file_is_read_and_a_missing_one_is_an_error(loaded, refused, tmp_path):
    named = tmp_path / "elsewhere.toml"
    named.write_text("default_ttl_days = 9")
    assert loaded(CONFIG=str(named)).default_ttl_days == 9
    assert loaded(CONFIG=str(named)).origin("default_ttl_days") == "elsewhere.toml line 1"
    assert loaded(CONFIG="~/elsewhere.toml").default_ttl_days == 9
    message = refused(CONFIG=str(tmp_path / "nowhere.toml"))
    assert "LLMCACHE_CONFIG" in message
    assert "nowhere.toml" in message


def test_where_the_file_would_be(tmp_path):
    assert config_path({"HOME": str(tmp_path)}) == tmp_path / ".config" / "llm-cache" / "config.toml"


def test_offline_from_the_environment_is_a_ceiling_and_nothing_else_is(loaded):
    assert loaded(MODE="offline", arguments={"mode": "read-write"}).ceiling is Mode.OFFLINE
    assert loaded(MODE="offline", arguments={"mode": "read-write"}).mode is Mode.READ_WRITE
    assert loaded(MODE="read-only").ceiling is None
    assert loaded(arguments={"mode": Mode.OFFLINE}).ceiling is None
    assert loaded("mode = 'offline'").ceiling is None


def test_upstreams_add_up_over_all_places_the_nearest_name_winning(loaded):
    settings = loaded(
        "[upstreams]\nacme = 'https://file.example/v1/'\nbeta = 'http://localhost:9'",
        arguments={"upstreams": {"gamma": "https://argument.example"}},
        UPSTREAMS__ACME="https://environment.example/v1",
    )
    assert dict(settings.upstreams) == {
        "acme": "https://environment.example/v1",
        "beta": "http://localhost:9",
        "gamma": "https://argument.example",
    }
    assert settings.origin("upstreams.acme") == "LLMCACHE_UPSTREAMS__ACME"
    assert settings.origin("upstreams.gamma") == "argument"
    assert settings.origin("upstreams.beta") == "config.toml line 1"


def test_an_unknown_variable_is_warned_of_once_with_the_nearest_name(loaded, caplog):
    with caplog.at_level(logging.WARNING, "llm_cache"):
        for _ in range(3):
            loaded(NAMESPAZE="x", ENABLE_COMPRESSION_="1", TEST_TRAFFIC="somewhere")
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert "LLMCACHE_NAMESPAZE is not known: did you mean LLMCACHE_NAMESPACE?" in messages[0]
    assert "did you mean LLMCACHE_COMPRESSION?" in messages[1]


def test_lists_may_be_text_with_commas_wherever_they_are_given(loaded):
    assert loaded(IGNORE_FIELDS="seed, top_k").ignore_fields == {"seed", "top_k"}
    assert loaded(arguments={"ignore_fields": "seed"}).ignore_fields == {"seed"}
    assert loaded("ignore_fields = ['seed']").ignore_fields == {"seed"}
    assert loaded(DONT_STORE="none").dont_store == frozenset()
    assert loaded(arguments={"dont_store": []}).dont_store == frozenset()
    assert loaded(DONT_STORE="length,refusal").dont_store == {"length", "refusal"}


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("off", False), ("No", False)])
def test_truth_in_the_environment_has_the_usual_spellings(loaded, text, value):
    assert loaded(COMPRESSION=text).enable_compression is value


def test_lifetimes(loaded):
    assert loaded(TTL="0.5").default_ttl_days == 0.5
    assert loaded(TTL="never").default_ttl_days is None
    assert loaded("default_ttl_days = 0.25").default_ttl_days == 0.25
    assert loaded(arguments={"default_ttl_days": "never"}).default_ttl_days is None


def test_settings_are_frozen_and_equal_by_value(loaded):
    assert loaded() == loaded()
    with pytest.raises(AttributeError):
        loaded().namespace = "other"
    assert isinstance(loaded(), Settings)


def test_importing_the_configuration_imports_no_parser_and_nothing_heavy():
    heavy = "{'tomllib', 'tomli', 'logging', 'asyncio', 'msgspec', 'genai_prices', 'sqlite3', 'json', 'difflib'}"
    code = f"import sys, llm_cache.config; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "[]"
