"""`llm-cache ui`: shows the configured store in a browser. It must not serve it to anybody else."""

from __future__ import annotations

import contextlib
import os
import sys
import webbrowser

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 takes a free one.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def command(port: int, no_open: bool) -> None:
    """Show the cache in a browser, until Ctrl-C.

    The address is on standard output. It has a token of its own, is of this machine alone, and is good for as long as
    the command runs. Others may use the cache meanwhile.

    Example: llm-cache ui --no-open
    """
    from llm_cache.clients.cache import LLMCache
    from llm_cache.proxy.dashboard.alone import serve

    with LLMCache() as cache:
        if cache.settings.backend == "memory":
            raise click.ClickException("the cache is set to be in the memory of each process, which nobody else sees.")
        click.echo(f"The dashboard of {cache.location}; stop it with Ctrl-C.", err=True)

        def ready(url: str) -> None:
            click.echo(url)
            sys.stdout.flush()
            if not no_open and _has_browser():
                with contextlib.suppress(webbrowser.Error, OSError):
                    webbrowser.open(url)

        with contextlib.suppress(KeyboardInterrupt):
            serve(cache.engine, port, ready)


def _has_browser() -> bool:
    """Whether there is a screen to show one on. A browser for terminals would take this one."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
