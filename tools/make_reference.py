"""Writes the reference pages that follow from the code. `--check` only compares.

python tools/make_reference.py [--check]

What is written here is in the code already; a page that says something else is wrong, and the check says so.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import click

from llm_cache import errors
from llm_cache.cli.config_command import spelt
from llm_cache.cli.main import PROGRAM, command
from llm_cache.config.about import ABOUT, VARIABLES
from llm_cache.config.keys import KEYS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import reference_api, reference_proxy  # noqa: E402 - a script's own folder is no package

PAGES = ROOT / "docs" / "reference"
MADE = "<!-- Made by tools/make_reference.py from the code: change it there, then run `make reference`. -->\n\n"


def cli() -> str:
    """Every command's help, as it prints it."""
    lines = [
        "# Command line",
        "",
        "Data goes to standard output, everything else to standard error. The exit status is 0 when it is done, 1 when",
        "it failed or found nothing, 2 for wrong usage or configuration. Keys may be cut to any beginning that is",
        "unambiguous.",
        "",
    ]
    with click.Context(command, info_name=PROGRAM) as top:
        for name in command.list_commands(top):
            found = command.get_command(top, name)
            assert found is not None  # noqa: S101 - the list is the command's own
            lines += _help(found, f"{PROGRAM} {name}", top, 2)
    return "\n".join(lines)


def _help(found: click.Command, name: str, parent: click.Context, depth: int) -> list[str]:
    context = click.Context(found, info_name=name.rpartition(" ")[2], parent=parent, max_content_width=100)
    text = re.sub(r"[ \t]+$", "", found.get_help(context), flags=re.MULTILINE)
    lines = [f"{'#' * depth} `{name}`", "", "```text", text, "```", ""]
    if isinstance(found, click.Group):
        for inner in found.list_commands(context):
            part = found.get_command(context, inner)
            if part is not None:
                lines += _help(part, f"{name} {inner}", context, depth + 1)
    return lines


def configuration() -> str:
    """Every setting with its variable and default."""
    lines = [
        "# Configuration",
        "",
        "Arguments win over environment variables, these over the file, this over the defaults. They are read when a",
        "cache is made, never at import. The file is `~/.config/llm-cache/config.toml` (`XDG_CONFIG_HOME` is honoured)",
        "or the one that `LLMCACHE_CONFIG` names; `llm-cache config init` writes one that explains itself, and",
        "`llm-cache config show` shows every setting in force with the place it came from. Unknown keys and bad values",
        "are errors that name the key, the line or the variable, and what is allowed; an unknown `LLMCACHE_*` variable",
        "is a warning.",
        "",
        "Every key is also the name of an argument of `LLMCache`.",
        "",
        "| key | variable | default | |",
        "|---|---|---|---|",
    ]
    for key in KEYS.values():
        variable = (
            f"`{key.variable}`" if key.variable else "`LLMCACHE_UPSTREAMS__NAME`" if key.name == "upstreams" else ""
        )
        default = "" if key.default is None else f"`{spelt(getattr(key.default, 'value', key.default))}`"
        lines.append(f"| `{key.name}` | {variable} | {default} | {ABOUT[key.name]} |")
    lines += [
        "",
        "## Other variables",
        "",
        "| variable | |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in VARIABLES.items()),
        "",
        "What `llm-cache run` sets for the program that it starts is on [its page](../how-to/run.md).",
    ]
    return "\n".join([*lines, ""])


def errors_page() -> str:
    """The error tree, and what each means."""
    tree = inspect.getdoc(errors) or ""
    drawn = re.search(r"LLMCacheError\n.*?(?=\n\n)", tree, re.DOTALL)
    assert drawn is not None  # noqa: S101 - the tree is the module's documentation
    lines = ["# Errors", "", "All are in `llm_cache`.", "", "```text", inspect.cleandoc(drawn[0]), "```", ""]
    lines += [
        "Only construction, administration and `offline` mode raise these. In a call that would have worked without",
        "",
    ]
    lines[-1] = "the cache they are counted, and the call goes on; errors of the provider pass through as they are."
    lines.append("")
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, Exception):
            lines += [f"## `{name}`", "", _prose(inspect.getdoc(found) or ""), ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    """A docstring as Markdown: its list of attributes as a list."""
    return re.sub(r"^ +(\w+):", r"- `\1`:", text.replace("Attributes:\n", "Attributes:\n\n"), flags=re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Write the pages, or say which are not what they should be."""
    made = {
        "api.md": reference_api.api(),
        "cli.md": cli(),
        "configuration.md": configuration(),
        "errors.md": errors_page(),
        "headers.md": reference_proxy.headers(),
        "metrics.md": reference_proxy.metrics(),
        "reasons.md": reference_proxy.reasons_page(),
    }
    stale = []
    for name, text in made.items():
        page = PAGES / name
        wanted = MADE + text.rstrip() + "\n"
        if not page.exists() or page.read_text(encoding="utf-8") != wanted:
            stale.append(name)
            if "--check" not in arguments:
                page.write_text(wanted, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"docs/reference/{', '.join(stale)}: not what the code says; say `make reference`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
