"""Promise 2 on Redis: a record or columns that were changed are a miss, and counted; or no harm."""

from __future__ import annotations

import pytest

from llm_cache.errors import EntryError
from llm_cache.stores.redis_rows import shard_of
from tests.faults.redis_faults import Cable
from tests.faults.test_redis_faults import BOTH, Call, filled, plain, text
from tests.redis_servers import Server
from tests.runtime.staging import settled


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@BOTH
def test_a_flipped_bit_at_any_byte_of_a_record(
    server: Server, cable: Cable, call: Call, step: int, sealed: bool
) -> None:
    """Of a sealed record all is a miss. Of a plain one the request that lies beside the answer may be damaged, which
    is no part of what a hit is: then the answer is right, and `doctor` counts the entry."""
    more = {"enable_encryption": True, "encryption_key": "secret"} if sealed else {}
    with filled(cable, read_timeout_ms=5000, write_timeout_ms=5000, **more) as cache:
        store, client = cache.engine.store, server.client()
        number = 3
        key = bytes.fromhex(cache.get(f"key {number}").key)
        name = shard_of(key).prefix + key.hex()
        whole = client.hget(name, "v")
        failures = beside = 0
        places = range(0, len(whole), step)
        for place in places:
            broken = bytearray(client.hget(name, "v"))
            broken[place] ^= 1 << place % 8
            client.hset(name, "v", bytes(broken))
            assert call(cache, number) == text(number)
            if client.hget(name, "v") == bytes(broken):
                with pytest.raises(EntryError):
                    cache.engine.codec.asked(store.get(key))
                beside += 1
                store.put(store.get(key)._replace(value=whole))
            else:
                failures += 1
        assert beside == 0 or not sealed
        settled(cache.engine.ledger.flush)
        assert cache.stats().reasons["fail"]["decode"] == failures == len(places) - beside
        assert failures > beside


def test_columns_of_another_entry_are_no_answer(server: Server, cable: Cable) -> None:
    """Somebody, or an accident, has put one entry in the place of another."""
    with filled(cable, read_timeout_ms=5000, write_timeout_ms=5000) as cache:
        client = server.client()
        keys = [bytes.fromhex(cache.get(f"key {number}").key) for number in (0, 1)]
        names = [shard_of(key).prefix + key.hex() for key in keys]
        client.hset(names[0], mapping=client.hgetall(names[1]))
        assert plain(cache, 0) == text(0)
        settled(cache.engine.ledger.flush)
        assert cache.stats().reasons["fail"]["decode"] == 1
