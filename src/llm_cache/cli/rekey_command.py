"""`llm-cache rekey`: sets, changes or removes the encryption key. It must take no secret as argument, nor show one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_cache.cli.main import DONE, FAILED
from llm_cache.cli.progress import progress

if TYPE_CHECKING:
    from llm_cache.clients.rekeying import Rekeyed
    from llm_cache.config import Settings
    from llm_cache.stores.base import Backend

_LARGEST = 1024 * 1024 * 1024
"""The largest entry that any configuration allows: one from a time of higher limits must not be lost."""


@click.command(epilog="Example: llm-cache rekey --new-key-env NEW_KEY")
@click.option("--new-key-env", metavar="NAME", help="The environment variable that holds the new key.")
@click.option("--new-key-file", metavar="FILE", help="The file that holds the new key; - is standard input.")
@click.option("--remove", is_flag=True, help="Decrypt everything.")
@click.option(
    "--passphrase-only",
    is_flag=True,
    help="Do not write entries anew. Quick, but who knows the old key and has an old copy can still read new entries.",
)
def command(new_key_env: str | None, new_key_file: str | None, remove: bool, passphrase_only: bool) -> int:
    """Set, change or remove the encryption key.

    The present key is the configured one. Without options, a terminal is asked for the new key, and elsewhere what is
    still in plain form is encrypted with the configured key. Other programs may use the cache meanwhile. What was
    interrupted is gone on with by the same command.
    """
    if sum(map(bool, (new_key_env, new_key_file, remove))) > 1:
        raise click.UsageError("--new-key-env, --new-key-file and --remove exclude each other.")
    from llm_cache.config import load
    from llm_cache.stores.registry import open_store

    settings = load()
    if settings.backend == "memory":
        raise click.ClickException("the cache is set to be in the memory of each process: there is nothing to rekey")
    if settings.backend == "sqlite" and not Path(settings.database_url).exists():
        click.echo(f"There is no cache in {settings.database_url} yet.", err=True)
        return DONE
    store = open_store(
        settings.database_url,
        read_timeout_ms=settings.read_timeout_ms,
        # Many write at the same time, and this one must come through.
        write_timeout_ms=max(settings.write_timeout_ms, 30_000),
    )
    try:
        return _rekey(store, settings, new_key_env, new_key_file, remove=remove, quick=passphrase_only)
    finally:
        store.close()


def _rekey(store: Backend, settings: Settings, env: str | None, file: str | None, *, remove: bool, quick: bool) -> int:
    from llm_cache.clients.rekeying import Rekeying
    from llm_cache.runtime.sealing import ring_of

    present, sealed = settings.encryption_key, ring_of(store) is not None
    if sealed and present is None:
        if not sys.stdin.isatty():
            raise click.UsageError("the cache is encrypted: give its present key in LLMCACHE_ENCRYPTION_KEY.")
        present = click.prompt("Present encryption key", hide_input=True, err=True)
    wanted = None if remove else _wanted(env, file, present)
    if remove and not sealed:
        click.echo("The cache is not encrypted.", err=True)
        return DONE
    _settle(store, settings)
    with progress("Rewriting", store.summary().entries) as step:
        rekeying = Rekeying(
            store,
            present,
            wanted,
            fresh=sealed and not quick and wanted != present,
            compress=settings.enable_compression,
            max_bytes=_LARGEST,
            step=step,
        )
        done = rekeying.run()
    _settle(store, settings)
    _say(done, wanted, changed=wanted != settings.encryption_key)
    return DONE if done.clean else FAILED


def _wanted(env: str | None, file: str | None, present: str | None) -> str:
    """The key that the cache is to have."""
    if env is not None:
        key, where = os.environ.get(env, ""), f"the environment variable {env}"
    elif file == "-":
        key, where = sys.stdin.readline().rstrip("\r\n") if sys.stdin else "", "standard input"
    elif file is not None:
        key, where = Path(file).read_text(encoding="utf-8", errors="surrogateescape").rstrip("\r\n"), file
    elif sys.stdin is not None and sys.stdin.isatty():
        kept = " (nothing keeps the present one)" if present else ""
        key = click.prompt(f"New encryption key{kept}", default="", show_default=False, hide_input=True, err=True)
        if key and key != click.prompt("The same again", default="", show_default=False, hide_input=True, err=True):
            raise click.ClickException("the two are not the same; nothing was changed")
        key, where = key or present or "", "what was typed"
    else:
        key, where = present or "", "the configuration"
    if not key.strip():
        raise click.UsageError(f"{where} holds no key: give --new-key-env, --new-key-file or --remove.")
    return key


def _settle(store: Backend, settings: Settings) -> None:
    """Price what waits for its price: it waits under the keys that entries have now."""
    from llm_cache.ledger.ledger import Ledger
    from llm_cache.runtime.writer import writer

    ledger = Ledger(store, writer(), settings.pricing_table, time.time)
    ledger.account(lenient=True)
    ledger.close()


def _say(done: Rekeyed, wanted: str | None, *, changed: bool) -> None:
    what = "decrypted" if wanted is None else "encrypted"
    click.echo(f"{done.rows:,} {'entry was' if done.rows == 1 else 'entries were'} {what} anew.")
    if done.lost:
        click.echo(f"{done.lost:,} that nobody could read any more were removed.", err=True)
    if done.left:
        click.echo(
            f"{done.left:,} were written in plain form meanwhile, by programs whose encryption is off: switch it on"
            " there, and run this again.",
            err=True,
        )
    if wanted is None:
        click.echo("Switch enable_encryption off now, or the next program encrypts again.", err=True)
    elif changed:
        click.echo("Configure the new key now; the old one does not open the cache any more.", err=True)
    if not done.clean:
        click.echo(
            "The store is in use, so what was replaced may still lie in unused parts of it: run `llm-cache rekey` again"
            " when it is less busy.",
            err=True,
        )
