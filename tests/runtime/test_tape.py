"""Every seat reads every chunk once, in order; what all have read is kept only while somebody may still come."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llm_cache.runtime.tape import Tape


def test_every_seat_reads_every_chunk_from_the_first():
    tape = Tape(100)
    one = tape.sit()
    assert not tape.begun
    tape.add(b"a")
    assert tape.begun
    two = tape.sit()
    assert [tape.next(one), tape.next(one), tape.next(two), tape.next(two)] == [b"a", None, b"a", None]


def test_nothing_is_dropped_below_the_limit_so_that_anybody_may_still_come():
    tape = Tape(2)
    seat = tape.sit()
    for data in (b"a", b"b"):
        tape.add(data)
        assert tape.next(seat) == data
    assert tape.whole
    assert not tape.crowded
    assert tape.next(tape.sit()) == b"a"


def test_past_the_limit_nobody_may_sit_and_what_all_have_read_is_dropped():
    tape = Tape(2)
    fast, slow = tape.sit(), tape.sit()
    for data in (b"a", b"b", b"c"):
        tape.add(data)
        assert tape.next(fast) == data
    assert (tape.whole, tape.crowded) == (False, True)
    assert tape.sit() is None
    assert tape.next(slow) == b"a"
    assert not tape.crowded
    assert [tape.next(slow), tape.next(slow), tape.next(slow)] == [b"b", b"c", None]
    assert tape._size == 0
    assert tape.begun


def test_the_last_to_leave_is_told_and_leaving_twice_changes_nothing():
    tape = Tape(2)
    one, two = tape.sit(), tape.sit()
    assert tape.leave(one) is False
    assert tape.leave(one) is False
    assert tape.taken(two)
    assert not tape.taken(one)
    assert tape.leave(two) is True
    assert tape.leave(two) is False
    assert tape.seats == 0


def test_a_seat_that_was_given_up_reads_nothing():
    tape = Tape(100)
    seat = tape.sit()
    tape.add(b"a")
    tape.leave(seat)
    assert tape.next(seat) is None


def test_the_slowest_leaving_makes_room():
    tape = Tape(2)
    fast, slow = tape.sit(), tape.sit()
    for data in (b"aa", b"bb"):
        tape.add(data)
        tape.next(fast)
    assert tape.crowded
    tape.leave(slow)
    assert not tape.crowded
    assert tape._chunks == []


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.binary(max_size=5)),
        st.tuples(st.just("sit"), st.none()),
        st.tuples(st.just("next"), st.integers(0, 5)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(st.integers(0, 20), ACTS)
def test_whatever_happens_each_seat_reads_a_prefix_of_all_chunks_in_order(limit, acts):
    tape, added, read = Tape(limit), [], {}
    for act, value in acts:
        if act == "add":
            tape.add(value)
            added.append(value)
        elif act == "sit":
            seat = tape.sit()
            assert (seat is None) == (not tape.whole)
            if seat is not None:
                read[seat] = []
        elif value in read and tape.taken(value):
            if act == "leave":
                tape.leave(value)
            else:
                ready = tape.ready(value)
                data = tape.next(value)
                assert ready == (data is not None)
                assert (data is None) == (len(read[value]) == len(added))
                if data is not None:
                    read[value].append(data)
        for chunks in read.values():
            assert chunks == added[: len(chunks)]
        slowest = min((len(chunks) for seat, chunks in read.items() if tape.taken(seat)), default=None)
        if not tape.whole and slowest is not None:
            assert tape._size == sum(map(len, added[slowest:]))
