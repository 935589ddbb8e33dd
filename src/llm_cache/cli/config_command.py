"""`llm-cache config`: shows the settings in force, says where the file is, or makes one. It must not change a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import click

from llm_cache.cli import output

TEMPLATE = """\
# llm-cache: the configuration file. What is commented out is the default.
# Arguments and environment variables (LLMCACHE_...) win over what is written here.

# backend = "sqlite"                # sqlite, redis or memory
# database_url = "~/.cache/llm-cache/cache.db"
# default_ttl_days = 30             # days, fractions allowed, or "never"
# enable_compression = true
# enable_encryption = false         # with encryption_key, or better LLMCACHE_ENCRYPTION_KEY
# namespace = "default"
# mode = "read-write"               # read-write, read-only, refresh, offline, off
# ignore_fields = []                # fields of a request, besides the built-in ones, that do not count
# dont_store = ["content_filter", "empty"]   # and "length", "refusal"
# max_size_mb = 10240
# max_entry_mb = 16
# memory_mb = 64                    # how much of it is also kept in memory
# read_timeout_ms = 100
# write_timeout_ms = 2000
# stale_while_revalidate_s = 0
# stale_if_error_s = 0
# join_timeout_s = 120
# log_level = "WARNING"             # INFO in the proxy
# log_file = "/path/to/log"

# The proxy.
# proxy_host = "127.0.0.1"
# proxy_port = 8100
# proxy_scope = "credential"        # or "shared": everyone gets everyone's answers
# proxy_tokens = {}                 # secrets by name, { web = "a long secret" }: then callers must have one
# proxy_allowed_hosts = []
# workers = 1                       # processes that share the port
# replay_pace = "instant"           # or "recorded": streams as slow as they were
# drain_on_disconnect = true
# proxy_max_body_mb = 64
# proxy_max_header_kb = 64
# proxy_max_upstream_calls = 1000
# proxy_connect_timeout_s = 10
# proxy_idle_timeout_s = 600
# proxy_total_timeout_s = 3600

# [upstreams]
# acme = "https://llm.acme.example/v1"

# Your own prices, in USD per 1,000 tokens; all other prices are built in. A row is for the model of that very name,
# with or without a date at its end. `cached` and `cache_write` are for the provider's own prompt cache.
# [pricing_table]
# openai.gpt-4 = { input = 0.03, output = 0.06 }
# openai.gpt-3.5-turbo = { input = 0.0015, output = 0.002 }
"""


@click.group(epilog="Example: llm-cache config show")
def command() -> None:
    """Show, locate or create the configuration."""


@command.command(epilog="Example: llm-cache config show | grep price")
def show() -> None:
    """Show every setting in force, and where it comes from. Secrets are not shown."""
    from llm_cache.config import load

    settings = load()
    lines = [(f"{key} = {spelt(value)}", settings.origin(key)) for key, value in settings.shown().items()]
    if settings.ceiling is not None:
        lines.append((f"# no call gets beyond {settings.ceiling.value}", settings.origin("mode")))
    width = min(60, max(len(line) for line, _ in lines))
    for line, origin in lines:
        click.echo(output.safe(f"{line.ljust(width)}  # {origin}"))


@command.command(epilog="Example: $EDITOR $(llm-cache config path)")
def path() -> None:
    """Print where the configuration file is, or would be."""
    from llm_cache.config import config_path

    click.echo(str(config_path(os.environ)))


@command.command(epilog="Example: llm-cache config init")
def init() -> None:
    """Write a configuration file that explains itself; never over one that is there."""
    from llm_cache.config import config_path

    file = config_path(os.environ)
    # Secrets may come to stand in it.
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{file} is there already, and stays as it is.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(TEMPLATE)
    click.echo(str(file))


def spelt(value: object) -> str:
    """A value as one would write it in the file."""
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return f"[{', '.join(spelt(each) for each in sorted(value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {spelt(each)}' for name, each in value.items())} }}" if value else "{}"
    prices = {name: getattr(value, name, None) for name in ("input", "output", "cached", "cache_write")}
    if prices["input"] is not None:
        return spelt({name: price for name, price in prices.items() if price is not None})
    return output.as_json(str(value) if isinstance(value, Path) else value)


def _key(name: object) -> str:
    text = str(name)
    return text if text.replace("-", "").replace("_", "").isalnum() and text.isascii() else output.as_json(text)
