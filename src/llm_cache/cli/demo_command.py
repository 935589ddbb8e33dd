"""`llm-cache demo`: what a cache does, shown without a key or a network. It must not touch the user's own cache."""

from __future__ import annotations

import click


@click.command()
@click.option("--fast", is_flag=True, help="With a provider that answers almost at once.")
def command(fast: bool) -> None:
    """Show what a cache does, with no key and no network, in twenty seconds.

    The provider is a fake one on this machine that takes as long as a real one; everything else is real: the OpenAI
    SDK where it is installed, the cache, its file, the prices.

    Example: llm-cache demo
    """
    from llm_cache.cli.demo_acts import play

    play(0.02 if fast else 1.0)
