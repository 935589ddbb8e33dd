"""FakeClock: stands still, and moves only as told."""

import pytest

from llm_cache.testing import FakeClock


def test_it_stands_still():
    clock = FakeClock()
    assert clock() == clock()


def test_it_advances_by_what_it_is_told():
    clock = FakeClock(100.0)
    assert clock.advance(2.5) == 102.5
    assert clock() == 102.5
    assert clock.now_ns() == 102_500_000_000


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_it_does_not_advance_backwards(seconds):
    clock = FakeClock(100.0)
    with pytest.raises(ValueError, match="set"):
        clock.advance(seconds)
    assert clock() == 100.0


def test_it_can_be_set_back():
    clock = FakeClock(100.0)
    clock.set(50)
    assert clock() == 50.0
