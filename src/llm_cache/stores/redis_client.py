"""Speaks to Redis: connections, scripts and deadlines, and every error as one of ours. It knows no keys.

Connections are made when first needed, for every process anew. No command is tried twice: the breaker above decides
when to ask again, and a second try would take a second deadline.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from llm_cache.errors import StoreBusy, StoreError
from llm_cache.stores import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from llm_cache.stores.redis_scripts import Script
    from llm_cache.stores.redis_url import Address

_MOST_CONNECTIONS = 256
_RESP = 2
"""The protocol that every server speaks without being asked, which saves a round trip."""
_log = logging.getLogger("llm_cache")
_inherited: list[Any] = []
"""Connections of the parent process: closing them is the parent's business, and so nobody may collect them here."""
Command = tuple[Any, ...]
_P = ParamSpec("_P")
_T = TypeVar("_T")


def understood(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """What a method makes of an answer that is not what Redis would say: an error of the store, not of our code."""

    @functools.wraps(method)
    def careful(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(*args, **kwargs)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise StoreError(f"{args[0]} answered what no Redis does: {error!r}") from error

    return careful


class Client:
    """The connections of one process to one Redis, all with the same deadline for each round trip.

    Args:
        timeout_s: for connecting, and for each command.

    Attributes:
        beside: another one to the same place; both look for it anew where one finds a replica.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._making = threading.Lock()
        self._client: Any = None
        self.beside: Client | None = None
        self.closed = False
        forks.tell(self)

    def run(self, *command: Any) -> Any:
        """What one command answers.

        Raises:
            StoreError: it failed; StoreBusy if it took too long.
        """
        try:
            return self._connected().execute_command(*command)
        except _ERRORS as error:
            raise self._translated(error) from error

    def script(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """What a script answers; its keys lie in one slot.

        Raises:
            StoreError: as `run`.
        """
        try:
            client = self._connected()
            try:
                return client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except redis.exceptions.NoScriptError:
                return client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)
        except _ERRORS as error:
            raise self._translated(error) from error

    def each(self, commands: Iterable[Command]) -> list[Any]:
        """What several commands answer, in one round trip where there is one server. None of them a script.

        Raises:
            StoreError: one of them failed; as `run`.
        """
        try:
            client = self._connected()
            if self.address.cluster:
                return [client.execute_command(*command) for command in commands]
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
        except _ERRORS as error:
            raise self._translated(error) from error
        return answers

    def scripts(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """What one script answers to several (keys, arguments).

        Raises:
            StoreError: one of them failed; as `run`.
        """
        if self.address.cluster or len(calls) == 1:
            return [self.script(script, keys, arguments) for keys, arguments in calls]
        # The first of them makes sure that the server knows the script.
        first = self.script(script, *calls[0])
        rest = self.each(("EVALSHA", script.sha, len(keys), *keys, *arguments) for keys, arguments in calls[1:])
        return [first, *rest]

    def nodes(self, *command: Any) -> dict[str, Any]:
        """What every server that may be written to answers, by its name.

        Raises:
            StoreError: one of them failed; as `run`.
        """
        try:
            client = self._connected()
            if not self.address.cluster:
                return {self.address.shown: client.execute_command(*command)}
            # One by one: of some commands the cluster's own client would merge the answers.
            return {
                node.name: client.get_redis_connection(node).execute_command(*command)
                for node in client.get_primaries()
            }
        except _ERRORS as error:
            raise self._translated(error) from error

    def node(self, name: str, *command: Any) -> Any:
        """What one of `nodes` answers.

        Raises:
            StoreError: as `run`.
        """
        if not self.address.cluster:
            return self.run(*command)
        try:
            client = self._connected()
            return client.get_redis_connection(client.get_node(node_name=name)).execute_command(*command)
        except _ERRORS as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Let go of all connections; every later use raises."""
        with self._making:
            self.closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def look_anew(self) -> None:
        """Leave the connections there are, which lead to what was a master once: the name may mean another by now."""
        client = self._client
        if client is not None and not self.address.cluster:
            client.connection_pool.disconnect(inuse_connections=False)

    def before_fork(self) -> None:
        """Nobody may be making connections meanwhile."""
        self._making.acquire()

    def after_fork(self, *, child: bool) -> None:
        """The child makes connections of its own."""
        if not child:
            self._making.release()
            return
        self._making = threading.Lock()
        if self._client is not None:
            _inherited.append(self._client)
            self._client = None

    def _connected(self) -> Any:
        client = self._client
        if client is None:
            with self._making:
                if self.closed:
                    raise StoreError(f"the store in {self.address.shown} is closed")
                if self._client is None:
                    self._client = self._made()
                client = self._client
        return client

    def _made(self) -> Any:
        address = self.address
        options: dict[str, Any] = {
            **address.options,
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "protocol": _RESP,
            "driver_info": None,
        }
        if address.cluster:
            # Not always the same one first: it would have to answer for all.
            seeds = random.sample(address.hosts, len(address.hosts))
            nodes = [ClusterNode(host, port) for host, port in seeds]  # type: ignore[no-untyped-call]
            return RedisCluster(startup_nodes=nodes, **options, **_tls(address))
        if address.path is not None:
            return redis.Redis(unix_socket_path=address.path, max_connections=_MOST_CONNECTIONS, **options)
        ((host, port),) = address.hosts
        return redis.Redis(host=host, port=port, max_connections=_MOST_CONNECTIONS, **options, **_tls(address))

    def _translated(self, error: Exception) -> StoreError:
        """The error as one of ours."""
        if isinstance(error, StoreError):
            return error
        place, text = self.address.shown, str(error).partition("\n")[0]
        if isinstance(error, (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)) or "READONLY" in text:
            for each in (self, self.beside):
                if each is not None:
                    each.look_anew()
        if isinstance(error, redis.exceptions.TimeoutError):
            return StoreBusy(f"Redis at {place} did not answer within {self._timeout_s:g} s")
        for kind, word, busy, sentence in _SAID:
            if isinstance(error, kind) or word in text:
                return (StoreBusy if busy else StoreError)(f"Redis at {place} {sentence.format(text)}")
        ours = StoreError(f"Redis at {place} refused: {text}")
        ours.damaged = "WRONGTYPE" in text
        return ours


_SAID: tuple[tuple[type[Exception] | tuple[()], str, bool, str], ...] = (
    (redis.exceptions.AuthenticationError, "NOAUTH", False, "wants a user and a password, or others: {}"),
    (redis.exceptions.NoPermissionError, "NOPERM", False, "does not let this user do what a cache does (ACL): {}"),
    (redis.exceptions.BusyLoadingError, "LOADING", True, "is still loading its data"),
    ((), "BUSY Redis is busy", True, "is busy with a script of somebody's"),
    (redis.exceptions.ReadOnlyError, "READONLY", False, "is a replica that may only be read; name its master"),
    (redis.exceptions.MasterDownError, "MASTERDOWN", False, "is a replica that has lost its master"),
    (redis.exceptions.OutOfMemoryError, "OOM", False, "is full and evicts nothing (maxmemory-policy): {}"),
    ((), "MISCONF", False, "takes no writes, since it cannot save to its disk; its log says why"),
    ((), "NOREPLICAS", False, "takes no writes while it has too few replicas (min-replicas-to-write)"),
    ((), "max number of clients", True, "has as many clients as it may (maxclients)"),
    (redis.exceptions.MaxConnectionsError, "\0", True, f"has {_MOST_CONNECTIONS} connections of this process already"),
    ((), "MOVED ", False, "is a node of a cluster; the URL for that begins with redis+cluster:// or rediss+cluster://"),
    ((), "Cluster mode is not enabled", False, "is no cluster; the URL for that begins with redis:// or rediss://"),
    (redis.exceptions.TryAgainError, "TTL exhausted", True, "moves what was asked for to another node just now"),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN", True, "does not serve all slots of its cluster: {}"),
    (redis.exceptions.ConnectionError, "\0", False, "cannot be reached: {}"),
)
"""What redis-py raises, or what the server's own words are; whether that may pass by itself; and what to tell."""
_ERRORS = (
    redis.exceptions.RedisError,
    redis.exceptions.RedisClusterException,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
)
"""What redis-py may raise: its own, the system's, and what an answer that is no Redis' makes of its code."""


def _tls(address: Address) -> dict[str, Any]:
    # TLS 1.3 sends its tickets after the handshake, which the pool of redis-py would take for an answer to nobody;
    # telling a name on each connection reads them.
    return {"ssl": True, "client_name": "llm-cache"} if address.tls else {}
