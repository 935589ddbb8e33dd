"""Makes the pictures of the dashboard for the README: the overview, light and dark, and an entry. Needs Chromium.

    python tools/picture_dashboard.py FOLDER

They show made-up calls (`dashboard_store.py`), and are as small as PNG without loss of anything that one sees gets.
Beside them `dashboard.json` keeps what the pages were made of, for a test to tell whether the pictures are current.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

WIDTH, HEIGHT = 1180, 760
SHOWN = "dashboard.json"
Scheme = Literal["light", "dark"]
_COLOURS = 255


@contextmanager
def served(file: Path) -> Iterator[str]:
    """The address of the dashboard of a store."""
    command = [str(Path(sys.executable).with_name("llm-cache")), "ui", "--no-open"]
    environ = {**os.environ, "LLMCACHE_DATABASE_URL": str(file), "LLMCACHE_CONFIG": os.devnull}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def chromium() -> str | None:
    """The browser, if there is one."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def look(schemes: tuple[Scheme, ...] = ("light", "dark")) -> Iterator[tuple[str, Scheme, Any]]:
    """Each page of which there is a picture, in each colour scheme, as it is to be seen."""
    from playwright.sync_api import sync_playwright

    browser_path = chromium()
    if browser_path is None:
        raise SystemExit("pictures: there is no chromium on the PATH.")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        file = Path(scratch) / "cache.db"
        subprocess.run([sys.executable, Path(__file__).with_name("dashboard_store.py"), file], check=True)
        with served(file) as url:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
            for scheme in schemes:
                context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
                for name, view in (("overview", "#/"), ("entry", "#/entries?namespace=agents")):
                    page = context.new_page()  # not the one before, whose rows would be taken for the new ones
                    page.goto(url + view)
                    page.locator("main h1").wait_for()
                    if name == "entry":
                        page.locator("td.key a").first.wait_for()
                        _open_an_entry(page)
                    page.wait_for_timeout(400)
                    yield name, scheme, page
                context.close()
            browser.close()


def structure(page: Any) -> list[str]:
    """What a page is made of: its headings, columns and labels, without figures, and without what an entry holds."""
    texts = page.locator(":is(h1, h2, th, dt, nav a, label):not(article *)").all_inner_texts()
    plain = {re.sub(r"\d[\d.,]*", "#", " ".join(text.split())) for text in texts}
    return sorted(text for text in plain if re.search(r"[a-z]", text))


def take(folder: Path) -> None:
    """Write the pictures into a folder, and beside them what they show."""
    shown = {}
    for name, scheme, page in look():
        _write(folder / f"dashboard-{name}-{scheme}.png", page.screenshot())
        shown[name] = structure(page)
    (folder / SHOWN).write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _open_an_entry(page: Any) -> None:
    """One with a tool call in it."""
    for link in page.locator("td.key a").evaluate_all("links => links.map((link) => link.hash)"):
        page.evaluate("hash => { location.hash = hash }", link)
        page.get_by_text(link.rpartition("/")[2]).first.wait_for()  # the one before may still be there
        if page.locator(".part.call").count():
            return


def _write(file: Path, png: bytes) -> None:
    """Keep a picture, with a palette if its colours fit into one: a third of the size, and the same to the eye."""
    small = palette(png)
    file.write_bytes(small)
    print(f"{file}: {len(small) / 1000:.0f} KB (was {len(png) / 1000:.0f} KB)")


def palette(png: bytes) -> bytes:
    """The same picture with at most 255 colours, the rarest replaced by the nearest of the others."""
    width, height, channels, rows = _pixels(png)
    counts: dict[bytes, int] = {}
    for row in rows:
        for at in range(0, width * channels, channels):
            colour = row[at : at + 3]
            counts[colour] = counts.get(colour, 0) + 1
    kept = [colour for colour, _ in sorted(counts.items(), key=lambda pair: -pair[1])[:_COLOURS]]
    index = {colour: place for place, colour in enumerate(kept)}
    for colour in counts:
        if colour not in index:
            index[colour] = min(range(len(kept)), key=lambda place: _distance(kept[place], colour))
    body = b"".join(
        b"\0" + bytes(index[row[at : at + 3]] for at in range(0, width * channels, channels)) for row in rows
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", b"".join(kept)), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _pixels(png: bytes) -> tuple[int, int, int, list[bytes]]:
    """Width, height, bytes a pixel and rows, filters undone (PNG specification, 9.2)."""
    at, data, width, height, kind = 8, b"", 0, 0, 0
    while at < len(png):
        (size,), name = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        chunk = png[at + 8 : at + 8 + size]
        if name == b"IHDR":
            width, height, _, kind = struct.unpack(">IIBB", chunk[:10])
        elif name == b"IDAT":
            data += chunk
        at += size + 12
    channels = {2: 3, 6: 4}[kind]
    raw, stride, rows = zlib.decompress(data), width * channels, []
    above = bytearray(stride)
    for line in range(height):
        start = line * (stride + 1)
        row = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], row, above, channels)
        rows.append(bytes(row))
        above = row
    return width, height, channels, rows


def _unfilter(how: int, row: bytearray, above: bytearray, channels: int) -> None:
    for at in range(len(row)) if how else ():
        left = row[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        row[at] = (row[at] + (0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner))[how]) & 255


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    far = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[far.index(min(far))]


def main(arguments: list[str]) -> int:
    """Take them all."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    take(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
