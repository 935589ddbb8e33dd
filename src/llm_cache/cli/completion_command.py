"""`llm-cache completion SHELL`: prints what makes a shell complete our commands. It must not install it anywhere."""

from __future__ import annotations

import click

from llm_cache.cli.main import PROGRAM, command as program


@click.command(epilog="Example: llm-cache completion zsh")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: eval "$(llm-cache completion bash)" in ~/.bashrc; for zsh the same in ~/.zshrc; for fish: llm-cache
    completion fish > ~/.config/fish/completions/llm-cache.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}.")
    # The template and not `source()`, which first runs the shell to ask for its version.
    made = kind(program, {}, PROGRAM, "_LLM_CACHE_COMPLETE")
    click.echo(made.source_template % made.source_vars())
