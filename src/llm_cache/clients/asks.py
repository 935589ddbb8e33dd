"""Remembers what requests through a transport came to, byte for byte, when they were hits. It decides nothing.

Recognising a request and working out its key takes longer than all the rest of a hit, and depends on nothing but the
request and the policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_cache.core.plan import Ask
    from llm_cache.core.policy import Policy

_MOST_BYTES = 4 * 1024 * 1024
_LARGEST = 64 * 1024
_EACH = 4096
"""Bytes of bodies that are kept, of the largest one, and what a request takes beside its body."""

Name = tuple[str, str, tuple[tuple[bytes, bytes], ...], bytes]


class Asks:
    """The requests that were hits, for one way in."""

    def __init__(self) -> None:
        self._asks: dict[Name, Ask] = {}
        self._size = 0

    def name(self, request: Any) -> Name | None:
        """All of a request of httpx or httpx2; None if its body is not at hand, or too large to be worth it."""
        try:
            body = request.content
        except Exception:  # RequestNotRead, of either library
            return None
        if len(body) > _LARGEST:
            return None
        return request.method, str(request.url), tuple(request.headers.raw), body

    def get(self, name: Name | None, policy: Policy) -> Ask | None:
        """What a request came to under this policy."""
        if name is None:
            return None
        ask = self._asks.get(name)
        return ask if ask is not None and ask.policy is policy else None

    def put(self, name: Name | None, ask: Ask) -> None:
        """Remember a request that was a hit."""
        if name is None or ask.signature is None or ask.signature.origin:
            # On a sealed store the key is what the keys of today make of it.
            return
        if name not in self._asks:
            self._size += _EACH + len(name[3])
            if self._size > _MOST_BYTES:
                self._asks, self._size = {}, _EACH + len(name[3])
        self._asks[name] = ask
