"""A store that does not answer is left alone for a while, asked again by one, and told of once."""

from __future__ import annotations

import logging

import pytest

from llm_cache.runtime.breaker import Breaker

ERROR = OSError("disk")


@pytest.fixture
def breaker():
    return Breaker("reading x", threshold=3, cool_s=1.0)


def open_it(breaker, now=100.0):
    for _ in range(3):
        breaker.failed(now, ERROR)


def test_it_asks_until_there_have_been_too_many_failures_in_a_row(breaker):
    assert not breaker.failing
    for _ in range(2):
        breaker.failed(100.0, ERROR)
        assert breaker.failing
        assert breaker.allows(100.0)
    breaker.failed(100.0, ERROR)
    assert not breaker.allows(100.0)


def test_one_success_forgets_the_failures(breaker):
    for _ in range(5):
        breaker.failed(100.0, ERROR)
        breaker.failed(100.0, ERROR)
        breaker.succeeded()
        assert not breaker.failing
        assert breaker.allows(100.0)


def test_after_a_while_one_asks_and_the_others_wait_for_what_it_finds(breaker):
    open_it(breaker)
    assert [breaker.allows(100.9), breaker.allows(101.0), breaker.allows(101.0), breaker.allows(101.9)] == [
        False,
        True,
        False,
        False,
    ]
    # It was never heard of again: another one asks.
    assert breaker.allows(102.0)
    breaker.succeeded()
    assert all(breaker.allows(102.0) for _ in range(3))


def test_a_store_that_stays_down_is_asked_less_and_less_often(breaker):
    open_it(breaker, 0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        pause = next(step / 4 for step in range(1, 1000) if breaker.allows(now + step / 4))
        pauses.append(pause)
        now += pause
        breaker.failed(now, ERROR)
    assert pauses == [1, 2, 4, 8, 16, 16, 16]


def test_failing_and_working_again_are_told_once_each(breaker, caplog):
    with caplog.at_level(logging.INFO, "llm_cache"):
        for _ in range(10):
            breaker.failed(100.0, ERROR)
        breaker.succeeded()
        breaker.succeeded()
    assert [record.getMessage() for record in caplog.records] == [
        "reading x failed; calls go on without the cache: disk",
        "reading x works again",
    ]
