"""`llm-cache rekey`: sets, changes and removes the key, and says with its exit status how that went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache import LLMCache

CANARY = "xylophone-canary-7431"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def opened(place: Path, key: str | None) -> LLMCache:
    return LLMCache(database_url=str(place), enable_encryption=key is not None, encryption_key=key)


def ask(cache: LLMCache) -> bool:
    """Whether it had to be fetched."""
    calls: list[int] = []
    cache.get_or_set(CANARY, lambda: calls.append(1) or CANARY, "openai", "gpt-4", "/v1/x", {"q": CANARY})
    return bool(calls)


def rekey(place: Path, *arguments: str, said: str | None = None, **environ: str) -> tuple[int, str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMCACHE_")}
    environment |= {"LLMCACHE_DATABASE_URL": str(place), "HOME": str(place.parent), **environ}
    done = subprocess.run(
        [sys.executable, "-m", "llm_cache.cli.main", "rekey", *arguments],
        env=environment,
        input=said or "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def on_disk(place: Path) -> bytes:
    return b"".join(file.read_bytes() for file in place.parent.glob("cache.db*"))


def test_the_whole_life_of_a_key(place: Path, tmp_path: Path) -> None:
    with opened(place, None) as cache:
        ask(cache)
    assert CANARY.encode() in on_disk(place)
    status, out, err = rekey(place, "--new-key-env", "NEW", NEW="first")
    assert (status, out) == (0, "1 entry was encrypted anew.\n"), err
    assert "first" not in out + err
    assert CANARY.encode() not in on_disk(place)
    with opened(place, "first") as cache:
        assert not ask(cache)
    file = tmp_path / "new.key"
    file.write_text("second\n")
    status, out, err = rekey(place, "--new-key-file", str(file), LLMCACHE_ENCRYPTION_KEY="first")
    assert (status, out) == (0, "1 entry was encrypted anew.\n"), err
    status, out, err = rekey(
        place, "--new-key-file", "-", "--passphrase-only", said="third\n", LLMCACHE_ENCRYPTION_KEY="second"
    )
    assert (status, out) == (0, "0 entries were encrypted anew.\n"), err
    with opened(place, "third") as cache:
        assert not ask(cache)
    status, out, err = rekey(place, "--remove", LLMCACHE_ENCRYPTION_KEY="third")
    assert (status, out) == (0, "1 entry was decrypted anew.\n"), err
    with opened(place, None) as cache:
        assert not ask(cache)


def test_without_options_what_is_plain_is_sealed_with_the_configured_key(place: Path) -> None:
    with opened(place, None) as cache:
        ask(cache)
    status, out, err = rekey(place, LLMCACHE_ENCRYPTION="true", LLMCACHE_ENCRYPTION_KEY="first")
    assert (status, out, err) == (0, "1 entry was encrypted anew.\n", "")
    with opened(place, "first") as cache:
        assert not ask(cache)


def test_what_is_wrong_is_one_sentence_and_a_status(place: Path) -> None:
    assert rekey(place, "--remove")[0] == 0
    with opened(place, "first") as cache:
        ask(cache)
    for status, arguments, environ, word in (
        (2, ["--new-key-env", "NEW"], {"LLMCACHE_ENCRYPTION_KEY": "wrong", "NEW": "x"}, "does not open"),
        (2, ["--remove"], {"LLMCACHE_ENCRYPTION_KEY": "wrong"}, "does not open"),
        (2, ["--remove"], {}, "LLMCACHE_ENCRYPTION_KEY"),
        (2, ["--remove", "--new-key-env", "NEW"], {"NEW": "x"}, "exclude"),
        (2, ["--new-key-env", "NEW"], {"LLMCACHE_ENCRYPTION_KEY": "first"}, "NEW"),
        (1, ["--new-key-file", "/nowhere"], {"LLMCACHE_ENCRYPTION_KEY": "first"}, "/nowhere"),
    ):
        code, out, err = rekey(place, *arguments, **environ)
        assert (code, out) == (status, "")
        assert word in err
        assert len(err.splitlines()) == 1
    with opened(place, "first") as cache:
        assert not ask(cache)


def doctor(place: Path, **environ: str) -> tuple[int, list[tuple[str, str]]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMCACHE_")}
    environment |= {"LLMCACHE_DATABASE_URL": str(place), "HOME": str(place.parent), **environ}
    done = subprocess.run(
        [sys.executable, "-m", "llm_cache.cli.main", "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, [(c["status"], c["message"]) for c in checks if c["name"] == "encryption"]


def test_doctor_says_whether_the_key_fits_and_what_is_still_plain(place: Path) -> None:
    with opened(place, None) as cache:
        ask(cache)
    assert doctor(place) == (0, [("ok", "it is off")])
    on = {"LLMCACHE_ENCRYPTION": "true"}
    status, found = doctor(place, **on, LLMCACHE_ENCRYPTION_KEY="first")
    assert status == 0
    assert [kind for kind, _ in found] == ["ok", "warning"]
    assert "1 of 1 entries are still in plain form" in found[1][1]
    rekey(place, **on, LLMCACHE_ENCRYPTION_KEY="first")
    assert doctor(place, **on, LLMCACHE_ENCRYPTION_KEY="first") == (0, [("ok", "the key fits")])
    status, found = doctor(place, **on, LLMCACHE_ENCRYPTION_KEY="wrong")
    assert status == 1
    assert found[0][0] == "failure"
    assert "does not open" in found[0][1]
    status, found = doctor(place)
    assert (status, found[0][0]) == (0, "warning")
    assert found[0][1].startswith("1 entry is encrypted")
