"""At most one flight a key, in one domain; and what is known of it is never out of date by a moment that matters."""

from __future__ import annotations

import gc

from llm_cache.core.effects import Claimed
from llm_cache.runtime import registry
from llm_cache.runtime.registry import NO_CONVOY_S, Flights, fetching, flights_at, note_inner, within
from llm_cache.runtime.tape import Tape


class Paper:
    """A flight of which the test decides everything."""

    def __init__(self, domain="d", *, limit=100):
        self.domain = domain
        self.dead = False
        self.release = None
        self.tape = Tape(limit)
        self.asked = 0

    def sit(self):
        self.asked += 1
        return self.tape.sit()


def never():
    raise AssertionError("no flight was to be made")


def claim(flights: Flights, key="k", domain="d", make=None, now=0.0):
    return flights.claim(key, domain, make or (lambda: Paper(domain)), now)


def test_the_first_leads_and_the_next_of_its_domain_follow():
    flights = Flights()
    claimed, flight, seat = claim(flights)
    assert (claimed, seat) == (Claimed.LEAD, 0)
    assert claim(flights, make=never) == (Claimed.FOLLOW, flight, 1)
    assert claim(flights, key="other")[0] is Claimed.LEAD


def test_another_domain_finds_it_busy():
    flights = Flights()
    _, flight, _ = claim(flights)
    assert claim(flights, domain="e", make=never) == (Claimed.BUSY, None, 0)
    assert flights.busy("k")
    assert not flights.busy("other")
    assert (flights.domain_of("k"), flights.domain_of("other")) == ("d", None)
    flights.land("k", flight)
    assert not flights.busy("k")
    assert claim(flights, domain="e")[0] is Claimed.LEAD


def test_what_is_dead_is_replaced_whichever_domain_it_was_of():
    for domain in ("d", "e"):
        flights = Flights()
        _, dead, _ = claim(flights)
        dead.dead = True
        assert not flights.busy("k")
        claimed, flight, _ = claim(flights, domain=domain)
        assert claimed is Claimed.LEAD
        assert flight is not dead
        # The dead one lands late, and takes nothing away from its successor.
        flights.land("k", dead)
        assert flights.busy("k")


def test_what_dies_between_two_looks_is_replaced_too():
    flights = Flights()
    _, dying, _ = claim(flights)

    def sit():
        dying.dead = True

    dying.sit = sit
    assert claim(flights)[0] is Claimed.LEAD


def test_what_keeps_no_more_for_newcomers_is_left_alone():
    flights = Flights()
    _, flight, _ = claim(flights, make=lambda: Paper(limit=0))
    flight.tape.add(b"a")
    assert claim(flights, make=never) == (Claimed.ALONE, None, 0)


def test_landing_twice_changes_nothing():
    flights = Flights()
    _, flight, _ = claim(flights)
    flights.land("k", flight)
    flights.land("k", flight)
    claimed, other, _ = claim(flights)
    assert claimed is Claimed.LEAD
    flights.land("k", flight)
    assert flights.busy("k")
    assert other is not flight


def test_after_an_error_nobody_waits_for_some_seconds():
    flights = Flights()
    _, flight, _ = claim(flights)
    flights.land("k", flight, failed_at=100.0)
    for now in (100.0, 100.0 + NO_CONVOY_S - 0.1):
        assert claim(flights, make=never, now=now) == (Claimed.ALONE, None, 0)
    assert claim(flights, key="other", now=100.0)[0] is Claimed.LEAD
    assert claim(flights, now=100.0 + NO_CONVOY_S)[0] is Claimed.LEAD
    assert flights._failed_until == {}


def test_keys_that_failed_are_forgotten_also_if_nobody_asks_for_them_again():
    flights = Flights()
    for number in range(5000):
        flights.land(f"k{number}", Paper(), failed_at=float(number))
    assert len(flights._failed_until) <= registry._MOST_FAILED + 1
    assert claim(flights, key="k4999", now=4999.0)[0] is Claimed.ALONE


def test_caches_of_one_store_share_their_flights_and_others_do_not():
    one = flights_at("/a")
    assert flights_at("/a") is one
    assert flights_at("/b") is not one
    assert flights_at(None) is not flights_at(None)
    del one
    gc.collect()
    assert "/a" not in registry._by_place


# --- calls within calls -----------------------------------------------------------------------------


def test_a_fetch_is_known_inside_of_it_and_only_there():
    assert not within("k")
    with fetching("k"):
        assert within("k")
        with fetching("inner"):
            assert within("k")
            assert within("inner")
        assert not within("inner")
    assert not within("k")


def test_an_outer_fetch_learns_of_inner_ones_and_inner_ones_of_nothing():
    with fetching("outer") as outer:
        assert not outer.nested
        with fetching("inner") as inner:
            pass
    assert (outer.nested, inner.nested) == (True, False)


def test_a_hit_inside_a_fetch_makes_it_nested_too():
    note_inner()
    with fetching("outer") as outer:
        note_inner()
    assert outer.nested
