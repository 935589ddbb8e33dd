"""The short way of a wrapped SDK's client: a hit as the SDK's own object, without the SDK's walk to the network.

A call that has been a hit is remembered by its arguments. When it comes again, and client and cache are as they were,
its answer is built anew from the same bytes. It must never answer what it has not seen the SDK answer: whatever is not
plainly that goes the long way (docs/decisions/0012).
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import weakref
from contextvars import ContextVar
from dataclasses import replace
from hashlib import sha256
from marshal import dumps
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_cache.clients.short_build import Build, builder
from llm_cache.clients.short_state import State, sdk_of
from llm_cache.clients.transport import Call
from llm_cache.core.signature import Signature
from llm_cache.errors import EntryError
from llm_cache.runtime.recall import recalled
from llm_cache.runtime.registry import note_inner

if TYPE_CHECKING:
    from llm_cache.clients.switch import Switch
    from llm_cache.clients.transport import Face
    from llm_cache.core.model import Entry
    from llm_cache.core.plan import Ask, Replay

_MOST = 1024
_MOST_BYTES = 8 * 1024 * 1024
_LARGEST = 512 * 1024
"""Calls that are remembered for one method, bytes of all their answers, and of the largest."""
_MOST_CHANGES = 100
"""How often a client may be found changed until its calls stay on the long way: finding that out takes a while."""

_hits: ContextVar[list[tuple[Ask, Replay]] | None] = ContextVar("llm_cache_short_hits", default=None)
"""The plain hits in the transport, while a call that may be remembered is on the long way."""


class Shortcuts:
    """The methods of one client that have a short way.

    Args:
        client: an SDK's client.
        switch: what serves its calls in the transport.
    """

    def __init__(self, client: object, switch: Switch) -> None:
        self._client = weakref.ref(client)
        self.switch = switch
        self._sdk = sdk_of(client)
        self._made: list[tuple[weakref.ref[Any], str, MethodType]] = []
        self._lock = threading.Lock()
        self._over = False

    def hit(self, ask: Ask, replay: Replay) -> None:
        """A call was a hit in the transport: note it for who is on the long way, or make its method a short one."""
        hits = _hits.get()
        if hits is not None:
            hits.append((ask, replay))
        elif self._sdk is not None and ask.endpoint is not None:
            for ending, path in self._sdk.methods.items():
                if ask.endpoint.path.endswith(ending):
                    self._take(path)

    def _take(self, path: tuple[str, ...]) -> None:
        client = self._client()
        resource: Any = client
        for name in path[:-1]:
            # Not asked for: it would be made, and may take a while to import.
            resource = vars(resource).get(name) if resource is not None else None
        if resource is None or path[-1] in vars(resource):
            return
        with self._lock:
            if not self._over:
                method = _short(client, resource, path[-1], self.switch)
                setattr(resource, path[-1], method)
                self._made.append((weakref.ref(resource), path[-1], method))

    def restore(self) -> None:
        """Give the methods back; one that somebody else has replaced meanwhile stays."""
        with self._lock:
            self._over = True
            for reference, name, method in self._made:
                resource = reference()
                if resource is not None and vars(resource).get(name) is method:
                    delattr(resource, name)


def _short(client: Any, resource: Any, name: str, switch: Switch) -> MethodType:
    known = _Known(client, resource, switch)
    original = getattr(type(resource), name)

    @functools.wraps(original)
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        # What the class has now, not then: somebody may have put something before it.
        function = getattr(type(self), name)
        if args or not _silent(self, kwargs):
            # The SDK's own frame is left out in place of ours, so that a warning names the caller's line as before.
            return getattr(function, "__wrapped__", function)(self, *args, **kwargs)
        seen = known.look(kwargs)
        if seen.value is not None:
            return seen.value
        token = _hits.set(seen.hits)
        try:
            value = function(self, **kwargs)
        finally:
            _hits.reset(token)
        if seen.hits:
            known.learn(seen, value)
        return value

    @functools.wraps(original)
    def acreate(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Made here, since wrong arguments are an error at once. It costs next to nothing.
        begun = getattr(type(self), name)(self, *args, **kwargs)
        return begun if args or not _silent(self, kwargs) else later(_Begun(begun), kwargs)

    @functools.wraps(original)
    async def later(begun: _Begun, kwargs: dict[str, Any]) -> Any:
        seen = known.look(kwargs)
        if seen.value is not None:
            return seen.value
        token = _hits.set(seen.hits)
        try:
            value = await begun.coroutine
        finally:
            _hits.reset(token)
        if seen.hits:
            known.learn(seen, value)
        return value

    return MethodType(acreate if type(client).__name__.startswith("Async") else create, resource)


class _Begun:
    """A coroutine that is closed when nobody needs it any more, whether or not it was awaited."""

    __slots__ = ("coroutine",)

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # somebody has made it something else
            self.coroutine.close()


def _silent(resource: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the SDK has nothing to say about the model that is asked for; anthropic warns of old ones."""
    module, model = sys.modules.get(type(resource).__module__), kwargs.get("model")
    return not any(isinstance(model, str) and model in getattr(module, name, ()) for name in _WARNED_OF)


