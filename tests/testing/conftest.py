"""Fixtures of the fake upstream's own tests. It must not hold tests."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from llm_cache.testing import FakeUpstream


@pytest.fixture
def up() -> Iterator[FakeUpstream]:
    """One without recordings, started."""
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def connect() -> Iterator[Callable[[FakeUpstream], socket.socket]]:
    """Opens raw sockets, and closes what a test leaves open."""
    with contextlib.ExitStack() as stack:

        def open_one(upstream: FakeUpstream) -> socket.socket:
            line = socket.create_connection((upstream.host, upstream.port), timeout=10)
            return stack.enter_context(line)

        yield open_one
