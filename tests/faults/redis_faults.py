"""What can happen to a Redis in use, and to the line to it: each done for real, and undone. They test nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import redis

from tests.redis_servers import Server, free_port

_CHUNK = 65_536


class Cable:
    """A line to a server that can be cut, bent and stopped. `port` is where its near end is.

    Attributes:
        far: the port that new connections lead to.
        fault: what becomes of replies, given how many bytes of them this connection has carried and the next ones:
            what is to be passed on, None to reset the connection.
        plugged: whether new connections are taken.
    """

    def __init__(self, port: int) -> None:
        self.far = port
        self.fault: Callable[[int, bytes], bytes | None] | None = None
        self.plugged = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if not self.plugged:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self.far))
            except OSError:
                _reset(near)
                continue
            self._open |= {near, far}
            for here, there, replies in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._carry, args=(here, there, replies), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket, replies: bool) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := here.recv(_CHUNK):
                passed: bytes | None = data
                if replies and self.fault is not None:
                    passed = self.fault(carried, data)
                    if passed is None:
                        _reset(there)
                        break
                carried += len(data)
                there.sendall(passed or b"")
        for end in (here, there):
            self._open.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self) -> None:
        """Reset every connection there is."""
        for end in list(self._open):
            _reset(end)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join(5)


def _reset(end: socket.socket) -> None:
    """Close it so that the other side sees a reset and no end."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RD)
        end.close()


# --- the line -----------------------------------------------------------------------------------------


@contextmanager
def _bent(cable: Cable, fault: Callable[[int, bytes], bytes | None]) -> Iterator[None]:
    cable.fault = fault
    try:
        yield
    finally:
        cable.fault = None
        # What was read wrongly must not be read on.
        cable.cut()


