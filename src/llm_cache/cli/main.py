"""The command `llm-cache`: finds the subcommand, and turns what goes wrong into one sentence and an exit status.

It must import nothing heavy: `llm-cache --help` is asked for more often than anything else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from llm_cache.errors import ConfigError, LLMCacheError

PROGRAM = "llm-cache"
DONE, FAILED, WRONG = 0, 1, 2
"""Exit statuses: done; failed or not found; wrong usage or configuration."""
_COMMANDS = {
    "serve": "Start the caching proxy.",
    "run": "Run a program behind a caching proxy of its own.",
    "stats": "Show calls, hits, money and time saved.",
    "list": "List entries, newest first.",
    "show": "Show one entry.",
    "why": "Show the stored request nearest to another, and what differs.",
    "purge": "Delete entries.",
    "export": "Write entries into FILE, newest first.",
    "import": "Bring the entries of an export back.",
    "ui": "Show the cache in a browser.",
    "compact": "Give back to the system what the store no longer needs.",
    "rekey": "Set, change or remove the encryption key.",
    "doctor": "Check configuration and store.",
    "config": "Show, locate or create the configuration.",
    "freeze": "Write entries into FILE as a cassette: JSON that people read and compare.",
    "demo": "Show what a cache does, with no key and no network.",
    "completion": "Print the completion script of a shell.",
}
"""Every command with its help, so that the list of commands needs none of them."""


class _EnoughSeen(Exception):
    """Whoever reads our output has gone (`| head`). No OSError, because click has its own idea of those."""


class _Commands(click.Group):
    """Imports a command when it is called."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _EnoughSeen from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"llm_cache.cli.{cmd_name}_command").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"{PROGRAM} {version(PROGRAM)}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: llm-cache stats --by model",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def command() -> None:
    """A cache for calls of language models.

    Data goes to standard output, everything else to standard error. Exit status: 0 done, 1 failed or not found, 2 wrong
    usage or configuration.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and say its exit status; no exception leaves this."""
    for stream in (sys.stdout, sys.stderr):
        # What was stored may hold characters that this terminal has no bytes for.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = command.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (_EnoughSeen, BrokenPipeError):
        # Python would flush once more at its end and complain.
        _abandon(sys.stdout)
        return DONE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else PROGRAM
        return _fail(f"{error.format_message()} ({where} --help says more)", WRONG)
    except click.ClickException as error:
        return _fail(error.format_message(), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped.", FAILED)
    except ConfigError as error:
        return _fail(str(error), WRONG)
    except LLMCacheError as error:
        more = "; llm-cache doctor says what can be done" if getattr(error, "damaged", False) else ""
        return _fail(f"{error}{more}", FAILED)
    except OSError as error:
        _abandon(sys.stdout)
        named = f"{error.filename}: " if error.filename else ""
        return _fail(f"{named}{error.strerror or error}", FAILED)
    except Exception as error:
        if os.environ.get("LLMCACHE_LOG_LEVEL", "").upper() == "DEBUG":
            import traceback

            traceback.print_exc()
        return _fail(f"an error that nobody expected: {type(error).__name__}: {error}", FAILED)
    return status if isinstance(status, int) else DONE


def _fail(sentence: str, status: int) -> int:
    from llm_cache.cli.output import on_one_line

    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{PROGRAM}: {on_one_line(sentence)}\n")
        sys.stderr.flush()
    return status


def _abandon(stream: object) -> None:
    """Let what is still in a stream's buffer go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[attr-defined]
        os.close(nowhere)


def main() -> None:
    """The entry point."""
    sys.exit(run())


if __name__ == "__main__":
    main()