_WARNED_OF = ("DEPRECATED_MODELS", "MODELS_TO_WARN_WITH_THINKING_ENABLED")


class _Hit(NamedTuple):
    """What a call came to: `entry`, and what `build` makes of it; None if only the SDK can."""

    face: Face
    ask: Ask
    entry: Entry
    build: Build | None


class _Seen:
    """A call that is looked up: its answer, or what is needed to remember it once it has one."""

    __slots__ = ("hits", "label", "state", "value")

    def __init__(self) -> None:
        self.label: bytes | None = None
        self.state: State | None = None
        self.value: Any = None
        self.hits: list[tuple[Ask, Replay]] = []


class _Known:
    """The calls of one method that have been hits, and the state of the client in which they were."""

    def __init__(self, client: Any, resource: Any, switch: Switch) -> None:
        self._client = weakref.ref(client)
        self._resource = weakref.ref(resource)
        self._switch = switch
        self._state: State | None = None
        self._changes = 0
        self._hits: dict[bytes, _Hit] = {}
        self._bytes = 0

    def look(self, kwargs: dict[str, Any]) -> _Seen:
        """The call of these arguments, with its answer if that is at hand."""
        seen = _Seen()
        try:
            face = self._switch.serving()
            if face is None or kwargs.get("stream"):
                return seen
            state = seen.state = self._current()
            if state is None or not state.quiet():
                return seen
            # Exact types and values, and nothing but plain data: anything else is a ValueError.
            seen.label = sha256(dumps(kwargs, 2)).digest()
            hit = self._hits.get(seen.label)
            if hit is None or hit.build is None or hit.face is not face:
                return seen
            ask, engine = hit.ask, face.engine
            if engine.policy_for(face.layer) is not ask.policy:
                return seen
        except Exception:
            # Whatever it was, the SDK will meet it too.
            return seen
        call = Call(face, ask)
        replay = recalled(ask, engine.world, call.tell)
        if replay is not None:
            note_inner()
            call.done(replay.status, age_s=replay.age_s)
            seen.value = hit.build()
        return seen

    def _current(self) -> State | None:
        """The state of the client as it is now; None if a call goes through anything but SDK and HTTP library."""
        state = self._state
        if state is None or not state.unchanged():
            self._hits, self._bytes, self._state = {}, 0, None
            client, resource = self._client(), self._resource()
            if client is None or resource is None or self._changes > _MOST_CHANGES:
                return None
            self._changes += 1
            state = self._state = State(client, resource, self._switch)
        return state if state.plain else None

    def learn(self, seen: _Seen, value: Any) -> None:
        """Remember what a call came to, if the same can be built without the SDK."""
        with contextlib.suppress(Exception):
            self._learn(seen, value)

    def _learn(self, seen: _Seen, value: Any) -> None:
        (ask, replay), face = seen.hits[0], self._switch.serving()
        label, entry, signature = seen.label, replay.entry, ask.signature
        if label is None or face is None or signature is None or signature.origin or len(seen.hits) > 1:
            return
        if replay.status != "hit" or face.engine.policy_for(face.layer) is not ask.policy:
            return
        # As it was when the call began, so that nothing else can have had a part in it.
        if seen.state is not self._state or seen.state is None or not seen.state.unchanged():
            return
        before = self._hits.get(label)
        if before is not None and before.entry is entry and before.face is face:
            return
        size = sum([len(frame.data) for frame in entry.frames])
        if size > _LARGEST:
            return
        if len(self._hits) >= _MOST or self._bytes + size > _MOST_BYTES:
            self._hits, self._bytes = {}, 0
        self._bytes += size
        self._hits[label] = _Hit(face, _slim(ask, signature.key, entry), entry, builder(value))


def _slim(ask: Ask, key: str, entry: Entry) -> Ask:
    """The call without its body, to be answered by this very entry and by no later one."""

    def verify(found: Entry) -> None:
        if found is not entry:
            raise EntryError("it is not the entry that was seen")

    request = replace(ask.request, headers=(), body=b"")
    return replace(ask, request=request, signature=Signature(key, b""), credentials=None, verify=verify)
