"""Fixtures of the proxy's tests. It must not hold tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from llm_cache.testing import FakeUpstream

from .running import Running, running


@pytest.fixture
def proxy(upstream: FakeUpstream, database: str) -> Iterator[Running]:
    """A proxy before `upstream`, with an empty cache."""
    with running(upstream.url, database_url=database) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def _standing() -> Iterator[tuple[FakeUpstream, Running]]:
    with FakeUpstream() as upstream, running(upstream.url, database_url=":memory:") as proxy:
        yield upstream, proxy


@pytest.fixture
def behind(_standing: tuple[FakeUpstream, Running]) -> FakeUpstream:
    """The provider behind `standing`, with nothing to say yet."""
    _standing[0].reset()
    return _standing[0]


@pytest.fixture
def standing(_standing: tuple[FakeUpstream, Running]) -> Running:
    """A proxy that the tests of a file share, for those that do not care what it has stored."""
    return _standing[1]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Who logs every hit wants none of them to go the short way; another test may have asked for that."""
    logger = logging.getLogger("llm_cache")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)
