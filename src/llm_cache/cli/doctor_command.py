"""`llm-cache doctor`: looks at everything that is often wrong, and says so.

It must not create or repair anything; only what can still be read of damaged files is put back into the cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_cache.cli import checks, damage, output
from llm_cache.cli.checks import Finding
from llm_cache.cli.config_command import spelt
from llm_cache.cli.main import DONE, FAILED
from llm_cache.errors import ConfigError, LLMCacheError

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.config import Settings

_MARKS = {"ok": "ok", "warning": "WARNING", "failure": "FAILURE"}


@click.command(epilog="Example: llm-cache doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--salvage/--no-salvage",
    default=None,
    help="Put what can be read of a damaged file into the cache. By default of files that were set aside, which the"
    " cache does by itself when it meets damage; with --salvage a file that is found damaged now is set aside, too.",
)
def command(as_json: bool, salvage: bool | None) -> int:
    """Check configuration and store, and save what can be read of damaged files.

    Exit status 0 if all is well or there are only warnings, 1 if something does not work.
    """
    from llm_cache.config import load

    settings: Settings | None = None
    found: list[Finding] = []
    try:
        settings = load()
    except ConfigError as error:
        found.append(Finding("configuration", "failure", str(error)))
    else:
        found.extend(_findings(settings, salvage))
    failed = any(finding.status == "failure" for finding in found)
    if as_json:
        _print_json(found, settings, ok=not failed)
    else:
        _print(found, settings)
    return FAILED if failed else DONE


def _findings(settings: Settings, salvage: bool | None) -> Iterator[Finding]:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.stores.sqlite_salvage import set_aside_files

    yield from checks.configuration(settings, os.environ)
    path = Path(settings.database_url)
    on_disk = settings.backend == "sqlite"
    if on_disk:
        yield checks.disk(checks.folder_of(path))
        if not path.exists() and not set_aside_files(path):
            yield from checks.future_store(path)
            yield checks.clock(None)
            yield from checks.pricing(settings, None)
            return
        if path.exists():
            yield checks.permissions(path)
    newest = stats = None
    found: list[Finding] = []
    try:
        with LLMCache() as cache:
            if settings.backend == "redis":
                found.extend(_redis(cache, settings))
            found.extend(damage.store(cache, salvage=salvage))
            found.extend(checks.encryption(cache))
            if not any(finding.status == "failure" for finding in found):
                newest, stats = checks.newest(cache), cache.stats()
    except ConfigError as error:
        found.append(Finding("encryption" if settings.enable_encryption else "store", "failure", str(error)))
    except Exception as error:
        # Whatever it is: that it happens is what was asked for.
        what = str(error) if isinstance(error, LLMCacheError) else f"{type(error).__name__}: {error}"
        found.append(Finding("store", "failure", what))
    yield from found
    yield checks.clock(newest)
    yield from checks.pricing(settings, stats)


def _redis(cache: LLMCache, settings: Settings) -> Iterator[Finding]:
    from llm_cache.cli import redis_checks
    from llm_cache.stores.redis import RedisStore

    if isinstance(cache.engine.store, RedisStore):
        try:
            yield from redis_checks.redis(cache.engine.store, settings)
        except LLMCacheError as error:
            yield Finding("redis", "failure", str(error))


def _print(found: list[Finding], settings: Settings | None) -> None:
    if settings is not None:
        shown = settings.shown()
        given = [key for key in shown if settings.origin(key) != "default"]
        for key in given:
            click.echo(f"{key} = {output.safe(spelt(shown[key]))}  ({output.safe(settings.origin(key))})")
        if given:
            click.echo()
    for finding in found:
        click.echo(f"{_MARKS[finding.status]:8} {finding.name}: {output.on_one_line(finding.message)}")


def _print_json(found: list[Finding], settings: Settings | None, *, ok: bool) -> None:
    shown = settings.shown() if settings else {}
    click.echo(
        output.as_json(
            {
                "ok": ok,
                "checks": [
                    {"name": finding.name, "status": finding.status, "message": finding.message} for finding in found
                ],
                "settings": {
                    key: {"value": spelt(value), "origin": settings.origin(key) if settings else ""}
                    for key, value in shown.items()
                },
            }
        )
    )
