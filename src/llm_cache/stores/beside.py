"""What a store keeps beside its rows, for stores that have no better place: one small document. It knows no rows.

SQLite has tables for it and Redis its own structures. A store that has neither inherits `Beside`, and says how its
document is read and changed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from llm_cache.stores.base import Once


@dataclass
class Document:
    """Sums, journals, secrets, the values that belong to the store as a whole, and the generation."""

    generation: int = 0
    sums: dict[tuple[str, ...], dict[str, int]] = field(default_factory=dict)
    journals: dict[str, list[bytes]] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, text: bytes) -> Document:
        """The document that `written` wrote; of no text, an empty one.

        Raises:
            ValueError: it is none.
        """
        told = json.loads(text or b"{}")
        return cls(
            told.get("generation", 0),
            {tuple(label): sums for label, sums in told.get("sums", [])},
            {name: [bytes.fromhex(line) for line in lines] for name, lines in told.get("journals", {}).items()},
            {name: bytes.fromhex(value) for name, value in told.get("secrets", {}).items()},
            {name: bytes.fromhex(value) for name, value in told.get("kept", {}).items()},
        )

    def written(self) -> bytes:
        """It as JSON."""
        told = {
            "generation": self.generation,
            "sums": [[label, sums] for label, sums in self.sums.items()],
            "journals": {name: [line.hex() for line in lines] for name, lines in self.journals.items()},
            "secrets": {name: value.hex() for name, value in self.secrets.items()},
            "kept": {name: value.hex() for name, value in self.kept.items()},
        }
        return json.dumps(told).encode()


class Beside:
    """`Counters`, `Journals`, and that part of `Maintenance` which is not about rows."""

    def _document(self) -> AbstractContextManager[Document]:
        """The document, for as long as the block runs nobody else's; what is changed in it is kept at its end."""
        raise NotImplementedError

    def add(self, deltas: Mapping[tuple[str, ...], Mapping[str, int]], once: Once | None = None) -> None:
        """See `Counters`."""
        del once  # what fails was not done
        with self._document() as document:
            for label, amounts in deltas.items():
                sums = document.sums.setdefault(label, {})
                for name, amount in amounts.items():
                    sums[name] = sums.get(name, 0) + amount
                    if sums[name] == 0:
                        del sums[name]
                if not sums:
                    del document.sums[label]

    def sums(self) -> dict[tuple[str, ...], dict[str, int]]:
        """See `Counters`."""
        with self._document() as document:
            return {label: dict(amounts) for label, amounts in document.sums.items()}

    def jot(self, journal: str, lines: Sequence[bytes], most: int) -> None:
        """See `Journals`."""
        with self._document() as document:
            kept = document.journals.setdefault(journal, [])
            kept.extend(lines)
            del kept[: max(0, len(kept) - most)]

    def jotted(self, journal: str, limit: int) -> list[bytes]:
        """See `Journals`."""
        with self._document() as document:
            return document.journals.get(journal, [])[::-1][: max(0, limit)]

    def secret(self, name: str) -> bytes:
        """See `Maintenance`."""
        with self._document() as document:
            return document.secrets.setdefault(name, secrets.token_bytes(32))

    def kept(self, name: str) -> bytes | None:
        """See `Maintenance`."""
        with self._document() as document:
            return document.kept.get(name)

    def keep(self, name: str, value: bytes | None, instead_of: bytes | None) -> bool:
        """See `Maintenance`."""
        with self._document() as document:
            if document.kept.get(name) != instead_of:
                return False
            document.generation += 1
            if value is None:
                document.kept.pop(name, None)
            else:
                document.kept[name] = value
        return True

    def generation(self) -> int:
        """See `Watched`."""
        with self._document() as document:
            return document.generation

    def known_generation(self) -> int:
        """See `Watched`."""
        return self.generation()

    def moved(self) -> None:
        """Move the generation: a row was replaced or removed."""
        with self._document() as document:
            document.generation += 1
