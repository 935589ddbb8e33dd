"""What a function returned comes back: of the same type, equal, and every caller's own; or it is not kept."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import math
import random
import subprocess
import sys
import textwrap
import uuid
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from llm_cache import cached_call, last_call
from llm_cache.codec import values_format as form
from llm_cache.core.model import Frame, Head
from tests.clients import call_classes
from tests.clients.call_classes import Bits, Model, Odd, Open, Point, Slotted, Tone

VALUES = [
    None, True, 0, -1, 2**70, 1.5, -0.0, math.inf, "", "\ud83d", "é", b"\0", [], {}, (), set(), frozenset({1}),
    {"a": [1, (2, {3})], 4: None, (5,): "six"}, Tone.WARM, Bits.A, Point(1, Point(2)), Slotted(1, [2]),
    Model(name="a"), Open(a=1), [Model(name="a", n=1), Tone.COLD], decimal.Decimal("1.10"), uuid.UUID(int=1),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.date(2024, 1, 1), dt.timedelta(1), Path("a"),
]  # fmt: skip


@pytest.fixture
def ask(cache):
    numbers = itertools.count(1)

    @cached_call(cache=cache)
    def ask(make):
        next(numbers)
        return VALUES[make]

    ask.calls = lambda: next(numbers) - 1
    return ask


@pytest.mark.parametrize("number", range(len(VALUES)), ids=lambda number: repr(VALUES[number]))
def test_values(ask, number):
    value = VALUES[number]
    first = ask(number)
    assert first is value
    second = ask(number)
    assert last_call().status == "hit"
    assert (type(second), repr(second)) == (type(value), repr(value))
    assert second == value


def test_nan(cache):
    ask = cached_call(cache=cache)(lambda: [math.nan])
    ask()
    assert math.isnan(ask()[0])


def test_what_one_caller_changes_no_other_sees(cache):
    @cached_call(cache=cache)
    def ask():
        return {"list": [1], "point": Point([1]), "model": Model(name="a")}

    for result in (ask(), ask(), ask()):
        result["list"].append(2)
        result["point"].x.append(2)
        result["model"].name = "b"
        result["new"] = 1
    assert ask() == {"list": [1], "point": Point([1]), "model": Model(name="a")}


def test_no_code_of_a_class_runs_on_a_hit(cache):
    @cached_call(cache=cache)
    def ask():
        return Point(1)

    ask()
    call_classes.ran.clear()
    assert ask() == Point(1)
    assert call_classes.ran == ["Point"]  # the one that we made to compare with


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_what_cannot_be_kept_is_returned_with_one_warning(cache, caplog, warned, kind):
    odd = Odd()
    if kind == "plain":
        plain = cached_call(cache=cache)(lambda x: [x, odd])

        async def ask(x):
            return plain(x)
    else:

        @cached_call(cache=cache)
        async def ask(x):
            return [x, odd]

    for x in (1, 1, 2):
        assert (await ask(x))[1] is odd
        assert last_call().status == "miss"
    assert list(cache.entries()) == []
    assert len(caplog.records) == 1
    assert "builtins.list" in caplog.text
    assert "call_classes.Odd" in caplog.text


def test_streams_of_the_other_kind_are_left_alone(cache, caplog, warned):
    async def items():
        yield 1

    ask = cached_call(cache=cache)(lambda: items().__aiter__())
    assert type(ask()).__name__ == "async_generator"
    assert "async_generator" in caplog.text


def test_a_class_that_has_changed_is_a_miss(cache, write_module):
    source = """
        import dataclasses, itertools
        numbers = itertools.count(1)
        @dataclasses.dataclass
        class Answer:
            text: str
            number: int = 0
        def ask(x): return Answer("a", next(numbers))
        def make(cached_call, cache): return cached_call(cache=cache, version=1)(ask)
    """
    module = write_module(source)
    assert module.make(cached_call, cache)(1).number == 1
    assert module.make(cached_call, cache)(1).number == 1
    same = write_module(source)
    assert same.make(cached_call, cache)(1).number == 1
    assert type(same.make(cached_call, cache)(1)) is same.Answer
    changed = write_module(source.replace("number: int = 0", "number: int = 0\n            more: int = 1"))
    assert changed.make(cached_call, cache)(1).more == 1
    assert last_call().status == "miss"
    gone = write_module("def ask(x): return 5\ndef make(c, cache): return c(cache=cache, version=1)(ask)\n")
    assert gone.make(cached_call, cache)(1) == 5


# --- records that somebody has made up -------------------------------------------------------


def forged(cache, ask, head, *frames):
    """Put something else in the place of an answer."""
    (entry,) = cache.entries()
    headers = entry.head.headers if head is None else ((("content-type", head),) if head else ())
    other = replace(
        entry, head=Head(200, headers), frames=tuple(Frame(data, 0) for data in frames), asked=None, key=entry.key
    )
    cache.engine.store.put(cache.engine.codec.encode(other))


SDK = "application/x-llm-cache-stream;sdk={}&class={}&item={}&provider=openai&path=/v1/chat/completions"
CHUNK = "openai.types.chat:ChatCompletionChunk"
HEADS = [
    "", "text/plain", "application/json", "application/x-llm-cache-value", "application/x-llm-cache-else",
    "application/x-llm-cache-result;x=1", "application/x-llm-cache-items", "application/x-llm-cache-binary",
    SDK.format("os", "system", CHUNK), SDK.format("openai", "OpenAI", CHUNK), SDK.format("openai", "__class__", CHUNK),
    SDK.format("openai", "AsyncStream", CHUNK), SDK.format("subprocess", "Stream", "subprocess:Popen"),
    SDK.format("openai", "Stream", "os:system"), SDK.format("openai", "Stream", "openai.types.chat:Annotated"),
    SDK.format("openai", "Stream", "openai._client:OpenAI"), SDK.format("openai", "Stream", "openai.types..x:Y"),
    SDK.format("openai", "Stream", "wave:Wave_read"),
    SDK.format("openai", "Stream", "openai.types.nothing:Chunk"), SDK.format("openai", "Stream", ""),
    SDK.format("openai", "Stream", "openai.types.os:system"), SDK.format("groq", "Stream", "groq.types.chat:X"),
    SDK.format("openai", "Stream", "openai.types.chat.chat_completion_chunk:List"),
    "application/x-llm-cache-binary;sdk=openai&class=Stream", "application/x-llm-cache-binary;sdk=os&class=system",
]  # fmt: skip
FRAMES = [
    b"",
    b"\0",
    b"\1",
    b"\2",
    b"\xff" * 9,
    b"\1\xc1",
    form.joined(msgspec.msgpack.encode([["os:system", b""]]), b"\xc0"),
]


@pytest.mark.parametrize("head", HEADS)
def test_a_forged_head_is_a_miss_or_the_right_kind_and_imports_nothing(cache, head):
    pytest.importorskip("openai")
    ask = cached_call(cache=cache)(lambda: "right")
    ask()
    loaded = set(sys.modules)
    for frame in FRAMES:
        forged(cache, ask, head, frame)
        assert ask() == "right"
        assert last_call().status == "miss"
    assert {name for name in set(sys.modules) - loaded if not name.startswith("openai.types")} == set()


@pytest.mark.parametrize("frame", FRAMES)
def test_a_forged_value_is_a_miss(cache, frame):
    for wrapper in (lambda: "right", lambda: iter(["right"])):
        ask = cached_call(cache=cache)(wrapper)
        ask.invalidate()
        expected = ask()
        expected = expected if isinstance(expected, str) else list(expected)
        forged(cache, ask, None, frame)
        again = ask()
        assert (again if isinstance(again, str) else list(again)) == expected
        cache.purge(everything=True)


def test_no_damage_to_a_record_raises(cache):
    ask = cached_call(cache=cache)(lambda: [Point(1), Model(name="a"), Tone.WARM, {"a": (1,)}])
    right = ask()
    (entry,) = cache.entries()
    data, chance = entry.frames[0].data, random.Random(7)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        forged(cache, ask, None, bytes(damaged))
        ask()  # some value or a miss, and no error
        ask.invalidate()
        assert ask() == right


def test_no_record_makes_us_import(tmp_path):
    program = """
        import sys
        from llm_cache import LLMCache, cached_call, last_call
        from llm_cache.core.model import Frame, Head
        from dataclasses import replace
        cache = LLMCache(database_url="cache.db")
        ask = cached_call(cache=cache)(lambda: "right")
        ask()
        (entry,) = cache.entries()
        for head in (%r, "application/x-llm-cache-binary;sdk=openai&class=HttpxBinaryResponseContent"):
            cache.engine.store.put(cache.engine.codec.encode(replace(
                entry, head=Head(200, (("content-type", head),)), frames=(Frame(b"data: {}", 0),), asked=None)))
            print(ask(), last_call().status, "openai" in sys.modules, "httpx2" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program) % SDK.format("openai", "Stream", CHUNK)],
        capture_output=True, text=True, cwd=tmp_path, timeout=50, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["right miss False False"] * 2, done.stderr


def test_a_generator_finds_no_plain_value_under_its_key_and_the_reverse(cache):
    def items(x):
        yield "item"

    generator = cached_call(cache=cache, version=1)(items)
    plain = cached_call(cache=cache, version=1)(replaced(items, lambda x: "value"))
    assert generator.cache_key(1) == plain.cache_key(1)
    assert plain(1) == "value"
    assert list(generator(1)) == ["item"]
    assert last_call().status == "miss"
    assert list(plain(1)) == ["item"]  # items are as good an answer to a function


def replaced(function, other):
    other.__name__, other.__qualname__, other.__module__ = (
        function.__name__, function.__qualname__, function.__module__,
    )  # fmt: skip
    return other
