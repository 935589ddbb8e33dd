"""The stream objects of the SDKs, and their files: recorded as bytes while they are read.

The caller keeps the very object that the SDK made; only the body under its response is replaced, by one that others can
read along with. It must not read a byte that nobody has asked for.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

from llm_cache.clients.bodies import async_body_of, body_of
from llm_cache.clients.call_reader import BINARY, STREAM, head_of, stream_reader
from llm_cache.clients.sdk_replay import ANYTHING, AWS, FILE, HOMES, class_named, types_of
from llm_cache.core.model import Head, Headers, Request
from llm_cache.core.signature import loads
from llm_cache.providers.registry import recognise


class Unknown(Exception):
    """A stream that cannot be recorded, and why."""


def kind_of(value: object) -> tuple[str, str] | None:
    """The SDK and the class of a stream or a file, or None if it is neither."""
    cls = type(value)
    sdk = cls.__module__.partition(".")[0]
    if cls.__name__ in HOMES.get(sdk, {}) and class_named(sdk, cls.__name__) is cls:
        return sdk, cls.__name__
    return None


def described(value: Any) -> Head:
    """The head of the recording of a stream or a file.

    Raises:
        Unknown: it cannot be recorded.
    """
    kind = kind_of(value)
    if kind is None:
        raise Unknown("it is no stream of an SDK")
    sdk, name = kind
    response = value.response
    if response.status_code != 200:
        raise Unknown(f"its status is {response.status_code}")
    headers = pairs(response.headers)
    parameters = {
        "sdk": sdk,
        "class": name,
        "url": str(response.url.copy_with(query=None, fragment=None, userinfo=b"")),
    }
    parameters["type"] = response.headers.get("content-type", "")
    request = response.request
    asked = Request(request.method, str(request.url), pairs(request.headers), _content(request))
    body = loads(asked.body).value
    endpoint = recognise(asked, body, kind=sdk)
    parameters["provider"] = endpoint.provider if endpoint is not None else sdk
    if name == FILE:
        return head_of(BINARY, parameters, headers)
    if response.is_stream_consumed or response.is_closed:
        raise Unknown("it has been read already")
    if endpoint is None:
        raise Unknown("it comes from an endpoint that is not known, so that nobody can tell whether it is whole")
    if getattr(getattr(value, "_options", None), "synthesize_event_and_data", None):
        raise Unknown("its events are put together in a way of their own")
    parameters["path"], parameters["model"] = endpoint.path, endpoint.model
    parameters["item"] = _completions(endpoint.path) if sdk == "mistralai" else _name_of(sdk, value._cast_to)
    decoder = type(getattr(value, "_decoder", None)).__name__
    if decoder == AWS:
        parameters["decoder"] = decoder
    elif decoder not in {"SSEDecoder", "NoneType"}:
        raise Unknown(f"it is read with a {decoder}, which is unknown here")
    if isinstance(body, dict) and type(body.get("n")) is int:
        parameters["n"] = str(body["n"])
    stream_reader(parameters)
    return head_of(STREAM, parameters, headers)


def pairs(headers: Any) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers.raw)


def _content(request: Any) -> bytes:
    try:
        content: bytes = request.content
        return content
    except Exception:
        # A body that was streamed out is not there any more.
        return b""


def _completions(path: str) -> str:
    """The type of the items of mistralai's streams, which keep it to themselves."""
    if not path.endswith(("/chat/completions", "/fim/completions", "/agents/completions")):
        raise Unknown(f"the type of its items is unknown: it comes from {path}")
    return f"{types_of('mistralai')}.completionevent:CompletionEvent"


def _name_of(sdk: str, item: Any) -> str:
    """Where in the SDK's types the type of a stream's items is, `openai.types.chat:ChatCompletionChunk`."""
    if item is object:
        return ANYTHING
    module, name = getattr(item, "__module__", None), getattr(item, "__qualname__", None)
    if isinstance(item, type) and str(module).startswith(f"{sdk}.types."):
        return f"{module}:{name}"
    for place, loaded in sorted(sys.modules.items()):
        if place.startswith(f"{sdk}.types"):
            for attribute, value in vars(loaded).items():
                # Unions have no name of their own; the SDK gives them one.
                if value is item or (type(value) is type(item) and not isinstance(value, type) and value == item):
                    return f"{place}:{attribute}"
    raise Unknown(f"the type of its items, {item!r}, has no name in {sdk}.types")


def library_of(response: Any) -> Any:
    """The HTTP library that a response is of.

    Raises:
        Unknown: it is of none that is known.
    """
    for name in ("httpx2", "httpx"):
        library = sys.modules.get(name)
        if library is not None and isinstance(response, library.Response):
            return library
    raise Unknown("its response is of no HTTP library that is known here")


class _Elapsed:
    """Where httpx writes how long a response took, without keeping the response."""

    def __init__(self, response: Any) -> None:
        self._response = weakref.ref(response)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "elapsed":
            response = self._response()
            if response is not None:
                response.elapsed = value
        else:
            super().__setattr__(name, value)


def _loosen(stream: Any) -> None:
    """Let a stream of httpx's know its response without keeping it; httpx2's does not know it."""
    response = getattr(stream, "_response", None)
    if response is not None:
        stream._response = _Elapsed(response)


class SdkReply:
    """A stream that an SDK has begun, as an upstream's reply.

    Args:
        value: the SDK's own object, unread.

    Raises:
        Unknown: it cannot be recorded.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.head = described(value)
        response = value.response
        self._library = library_of(response)
        # Another response around the same connection decodes it: what is recorded is decoded bytes.
        self._source = self._library.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=response.stream,
            request=response.request,
            extensions=response.extensions,
        )

    def attach(self, reader: Any) -> Any:
        """Let the SDK's object read what is being recorded, and give it back."""
        return self._attach(reader, body_of(self._library))

    def _attach(self, reader: Any, body: Any) -> Any:
        # It is the caller's alone from here on: the fetch must not keep what reads it, or a stream that its reader
        # has dropped would never end.
        value, self.value = self.value, None
        response = value.response
        _loosen(self._source.stream)
        response.stream = body(reader, response.request, self._source.stream)
        if "content-encoding" in response.headers:
            del response.headers["content-encoding"]
        return value

    def chunks(self) -> Iterator[bytes]:
        """The content-decoded body."""
        return (data for data in self._source.iter_bytes() if data)

    def close(self) -> None:
        """Let go of the connection."""
        self._source.close()


class AsyncSdkReply(SdkReply):
    """As `SdkReply`, for an event loop."""

    def attach(self, reader: Any) -> Any:
        """As `SdkReply.attach`."""
        return self._attach(reader, async_body_of(self._library))

    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """The content-decoded body."""
        async for data in self._source.aiter_bytes():
            if data:
                yield data

    async def close(self) -> None:  # type: ignore[override]
        """Let go of the connection."""
        await self._source.aclose()


class FileReply:
    """A file that an SDK has read, as an upstream's reply of one chunk."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.head = described(value)
        try:
            self._content: bytes = value.response.content
        except Exception:
            raise Unknown("it has not been read") from None

    def chunks(self) -> Iterator[bytes]:
        """The content."""
        yield self._content

    def close(self) -> None:
        """There is nothing to let go of."""


class AsyncFileReply(FileReply):
    """As `FileReply`, for an event loop."""

    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """The content."""
        yield self._content

    async def close(self) -> None:  # type: ignore[override]
        """There is nothing to let go of."""
