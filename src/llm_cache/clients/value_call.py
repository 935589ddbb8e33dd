"""One `get_or_set` in the core's words, and its answer back in Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_cache.clients.options import LastCall, Layer, remember
from llm_cache.clients.values import Described, Kept, Unkeepable, decoded, value_endpoint
from llm_cache.core.canonical import NotCanonical
from llm_cache.core.plan import Ask, Replay
from llm_cache.core.policy import Policy
from llm_cache.core.signature import Signature, sign_named, sign_value
from llm_cache.errors import EntryError, UncacheableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from llm_cache.clients.engine import Engine
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry
    from llm_cache.runtime import aio, sync


class ValueCall:
    """One `get_or_set` in the core's words."""

    def __init__(
        self,
        engine: Engine,
        layer: Layer,
        key: str | None,
        provider: str,
        model: str,
        path: str,
        data: Any,
        *,
        stream: bool,
    ) -> None:
        self._engine = engine
        policy = engine.policy_for(layer)
        signature = engine.keyed(
            sign_named(key, policy) if key is not None else signature_of(provider, model, path, data, policy)
        )
        self._kept = Kept()
        self._stream = stream
        self.ask = Ask(
            Described(provider, path, data),
            policy,
            value_endpoint(provider, model, path, stream),
            signature,
            None,
            "value",
            self._verify,
        )
        self._last = LastCall("miss", signature.key, engine.ledger.price)

    def _verify(self, entry: Entry) -> None:
        if entry.stream is not self._stream:
            # The key does not tell them apart, and the first value of a stream is not its answer.
            raise EntryError(f"the entry {entry.key[:12]}… holds {'a stream' if entry.stream else 'one value'}")
        self._kept.verify(entry)

    def tell(self, event: Event) -> None:
        """Pass an event on to the ledger, and to whoever asks about this very call."""
        self._engine.ledger(event)
        self._last.note(event)

    def done(self, status: str, reason: str | None = None, age_s: float = 0.0) -> None:
        """Make this the latest call of the context."""
        self._last.status, self._last.reason, self._last.age_s = status, reason, age_s
        remember(self._last)

    def replayed(self, replay: Replay) -> Any:
        """The stored value, or an iterator over the stored stream."""
        self.done(replay.status, age_s=replay.age_s)
        values = self._kept.values
        return iter(values) if self._stream else values[0]


def values_of(reader: sync.SyncReader, fetched: list[Any]) -> Iterator[Any]:
    try:
        for chunk in reader:
            yield decoded(chunk)
    except Unkeepable as unkeepable:
        if reader.follows:
            raise UncacheableError(
                "an identical call in flight returned something that cannot be shared; call again"
            ) from None
        # The stream is its owner's all the same; it is just not kept.
        yield unkeepable.value
        yield from fetched[0].values
    finally:
        reader.close()


async def avalues_of(reader: aio.AsyncReader, fetched: list[Any]) -> AsyncIterator[Any]:
    try:
        async for chunk in reader:
            yield decoded(chunk)
    except Unkeepable as unkeepable:
        if reader.follows:
            raise UncacheableError(
                "an identical call in flight returned something that cannot be shared; call again"
            ) from None
        yield unkeepable.value
        async for value in fetched[0].values:
            yield value
    finally:
        await reader.aclose()


async def in_async(values: Iterator[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


def signature_of(provider: str, model: str, path: str, data: Any, policy: Policy) -> Signature:
    """The signature of a request that is described by hand.

    Raises:
        UncacheableError: the description is not JSON.
    """
    endpoint = value_endpoint(provider, model, path, False)
    try:
        return sign_value(endpoint, model, data, policy)
    except (NotCanonical, TypeError, ValueError, RecursionError) as error:
        raise UncacheableError(
            f"request_data cannot be turned into a key: {error}; give JSON values or a key of your own"
        ) from None


_DEFAULT_POLICY = Policy()


def hash_request(provider: str, model: str, endpoint: str, request_data: Any) -> str:
    """The key of `get_or_set(key=None, …)` in the default namespace: 64 lower-case hex digits.

    Depends on nothing but its arguments: no configuration, no options.

    Raises:
        UncacheableError: `request_data` is not JSON.
    """
    return signature_of(provider, model, endpoint, request_data, _DEFAULT_POLICY).key
