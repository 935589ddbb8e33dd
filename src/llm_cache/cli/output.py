"""How things are printed: safe text, JSON, tables. It must not know what is printed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from decimal import Decimal

import click

# These two are no layout but part of how Persian, Indian languages and some emoji are written.
_JOINERS = "\u200c\u200d"

_WIDEST = 200
"""Characters of a table's cell."""
_GAP = "  "
_NAME = 28
"""Characters of a name that a column has room for before others are left out."""


def safe(text: str, keep: str = "") -> str:
    """Text of unknown origin for a terminal: nothing in it moves the cursor, sets colours or turns the line around.

    Args:
        text: what was stored, or came from a configuration.
        keep: characters that may stay: line breaks and tabs in text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep or char in _JOINERS or char == "\xa0" else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def on_one_line(text: str) -> str:
    """A message as one line."""
    return safe(" ".join(text.split()))


def as_json(value: object, *, indent: int | None = 2) -> str:
    """JSON that is readable, and as harmless on a terminal as anywhere: what cannot be printed is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)
    if text.replace("\n", "").isprintable():
        return text
    # Between quotes nothing else can be unprintable: JSON escapes line breaks itself.
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def moment(at: float | None) -> str:
    """A time in UTC, which is what days are counted in."""
    if at is None:
        return "never"
    try:
        return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "?"


def dollars(usd: Decimal | None) -> str:
    """Money for people, as exact as it is."""
    from llm_cache.ledger.report import money

    return "unknown" if usd is None else f"${money(usd)}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def brief(at: float | None) -> str:
    """A time in UTC to the minute, for a terminal."""
    return moment(at) if at is None else moment(at)[:16].replace("T", " ") + "Z"


def amount(usd: Decimal | None) -> str:
    """Money for a column: rounded on a terminal, where a dozen digits are in the way, and exact anywhere else."""
    if usd is None or not usd or not sys.stdout.isatty():
        return dollars(usd)
    if abs(usd) < Decimal("0.0001"):
        return f"${usd:.1g}" if "e" not in f"{usd:.1g}" else "<$0.0001"
    return f"${usd:,.2f}" if abs(usd) >= 1 else f"${usd:.4f}"


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), least: Sequence[str] = ()
) -> None:
    """Print a table: with lines and no wider than the terminal on one, else columns of plain text.

    Args:
        columns: the headings.
        rows: cells; they are made safe here.
        right: headings of the columns that are flush right.
        least: headings of the columns that are left out, in this order, where the terminal is too narrow for all.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    kept = list(range(len(columns)))
    widths = [max(len(line[index]) for line in [list(columns), *cells]) for index in kept]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns
        # A long name is folded; a short one is not worth folding for the sake of another column.
        needed = [
            width if _whole(name, right) else min(width, _NAME) for name, width in zip(columns, widths, strict=True)
        ]
        for name in least:
            if sum(needed[index] + len(_GAP) for index in kept) - len(_GAP) > room and name in columns:
                kept.remove(columns.index(name))
        _rich_table([columns[index] for index in kept], [[row[index] for index in kept] for row in cells], right)
        return
    justify: list[Callable[[str, int], str]] = [str.rjust if name in right else str.ljust for name in columns]
    for line in ([name.upper() for name in columns], *cells):
        click.echo(_GAP.join(how(cell, width) for how, cell, width in zip(justify, line, widths, strict=True)).rstrip())


def _cell(text: str) -> str:
    """Text as one cell: a name may be a megabyte, and a line of that is of use to nobody."""
    return safe(text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…")


def _whole(column: str, right: Sequence[str]) -> bool:
    """Whether its cells stay on one line: a number or a time in two lines is none."""
    return column in right or column in {"key", "created", "day", "the latest"}


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        whole = _whole(name, right)
        made.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        made.add_row(*map(Text, row))
    Console(highlight=False).print(made)


def pairs(lines: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one to a line."""
    listed = list(lines)
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        click.echo(f"{name.ljust(width)}  {safe(value)}".rstrip())
