"""Answers the calls of decorated functions: one way for each kind of function. What is cached, the plan decides.

Sync and async differ in verbs only.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

from llm_cache.clients.call_reader import ITEMS, RESULT, STREAM, told
from llm_cache.clients.calls import Recipe, maker_of
from llm_cache.clients.results import (
    AsyncItems,
    AsyncResult,
    Items,
    Result,
    arelayed,
    is_async_items,
    is_items,
    relayed,
)
from llm_cache.clients.sdk_replay import ASYNC, FILE, SYNC
from llm_cache.clients.sdk_streams import AsyncFileReply, AsyncSdkReply, FileReply, SdkReply, Unknown, kind_of
from llm_cache.clients.values import Unkeepable, decoded
from llm_cache.core.plan import Pass, Replay
from llm_cache.core.policy import Policy
from llm_cache.errors import CacheMissError
from llm_cache.runtime import aio, sync

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Answer = Callable[[Recipe, Callable[..., Any], Args, Kwargs], Any]


def answerer(function: Any) -> Answer:
    """The way to answer calls of such a function."""
    if inspect.isasyncgenfunction(function):
        return astream
    if inspect.isgeneratorfunction(function):
        return stream
    return acall if inspect.iscoroutinefunction(function) else call


class _Stopped(Exception):
    """Carries a StopIteration that a function raised: a plan is a generator, which would make another error of it."""

    def __init__(self, error: StopIteration) -> None:
        super().__init__()
        self.error = error


# Functions


def call(recipe: Recipe, function: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
    """Answer a call of a function."""
    asked = recipe.begin(None, args, kwargs, "sync")
    replies: list[Any] = []

    def send(_: object) -> Any:
        try:
            value = function(*args, **kwargs)
        except StopIteration as error:
            raise _Stopped(error) from None
        replies.append(_reply(value))
        return replies[-1]

    try:
        outcome = sync.run(asked.ask, asked.engine.world, send, asked.tell)
    except _Stopped as stopped:
        error = stopped.error
    except Exception as problem:
        asked.done("miss", _why(problem))
        raise
    else:
        if isinstance(outcome, Replay):
            return asked.replayed(outcome)
        if isinstance(outcome, Pass):
            asked.done("bypass", outcome.reason)
            return function(*args, **kwargs)
        asked.done("joined" if outcome.follows else "miss", outcome.reason)
        return _theirs(outcome, lambda: function(*args, **kwargs)) if outcome.follows else _mine(outcome, replies[-1])
    asked.done("miss", "failed")
    raise error


def _reply(value: Any) -> Any:
    """What a function returned, as an upstream's reply."""
    if is_items(value):
        return Items(value)
    kind = kind_of(value)
    try:
        if kind is not None and kind[1] in SYNC:
            return SdkReply(value)
        if kind is not None and kind[1] == FILE:
            return FileReply(value)
    except Unknown as unknown:
        return Result(value, str(unknown))
    return Result(value)


def _mine(reader: sync.SyncReader, reply: Any) -> Any:
    """What the caller gets who made the call: what the function returned."""
    if isinstance(reply, SdkReply):
        return reply.attach(reader)
    if isinstance(reply, Items):
        return relayed(reader, reply)
    try:
        for _ in reader:
            pass
    except Unkeepable:
        pass
    return reply.value


def _theirs(reader: sync.SyncReader, again: Callable[[], Any]) -> Any:
    """What the caller gets whose answer is somebody else's, rebuilt; if that cannot be, one of its own."""
    kind, parameters = told(reader.head)
    if kind == ITEMS:
        return relayed(reader, None)
    try:
        if kind == STREAM:
            return maker_of(reader.head, parameters, kind, "sync").stream(reader)
        data = b"".join(reader)
        return decoded(data) if kind == RESULT else maker_of(reader.head, parameters, kind, "sync").file(data)
    except Exception:
        reader.close()
        return again()


def _why(problem: Exception) -> str:
    return "offline" if isinstance(problem, CacheMissError) else "failed"


def stream(recipe: Recipe, function: Callable[..., Any], args: Args, kwargs: Kwargs) -> Generator[Any, None, Any]:
    """Answer a call of a generator function."""
    policy = recipe.policy()
    # Wrong arguments show at the call, as they do without a cache.
    recipe.begin(policy, args, kwargs, "items")
    return _stream(recipe, policy, function, args, kwargs)


