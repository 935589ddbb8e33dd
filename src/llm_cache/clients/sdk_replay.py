"""Makes the SDKs' streams and files again from recorded bytes, true instances that the SDK's own code reads.

It must not make an object of any class but those of `SDKS`, whatever a record says, nor import a package that the
program has not.
"""

from __future__ import annotations

import importlib
import re
import sys
import typing
from datetime import timedelta
from functools import cache, lru_cache
from typing import Any

from llm_cache.clients.bodies import async_body_of, body_of
from llm_cache.core.model import Head
from llm_cache.errors import FormatError

FILE = "HttpxBinaryResponseContent"
_ALIKE: dict[str, tuple[str, ...]] = {
    "Stream": ("_streaming",),
    "AsyncStream": ("_streaming",),
    FILE: ("_legacy_response",),
}
_EVENTS = ("client.utils.eventstreaming", "utils.eventstreaming")
HOMES: dict[str, dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("openai", "anthropic", "groq", "together"), _ALIKE),
    "mistralai": {"EventStream": _EVENTS, "EventStreamAsync": _EVENTS},
}
"""The classes of each SDK, by the modules that define them; where they say they are from differs.

One generator writes the first four, so that their streams are alike.
"""
SYNC, ASYNC = frozenset({"Stream", "EventStream"}), frozenset({"AsyncStream", "EventStreamAsync"})
AWS = "AWSEventStreamDecoder"
"""What anthropic's clients of Bedrock read their streams with."""
ANYTHING = "builtins:object"
"""The type of items that are not made into models."""
_ITEM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def class_named(sdk: str, name: str) -> type | None:
    """A class of `HOMES`, if the SDK is loaded and has it."""
    for home in HOMES[sdk][name]:
        module = sys.modules.get(f"{sdk}.{home}")
        found = None if module is None else vars(module).get(name)
        if isinstance(found, type):
            return found
    return None


class Maker:
    """Makes streams and files of one recording, for any number of callers.

    Args:
        parameters: those of the recording's head.
        head: status and headers.

    Raises:
        FormatError: the SDK is not loaded, or is not what it was.
    """

    def __init__(self, parameters: dict[str, str], head: Head) -> None:
        self._parameters = parameters
        self._head = head
        sdk, name = parameters.get("sdk", ""), parameters.get("class", "")
        if name not in HOMES.get(sdk, {}):
            raise FormatError(f"a stored stream is of {sdk}.{name}, which is unknown here")
        self._class: Any = class_named(sdk, name)
        try:
            self._library = _library_of_sdk(sdk)
            self._client = None if name == FILE or sdk == "mistralai" else _stand_in(sdk)
        except (KeyError, AttributeError):
            self._class = None
        if self._class is None:
            raise FormatError(f"a stored stream is of {sdk}.{name}, which is not loaded in this process")
        self.is_async = name in ASYNC
        self._item = None if name == FILE else _item_named(sdk, parameters.get("item", ""))

    def stream(self, source: Any) -> Any:
        """A stream object that reads these chunks: a list of them, or a reader."""
        body = (async_body_of if self.is_async else body_of)(self._library)
        request = self._request()
        response = self._response(stream=body(source, request, None), request=request)
        if self._client is None:
            unmarshal = _unmarshal()
            return self._class(response, lambda raw: unmarshal(raw, self._item), sentinel="[DONE]")
        made = self._class(cast_to=self._item, response=response, client=self._client)
        if self._parameters.get("decoder") == AWS:
            made._decoder = _aws_decoder(self._parameters["sdk"])
        return made

    def file(self, content: bytes) -> Any:
        """A file object with this content."""
        return self._class(self._response(content=content, request=self._request()))

    def _request(self) -> Any:
        return self._library.Request("POST", self._parameters.get("url") or "http://localhost/")

    def _response(self, **body: Any) -> Any:
        headers = [pair for pair in self._head.headers if pair[0] != "content-type"]
        kind = self._parameters.get("type")
        response = self._library.Response(
            self._head.status,
            headers=[*headers, ("content-type", kind)] if kind else headers,
            extensions={"http_version": b"HTTP/1.1"},
            **body,
        )
        response.elapsed = timedelta(0)
        return response


def _library_of_sdk(sdk: str) -> Any:
    """The HTTP library that an SDK stands on: httpx2, or httpx."""
    home = mistral_root() + _EVENTS[1] if sdk == "mistralai" else f"{sdk}._base_client"
    loaded = vars(sys.modules[home])
    return loaded["httpx2"] if "httpx2" in loaded else loaded["httpx"]


def mistral_root() -> str:
    """Where the modules of mistralai are: since its version 2 they have a package of their own."""
    return "mistralai.client." if "mistralai.client.utils" in sys.modules else "mistralai."


def _unmarshal() -> Any:
    return vars(sys.modules[f"{mistral_root()}utils.serializers"])["unmarshal_json"]


def _aws_decoder(sdk: str) -> Any:
    name = f"{sdk}.lib.bedrock._stream_decoder"
    try:
        # A module of a package that is loaded; it wants botocore, as the client of the recording did.
        return vars(importlib.import_module(name))[AWS]()
    except (ImportError, KeyError) as error:
        raise FormatError(f"a stored stream is read with {name}, which cannot be loaded: {error}") from None


@cache
def _stand_in(sdk: str) -> Any:
    """What a stream needs of a client: to decode events and to make items of them. It can call nobody."""
    client = object.__new__(sys.modules[f"{sdk}._base_client"].BaseClient)
    client._strict_response_validation = False
    return client


@lru_cache(maxsize=256)
def _item_named(sdk: str, name: str) -> Any:
    """The type of that name, if it is one of models of this SDK.

    Raises:
        FormatError: it is not.
    """
    if name == ANYTHING:
        return object
    module, _, attribute = name.partition(":")
    if not _ITEM.fullmatch(name) or not f"{module}.".startswith(f"{types_of(sdk)}."):
        raise FormatError(f"a stored stream names {name!r}, which is no type of {sdk}")
    loaded = sys.modules.get(module)
    if loaded is None:
        # Modules of types, of a package that is loaded.
        try:
            loaded = importlib.import_module(module)
        except ImportError as error:
            raise FormatError(f"a stored stream names {name!r}: {error}") from None
    found = vars(loaded).get(attribute)
    if not _is_models(found):
        raise FormatError(f"a stored stream names {name!r}, which is no type of {sdk}")
    return found


def types_of(sdk: str) -> str:
    """The package of an SDK's types."""
    return f"{mistral_root()}models" if sdk == "mistralai" else f"{sdk}.types"


def _is_models(item: Any) -> bool:
    if isinstance(item, type):
        base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
        return base is not None and issubclass(item, base)
    arguments = typing.get_args(item)
    if getattr(item, "__metadata__", None) is not None:
        return _is_models(arguments[0])
    return bool(arguments) and all(map(_is_models, arguments))
