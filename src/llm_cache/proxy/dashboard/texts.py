"""Texts of unknown size and origin for a page: the beginning of each, and where the rest is. It must not judge them."""

from __future__ import annotations

import json

from llm_cache.providers.parse import clean

SHOWN = 4000
"""Characters of a text that a page begins with; the rest is asked for when somebody wants to read it."""
MOST = 2000
"""Texts of one entry that are shown; an agent's conversation has hundreds of messages."""
_PIECE = 64 * 1024


class Texts:
    """The texts of one entry, numbered in the order in which they are come upon.

    What is stored does not change, so that the same entry gives the same numbers again.

    Args:
        wanted: the number of the text that is kept whole; None keeps none.
    """

    def __init__(self, wanted: int | None = None) -> None:
        self._wanted = wanted
        self._count = 0
        self.whole: str | None = None

    def add(self, text: str) -> dict[str, object]:
        """A text as a page gets it: its beginning, its length, and its number if there is more of it."""
        number, self._count = self._count, self._count + 1
        if number == self._wanted:
            self.whole = text
        if len(text) <= SHOWN:
            return {"text": clean(text)}
        return {"text": clean(text[:SHOWN]), "length": len(text), "id": number}

    def json(self, value: object) -> dict[str, object]:
        """A JSON value as text that can be read."""
        return self.add(value if isinstance(value, str) else readable(value))

    @property
    def full(self) -> bool:
        """Whether no further texts should be shown."""
        return self._count >= MOST


def readable(value: object) -> str:
    """A JSON value as people read it."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (ValueError, RecursionError):
        return "(nested too deeply to be shown)"


def pieces(text: str) -> list[bytes]:
    """A text in UTF-8, in pieces that a page can show one after the other."""
    return [text[at : at + _PIECE].encode("utf-8", "replace") for at in range(0, len(text), _PIECE)]
