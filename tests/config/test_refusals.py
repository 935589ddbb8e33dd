"""What is wrong is refused in one sentence: the key, the file and line or the variable, and what is allowed."""

from __future__ import annotations

import pytest

from llm_cache.config import KEYS


def test_an_unknown_key_in_the_file_names_its_line_and_the_nearest_key(refused):
    message = refused("# a comment\n\nnamespacee = 'x'\n")
    assert "namespacee" in message
    assert "config.toml line 3" in message
    assert "did you mean namespace?" in message


@pytest.mark.parametrize(("written", "meant"), [("ttl", "default_ttl_days"), ("compression", "enable_compression")])
def test_who_writes_a_variables_name_into_the_file_is_told_the_key(refused, written, meant):
    assert f"did you mean {meant}?" in refused(f"{written} = 1")


def test_a_key_that_resembles_nothing_is_told_what_there_is(refused):
    assert "settings are backend, database_url" in refused("xyzzy = 1")


def test_an_unknown_argument(refused):
    assert "'nmespace' is no setting: did you mean namespace?" in refused(arguments={"nmespace": "x"})


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("default_ttl_days = 0", "above 0"),
        ("default_ttl_days = -1", "above 0"),
        ("default_ttl_days = nan", "above 0"),
        ("default_ttl_days = true", "above 0"),
        ("enable_compression = 'true'", "true or false"),
        ("enable_compression = 1", "true or false"),
        ("namespace = ''", "printable"),
        ("namespace = 7", "printable"),
        ("mode = 'readonly'", "read-write, read-only, refresh, offline, off"),
        ("ignore_fields = [1]", "list of names"),
        ("dont_store = ['everything']", "content_filter, empty, length, refusal"),
        ("max_entry_mb = 0", "above 0"),
        ("max_entry_mb = '16'", "a number"),
        ("read_timeout_ms = inf", "a number"),
        ("write_timeout_ms = -5", "a number"),
        ("stale_if_error_s = -1", "from 0"),
        ("join_timeout_s = false", "a number"),
        ("proxy_port = 65536", "from 0 to 65535"),
        ("proxy_port = 80.5", "whole number"),
        ("proxy_host = ''", "text"),
        ("proxy_scope = 'everyone'", "credential, shared"),
        ("proxy_allowed_hosts = ['a b']", "host names"),
        ("upstreams = 'https://a.example'", "table"),
        ("upstreams.acme = 'ftp://a.example'", "http"),
        ("upstreams.acme = 'https://user:pw@a.example'", "http"),
        ("upstreams.acme = 'https://a.example/?x=1'", "http"),
        ("upstreams.acme = 7", "http"),
        ("upstreams.metrics = 'https://a.example'", "no name for an upstream"),
        ("log_level = 'LOUD'", "DEBUG, INFO"),
        ("log_file = 7", "a path"),
        ("encryption_key = 7", "text"),
    ],
)
def test_a_bad_value_in_the_file(refused, line, allowed):
    key = line.partition("=")[0].partition(".")[0].strip()
    message = refused(f"\n{line}\n")
    assert f"{key} (" in message
    assert "config.toml line 2" in message
    assert allowed in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TTL", "-3"),
        ("COMPRESSION", "maybe"),
        ("NAMESPACE", "a\x1bb"),
        ("MODE", "fast"),
        ("DONT_STORE", "empty,nonsense"),
        ("MAX_ENTRY_MB", "16MB"),
        ("READ_TIMEOUT_MS", "nan"),
        ("JOIN_TIMEOUT_S", "1e9"),
        ("PROXY_PORT", "http"),
        ("PROXY_SCOPE", "all"),
        ("DRAIN_ON_DISCONNECT", "2"),
        ("UPSTREAMS__ACME", "acme.example"),
        ("UPSTREAMS__V1", "https://acme.example"),
        ("LOG_LEVEL", "LOUD"),
        ("BACKEND", "postgres"),
        ("DATABASE_URL", "mysql://host/db"),
    ],
)
def test_a_bad_value_in_the_environment_names_the_variable(refused, variable, value):
    assert refused(**{variable: value}).startswith(f"LLMCACHE_{variable}")


def test_encryption_without_a_key_is_refused_and_a_key_alone_turns_nothing_on(refused, loaded):
    message = refused(arguments={"enable_encryption": True})
    assert message.startswith("enable_encryption")
    assert "LLMCACHE_ENCRYPTION_KEY" in message
    assert refused(ENCRYPTION="1").startswith("LLMCACHE_ENCRYPTION")
    assert loaded(ENCRYPTION_KEY="k").enable_encryption is False
    assert loaded(ENCRYPTION_KEY="k", ENCRYPTION="true").enable_encryption is True
    assert refused("enable_encryption = true").startswith("enable_encryption (")


def test_the_default_of_what_is_missing_may_be_given(loaded):
    given = {"enable_encryption": False, "memory_mb": 64, "workers": 1, "replay_pace": "instant"}
    assert loaded(arguments=given).workers == 1
    assert loaded(ENCRYPTION="false", WORKERS="1").enable_encryption is False


def test_a_file_that_is_no_toml_is_told_where(refused):
    message = refused("backend = 'sqlite'\nnamespace = \n")
    assert "config.toml is not TOML" in message
    assert "line 2" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "UTF-8"), (b"#" * (1024 * 1024 + 1), "larger than any"), (b"a=" + b"[" * 5000, "TOML")],
)
def test_a_file_that_is_something_else(tmp_path, refused, content, said):
    file = tmp_path / "other"
    file.write_bytes(content)
    assert said in refused(CONFIG=str(file))


def test_a_file_that_is_a_folder(tmp_path, refused):
    assert "cannot be read" in refused(CONFIG=str(tmp_path))


def test_a_key_is_found_behind_other_tables_and_texts_of_several_lines(refused):
    message = refused('namespace = """\nproxy_port = 1\n"""\n[upstreams]\nproxy_port = "https://x.example"\n')
    assert "namespace (" in message
    assert "line 1)" in message
    message = refused("[upstreams]\na = 'https://a.example'\nb = 'nothing'\n")
    assert "upstreams (" in message
    assert "line 3)" in message


def test_secrets_are_nowhere_to_be_seen(loaded, refused):
    secret = "geheim-4711"
    settings = loaded(f"encryption_key = '{secret}'")
    assert settings.encryption_key == secret
    assert secret not in repr(settings)
    assert secret not in str(settings.shown())
    messages = [
        refused(arguments={"proxy_tokens": {"a": secret, "b": secret}}),
        refused(arguments={"proxy_tokens": {"a b": secret}}),
        refused(arguments={"proxy_tokens": {"a": secret + "ß"}}),
        refused(arguments={"proxy_tokens": secret}),
        refused(arguments={"database_url": f"redis://user:{secret}@host:port/0"}),
        refused(arguments={"database_url": f"redis://host/0?passwort={secret}"}),
        refused(arguments={"database_url": f"redis://user:{secret}#x@host/0"}),
        refused(arguments={"database_url": f"postgres://user:{secret}@host/0"}),
        refused(arguments={"database_url": f"redis://host/0?password={secret}", "backend": "sqlite"}),
        refused(arguments={"upstreams": {"a": f"https://user:{secret}@host"}}),
        refused(f"encryption_key = ['{secret}']", arguments={}),
    ]
    assert not [message for message in messages if secret in message]


def test_every_key_has_a_check_that_takes_its_own_default(loaded):
    settings = loaded()
    given = {name: getattr(settings, name) for name in KEYS if getattr(settings, name)}
    again = loaded(arguments={**given, "default_ttl_days": 30})
    assert again == settings
