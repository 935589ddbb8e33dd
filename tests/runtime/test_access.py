"""Whatever a store, a codec or a listener does costs a miss, a count and a line in the log, never a call."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from llm_cache.core.events import Dropped, Hit, Missed, Stored, StoreFailed
from llm_cache.errors import FormatError, StoreBusy, StoreError, UncacheableError
from llm_cache.runtime.writer import Writer
from llm_cache.stores.base import EVERYTHING
from llm_cache.stores.memory import MemoryStore
from tests.core.making import KEY, entry
from tests.runtime.staging import PATIENCE_S, Gate, Stage, settled

BODY = b"a\nb\nEND\n"
ERRORS = [StoreError("full"), StoreBusy("locked"), OSError("disk"), ValueError("bug"), RecursionError(), MemoryError()]


class Faulty(MemoryStore):
    """Raises, or waits at a gate, in the methods that are named."""

    def __init__(self, **faults):
        super().__init__()
        self.faults = faults
        self.asked = []

    def _fault(self, name):
        self.asked.append(name)
        fault = self.faults.get(name)
        if isinstance(fault, BaseException):
            raise fault
        if fault is not None:
            fault.wait()

    def get(self, key):
        self._fault("get")
        return super().get(key)

    def put(self, row):
        self._fault("put")
        super().put(row)

    def scan(self, where=EVERYTHING, limit=None):
        self._fault("scan")
        return super().scan(where, limit)

    def generation(self):
        self._fault("generation")
        return super().generation()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("operation", ["get", "put", "generation"])
def test_a_store_that_raises_anything_costs_a_miss_and_a_count(operation, error):
    stage = Stage(store=Faulty(**{operation: error}))
    assert stage.call() == BODY
    assert stage.call() == BODY
    failed = stage.ear.of(StoreFailed)
    assert {event.operation for event in failed} == {"put" if operation == "put" else "get"}
    assert {event.error for event in failed} <= {str(error), "skipped"}
    assert {event.about.key for event in failed} == {KEY}
    assert not stage.access.healthy
    assert stage.ear.count(Missed) == 2
    assert stage.ear.count(Stored if operation != "put" else Dropped) == 2


@pytest.mark.parametrize("operation", ["get", "put"])
async def test_on_a_loop_a_store_that_raises_costs_a_miss_and_a_count(operation):
    stage = Stage(store=Faulty(**{operation: OSError("disk")}))
    assert await stage.acall() == BODY
    assert await stage.acall() == BODY
    assert {event.operation for event in stage.ear.of(StoreFailed)} == {operation}


def test_a_store_that_fails_is_told_of_in_one_line_and_when_it_works_again(caplog):
    store = Faulty(get=StoreError("locked"))
    stage = Stage(store=store)
    for _ in range(5):
        stage.call()
    lines = [record.getMessage() for record in caplog.records if record.name == "llm_cache"]
    assert lines == ["reading the cache in :memory: failed; calls go on without the cache: locked"]
    store.faults.clear()
    stage.access._reading._until = 0.0
    stage.call()
    assert stage.access.healthy
    assert caplog.records[-1].getMessage() == "reading the cache in :memory: works again"
    assert stage.ear.count(Hit) == 1


def test_a_store_that_stays_down_is_not_asked_for_a_while():
    store = Faulty(get=OSError("disk"), put=OSError("disk"))
    stage = Stage(store=store)
    for _ in range(20):
        assert stage.call() == BODY
    assert store.asked.count("get") == 3
    assert store.asked.count("put") == 3
    assert sum(event.error == "skipped" for event in stage.ear.of(StoreFailed)) > 20


# --- stores that hang -------------------------------------------------------------------------------


def test_a_save_that_hangs_costs_its_deadline_and_then_nothing():
    gate = Gate()
    stage = Stage(store=Faulty(put=gate), write_timeout_s=0.05, writer=Writer())
    began = time.monotonic()
    for _ in range(6):
        assert stage.call() == BODY
    took_s = time.monotonic() - began
    assert 0.15 <= took_s < 2
    assert [event.reason for event in stage.ear.of(Dropped)] == ["store_failed"] * 6
    assert {event.error for event in stage.ear.of(StoreFailed)} == {"not written within 0.05 s", "skipped"}
    gate.open()
    stage.access.writer.drain(PATIENCE_S)
    # What was queued has been written after all, and the breaker has heard of it.
    assert stage.stored == [BODY]
    assert stage.access.healthy


async def test_on_a_loop_a_save_that_hangs_costs_its_deadline_and_holds_nobody_up():
    gate = Gate()
    stage = Stage(store=Faulty(put=gate), write_timeout_s=0.1, writer=Writer())
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.005)

    ticking = asyncio.create_task(tick())
    assert await stage.acall() == BODY
    ticking.cancel()
    assert len(ticks) >= 5
    assert stage.ear.of(Dropped)[0].reason == "store_failed"
    gate.open()
    stage.access.writer.drain(PATIENCE_S)


def test_a_lookup_that_was_seen_to_hang_is_waited_for_no_longer_than_its_deadline():
    """The first cannot be interrupted; from then on lookups go through the background thread until one is in time."""
    gate = Gate()
    store = Faulty()
    stage = Stage(store=store, read_timeout_s=0.02, writer=Writer())
    store.faults["get"] = type("Slow", (), {"wait": lambda self: time.sleep(0.15)})()
    assert stage.call() == BODY
    assert not stage.access.inline
    store.faults["get"] = gate
    began = time.monotonic()
    for _ in range(8):
        assert stage.access.lookup(KEY) is None
    assert time.monotonic() - began < 2
    assert {event.error for event in stage.ear.of(StoreFailed)} == {"not read within 0.02 s", "skipped"}
    gate.open()
    stage.access.writer.drain(PATIENCE_S)
    stage.access._reading._until = 0.0
    settled(lambda: stage.access.lookup(KEY) is not None)
    assert stage.access.inline


# --- records that are bad -----------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x8aLC\x01" + bytes(60)])
def test_a_record_that_is_damaged_is_a_miss_and_is_replaced(damage, caplog):
    stage = Stage()
    stage.call()
    row = stage.store.get(bytes.fromhex(KEY))
    stage.store._rows[row.key] = row._replace(value=damage)
    with caplog.at_level(logging.WARNING, "llm_cache"):
        assert stage.call() == BODY
    assert stage.source.sends == 2
    assert {event.operation for event in stage.ear.of(StoreFailed)} == {"decode"}
    assert stage.access.healthy
    assert stage.call() == BODY
    assert stage.source.sends == 2


@pytest.mark.parametrize("error", [FormatError("old"), KeyError("bug")])
def test_an_entry_that_cannot_be_served_to_this_caller_is_a_miss_to_it(error):
    def refuse(_entry):
        raise error

    stage = Stage()
    stage.call()
    assert stage.call(verify=refuse) == BODY
    assert stage.source.sends == 2
    assert stage.call(verify=lambda _entry: None) == BODY
    assert stage.source.sends == 2


def test_an_answer_that_cannot_be_encoded_is_not_the_stores_fault(monkeypatch):
    stage = Stage()

    def refuse(_entry):
        raise UncacheableError("too large")

    monkeypatch.setattr(stage.access.codec, "encode", refuse)
    for _ in range(5):
        assert stage.call() == BODY
    assert {event.operation for event in stage.ear.of(StoreFailed)} == {"encode"}
    assert stage.access.healthy
    monkeypatch.undo()
    stage.call()
    assert stage.stored == [BODY]


def test_what_is_saved_is_what_is_looked_up():
    stage = Stage()
    kept = entry(ttl_s=None)
    assert stage.access.save(kept)
    found = stage.access.lookup(KEY)
    assert (found.body, found.head) == (kept.body, kept.head)
    assert [frame.data for frame in found.frames] == [frame.data for frame in kept.frames]
    # Waits are kept to an eighth of their length.
    assert [frame.at_us for frame in found.frames] == pytest.approx([frame.at_us for frame in kept.frames], rel=1 / 8)
    assert stage.access.lookup("00" * 32) is None
