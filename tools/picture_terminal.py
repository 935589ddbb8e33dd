"""Makes the picture of a terminal for the README: `llm-cache demo`, as it has just been seen.

    python tools/picture_terminal.py FOLDER

The picture is SVG with its text as text: `skeleton` and `words_of` are what a test tells by whether it is current.
"""

from __future__ import annotations

import html
import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

NAME = "terminal-demo.svg"
WIDTH = 102
# As rich's own, without its fonts, which a page would have to fetch from elsewhere.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
        font-variant-east-asian: full-width;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: ui-sans-serif, system-ui, sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def seen(*arguments: str) -> str:
    """What `llm-cache` writes on a terminal, colours included."""
    ours, theirs = pty.openpty()
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "HOME": home, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "PYTHONWARNINGS": ""}
        command = [sys.executable, "-m", "llm_cache.cli.main", *arguments]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as process:
            os.close(theirs)
            pieces = []
            while True:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # what Linux says at the end
                    break
                if not piece:
                    break
                pieces.append(piece)
    os.close(ours)
    if process.returncode:
        raise SystemExit(b"".join(pieces).decode())
    return b"".join(pieces).decode().replace("\r\n", "\n")


def picture(text: str) -> str:
    """The terminal as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    # One more line, since rich cuts the last one short.
    console.print(Text.from_ansi(text + "\n"), soft_wrap=True)
    drawn = console.export_svg(title="llm-cache demo", theme=MONOKAI, code_format=_FORMAT, unique_id="terminal")
    return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)


def words_of(svg: str) -> str:
    """The text in a picture."""
    lines: dict[float, str] = {}
    for place, text in re.findall(r'<text class="terminal-r\d+" x="[\d.]+" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        lines[float(place)] = lines.get(float(place), "") + html.unescape(text).replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(lines[place] for place in sorted(lines))


def skeleton(text: str) -> list[str]:
    """What stays the same from run to run: no numbers, no keys, no colours, no empty lines."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    plain = re.sub(r"\b[0-9a-f]{12}\b", "#", plain)
    plain = re.sub(r"\$?\d[\d.,]*( ms| s)?", "#", plain)
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip()]


def main() -> int:
    """Write the picture into a folder."""
    file = Path(sys.argv[1]) / NAME
    file.write_text(picture(seen("demo")), encoding="utf-8")
    print(f"{file}: {file.stat().st_size / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
