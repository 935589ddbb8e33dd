"""What a call of an SDK's method depends on beside its arguments, and whether that is still as it was.

The short way of `short_calls` may leave out a walk through the SDK only while nothing on it is anybody else's: no
hook, subclass, patched method, logger or tracer. It looks at SDKs and changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from operator import is_
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from llm_cache.clients.switch import Switch, Switched


class Sdk(NamedTuple):
    """An SDK whose calls have a short way.

    Attributes:
        majors: its versions on which this is tested.
        clients: its classes; one that is derived from them may do anything.
        methods: by the end of the path that they call, where they are found on a client.
        attributes: what its clients may have. One of a later version that has more goes the long way.
        unset: of these, what would give a call a credential, a route or a step of its own.
        logs: the loggers that tell of a call, and from which level on.
    """

    majors: frozenset[str]
    clients: frozenset[str]
    methods: Mapping[str, tuple[str, ...]]
    attributes: frozenset[str]
    unset: tuple[str, ...]
    logs: tuple[tuple[str, int], ...]


_BOTH = frozenset({
    "_base_url", "_client", "_custom_headers", "_custom_query", "_default_stream_cls", "_idempotency_header",
    "_platform", "_strict_response_validation", "_version", "api_key", "max_retries", "timeout",
})  # fmt: skip
_HTTP_LOGS = (("httpx", logging.INFO), ("httpx2", logging.INFO))
SDKS: Mapping[str, Sdk] = {
    "openai": Sdk(
        frozenset({"2", "3"}),
        frozenset({"OpenAI", "AsyncOpenAI"}),
        {
            "/chat/completions": ("chat", "completions", "create"),
            "/responses": ("responses", "create"),
            "/embeddings": ("embeddings", "create"),
        },
        _BOTH
        | {
            "_ambient_authorizations", "_api_key_provider", "_base_url_was_default", "_data_residency", "_provider",
            "_provider_runtime", "_workload_identity_auth", "admin_api_key", "organization", "project",
            "webhook_secret", "websocket_base_url", "workload_identity",
        },
        (
            "_api_key_provider", "_provider", "_provider_runtime", "_workload_identity_auth", "admin_api_key",
            "workload_identity", "_strict_response_validation",
        ),
        (
            *_HTTP_LOGS, ("openai._base_client", logging.DEBUG), ("openai._response", logging.DEBUG),
            ("openai._legacy_response", logging.DEBUG),
        ),
    ),
    "anthropic": Sdk(
        frozenset({"0", "2"}),
        frozenset({"Anthropic", "AsyncAnthropic"}),
        {"/messages": ("messages", "create")},
        _BOTH
        | {
            "_credential_headers", "_custom_auth", "_lazy_tracer", "_middleware", "_middleware_chain",
            "_open_telemetry", "_otel", "_timeout", "_timeout_overridden", "_token_cache", "_unchosen_base_url",
            "auth_token", "credentials", "webhook_key",
        },
        (
            "_custom_auth", "_middleware", "_middleware_chain", "_token_cache", "auth_token", "credentials",
            "_strict_response_validation",
        ),
        (
            *_HTTP_LOGS, ("anthropic._base_client", logging.DEBUG), ("anthropic._response", logging.DEBUG),
            ("anthropic._tracing", logging.DEBUG),
        ),
    ),
}  # fmt: skip
_HTTP = frozenset({"httpx", "httpx2"})
_ANYONE = frozenset({"abc", "builtins", "typing"})
_WRAPPERS = (property, cached_property, classmethod, staticmethod)


def sdk_of(client: object) -> Sdk | None:
    """The SDK of a client, if its calls have a short way."""
    name = type(client).__module__.partition(".")[0]
    sdk = SDKS.get(name)
    if sdk is None or type(client).__name__ not in sdk.clients:
        return None
    version = str(getattr(sys.modules.get(name), "__version__", ""))
    return sdk if version.partition(".")[0] in sdk.majors else None


class State:
    """All that a client, one of its resources and its HTTP client are at one time, by identity.

    Args:
        client: an SDK's client.
        resource: what has the method.
        switch: what should be in its HTTP client.

    Attributes:
        plain: whether a call goes through nothing but the SDK and the HTTP library as they were published.
    """

    def __init__(self, client: Any, resource: Any, switch: Switch) -> None:
        http = client._client
        self._loggers = [(logging.getLogger(name), level) for name, level in SDKS[_top(type(client))].logs]
        self._mappings: list[Mapping[str, Any]] = [vars(client), vars(resource), vars(http)]
        self._mappings += [vars(each) for each in _classes(client, resource, http)]
        self._within: list[dict[Any, Any] | list[Any]] = []
        for each in (client, resource, http):
            for value in vars(each).values():
                self._add(value)
        self._saved = self._now()
        self.plain = _plain(client, resource, switch)

    def _add(self, value: Any) -> None:
        """What can be changed without being replaced has to be looked into."""
        if type(value).__name__ == "Headers" and hasattr(value, "_list"):
            value = vars(value)
        if isinstance(value, dict):
            self._within.append(value)
            for inner in value.values():
                self._add(inner)
        elif isinstance(value, list):
            self._within.append(value)

    def _now(self) -> list[Any]:
        now: list[Any] = []
        for mapping in self._mappings:
            now += mapping.values()
        for within in self._within:
            now += within
            if type(within) is dict:
                now += within.values()
        return now

    def unchanged(self) -> bool:
        """Whether all of it is still the same."""
        now = self._now()
        return len(now) == len(self._saved) and all(map(is_, now, self._saved))

    def quiet(self) -> bool:
        """Whether nobody listens to what the long way says as it goes."""
        for logger, level in self._loggers:
            if logger.isEnabledFor(level):
                return False
        return not traced()


def traced() -> bool:
    """Whether the program records spans, which an SDK may make as well."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not hasattr(trace, "get_tracer_provider"):
        return False
    return not isinstance(trace.get_tracer_provider(), (trace.ProxyTracerProvider, trace.NoOpTracerProvider))


