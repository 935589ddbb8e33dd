"""A Redis to do things to, and a line to it. It must hold no test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.redis_faults import Cable
from tests.redis_servers import Server, serving


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all faults, each of which is undone; what it has is on its disk, so that a kill loses nothing."""
    with serving(tmp_path_factory.mktemp("redis"), appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    shared_server.client().flushall()
    return shared_server


@pytest.fixture
def cable(server: Server) -> Iterator[Cable]:
    cable = Cable(server.port)
    yield cable
    cable.close()
