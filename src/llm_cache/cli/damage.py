"""What `llm-cache doctor` does about damaged files: tells of them, saves what can be read. It must not delete any."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm_cache.cli import checks, output
from llm_cache.cli.checks import Finding
from llm_cache.cli.progress import progress
from llm_cache.errors import LLMCacheError

if TYPE_CHECKING:
    from pathlib import Path

    from llm_cache.clients.cache import LLMCache

_DAMAGE = {"store", "integrity"}


def store(cache: LLMCache, *, salvage: bool | None) -> Iterator[Finding]:
    """Whether the store opens and is whole, and what became of files that were not.

    Args:
        cache: the cache.
        salvage: whether to save what can be read; None is only of files that have been set aside before.
    """
    found = list(checks.store(cache))
    failed = any(finding.status == "failure" and finding.name in _DAMAGE for finding in found)
    if failed and salvage:
        moved = cache.engine.store.set_aside(time.time())
        if moved is not None:
            found = [Finding(each.name, "warning", each.message) for each in found if each.status == "failure"]
            found.append(Finding("store", "warning", "a new cache file has taken the place of the damaged one"))
            failed = False
    elif failed and salvage is None and cache.settings.backend == "sqlite":
        found.append(
            Finding(
                "salvage", "warning", "`llm-cache doctor --salvage` saves what can still be read of the damaged file"
            )
        )
    yield from found
    if not failed:
        yield from _set_aside(cache, salvage=salvage is not False)


def _set_aside(cache: LLMCache, *, salvage: bool) -> Iterator[Finding]:
    """A line for each file that was set aside, and one for all."""
    from llm_cache.clients.salvaging import files_aside

    files = files_aside(cache.engine)
    for file in files:
        try:
            yield Finding("salvage", "warning", _became_of(cache, file, salvage=salvage))
        except LLMCacheError as error:
            yield Finding("salvage", "warning", f"{file} could not be salvaged: {error}")
    if files:
        size = output.size(sum(file.stat().st_size for file in files))
        many = "1 damaged file was" if len(files) == 1 else f"{len(files)} damaged files were"
        where = f"{many} set aside in {files[0].parent} ({size}), and nothing uses what is set aside"
        yield Finding("salvage", "warning", where)


def _became_of(cache: LLMCache, file: Path, *, salvage: bool) -> str:
    from llm_cache.clients.salvaging import salvage as salvaging, salvaged_before

    before = salvaged_before(cache.engine, file)
    if before is not None:
        return f"{file} was salvaged before ({before:,} entries), and may be deleted"
    if not salvage:
        return f"{file} has not been salvaged: `llm-cache doctor --salvage`"
    with progress("Salvaging") as step:
        done = salvaging(cache.engine, file, step)
    said = [f"{done.added:,} entries of {file} are in the cache again"]
    if done.there:
        said.append(f"{done.there:,} were there already, or newer ones")
    if done.damaged:
        said.append(f"{done.damaged:,} cannot be read")
    if done.sealed:
        said.append(f"{done.sealed:,} are encrypted with a key that is not at hand")
    return "; ".join(said)
