"""Where each SDK keeps its HTTP client. It finds them and changes nothing; `seats` has what is put there.

Nothing is imported: a client that was made has brought its library along.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from llm_cache.clients.seats import (
    EndpointSeat,
    HttpxSeat,
    LateSeat,
    NoAiohttpSeat,
    PerLoopSeat,
    RequestsSeat,
    Seat,
)
from llm_cache.clients.switch import Switch
from llm_cache.errors import ConfigError

LIBRARIES = ("httpx2", "httpx")

PATHS: dict[str, tuple[str, ...]] = {
    # SDKs of providers
    "openai": ("_client",),
    "anthropic": ("_client",),
    "groq": ("_client",),
    "together": ("_client",),
    "cerebras": ("_client",),
    "ollama": ("_client",),
    "cohere": ("_client_wrapper.httpx_client.httpx_client",),
    "mistralai": ("sdk_configuration.client", "sdk_configuration.async_client"),
    "azure": ("_client._pipeline._transport.session",),
    # What holds the client of another SDK
    "langchain_openai": (
        "root_client",
        "root_async_client",
        "client._client",
        "async_client._client",
    ),
    "langchain_anthropic": ("_client", "_async_client"),
    "llama_index": ("_get_client()", "_get_aclient()", "_client", "_aclient"),
    "pydantic_ai": ("client", "model", "wrapped"),
    "instructor": ("client",),
    "agents": ("_get_client()", "_client"),
}
"""Ways to an SDK's HTTP client, or to the client of another SDK, by the SDK's top-level package.

A name with `()` is called. Of several ways, those that lead somewhere are taken.
"""
_KINDS = {
    "mistralai": "mistral",
    "AzureOpenAI": "azure",
    "AsyncAzureOpenAI": "azure",
    "AnthropicBedrock": "bedrock",
    "AsyncAnthropicBedrock": "bedrock",
    "AnthropicVertex": "vertex",
    "AsyncAnthropicVertex": "vertex",
}
"""Kinds that are not called like their package, by package or by class."""


class Place(NamedTuple):
    """Something of a client that a switch can be put into.

    Attributes:
        target: the object that is changed.
        kind: the kind of SDK that uses it, None for a bare HTTP client.
        take: makes the seat in it.
    """

    target: Any
    kind: str | None
    take: Callable[[Any, Switch], Seat]


def places(client: object) -> list[Place]:
    """Where to put a switch so that it sees all calls of this client.

    Raises:
        ConfigError: the client is of no known kind.
    """
    found: dict[int, Place] = {id(place.target): place for place in _found(client, None, 0)}
    if not found:
        raise ConfigError(
            f"wrap() does not know how to reach the HTTP client of {type(client).__module__}."
            f"{type(client).__qualname__}: give it an SDK's client or an httpx or httpx2 client"
        )
    return list(found.values())


def package(client: object) -> str:
    """The package whose client this is, "" if it is none that is known."""
    for cls in type(client).__mro__:
        name = cls.__module__.partition(".")[0]
        if name in PATHS or name in LIBRARIES or name in _OTHERS:
            return name
    return ""


def library_of(http: object) -> str | None:
    """The HTTP library whose client this is, looked up without importing either."""
    for name in LIBRARIES:
        library = sys.modules.get(name)
        if library is not None and isinstance(http, (library.Client, library.AsyncClient)):
            return name
    return None


def _found(client: object, kind: str | None, depth: int) -> Iterator[Place]:
    if client is None or depth > _DEEPEST:
        return
    library = library_of(client)
    if library is not None:
        late = getattr(client, "_per_loop", False) is True and hasattr(client, "_client_for_running_loop")
        yield Place(client, kind, partial(PerLoopSeat if late else HttpxSeat, library=library))
        return
    name = package(client)
    if name in _OTHERS:
        yield from _OTHERS[name](client)
        return
    for path in PATHS.get(name, ()):
        yield from _found(_followed(client, path), _kind(client, name), depth + 1)


_DEEPEST = 6
"""An agent has a model, that a provider, that an SDK's client, that an HTTP client."""


def _followed(client: object, path: str) -> object:
    here: object = client
    for name in path.split("."):
        called = name.endswith("()")
        try:
            here = getattr(here, name.removesuffix("()"), None)
            here = here() if called and callable(here) else here
        except Exception:
            # Some are made when they are first asked for, and may lack a key for it.
            return None
    return here


def _kind(client: object, name: str) -> str:
    named = [_KINDS[cls.__name__] for cls in type(client).__mro__ if cls.__name__ in _KINDS]
    return named[0] if named else _KINDS.get(name, name)


def _genai(client: Any) -> Iterator[Place]:
    api = getattr(client, "_api_client", None)
    if api is None:
        return
    kind = "vertex" if getattr(api, "vertexai", None) else "google"
    for http in (getattr(api, "_httpx_client", None), getattr(api, "_async_httpx_client", None)):
        yield from _found(http, kind, 0)
    if hasattr(api, "_use_aiohttp"):
        yield Place(api, kind, NoAiohttpSeat)


def _huggingface(client: Any) -> Iterator[Place]:
    if hasattr(client, "_get_async_client"):
        seat = partial(LateSeat, name="_get_async_client", seat_of=_late_httpx)
        yield Place(client, "huggingface", seat)
        return
    # The session belongs to all sync clients of the process.
    utils = sys.modules.get("huggingface_hub.utils")
    if utils is not None and hasattr(client, "chat_completion"):
        yield from _found(utils.get_session(), "huggingface", 0)


def _late_httpx(http: Any, switch: Switch) -> Seat:
    return HttpxSeat(http, switch, library_of(http) or "httpx")


def _botocore(client: Any) -> Iterator[Place]:
    endpoint = getattr(client, "_endpoint", None)
    if hasattr(endpoint, "http_session"):
        yield Place(endpoint, "bedrock", EndpointSeat)


def _requests(client: Any) -> Iterator[Place]:
    if hasattr(client, "get_adapter"):
        yield Place(client, None, RequestsSeat)


_OTHERS: dict[str, Callable[[Any], Iterator[Place]]] = {
    "google": _genai,
    "huggingface_hub": _huggingface,
    "botocore": _botocore,
    "requests": _requests,
}
"""SDKs that no path leads to."""
