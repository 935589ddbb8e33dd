"""What the ledger's tests share: calls that happened, a background that waits to be told. It must not hold tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from llm_cache.core.events import About
from llm_cache.core.model import Entry, Head, Usage
from llm_cache.ledger.ledger import Ledger
from llm_cache.ledger.table import Price
from llm_cache.stores.memory import MemoryStore

NOON = 1_767_268_800.0  # 2026-01-01, 12:00 UTC
KEY = "ab" * 32
TABLE = {"acme": {"big": Price(Decimal("0.01"), Decimal("0.03"))}}
"""1 + 1 tokens of acme's big model are 40,000,000 pico-dollars."""


class Background:
    """In place of the background thread; runs a job when told to."""

    def __init__(self) -> None:
        self.jobs: dict[object, Callable[[], object]] = {}

    def every(self, seconds: float, name: object, job: Callable[[], object]) -> None:
        self.jobs[name] = job

    def cease(self, name: object) -> None:
        self.jobs.pop(name, None)

    def second(self) -> None:
        for job in list(self.jobs.values()):
            job()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def about(provider="acme", model="big", namespace="default", key=KEY):
    return About(provider, model, "/v1/chat/completions", namespace, key)


def entry(usage=Usage(1, 1), *, provider="acme", model="big", key=KEY, **more):  # noqa: B008 - frozen
    made = Entry(
        key=key,
        kind="http",
        provider=provider,
        model=model,
        endpoint="/v1/chat/completions",
        namespace="default",
        head=Head(200),
        frames=(),
        stream=False,
        created_at=NOON - 60,
        expires_at=None,
        usage=usage,
        latency_ms=1500.0,
    )
    return replace(made, **more)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def background():
    return Background()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(store, background, clock):
    made = Ledger(store, background, TABLE, clock)
    yield made
    made.close()
