"""Which cache a file is from: ours, or another program's. It must not read more of it than it takes to know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry

Kind = Literal["llm-cache", "litellm", "langchain", "vcr"]
KINDS: tuple[Kind, ...] = ("llm-cache", "litellm", "langchain", "vcr")
_LOOKED_AT = 4096
_SQLITE = b"SQLite format 3\0"
# VCR.py writes `interactions` first in YAML, and `version` may come before it in JSON.
_CASSETTE = re.compile(
    rb'\s*(\{\s*("version"\s*:\s*\d+\s*,\s*)?"interactions"\s*:|(version:\s*\d+\s+)?interactions\s*:)'
)


def kind_of(name: str) -> Kind:
    """Which program's a file or folder is.

    Raises:
        OSError: it cannot be read.
    """
    path = Path(name)
    if name == "-":
        return "llm-cache"
    if path.is_dir():
        return "litellm"
    if not path.is_file():
        # A pipe can be read but once; and what is not there fails where it is opened.
        return "llm-cache"
    with path.open("rb") as file:
        beginning = file.read(_LOOKED_AT)
    if beginning.startswith(_SQLITE):
        return "langchain"
    return "vcr" if _CASSETTE.match(beginning) else "llm-cache"


def entries(engine: Engine, kind: Kind, name: str, skipped: dict[str, int]) -> Iterator[Entry]:
    """The entries of another program's cache; `skipped` counts, by reason, what makes none.

    Raises:
        FormatError: it is no such cache.
        OSError: it cannot be read.
    """
    path = Path(name)
    if kind == "litellm":
        from llm_cache.transfer import litellm

        yield from litellm.entries(engine, path, skipped)
    elif kind == "langchain":
        from llm_cache.transfer import langchain

        yield from langchain.entries(engine, path, skipped)
    else:
        from llm_cache.transfer import vcr

        yield from vcr.entries(engine, path, skipped)
