"""One call of a decorated function in the core's words. It must not call the function; `decorator` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_cache.clients.arguments import Parameters
from llm_cache.clients.cache import default_cache
from llm_cache.clients.call_reader import BINARY, ITEMS, RESULT, RESULT_HEAD, RETURNED, STREAM, CallReader, told
from llm_cache.clients.data import innermost
from llm_cache.clients.function_digest import FunctionDigest
from llm_cache.clients.options import LastCall, Layer, remember
from llm_cache.clients.redaction import redacted
from llm_cache.clients.results import areplayed, replayed
from llm_cache.clients.sdk_replay import Maker
from llm_cache.clients.typed import document, home, qualified
from llm_cache.codec.values import decode_value
from llm_cache.core.model import Endpoint, Head, Request
from llm_cache.core.plan import Ask, Replay
from llm_cache.core.policy import Mode
from llm_cache.core.signature import call_body, sign_call
from llm_cache.errors import EntryError, FormatError

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.clients.engine import Engine
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry
    from llm_cache.core.policy import Policy
    from llm_cache.core.signature import Signature

_log = logging.getLogger("llm_cache")
_SMALL = frozenset({str, int, bool, float, type(None)})
_MOST_KEPT = 512
_LONGEST_TEXT = 1000


class Recipe:
    """What is the same for every call of one decorated function.

    Args:
        function: the function, without partials and bound objects around it.
        version: stands in the place of the code's digest.

    Raises:
        ConfigError: `ignore` names what is no parameter.
        TypeError: `version` is of a type that no key can hold.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        provider: str | None,
        model: str | None,
        layer: Layer,
        cache: LLMCache | None,
        ignore: tuple[str, ...],
        version: object,
    ) -> None:
        core = innermost(function)
        name = qualified(core if hasattr(core, "__qualname__") else type(core))
        self.parameters = Parameters(function, ignore)
        self._model = model or ""
        self._layer = layer
        self._cache = cache
        self._version = None if version is None else f'{{"version":{document(version).decode()}}}'
        self._digest = FunctionDigest(function)
        path = f"{home(getattr(core, '__module__', None) or '')}.{name}"
        self._endpoint = _endpoint(provider or "", path, self._model)
        self._unreadable = _endpoint(provider or "", path, self._model, "code_unreadable")
        self._url = f"call://{provider or ''}/{path}"
        self._bare = Request("CALL", self._url)
        self._kept: dict[tuple[Any, ...], tuple[Policy, str | None, Request, Signature]] = {}
        """What was worked out for the same small arguments: a hit is mostly this."""
        self._warned = False

    @property
    def engine(self) -> Engine:
        """The cache behind it; the process's default one is made when it is first needed."""
        return (self._cache if self._cache is not None else default_cache()).engine

    def policy(self) -> Policy:
        """How a call is treated that is made now and here."""
        return self.engine.policy_for(self._layer)

    def begin(self, policy: Policy | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], kind: str) -> Call:
        """What is known of one call before it is decided.

        Args:
            policy: how it is treated; None for a call that is made now and here.
            args: by position.
            kwargs: by name.
            kind: what the caller can use: `sync`, `async`, or for a generator `items` and `async items`.

        Raises:
            TypeError: the arguments do not fit, or one of them cannot enter a key.
        """
        engine = self.engine
        if policy is None:
            policy = engine.policy_for(self._layer)
        if policy.mode is Mode.OFF:
            # As if there were no cache, so that nothing about the arguments is its business.
            return Call(engine, self._bare, policy, self._endpoint, None, kind)
        bound = self.parameters.bound(args, kwargs)
        code = self._version or self._code(bound)
        alike = _alike(bound)
        if alike is not None:
            kept = self._kept.get(alike)
            if kept is not None and kept[0] is policy and kept[1] == code:
                return Call(engine, kept[2], policy, self._endpoint, engine.keyed(kept[3]), kind)
        arguments = self.parameters.written(bound)
        if code is None:
            return Call(engine, self._bare, policy, self._unreadable, None, kind)
        body = call_body(arguments, code.encode(), self._model)
        request = _Called(self._url, body)
        signature = sign_call(self._endpoint, body, policy)
        if alike is not None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[alike] = policy, code, request, signature
        return Call(engine, request, policy, self._endpoint, engine.keyed(signature), kind)

    def _code(self, bound: Mapping[str, Any]) -> str | None:
        """The digest of the function as JSON, None if it cannot be made."""
        owner = None
        if self._digest.of_method and self.parameters.first is not None:
            first = bound[self.parameters.first]
            owner = first if isinstance(first, type) else type(first)
        try:
            return f'"{self._digest.hex(owner)}"'
        except Exception:
            # Walking somebody's objects can go wrong in ways that nobody foresees; the call must not.
            if not self._warned:
                self._warned = True
                _log.warning(
                    "calls of %s are not cached: its code cannot be read; version= would stand in for it",
                    self._endpoint.path,
                    exc_info=True,
                )
            return None

    def signature(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Signature:
        """The signature of a call made now and here."""
        policy = self.policy()
        bound = self.parameters.bound(args, kwargs)
        code = self._version or self._code(bound)
        if code is None:
            raise TypeError(
                f"the code of {self._endpoint.path} cannot be read, so that its calls have no key; give version="
            )
        body = call_body(self.parameters.written(bound), code.encode(), self._model)
        return self.engine.keyed(sign_call(self._endpoint, body, policy))


class _Called(Request):
    """The request of a call; what is stored of it is looked through first, so that a hit does not pay for that."""

    __slots__ = ("_counted",)
    _counted: bytes

    def __init__(self, url: str, counted: bytes) -> None:
        object.__setattr__(self, "method", "CALL")
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "headers", ())
        object.__setattr__(self, "_counted", counted)

    @property
    def body(self) -> bytes:
        """The arguments, as they may be stored."""
        return redacted(self._counted)


