"""What an SDK gave, as a list to compare: plain objects, streams of either kind, and boto3's dictionaries."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from llm_cache.clients.places import library_of, places


def gathered(result: Any) -> list[Any]:
    """All that a sync call gave."""
    if isinstance(result, dict) and "ResponseMetadata" in result:
        return _of_boto3(result)
    if hasattr(result, "generator") and hasattr(result, "__enter__"):
        with result as stream:
            return list(stream)
    return list(result) if is_stream(result) else [result]


async def agathered(result: Any) -> list[Any]:
    """All that an async call gave."""
    if inspect.isawaitable(result):
        result = await result
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    return [result]


def is_stream(value: Any) -> bool:
    """Whether it is there to be iterated over, and is no object with fields."""
    return hasattr(value, "__next__") or (
        hasattr(value, "__iter__") and not hasattr(value, "model_dump") and not isinstance(value, (dict, list, tuple))
    )


def _of_boto3(result: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for name, value in result.items():
        if name == "ResponseMetadata":
            # Its headers are raw ones.
            found.append((name, value["HTTPStatusCode"], value.get("RequestId")))
        elif hasattr(value, "read"):
            found.append((name, value.read()))
        elif hasattr(value, "__iter__") and not isinstance(value, (dict, list, str, bytes)):
            found.extend((name, event) for event in value)
        else:
            found.append((name, value))
    return found


def same(first: Any, second: Any) -> None:
    """Two objects of an SDK do not differ in anything that a program could see."""
    assert type(first) is type(second)
    if hasattr(first, "sdk_http_response"):
        # google-genai's copy of the raw headers.
        first = first.model_copy(update={"sdk_http_response": None})
        second = second.model_copy(update={"sdk_http_response": None})
    assert first == second
    assert repr(first) == repr(second)
    if hasattr(first, "model_dump"):
        assert first.model_dump(exclude_unset=True) == second.model_dump(exclude_unset=True)
        assert first.model_dump_json() == second.model_dump_json()
    assert getattr(first, "_request_id", None) == getattr(second, "_request_id", None)


def all_same(first: list[Any], second: list[Any]) -> None:
    """The same, one by one."""
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        same(one, other)


def close(client: Any) -> None:
    """Let go of the connections of a client; many SDKs have no method for it."""
    for place in places(client):
        if place.kind == "huggingface":
            # Its session is the process's.
            sys.modules["huggingface_hub"].close_session()
        elif library_of(place.target) and not hasattr(place.target, "aclose"):
            place.target.close()
        elif hasattr(place.target, "http_session"):
            place.target.http_session.close()


async def aclose(client: Any) -> None:
    """The same for an event loop."""
    if hasattr(client, "aio"):
        await client.aio.aclose()
        return
    for place in places(client):
        if library_of(place.target) and hasattr(place.target, "aclose"):
            await place.target.aclose()
        elif hasattr(place.target, "_get_async_client"):
            await place.target.close()
