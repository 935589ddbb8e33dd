"""`llm-cache rekey`: sets, changes and removes the key, and says with its exit status how that went."""

from __future__ import annotations

import json
import os
import random
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
    # Compressed, a word could not be found in the clear either.
    return LLMCache(
        database_url=str(place), enable_encryption=key is not None, encryption_key=key, enable_compression=False
    )


def ask(cache: LLMCache) -> bool:
    """Whether it had to be fetched."""
    calls: list[int] = []
    cache.get_or_set(CANARY, lambda: calls.append(1) or CANARY, "openai", "gpt-4", "/v1/x", {"q": CANARY})
    return bool(calls)


def rekey(place: Path, *arguments: str, said: str | None = None, **environ: str) -> tuple[int, str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMCACHE_")}
    environment |= {"LLMCACHE_DATABASE_URL": str(place), "HOME": str(place.parent), "LLMCACHE_COMPRESSION": "false"}
    environment |= environ
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


@pytest.mark.parametrize(
    "kills", [2, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=["short", "forty kills"]
)
def test_killed_at_any_moment_it_is_gone_on_with(place: Path, kills: int) -> None:
    chance = random.Random(kills)
    count = 400
    with opened(place, None) as cache:
        for number in range(count):
            cache.set(f"{number}", f"{CANARY} {number}", "openai", "gpt-4", "/v1/x", {"q": CANARY})
    # From plain to a key, from that to another, and so on; each time killed before it is finished.
    present: str | None = None
    for number in range(kills):
        wanted = f"key {number // 3}"
        code = (
            "import os, sys, threading, time\n"
            "from llm_cache.clients.rekeying import Rekeying\n"
            "from llm_cache.stores.registry import open_store\n"
            "place, present, wanted, after = sys.argv[1:]\n"
            "rekeying = Rekeying(open_store(place, write_timeout_ms=30_000), present or None, wanted)\n"
            "threading.Timer(float(after), os.kill, (os.getpid(), 9)).start()\n"
            "rekeying.run()\n"
            "print('done')\n"
        )
        arguments = [str(place), present or "", wanted, str(chance.random() ** 2 * 0.4)]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stderr == ""
        if done.stdout == "done\n":
            present = wanted
        # Whoever has the old key or the new one reads everything meanwhile.
        for key in {present or wanted, wanted}:
            with opened(place, key) as cache:
                for each in chance.sample(range(count), 40):
                    assert cache.get(f"{each}").response == f"{CANARY} {each}"
        if number % 3 == 2 and present != wanted:
            status, _, err = rekey(place, "--new-key-env", "NEW", NEW=wanted, LLMCACHE_ENCRYPTION_KEY=present or wanted)
            assert status == 0, err
            present = wanted
    status, _, err = rekey(place, "--new-key-env", "NEW", NEW="the last", LLMCACHE_ENCRYPTION_KEY=present or wanted)
    assert status == 0, err
    assert CANARY.encode() not in on_disk(place)
    with opened(place, "the last") as cache:
        assert cache.check() == []
        assert sorted(entry.response for entry in cache.entries()) == sorted(f"{CANARY} {n}" for n in range(count))


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