def reset_in_a_reply(_: Server, cable: Cable) -> AbstractContextManager[None]:
    """Half of each reply, and then a reset."""

    def fault(carried: int, data: bytes) -> bytes | None:
        return data[: max(1, len(data) // 2)] if carried == 0 else None

    def half(carried: int, data: bytes) -> bytes | None:
        passed = fault(carried, data)
        if passed is not None:
            threading.Timer(0.02, cable.cut).start()
        return passed

    return _bent(cable, half)


def reset_at_once(_: Server, cable: Cable) -> AbstractContextManager[None]:
    return _bent(cable, lambda _carried, _data: None)


def noise(_: Server, cable: Cable) -> AbstractContextManager[None]:
    """Something answers that is no Redis."""
    return _bent(cable, lambda _carried, _data: b"HTTP/1.1 400 Bad Request\r\n\r\n")


def odd_reply(_: Server, cable: Cable) -> AbstractContextManager[None]:
    """Replies that are well formed, and to another question."""
    return _bent(cable, lambda _carried, _data: b"*2\r\n:1\r\n$3\r\nabc\r\n")


def swallowed(_: Server, cable: Cable) -> AbstractContextManager[None]:
    """Connections that carry nothing back: a firewall that forgets them."""
    return _bent(cable, lambda _carried, _data: b"")


@contextmanager
def unplugged(_: Server, cable: Cable) -> Iterator[None]:
    cable.plugged = False
    cable.cut()
    try:
        yield
    finally:
        cable.plugged = True


# --- the server ---------------------------------------------------------------------------------------


@contextmanager
def killed(server: Server, cable: Cable) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def paused(server: Server, cable: Cable) -> Iterator[None]:
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


@contextmanager
def paused_for_a_while(server: Server, cable: Cable) -> Iterator[None]:
    """It comes back by itself, in the middle of calls."""
    server.send(signal.SIGSTOP)
    waking = threading.Timer(5.0, server.send, (signal.SIGCONT,))
    waking.start()
    try:
        yield
    finally:
        waking.join()


@contextmanager
def writes_paused(server: Server, cable: Cable) -> Iterator[None]:
    """It reads and does not write, as during a failover that somebody has asked for."""
    server.client().execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        yield
    finally:
        server.client().execute_command("CLIENT", "UNPAUSE")


@contextmanager
def _set(server: Server, **settings: str) -> Iterator[None]:
    client = server.client()
    names = [name.replace("_", "-") for name in settings]
    before = {name: client.config_get(name)[name] for name in names}
    for name, value in zip(names, settings.values(), strict=True):
        client.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.config_set(name, value)


def out_of_memory(server: Server, cable: Cable) -> AbstractContextManager[None]:
    return _set(server, maxmemory_policy="noeviction", maxmemory="1")


@contextmanager
def read_only_replica(server: Server, cable: Cable) -> Iterator[None]:
    """It has become somebody's replica, and that somebody is away."""
    server.client().execute_command("REPLICAOF", "127.0.0.1", free_port())
    try:
        yield
    finally:
        server.client().execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def replica_without_its_master(server: Server, cable: Cable) -> Iterator[None]:
    """And it may not answer with what is perhaps old."""
    with _set(server, replica_serve_stale_data="no"), read_only_replica(server, cable):
        yield


def too_few_replicas(server: Server, cable: Cable) -> AbstractContextManager[None]:
    return _set(server, min_replicas_to_write="1")


@contextmanager
def disk_full(server: Server, cable: Cable) -> Iterator[None]:
    """It cannot save to its disk, and so takes no more writes."""
    folder = server.folder / "gone"
    folder.mkdir()
    with _set(server, save="3600 1", dir=str(folder)):
        shutil.rmtree(folder)
        # The last save decides, and there has to be one.
        client = server.client()
        client.execute_command("BGSAVE")
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield


@contextmanager
def wrong_password(server: Server, cable: Cable) -> Iterator[None]:
    """Somebody has changed it, and let nobody stay who had the old one."""
    with _set(server, requirepass="another-4711"):
        cable.cut()
        yield


@contextmanager
def permission_lost(server: Server, cable: Cable) -> Iterator[None]:
    """The user may not read what is ours any more."""
    server.client().execute_command("ACL", "SETUSER", "default", "resetkeys", "~others:*")
    try:
        yield
    finally:
        server.client().execute_command("ACL", "SETUSER", "default", "allkeys")


@contextmanager
def scripts_forbidden(server: Server, cable: Cable) -> Iterator[None]:
    server.client().execute_command("ACL", "SETUSER", "default", "-@scripting")
    try:
        yield
    finally:
        server.client().execute_command("ACL", "SETUSER", "default", "+@scripting")


@contextmanager
def too_many_clients(server: Server, cable: Cable) -> Iterator[None]:
    with _set(server, maxclients="1"):
        cable.cut()
        yield


@contextmanager
def busy_script(server: Server, cable: Cable) -> Iterator[None]:
    """Somebody else's script does not come to an end."""
    with _set(server, lua_time_limit="50"):
        endless = redis.Redis(port=server.port, max_connections=1)

        def run() -> None:
            with contextlib.suppress(redis.exceptions.RedisError):
                endless.eval("while true do end", 0)

        running = threading.Thread(target=run)
        running.start()
        until(lambda: _is_busy(server))
        try:
            yield
        finally:
            server.client().execute_command("SCRIPT", "KILL")
            running.join(10)
            endless.close()


def _is_busy(server: Server) -> bool:
    try:
        server.client().ping()
    except redis.exceptions.ResponseError:
        return True
    return False


@contextmanager
def emptied(server: Server, cable: Cable) -> Iterator[None]:
    server.client().flushall()
    yield


@contextmanager
def scripts_forgotten(server: Server, cable: Cable) -> Iterator[None]:
    server.client().script_flush()
    yield


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


Fault = Callable[[Server, Cable], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        reset_in_a_reply,
        reset_at_once,
        noise,
        odd_reply,
        swallowed,
        unplugged,
        killed,
        paused,
        writes_paused,
        out_of_memory,
        read_only_replica,
        replica_without_its_master,
        too_few_replicas,
        disk_full,
        wrong_password,
        permission_lost,
        scripts_forbidden,
        too_many_clients,
        busy_script,
        emptied,
        scripts_forgotten,
    )
}
