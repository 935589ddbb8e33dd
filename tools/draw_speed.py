"""Draws the pictures of docs/explanation/speed.md. For `make speed`, in `.venvs/plots`; measures nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
OURS, THEIRS, TEXT = "#1a7f64", "#9aa3ad", "#7d8590"
mpl.use("svg")
mpl.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "llm-cache", "text.color": TEXT, "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT, "xtick.color": TEXT, "ytick.color": TEXT, "axes.spines.top": False,
    "axes.spines.right": False, "font.size": 10, "font.family": "sans-serif",
})  # fmt: skip


def _save(name: str, digest: str) -> None:
    file = ROOT / "docs" / "_static" / f"speed-{name}.svg"
    plt.tight_layout()
    plt.savefig(file, transparent=True, metadata={"Date": None, "Description": digest})
    plt.close()
    # A line that ends in blanks is an error in this repository.
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")


def bars(name: str, title: str, rows: list[tuple[str, float, bool]], digest: str, *, best: str) -> None:
    """Horizontal bars on a logarithmic scale, ours in another colour, the best on top."""
    rows = sorted(rows, key=lambda row: row[1], reverse=best == "least")
    plt.figure(figsize=(8, 0.32 * len(rows) + 1.1))
    drawn = plt.barh(
        [row[0] for row in rows], [row[1] for row in rows], color=[OURS if row[2] else THEIRS for row in rows]
    )
    plt.bar_label(drawn, [f"{row[1]:,.0f}" if row[1] >= 100 else f"{row[1]:.1f}" for row in rows], padding=4)
    plt.xscale("log")
    plt.margins(x=0.25)
    plt.xlabel(title)
    _save(name, digest)


def _hits(figures: dict[str, Any]) -> list[tuple[str, float, bool]]:
    rows: dict[str, tuple[float, bool]] = {}
    for name in ("peers", "client"):
        for result in figures["comparisons"][name]["results"]:
            ours = f"llm-cache: {result['name'].replace(', SQLite', '')}"
            theirs = result["peer"].replace("the client on a null transport", "OpenAI's SDK with no network")
            rows.setdefault(ours, (result["data"]["ours_median_us"], True))
            rows.setdefault(theirs, (result["data"]["theirs_median_us"], False))
    return [(name, *row) for name, row in rows.items()]


def _gateways(figures: dict[str, Any]) -> list[tuple[str, float, bool]]:
    rows = []
    for name in ("edge", "gateway"):
        for result in figures["comparisons"].get(name, {"results": []})["results"]:
            label = result["name"].replace("proxy ", "").replace(", one worker", "")
            rows.append((f"llm-cache: {label}", result["data"]["ours_per_core_s"], True))
            if "SQLite and AES" not in label:
                rows.append((f"{result['peer']}: {label}", result["data"]["theirs_per_core_s"], False))
    return list({row[0]: row for row in rows}.values())


def growth(figures: dict[str, Any], digest: str) -> None:
    """Microseconds by the number of entries."""
    plt.figure(figsize=(8, 3.4))
    rows = figures["growth"]["rows"]
    for key, label, style in (
        ("hit", "a whole hit", "-"),
        ("write", "a write", "--"),
        ("lookup", "a lookup in the store", ":"),
    ):
        plt.plot(
            [row["entries"] for row in rows],
            [row[f"{key}_median_us"] for row in rows],
            f"o{style}",
            label=label,
            color=OURS,
        )
    plt.xscale("log")
    plt.ylim(bottom=0)
    plt.xlabel("entries in the store")
    plt.ylabel("µs, median")
    plt.legend(frameon=False)
    _save("growth", digest)


def main(digest: str) -> None:
    """All of them."""
    figures = json.loads((ROOT / "docs" / "explanation" / "speed.json").read_text(encoding="utf-8"))
    bars("hits", "µs for a hit, median (logarithmic)", _hits(figures), digest, best="least")
    bars("gateways", "requests for a second of CPU (logarithmic)", _gateways(figures), digest, best="most")
    growth(figures, digest)


if __name__ == "__main__":
    main(*sys.argv[1:])
