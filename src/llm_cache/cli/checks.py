"""What `llm-cache doctor` looks at, one function for each subject. It must not repair anything."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llm_cache.errors import EntryError, LLMCacheError, SealError

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.config import Settings
    from llm_cache.core.model import Row
    from llm_cache.ledger.report import Stats

Status = Literal["ok", "warning", "failure"]
LITTLE_BYTES = 200_000_000
NO_BYTES = 5_000_000
MOST_READ = 1000
EARLIEST = 1_735_689_600.0
"""2025-01-01: a clock before that was never set, for this program is younger."""
_FUTURE_S = 300.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and one sentence about it."""

    name: str
    status: Status
    message: str


def configuration(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Where the settings came from, and whether secrets lie open."""
    from llm_cache.config import unknown_variables

    file = settings.file
    where = f"read from {file}" if file else "there is no configuration file"
    given = sum("." not in key for key in settings.origins)
    yield Finding("configuration", "ok", f"{where}; {given} {'setting is' if given == 1 else 'settings are'} given")
    for sentence in unknown_variables(environ):
        yield Finding("configuration", "warning", sentence)
    if file is not None and settings.origin("encryption_key").startswith(file.name):
        mode = file.stat().st_mode & 0o777
        if mode & 0o077:
            yield Finding(
                "configuration", "warning", f"{file} holds a secret and others can read it (mode {mode:03o}): chmod 600"
            )


def clock(newest_at: float | None) -> Finding:
    """Whether this machine's time can be right; entries expire by it."""
    now = time.time()
    if now < EARLIEST:
        return Finding("clock", "failure", "the clock of this machine was never set: entries expire by it")
    if newest_at is not None and newest_at > now + _FUTURE_S:
        ahead = newest_at - now
        return Finding(
            "clock", "warning", f"the newest entry is {ahead:.0f} s in the future: this clock, or another's, is wrong"
        )
    return Finding("clock", "ok", "the clock fits the entries" if newest_at is not None else "the clock is set")


def disk(folder: Path) -> Finding:
    """Whether there is room where the entries are, or will be."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "warning", f"free space in {folder} cannot be told: {error.strerror}")
    status: Status = "failure" if free < NO_BYTES else "warning" if free < LITTLE_BYTES else "ok"
    return Finding("disk", status, f"{free / 1_000_000:,.0f} MB are free in {folder}")


def folder_of(path: Path) -> Path:
    """The nearest folder above that is there."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def future_store(path: Path) -> Iterator[Finding]:
    """Whether a cache that nobody has made yet could be made."""
    folder = folder_of(path)
    if os.access(folder, os.W_OK | os.X_OK):
        yield Finding("store", "ok", f"there is no cache in {path} yet; the first call makes it")
    else:
        yield Finding("store", "failure", f"there is no cache in {path} yet, and {folder} cannot be written to")


def permissions(path: Path) -> Finding:
    """Whether the store's file is its owner's alone, and ours to write."""
    try:
        found = path.stat()
    except OSError as error:
        return Finding("permissions", "failure", f"{path}: {error.strerror}")
    mode = stat.S_IMODE(found.st_mode)
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("permissions", "failure", f"{path} cannot be read and written by this user (mode {mode:03o})")
    if not os.access(path.parent, os.W_OK):
        return Finding("permissions", "failure", f"{path.parent} cannot be written to, which SQLite needs")
    if mode & 0o077:
        return Finding("permissions", "warning", f"others can read {path} (mode {mode:03o}): chmod 600")
    return Finding("permissions", "ok", f"only its owner can read {path}")


def store(cache: LLMCache) -> Iterator[Finding]:
    """Whether the store opens, and what is in it is whole."""
    try:
        entries = cache.engine.store.summary().entries
        yield Finding("store", "ok", f"{entries:,} entries in {cache.location}")
    except LLMCacheError as error:
        yield Finding("store", "failure", str(error))
        return
    try:
        # What others may read is `permissions`' subject.
        found = [finding for finding in cache.check() if "read by other" not in finding]
    except LLMCacheError as error:
        found = [str(error)]
    unread, beside, looked = unreadable(cache)
    if beside:
        found.append(f"of {beside:,} of the newest {looked:,} entries the request is damaged; their answers are whole")
    if unread:
        found.append(f"{unread:,} of the newest {max(unread, looked):,} entries cannot be read, and count as misses")
    for sentence in found:
        yield Finding("integrity", "failure", sentence.rstrip("."))
    if not found:
        yield Finding("integrity", "ok", "what is stored is whole")


def unreadable(cache: LLMCache) -> tuple[int, int, int]:
    """How many of the newest entries cannot be read, of how many only the request, and how many were looked at."""
    unread = beside = looked = 0
    try:
        for row in cache.engine.store.scan(limit=MOST_READ):
            looked += 1
            try:
                cache.engine.codec.decode(row)
            except SealError:
                # Where encryption is off, that is `encryption`'s subject.
                unread += cache.engine.sealing.on
            except EntryError:
                unread += 1
            else:
                beside += not _explained(cache, row)
    except LLMCacheError:
        unread += 1  # the scan itself has come upon damage
    return unread, beside, looked


def _explained(cache: LLMCache, row: Row) -> bool:
    """Whether the request beside an answer is whole, which a hit does not look at."""
    try:
        cache.engine.codec.asked(row)
    except EntryError:
        return False
    return True


def encryption(cache: LLMCache) -> Iterator[Finding]:
    """Whether what should be encrypted is, and the key at hand opens what is."""
    from llm_cache.runtime.sealing import plain_rows, ring_of

    store, sealing = cache.engine.store, cache.engine.sealing
    try:
        ring = ring_of(store)
        entries, plain = store.summary().entries, 0
        if ring is not None and ring.unsealed:
            plain = plain_rows(store)
    except LLMCacheError as error:
        yield Finding("encryption", "failure", str(error))
        return
    if not sealing.on:
        if ring is None:
            yield Finding("encryption", "ok", "it is off")
            return
        hidden = entries - plain
        if not hidden:
            yield Finding("encryption", "ok", "it is off here, and of what was encrypted nothing is left")
            return
        which = "1 entry is encrypted" if hidden == 1 else f"{hidden:,} entries are encrypted"
        yield Finding("encryption", "warning", f"{which}, and encryption is off here: that counts as a miss")
        return
    if sealing.useless:
        yield Finding("encryption", "failure", "the keys of the store cannot be read")
        return
    yield Finding("encryption", "ok", "the key fits")
    if plain:
        still = f"{plain:,} of {entries:,} entries are still in plain form: `llm-cache rekey` encrypts them"
        yield Finding("encryption", "warning", still)
    if ring is not None and len(ring.numbers) > 1:
        begun = "a change of the key was begun and not finished: do it again, or `llm-cache rekey` finishes it"
        yield Finding("encryption", "warning", begun)


def newest(cache: LLMCache) -> float | None:
    """When the newest entry was made."""
    return next((row.created_at for row in cache.engine.store.scan(limit=1)), None)


def pricing(settings: Settings, stats: Stats | None) -> Iterator[Finding]:
    """Which of the user's prices no call has needed, and which calls have no price."""
    from llm_cache.ledger.table import undated

    rows = [(provider, model) for provider, models in settings.pricing_table.items() for model in models]
    if stats is None or not (stats.lines or stats.entries):
        yield Finding("pricing", "ok", f"{len(rows)} rows of your own; no call has needed one yet")
        return
    # Models as they were asked for and as they answered; who made which answer is not told apart here.
    called = {line.model for line in stats.lines} | set(stats.models)
    called |= {shorter for model in called if (shorter := undated(model))}
    providers = {line.provider for line in stats.lines} | set(stats.providers)
    idle = [f"{provider}.{model}" for provider, model in rows if provider not in providers or model not in called]
    for row in idle:
        yield Finding(
            "pricing",
            "warning",
            f"the row {row} matches no call so far: a model must have that very name, or that and a date",
        )
    unpriced = stats.total.unpriced_spent
    if unpriced:
        names = sorted({line.model or line.provider for line in stats.lines if line.unpriced_spent})
        some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        calls = "1 call" if unpriced == 1 else f"{unpriced:,} calls"
        yield Finding("pricing", "warning", f"the price of {calls} is not known ({some})")
    if not idle and not unpriced:
        yield Finding("pricing", "ok", f"{len(rows)} rows of your own; every call has a price")
