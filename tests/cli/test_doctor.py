"""`doctor` and `config`: what is configured and from where, and whether it works."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time

import pytest

from llm_cache import LLMCache
from llm_cache.cli.config_command import TEMPLATE
from llm_cache.config import KEYS, load
from tests.cli.conftest import aged, call


def checks(run, *, status=0, **variables):
    ran = run("doctor", "--json", status=status, **variables)
    assert ran.out.startswith("{"), ran.err
    found = json.loads(ran.out)
    assert found["ok"] is (status == 0)
    return found, {(check["name"], check["status"]): check["message"] for check in found["checks"]}


def test_all_is_well(run, filled):
    found, by = checks(run)
    assert {status for _, status in by} == {"ok"}
    assert {name for name, _ in by} == {
        "configuration",
        "disk",
        "permissions",
        "store",
        "integrity",
        "encryption",
        "clock",
        "pricing",
    }
    assert "3 entries" in by["store", "ok"]
    assert found["settings"]["default_ttl_days"] == {"value": "30", "origin": "default"}
    assert run("doctor").out.count("\n") == len(found["checks"])


def test_it_looks_and_makes_nothing(run, home):
    _, by = checks(run)
    assert "the first call makes it" in by["store", "ok"]
    assert list(home.iterdir()) == []


def test_where_each_value_comes_from(run, home):
    out = run("doctor", LLMCACHE_TTL="5", LLMCACHE_ENCRYPTION_KEY="geheim").out
    assert "default_ttl_days = 5  (LLMCACHE_TTL)" in out
    assert "geheim" not in out


def test_a_wrong_configuration_is_a_failure(run):
    _, by = checks(run, status=1, LLMCACHE_TTL="soon")
    assert "LLMCACHE_TTL" in by["configuration", "failure"]
    assert "FAILURE" in run("doctor", status=1, LLMCACHE_TTL="soon").out


def test_an_unknown_variable_is_a_warning(run):
    _, by = checks(run, LLMCACHE_TTTL="5")
    assert "did you mean LLMCACHE_TTL?" in by["configuration", "warning"]


def test_a_damaged_store_is_a_failure(run, filled):
    for extra in filled.parent.glob("*-*"):
        extra.unlink()
    filled.write_bytes(os.urandom(8192))
    _, by = checks(run, status=1)
    assert ("store", "failure") in by


def test_a_store_with_a_damaged_page_is_a_failure(run, file):
    with LLMCache() as cache:
        for number in range(200):
            call(cache, f"key {number}")
    data = bytearray(file.read_bytes())
    for page in range(8, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = os.urandom(200)
    file.write_bytes(data)
    _, by = checks(run, status=1)
    assert ("integrity", "failure") in by or ("store", "failure") in by


def test_an_entry_that_cannot_be_read_is_a_failure(run, filled):
    connection = sqlite3.connect(filled)
    connection.execute(
        "UPDATE entries SET value = zeroblob(length(value))"
        " WHERE group_id IN (SELECT id FROM groups WHERE model = 'gpt-4o')"
    )
    connection.commit()
    connection.close()
    _, by = checks(run, status=1)
    assert by["integrity", "failure"].startswith("1 of the newest 3 entries cannot be read")


def test_a_file_that_others_can_read_is_a_warning(run, filled):
    filled.chmod(0o644)
    _, by = checks(run)
    assert "chmod 600" in by["permissions", "warning"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_a_failure(run, home):
    home.chmod(0o500)
    try:
        _, by = checks(run, status=1)
        assert ("store", "failure") in by
    finally:
        home.chmod(0o700)


def test_a_secret_in_a_file_that_others_can_read_is_a_warning(run, home):
    folder = home / ".config" / "llm-cache"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("encryption_key = 'geheim'")
    (folder / "config.toml").chmod(0o644)
    found, by = checks(run)
    assert "others can read it" in by["configuration", "warning"]
    assert "geheim" not in json.dumps(found)
    (folder / "config.toml").chmod(0o600)
    assert ("configuration", "warning") not in checks(run)[1]


def test_a_store_that_was_encrypted_and_holds_nothing_is_no_reason_to_warn(run, file):
    with LLMCache(enable_encryption=True, encryption_key="one") as cache:
        call(cache, "a")
        cache.purge(everything=True)
    found = {check["name"]: check for check in json.loads(run("doctor", "--json").out)["checks"]}
    assert found["encryption"]["status"] == "ok"
    assert "nothing is left" in found["encryption"]["message"]


def test_prices_that_match_nothing_and_calls_without_a_price(run, file, home):
    folder = home / ".config" / "llm-cache"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        "[pricing_table]\nacme.big = { input = 1, output = 1 }\nacme.bi = { input = 1, output = 1 }\n"
    )
    with LLMCache() as cache:
        call(cache, "a", provider="acme", model="big-2026-01-01")
        call(cache, "b", provider="acme", model="small")
    found = json.loads(run("doctor", "--json").out)["checks"]
    warnings = [check["message"] for check in found if check["status"] == "warning"]
    assert len(warnings) == 2
    assert "acme.bi " in warnings[0]
    assert "1 call " in warnings[1]
    assert "small" in warnings[1]


def test_a_clock_that_is_behind_the_entries_is_a_warning(run, filled):
    aged("gpt-4o", created_at=time.time() + 86400)
    _, by = checks(run)
    assert "in the future" in by["clock", "warning"]


def test_config_show_tells_every_setting_and_its_origin(run, home):
    out = run("config", "show", LLMCACHE_TTL="never", LLMCACHE_MODE="offline", LLMCACHE_ENCRYPTION_KEY="geheim").out
    lines = {line.split(" = ")[0]: line for line in out.splitlines()}
    assert set(KEYS) <= set(lines)
    assert lines["default_ttl_days"].endswith("# LLMCACHE_TTL")
    assert '"never"' in lines["default_ttl_days"]
    assert lines["proxy_port"].split() == ["proxy_port", "=", "8100", "#", "default"]
    assert "no call gets beyond offline" in out
    assert "geheim" not in out


def test_config_show_hides_passwords_and_shows_prices(run, home):
    folder = home / ".config" / "llm-cache"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[pricing_table]\nopenai.gpt-3.5-turbo = { input = 0.0015, output = 0.002 }")
    out = run("config", "show").out
    assert '{ openai = { "gpt-3.5-turbo" = { input = 0.0015, output = 0.002 } } }' in out
    assert "config.toml line 1" in out


def test_config_path(run, home, tmp_path):
    assert run("config", "path").out == f"{home}/.config/llm-cache/config.toml\n"
    assert run("config", "path", LLMCACHE_CONFIG=str(tmp_path / "x")).out == f"{tmp_path}/x\n"


def test_config_init_writes_a_file_once(run, home):
    file = home / ".config" / "llm-cache" / "config.toml"
    assert run("config", "init").out == f"{file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    run("config", "show")
    file.write_text("namespace = 'mine'")
    assert "already" in run("config", "init", status=1).err
    assert file.read_text() == "namespace = 'mine'"


def test_the_template_names_every_setting_there_is_with_its_default(tmp_path):
    lines = [line.removeprefix("# ") for line in TEMPLATE.splitlines() if " = " in line or line.startswith("# [")]
    file = tmp_path / "config.toml"
    file.write_text("\n".join(lines))
    environ = {"HOME": str(tmp_path), "LLMCACHE_CONFIG": str(file)}
    settings, defaults = load(environ=environ), load(environ={"HOME": str(tmp_path)})
    given = {key for key in KEYS if settings.origin(key) != "default"}
    assert given == set(KEYS) - {"encryption_key"}
    examples = {"upstreams", "pricing_table", "log_file", "log_level", "database_url"}
    assert [key for key in given - examples if getattr(settings, key) != getattr(defaults, key)] == []


def spoil(file):
    """Leave nothing of the file's header, and no log."""
    for extra in file.parent.glob("*-*"):
        extra.unlink()
    file.write_bytes(os.urandom(4096) + file.read_bytes()[4096:])


def test_a_damaged_file_is_salvaged_when_that_is_asked_for(run, filled):
    spoil(filled)
    _, by = checks(run, status=1)
    assert "doctor --salvage" in by["salvage", "warning"]
    assert list(filled.parent.iterdir()) == [filled]
    out = run("doctor", "--salvage").out
    (aside,) = (file for file in filled.parent.glob("*.damaged-*") if not file.name.endswith(("-wal", "-shm")))
    assert f"3 entries of {aside} are in the cache again" in out
    with LLMCache() as cache:
        assert (cache.stats().entries, cache.stats().hits) == (3, 2)
    out = run("doctor").out
    assert f"{aside} was salvaged before (3 entries), and may be deleted" in out
    assert f"1 damaged file was set aside in {filled.parent}" in out


def test_what_was_set_aside_is_salvaged_by_itself(run, filled):
    spoil(filled)
    with LLMCache() as cache:
        call(cache, "four")
    assert "has not been salvaged" in run("doctor", "--no-salvage").out
    assert "3 entries" in run("doctor").out
    with LLMCache() as cache:
        assert cache.stats().entries == 4
