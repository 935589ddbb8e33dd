"""Promise 7, through the front door: encryption on, off, with another key, and over what was there before."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from llm_cache import LLMCache, hash_request
from llm_cache.clients.rekeying import Rekeying
from llm_cache.codec import ring
from llm_cache.codec.codec import sealed_with
from llm_cache.errors import ConfigError, StoreError
from llm_cache.runtime.sealing import RING, ring_of
from llm_cache.stores.memory import MemoryStore
from llm_cache.stores.registry import open_store

CANARY = "xylophone-canary-7431"
ANSWER = "marimba-canary-9982"
DATA = {"messages": [{"role": "user", "content": CANARY}]}
PATH = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    # scrypt's cost has its own test.
    monkeypatch.setattr(ring, "LOG2_N", 4)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "cache.db")


def opened(place: str, key: str | None = "secret", **settings: object) -> LLMCache:
    # Compressed, a word could not be found in the clear either.
    settings.setdefault("enable_compression", False)
    return LLMCache(database_url=place, enable_encryption=key is not None, encryption_key=key, **settings)


def ask(cache: LLMCache, name: str | None = None, answer: str = ANSWER) -> tuple[str, bool]:
    """The answer, and whether it had to be fetched."""
    calls: list[int] = []

    def fetch() -> dict[str, str]:
        calls.append(1)
        return {"text": answer}

    return cache.get_or_set(name, fetch, "openai", "gpt-4", PATH, DATA)["text"], bool(calls)


def everything(place: str) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(Path(place).parent.iterdir()) if file.is_file())


PLAIN_KEY = hash_request("openai", "gpt-4", PATH, DATA)
TELL_TALES = [
    CANARY.encode(),
    ANSWER.encode(),
    PLAIN_KEY.encode(),
    bytes.fromhex(PLAIN_KEY),
    *(hashlib.sha256(text.encode()).digest()[:8] for text in (CANARY, ANSWER, json.dumps(DATA))),
    *(hashlib.sha256(text.encode()).hexdigest()[:16].encode() for text in (CANARY, ANSWER, json.dumps(DATA))),
]


def assert_silent(place: str) -> None:
    found = everything(place)
    for secret in TELL_TALES:
        assert secret not in found, secret


def test_the_example_of_the_readme(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCACHE_ENCRYPTION_KEY", "your-secret-key")
    with LLMCache(database_url=place, enable_encryption=True) as cache:
        assert ask(cache) == (ANSWER, True)
        assert ask(cache) == (ANSWER, False)
        assert_silent(place)
    monkeypatch.setenv("LLMCACHE_ENCRYPTION", "true")
    with LLMCache(database_url=place) as cache:
        assert ask(cache) == (ANSWER, False)


def test_a_key_alone_does_not_turn_it_on_and_on_without_a_key_is_an_error(place: str) -> None:
    with LLMCache(database_url=place, encryption_key="secret", enable_compression=False) as cache:
        ask(cache)
    assert ANSWER.encode() in everything(place)
    assert CANARY.encode() in everything(place)
    with pytest.raises(ConfigError, match="LLMCACHE_ENCRYPTION_KEY"):
        LLMCache(database_url=place, enable_encryption=True)


def test_nothing_is_readable_anywhere_while_it_is_used(place: str, tmp_path: Path) -> None:
    log = tmp_path / "cache.log"
    with opened(place, log_level="DEBUG", log_file=log) as cache:
        for name in (None, CANARY, "x"):
            ask(cache, name)
            ask(cache, name)
        cache.get_or_set(
            None, lambda: iter([ANSWER, ANSWER]), "openai", "gpt-4", PATH, {**DATA, "stream": True}, stream=True
        ).__next__()
        cache.delete(CANARY)
        cache.stats()
        assert_silent(place)
    logging.getLogger("llm_cache").handlers.clear()
    assert_silent(place)


def test_names_times_and_money_stay_readable_and_the_rest_does_not(place: str) -> None:
    with opened(place) as cache:
        ask(cache)
        (entry,) = cache.entries()
        assert (entry.kind, entry.response) == ("value", {"text": ANSWER})
        assert cache.get(entry.key) is not None
        assert entry.key != PLAIN_KEY
        row = cache.engine.store.get(bytes.fromhex(entry.key))
    assert row is not None
    assert (row.provider, row.model, row.endpoint, row.namespace) == ("openai", "gpt-4", PATH, "default")
    assert row.kind == ""
    assert row.created_at > 1e9


def test_hash_request_stays_plain(place: str) -> None:
    with opened(place) as cache:
        assert hash_request("openai", "gpt-4", PATH, DATA) == PLAIN_KEY
        assert cache.set(None, {"text": ANSWER}, "openai", "gpt-4", PATH, DATA) != PLAIN_KEY
        assert ask(cache) == (ANSWER, False)


def test_another_key_is_one_clear_sentence_at_construction(place: str) -> None:
    with opened(place) as cache:
        ask(cache)
    with pytest.raises(ConfigError, match=r"encryption_key \(argument\) does not open .*cache\.db"):
        opened(place, "wrong")
    with opened(place) as cache:
        assert ask(cache) == (ANSWER, False)


def test_rows_of_before_stay_readable_until_rekey(place: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(place, None) as cache:
        ask(cache)
        ask(cache, CANARY)
    assert ANSWER.encode() in everything(place)
    with opened(place) as cache:
        assert sum("from before it was encrypted" in record.message for record in caplog.records) == 1
        assert ask(cache) == (ANSWER, False)
        assert ask(cache, CANARY) == (ANSWER, False)
        assert cache.get(CANARY) is not None
        assert ask(cache, "new") == (ANSWER, True)
        done = Rekeying(cache.engine.store, "secret", "secret", fresh=False).run()
        assert (done.rows, done.lost, done.left, done.clean) == (2, 0, 0, True)
        for name in (None, CANARY, "new"):
            assert ask(cache, name) == (ANSWER, False)
        assert_silent(place)
    caplog.clear()
    with opened(place) as cache:
        assert ask(cache) == (ANSWER, False)
    assert not caplog.records
    assert_silent(place)


def test_deleting_deletes_what_lies_under_the_plain_key_too(place: str) -> None:
    with opened(place, None) as cache:
        ask(cache, CANARY)
    with opened(place) as cache:
        assert cache.delete(CANARY)
        assert cache.get(CANARY) is None
        assert ask(cache, CANARY) == (ANSWER, True)


def test_a_sealed_store_with_encryption_off(place: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(place) as cache:
        ask(cache)
    with opened(place, None) as cache:
        assert ask(cache, answer="plainly") == ("plainly", True)
        assert ask(cache) == ("plainly", False)
        assert sum("encryption is off here" in record.message for record in caplog.records) == 1
        listed = list(cache.entries())
        assert [entry.model for entry in listed] == ["gpt-4", "gpt-4"]
        assert cache.stats().entries == 2
        sealed = next(entry for entry in listed if not entry.kind)
        assert cache.purge(key=sealed.key) == 1
    with opened(place) as cache:
        # What was written meanwhile is found, because the ring says that there is such.
        assert ask(cache) == ("plainly", False)


def test_a_plain_record_under_an_hmac_is_no_answer(place: str) -> None:
    with opened(place, None) as cache:
        ask(cache, answer="forged")
        (plain,) = cache.engine.store.scan()
    with opened(place, memory_mb=0) as cache:
        ask(cache, "any")
        name = cache.engine.sealing.name(plain.key)
        from llm_cache.codec import codec

        forged = cache.engine.codec.decode(plain)
        row = codec.Codec().encode(forged)._replace(key=name)
        cache.engine.store.put(row)
        assert ask(cache)[1]


def test_every_flipped_byte_is_a_miss(place: str) -> None:
    with opened(place, memory_mb=0) as cache:
        ask(cache)
        (row,) = cache.engine.store.scan()
        for at in range(0, len(row.value), 7):
            value = bytearray(row.value)
            value[at] ^= 0x10
            cache.engine.store.put(row._replace(value=bytes(value)))
            assert ask(cache)[1]


@pytest.mark.parametrize("fresh", [True, False])
def test_the_key_is_changed_under_a_running_cache(place: str, fresh: bool) -> None:
    with opened(place, "old") as running:
        for name in (None, "a", "b"):
            ask(running, name)
        store = open_store(place)
        # A cache that is asked for something meanwhile learns the new keys in time.
        done = Rekeying(store, "old", "new", fresh=fresh, step=lambda: ask(running) and None).run()
        assert done.rows == (3 if fresh else 0)
        for name in (None, "a", "b"):
            assert ask(running, name) == (ANSWER, False)
        ask(running, "c")
        with pytest.raises(ConfigError):
            opened(place, "old")
        with opened(place, "new") as after:
            for name in (None, "a", "b", "c"):
                assert ask(after, name) == (ANSWER, False)
        store.close()
    assert_silent(place)


def test_a_cache_that_slept_through_a_change_is_off_and_says_so(place: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(place, "old") as sleeping:
        ask(sleeping)
        with open_store_closing(place) as store:
            Rekeying(store, "old", "new").run()
        assert ask(sleeping)[1]
        assert ask(sleeping)[1]
        assert not sleeping.engine.access.healthy
    assert sum("changed or removed" in record.message for record in caplog.records) == 1
    assert_silent(place)


def test_both_keys_read_while_it_runs_and_it_goes_on_where_it_was_stopped(place: str) -> None:
    with opened(place, "old") as running:
        names = [str(number) for number in range(6)]
        for name in names:
            ask(running, name)
        store = open_store(place)
        steps = 0

        def stop() -> None:
            nonlocal steps
            steps += 1
            if steps == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Rekeying(store, "old", "new", step=stop).run()
        assert len({sealed_with(row) for row in store.scan()}) == 2
        for key in ("old", "new"):
            with opened(place, key) as cache:
                for name in names:
                    assert ask(cache, name) == (ANSWER, False)
        for name in names:
            assert ask(running, name) == (ANSWER, False)
        assert Rekeying(store, "old", "new").run().rows == 3
        assert len({sealed_with(row) for row in store.scan()}) == 1
        with opened(place, "new") as cache:
            for name in names:
                assert ask(cache, name) == (ANSWER, False)
        store.close()


def test_removing_leaves_plain_rows_and_turns_running_caches_off(place: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(place) as running:
        ask(running)
        ask(running, CANARY)
        with open_store_closing(place) as store:
            assert Rekeying(store, "secret", None).run().rows == 2
            assert ring_of(store) is None
        assert ask(running)[1]
        assert sum("changed or removed" in record.message for record in caplog.records) == 1
        # Never plainly by accident.
        assert ask(running, "later") == (ANSWER, True)
        assert running.engine.store.summary().entries == 2
    with opened(place, None) as cache:
        assert ask(cache) == (ANSWER, False)
        assert ask(cache, CANARY) == (ANSWER, False)
        assert next(iter(cache.entries())).kind == "value"


def open_store_closing(place: str):
    from contextlib import closing

    return closing(open_store(place))


def test_hits_times_and_money_survive(place: str) -> None:
    with opened(place, None) as cache:
        ask(cache)
        ask(cache)
        ask(cache)
        cache.engine.ledger.flush()
        (before,) = cache.engine.store.scan()
        Rekeying(cache.engine.store, None, "secret").run()
        (after,) = cache.engine.store.scan()
    assert before.hits == 2
    assert after[3:7] == before[3:7]
    assert after[8:] == before[8:]


def test_of_two_who_begin_at_once_one_makes_the_keys(place: str) -> None:
    caches: list[LLMCache] = []
    threads = [threading.Thread(target=lambda: caches.append(opened(place))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({cache.engine.sealing.keys().secrets for cache in caches}) == 1
    for cache in caches:
        cache.close()


def test_a_store_that_was_replaced_is_sealed_with_the_same_keys(place: str) -> None:
    with opened(place) as cache:
        ask(cache)
        cache.engine.store._connections.drop()  # type: ignore[attr-defined]
        for suffix in ("", "-wal", "-shm"):
            Path(place + suffix).unlink(missing_ok=True)
        assert ask(cache, "after")[1]
        assert ask(cache, "after") == (ANSWER, False)
    with opened(place) as cache:
        assert ask(cache, "after") == (ANSWER, False)
    assert_silent(place)


class Unreachable(MemoryStore):
    """A store that cannot be reached, until it can."""

    down = True

    def kept(self, name: str) -> bytes | None:
        if self.down:
            raise StoreError("unreachable")
        return super().kept(name)


@pytest.mark.parametrize("key", ["secret", "wrong"])
def test_an_unreachable_store_is_checked_at_the_first_connection(
    key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from llm_cache.clients import engine as engines
    from llm_cache.runtime import sealing

    monkeypatch.setattr(sealing, "RETRY_S", 0.0)
    store = Unreachable()
    store.down = False
    store.keep(RING, ring.made("secret", unsealed=False).document, None)
    store.down = True
    monkeypatch.setattr(engines, "open_store", lambda *_, **__: store)
    with opened(":memory:", key) as cache:
        assert ask(cache) == (ANSWER, True)
        store.down = False
        ask(cache)
        cache.engine.access.writer.drain(5)
        assert ask(cache)[1] is (key == "wrong")
        ask(cache)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == (key == "wrong")


def test_scrypt_is_paid_once_in_a_process_and_store(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    scrypt = ring._scrypt
    monkeypatch.setattr(ring, "_scrypt", lambda *given: runs.append(1) or scrypt(*given))
    for _ in range(3):
        with opened(place) as cache:
            ask(cache)
    assert len(runs) == 1


def test_the_file_is_its_owners_alone(place: str) -> None:
    with opened(place) as cache:
        ask(cache)
    assert Path(place).stat().st_mode & 0o077 == 0
    with sqlite3.connect(place) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM meta")}
    assert f"kept:{RING}" in names