def _alike(bound: dict[str, Any]) -> tuple[Any, ...] | None:
    """Something that is equal for equal arguments of equal types, or None if that cannot be said cheaply."""
    values = (*bound.values(),)
    types = (*map(type, values),)
    # Zeros are left out, since one may have a sign.
    if not _SMALL.issuperset(types) or 0 in values:
        return None
    for value in values:
        if type(value) is str and len(value) > _LONGEST_TEXT:
            return None
    return values, types


def _endpoint(provider: str, path: str, model: str, uncacheable: str | None = None) -> Endpoint:
    return Endpoint(
        provider=provider,
        upstream=provider,
        path=path,
        model=model,
        # What it turns out to be, its reply says.
        stream=True,
        reader=CallReader,
        uncacheable=uncacheable,
    )


class Call:
    """One call."""

    _value: Any = None
    _make: Callable[[], Any] | None = None

    def __init__(
        self,
        engine: Engine,
        request: Request,
        policy: Policy,
        endpoint: Endpoint,
        signature: Signature | None,
        kind: str,
    ) -> None:
        self.engine = engine
        self._kind = kind
        self.ask = Ask(request, policy, endpoint, signature, None, "call", self._verify)
        self._last = LastCall("miss", "" if signature is None else signature.key, engine.ledger.price)

    def tell(self, event: Event) -> None:
        """Pass an event on to the ledger, and to whoever asks about this very call."""
        self.engine.ledger(event)
        self._last.note(event)

    def done(self, status: str, reason: str | None = None, age_s: float = 0.0) -> None:
        """Make this the latest call of the context."""
        self._last.status, self._last.reason, self._last.age_s = status, reason, age_s
        remember(self._last)

    def replayed(self, replay: Replay) -> Any:
        """What is stored: a value, a stream, or the items of a generator as one."""
        self.done(replay.status, age_s=replay.age_s)
        return self._value if self._make is None else self._make()

    def _verify(self, entry: Entry) -> None:
        if entry.kind != "call" or not entry.head.headers:
            raise EntryError(f"the entry {entry.key[:12]}… holds no function's result")
        kind, parameters = (RESULT, {}) if entry.head.headers == RESULT_HEAD.headers else told(entry.head)
        if kind != ITEMS and (not entry.frames or "items" in self._kind):
            raise EntryError(f"the entry {entry.key[:12]}… holds another kind of result")
        if kind == RESULT:
            self._value = decode_value(entry.frames[0].data)
        elif kind == ITEMS:
            values, returned = _items(entry)
            self._make = partial(areplayed if "async" in self._kind else replayed, values, returned)
        elif kind in {STREAM, BINARY}:
            maker = maker_of(entry.head, parameters, kind, self._kind)
            # Made now, while what cannot be made is still a miss.
            if kind == STREAM:
                self._value = maker.stream([frame.data for frame in entry.frames])
            else:
                self._value = maker.file(entry.body)
        else:
            raise EntryError(f"the entry {entry.key[:12]}… holds a result of an unknown kind")


def maker_of(head: Head, parameters: dict[str, str], kind: str, wanted: str) -> Maker:
    """What makes the objects of an SDK's recording.

    Raises:
        FormatError: it cannot be made here.
    """
    maker = Maker(parameters, head)
    if kind == STREAM and maker.is_async != (wanted == "async"):
        raise FormatError("a stored stream is of the other kind, plain or async")
    return maker


def _items(entry: Entry) -> tuple[list[Any], Any]:
    values: list[Any] = []
    returned: Any = None
    for frame in entry.frames:
        if frame.data.startswith(RETURNED):
            returned = decode_value(frame.data[1:])
        else:
            values.append(decode_value(frame.data))
    return values, returned
