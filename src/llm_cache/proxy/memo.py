"""Remembers what was worked out of requests that come again. It must only be given what follows from its key alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Memo(Generic[_Value]):
    """The values that were used last, for one event loop. Nothing in it is ever out of date.

    Args:
        most: how many bytes may be taken, as `size` counts them; larger keys than a sixteenth are not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, tuple[_Value, int]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable) -> _Value | None:
        """What was kept under that key."""
        kept = self._values.get(key)
        if kept is None:
            return None
        self._values.move_to_end(key)
        return kept[0]

    def put(self, key: Hashable, value: _Value, size: int) -> None:
        """Keep a value; `size` is about how many bytes its key takes."""
        if size > self._most // 16 or key in self._values:
            return
        self._values[key] = value, size
        self._size += size
        self._shrink()

    def weigh(self, key: Hashable, size: int) -> None:
        """A value that is kept has grown: with its key it takes `size` bytes now."""
        if kept := self._values.get(key):
            self._values[key] = kept[0], size
            self._size += size - kept[1]
            self._shrink()

    def _shrink(self) -> None:
        while self._size > self._most:
            _, (_, gone) = self._values.popitem(last=False)
            self._size -= gone
