"""`play` fails when a plan leaves its script, and says where."""

from __future__ import annotations

import pytest

from llm_cache.core.effects import Claim, Claimed, Lookup
from llm_cache.testing import play


def two_steps():
    entry = yield Lookup("k")
    claimed = yield Claim("k")
    return entry, claimed


def test_a_plan_that_keeps_to_its_script_hands_back_what_it_returned():
    assert play(two_steps(), (Lookup("k"), 1), (Claim("k"), Claimed.LEAD)) == (1, Claimed.LEAD)
    assert play(two_steps(), Lookup("k"), (Claim, 2), returns=(None, 2)) == (None, 2)
    play(two_steps(), lambda effect: effect.key == "k", Claim, returns=tuple)


def test_a_beginning_hands_back_what_comes_next():
    assert play(two_steps(), (Lookup("k"), 1), goes_on=True) == Claim("k")


def test_an_exception_is_thrown_into_the_plan_and_may_be_what_it_raises():
    broken = OSError("broken")
    assert play(two_steps(), (Lookup("k"), broken), raises=broken) is broken
    assert play(two_steps(), (Lookup("k"), broken), raises=OSError) is broken


@pytest.mark.parametrize(
    ("script", "ending", "message"),
    [
        ([Lookup("other")], {}, r"1\. expected: Lookup\(key='other'\)\n +but came: Lookup\(key='k'\)"),
        ([Claim], {}, r"1\. expected: Claim\n"),
        ([(Lookup("k"), 7), Lookup("k")], {}, r"1\. Lookup\(key='k'\)  <-  7\n +2\. expected: Lookup"),
        ([Lookup, Claim, Lookup], {}, r"3\. expected: Lookup\n +but came: it returned \(None, None\)"),
        ([Lookup, Claim], {"returns": 7}, r"it returns 7\n +but came: it returned \(None, None\)"),
        ([Lookup, Claim], {"raises": OSError}, r"it raises OSError\n +but came: it returned"),
        ([Lookup, Claim], {"goes_on": True}, r"it goes on\n +but came: it returned"),
        ([Lookup], {}, r"2\. expected: it returns anything\n +but came: Claim"),
        ([(Lookup, OSError("x"))], {}, r"<-  throw OSError\('x'\)\n +2\. .*\n +but came: it raised OSError\('x'\)"),
        ([(Lookup, OSError("x"))], {"raises": KeyError}, r"it raises KeyError\n +but came: it raised OSError"),
        ([(Lookup, OSError("x")), Claim], {}, r"2\. expected: Claim\n +but came: it raised OSError"),
    ],
)
def test_a_plan_that_leaves_its_script_fails_with_the_transcript(script, ending, message):
    with pytest.raises(AssertionError, match=message):
        play(two_steps(), *script, **ending)
