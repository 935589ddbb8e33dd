"""`doctor` on Redis: what the server is, how it is set up, and one sentence about what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from llm_cache import LLMCache
from llm_cache.cli import redis_checks
from llm_cache.config import load
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.redis_rows import shard_of
from tests.cli.test_doctor import checks
from tests.redis_servers import Server, free_port, serving


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As one should be."""
    folder = tmp_path_factory.mktemp("redis")
    with serving(folder, maxmemory="100mb", maxmemory_policy="volatile-lru", appendonly="yes") as server:
        yield server


@pytest.fixture
def server(good: Server) -> Iterator[Server]:
    client = good.client()
    client.flushall()
    yield good
    for name in ("maxmemory", "maxmemory-policy", "appendonly"):
        client.config_set(name, good.settings[name.replace("-", "_")])


@pytest.fixture
def about(run, server: Server) -> Callable[..., list[str]]:
    def look(status: str, *, exits: int = 0, **variables: str) -> list[str]:
        found, _ = checks(
            run, status=exits, LLMCACHE_DATABASE_URL=server.url, LLMCACHE_READ_TIMEOUT_MS="5000", **variables
        )
        return [each["message"] for each in found["checks"] if (each["name"], each["status"]) == ("redis", status)]

    return look


def test_a_server_as_it_should_be(about, server: Server) -> None:
    assert about("warning") == about("failure") == []
    told = about("ok")
    info = server.client().info()
    version = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    assert any(f"{version} at redis://127.0.0.1:{server.port}/0 answers in" in each for each in told)
    assert any("of 100 MB (maxmemory) and evicts entries alone (volatile-lru)" in each for each in told)
    assert any("log of all writes" in each for each in told)


@pytest.mark.parametrize(
    ("settings", "status", "exits", "sentence"),
    [
        ({"maxmemory": "0"}, "warning", 0, "has no maxmemory"),
        ({"maxmemory-policy": "noeviction"}, "warning", 0, "will keep nothing new once it is full"),
        ({"maxmemory-policy": "noeviction", "maxmemory": "1"}, "failure", 1, "is full, and keeps nothing new"),
        ({"maxmemory-policy": "allkeys-lfu"}, "warning", 0, "maxmemory-policy volatile-lfu"),
        ({"appendonly": "no"}, "warning", 0, "keeps nothing on its disk"),
    ],
)
def test_what_is_set_wrongly(about, server: Server, settings, status, exits, sentence) -> None:
    for name, value in settings.items():
        server.client().config_set(name, value)
    (told,) = about(status, exits=exits)
    assert sentence in told
    assert ": set " in told or ", with" in told or ": maxmemory-policy" in told


def test_eviction_may_take_the_keys_of_what_is_encrypted(about, server: Server) -> None:
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    sealed = {"LLMCACHE_ENCRYPTION": "true", "LLMCACHE_ENCRYPTION_KEY": "geheim"}
    assert ", and the keys of encrypted entries" in about("warning", **sealed)[0]


def test_snapshots_are_told_from_nothing(about, server: Server) -> None:
    server.client().config_set("appendonly", "no")
    server.client().config_set("save", "3600 1")
    try:
        assert about("warning") == []
        assert any("saves snapshots" in each for each in about("ok"))
        # A managed server does not let anybody ask.
        server.client().execute_command("ACL", "SETUSER", "default", "-config")
        assert any("saves snapshots" in each for each in about("ok"))
    finally:
        server.client().execute_command("ACL", "SETUSER", "default", "+config")
        server.client().config_set("save", "")


def test_a_replica_is_a_failure(about, server: Server) -> None:
    server.client().execute_command("REPLICAOF", "127.0.0.1", free_port())
    try:
        assert "is a replica, where nothing can be kept" in about("failure", exits=1)[0]
    finally:
        server.client().execute_command("REPLICAOF", "NO", "ONE")


def test_a_server_that_is_far_away_is_a_warning(server: Server) -> None:
    store = RedisStore(server.url)
    settings = load({"database_url": server.url, "read_timeout_ms": 0.01})
    told = [each.message for each in redis_checks.redis(store, settings) if each.status == "warning"]
    assert "a lookup gives up after 0.01 ms (read_timeout_ms)" in told[0]
    store.close()


def test_one_that_is_not_there_is_a_failure(run) -> None:
    _, by = checks(run, status=1, LLMCACHE_DATABASE_URL=f"redis://:geheim@127.0.0.1:{free_port()}/0")
    assert "cannot be reached" in by["redis", "failure"]
    assert "geheim" not in str(by)


@pytest.mark.parametrize(
    ("url", "sentences"),
    [
        ("redis://cache.example:6379/0", ["is not encrypted on its way", "may read every prompt"]),
        ("redis://:secret@10.0.0.7", ["is not encrypted on its way"]),
        ("rediss://cache.example", ["may read every prompt"]),
        ("rediss://someone:secret@cache.example", []),
        ("redis://localhost", []),
        ("redis://[::1]:6379", []),
        ("redis://127.0.0.2:6379", []),
        ("unix:///run/redis.sock", []),
    ],
)
def test_what_goes_over_a_network_in_the_clear(url: str, sentences: list[str]) -> None:
    found = [each.message for each in redis_checks._openness(RedisStore(url))]
    assert [part in each for part, each in zip(sentences, found, strict=True)] == [True] * len(sentences)
    assert "secret" not in str(found)


def test_a_node_of_a_cluster_wants_another_url(run, tmp_path) -> None:
    with serving(tmp_path / "node", cluster_enabled="yes") as node:
        _, by = checks(run, status=1, LLMCACHE_DATABASE_URL=node.url)
        assert "write redis+cluster://" in by["redis", "failure"]


def test_no_cluster_wants_another_url_too(run, server: Server) -> None:
    _, by = checks(run, status=1, LLMCACHE_DATABASE_URL=server.url.replace("redis:", "redis+cluster:")[:-2])
    assert "is no cluster" in by["redis", "failure"]


def test_a_damaged_request_beside_a_whole_answer_is_told(run, server: Server) -> None:
    with LLMCache(database_url=server.url, read_timeout_ms=5000, write_timeout_ms=5000) as cache:
        # Of more than 4 KB, which lies apart from the answer.
        asked = {"messages": [{"role": "user", "content": "".join(map(str, range(2000)))}]}
        call = ("k", lambda: "answer", "openai", "m", "/v1/chat/completions", asked)
        cache.get_or_set(*call)
        key = bytes.fromhex(cache.get("k").key)
        name = shard_of(key).prefix + key.hex()
        value = bytearray(server.client().hget(name, "v"))
        value[-1] ^= 1
        server.client().hset(name, "v", bytes(value))
        assert cache.get_or_set(call[0], pytest.fail, *call[2:]) == "answer"
    _, by = checks(run, status=1, LLMCACHE_DATABASE_URL=server.url)
    assert "the request is damaged; their answers are whole" in by["integrity", "failure"]