def _stream(
    recipe: Recipe, policy: Policy, function: Callable[..., Any], args: Args, kwargs: Kwargs
) -> Generator[Any, Any, Any]:
    # Anew, since the function's body would see the arguments as they are now.
    asked = recipe.begin(policy, args, kwargs, "items")
    replies: list[Items] = []

    def send(_: object) -> Items:
        items = Items(function(*args, **kwargs))
        items.begin()
        replies.append(items)
        return items

    try:
        outcome = sync.run(asked.ask, asked.engine.world, send, asked.tell)
    except Exception as problem:
        asked.done("miss", _why(problem))
        raise
    if isinstance(outcome, Replay):
        return (yield from asked.replayed(outcome))
    if isinstance(outcome, Pass):
        asked.done("bypass", outcome.reason)
        return (yield from function(*args, **kwargs))
    asked.done("joined" if outcome.follows else "miss", outcome.reason)
    return (yield from relayed(outcome, None if outcome.follows else replies[-1]))


# Coroutine functions


async def acall(recipe: Recipe, function: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
    """Answer a call of a coroutine function."""
    asked = recipe.begin(None, args, kwargs, "async")
    replies: list[Any] = []

    async def send(_: object) -> Any:
        replies.append(_areply(await function(*args, **kwargs)))
        return replies[-1]

    try:
        outcome = await aio.run(asked.ask, asked.engine.world, send, asked.tell)
    except Exception as problem:
        asked.done("miss", _why(problem))
        raise
    if isinstance(outcome, Replay):
        return asked.replayed(outcome)
    if isinstance(outcome, Pass):
        asked.done("bypass", outcome.reason)
        return await function(*args, **kwargs)
    asked.done("joined" if outcome.follows else "miss", outcome.reason)
    if outcome.follows:
        return await _atheirs(outcome, lambda: function(*args, **kwargs))
    return await _amine(outcome, replies[-1])


def _areply(value: Any) -> Any:
    """As `_reply`, on an event loop."""
    if is_async_items(value):
        return AsyncItems(value)
    kind = kind_of(value)
    try:
        if kind is not None and kind[1] in ASYNC:
            return AsyncSdkReply(value)
        if kind is not None and kind[1] == FILE:
            return AsyncFileReply(value)
    except Unknown as unknown:
        return AsyncResult(value, str(unknown))
    return AsyncResult(value)


async def _amine(reader: aio.AsyncReader, reply: Any) -> Any:
    """As `_mine`, on an event loop."""
    if isinstance(reply, AsyncSdkReply):
        return reply.attach(reader)
    if isinstance(reply, AsyncItems):
        return arelayed(reader, reply)
    try:
        async for _ in reader:
            pass
    except Unkeepable:
        pass
    return reply.value


async def _atheirs(reader: aio.AsyncReader, again: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """As `_theirs`, on an event loop."""
    kind, parameters = told(reader.head)
    if kind == ITEMS:
        return arelayed(reader, None)
    try:
        if kind == STREAM:
            return maker_of(reader.head, parameters, kind, "async").stream(reader)
        data = b"".join([chunk async for chunk in reader])
        return decoded(data) if kind == RESULT else maker_of(reader.head, parameters, kind, "async").file(data)
    except Exception:
        await reader.aclose()
        return await again()


def astream(recipe: Recipe, function: Callable[..., Any], args: Args, kwargs: Kwargs) -> AsyncGenerator[Any, None]:
    """Answer a call of an async generator function."""
    policy = recipe.policy()
    recipe.begin(policy, args, kwargs, "async items")
    return _astream(recipe, policy, function, args, kwargs)


async def _astream(
    recipe: Recipe, policy: Policy, function: Callable[..., Any], args: Args, kwargs: Kwargs
) -> AsyncGenerator[Any, Any]:
    asked = recipe.begin(policy, args, kwargs, "async items")
    replies: list[AsyncItems] = []

    async def send(_: object) -> AsyncItems:
        items = AsyncItems(function(*args, **kwargs))
        await items.begin()
        replies.append(items)
        return items

    try:
        outcome = await aio.run(asked.ask, asked.engine.world, send, asked.tell)
    except Exception as problem:
        asked.done("miss", _why(problem))
        raise
    inner: AsyncGenerator[Any, Any]
    if isinstance(outcome, Replay):
        inner = asked.replayed(outcome)
    elif isinstance(outcome, Pass):
        asked.done("bypass", outcome.reason)
        inner = function(*args, **kwargs)
    else:
        asked.done("joined" if outcome.follows else "miss", outcome.reason)
        inner = arelayed(outcome, None if outcome.follows else replies[-1])
    # What `yield from` is for generators.
    try:
        item = await anext(inner)
        while True:
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as thrown:
                item = await inner.athrow(thrown)
            else:
                item = await inner.asend(sent)
    except StopAsyncIteration:
        return
    finally:
        await inner.aclose()