def _plain(client: Any, resource: Any, switch: Switch) -> bool:
    sdk, http, attributes = sdk_of(client), client._client, vars(client)
    if sdk is None or http._auth is not None or any(http._event_hooks.values()):
        return False
    odd = [name for name in attributes if name not in sdk.attributes and not _resource(client, name)]
    if odd or any(attributes.get(name) for name in sdk.unset):
        return False
    if not {*(attributes.get("_open_telemetry") or {})} <= {"propagation", "traces"}:
        return False
    for transport in (http._transport, *http._mounts.values()):
        if transport is not None and not (isinstance(transport, Switched) and transport.switch is switch):
            return False
    methods = {path[-1] for path in sdk.methods.values()}
    values = [*attributes.values(), *(value for name, value in vars(resource).items() if name not in methods)]
    owners = {_top(type(client)), *_HTTP}
    return all(_own(value, client) for value in values) and all(
        _published(each, owners) for each in _classes(client, resource, http)
    )


def _own(value: Any, client: Any) -> bool:
    """Whether something that can be called is a method of the client itself."""
    if not callable(value) or isinstance(value, type):
        return True
    return (
        isinstance(value, MethodType)
        and value.__self__ is client
        and value.__func__ is getattr(type(client), value.__func__.__name__, None)
    )


def _top(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _resource(client: Any, name: str) -> bool:
    """Whether an attribute is what the SDK makes when it is first asked for."""
    return isinstance(getattr(type(client), name, None), cached_property)


def _classes(*objects: Any) -> Iterator[type]:
    for each in objects:
        yield from (cls for cls in type(each).__mro__ if _top(cls) not in _ANYONE)


def _published(cls: type, owners: set[str]) -> bool:
    """Whether a class and all that it defines come out of one of these packages."""
    top = _top(cls)
    if top not in owners:
        return False
    files = (str(Path(str(sys.modules[top].__file__)).parent), str(contextlib.__file__), "<")
    for value in vars(cls).values():
        function = value
        if isinstance(value, _WRAPPERS):
            function = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", None)
        if isinstance(function, FunctionType):
            if not function.__code__.co_filename.startswith(files):
                return False
        elif callable(function) and not isinstance(function, type):
            return False
    return True
