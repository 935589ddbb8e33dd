"""Records and values as earlier versions wrote them, which every later one must read.

`python -m tests.codec.golden_records` adds what is missing in tests/golden and never changes what is there.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_cache.codec.codec import Codec
from llm_cache.codec.seal import Keys
from llm_cache.core.model import Entry, Frame, Head, Request, Row, Usage
from tests.codec.codec_samples import as_kept

VERSION = 3
"""The one that is written now; records of earlier ones can no more be made."""
KEYS = Keys([(0x11223344, bytes(range(32)))])
FOLDER = Path(__file__).resolve().parent.parent / "golden" / "records"


def _bytes(data: bytes) -> str:
    return base64.b64encode(data).decode()


def to_json(entry: Entry, row: Row) -> dict[str, Any]:
    columns = row._asdict()
    del columns["value"]
    asked = entry.asked
    return {
        "columns": {**columns, "key": row.key.hex()},
        "kind": entry.kind,
        "stream": entry.stream,
        "headers": entry.head.headers,
        "frames": [[_bytes(frame.data), frame.at_us] for frame in as_kept(entry).frames],
        "usage": entry.usage and asdict(entry.usage),
        "cost_usd": entry.cost_usd and str(entry.cost_usd),
        "asked": asked and [asked.method, asked.url, asked.headers, _bytes(asked.body)],
    }


def _pairs(found: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in found)


def load(file: Path) -> tuple[Row, Entry]:
    """The row that was stored, and the entry that it must still mean."""
    said = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    columns, value = said["columns"], file.read_bytes()
    row = Row(**{**columns, "key": bytes.fromhex(columns["key"])}, value=value)
    asked = said["asked"]
    return row, Entry(
        key=columns["key"],
        # Of a sealed record these are inside.
        **{name: said.get(name, columns[name]) for name in ("kind", "stream")},
        **{name: columns[name] for name in ("provider", "model", "endpoint", "namespace")},
        **{name: columns[name] for name in ("created_at", "expires_at", "latency_ms", "hits", "last_hit_at")},
        head=Head(columns["status"], _pairs(said["headers"])),
        frames=tuple(Frame(base64.b64decode(data), at_us) for data, at_us in said["frames"]),
        asked=asked and Request(asked[0], asked[1], _pairs(asked[2]), base64.b64decode(asked[3])),
        usage=said["usage"] and Usage(**said["usage"]),
        cost_usd=said["cost_usd"] and Decimal(said["cost_usd"]),
        size_bytes=len(value),
    )


def records() -> list[Path]:
    return sorted(FOLDER.glob("*.bin"))


def main() -> None:
    from tests.codec.codec_samples import SAMPLES

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, entry in SAMPLES.items():
        for kind, codec in (
            ("zstd", Codec()),
            ("raw", Codec(compress=False)),
            ("sealed", Codec(keys=lambda: KEYS)),
        ):
            file = FOLDER / f"v{VERSION}-{name}-{kind}.bin"
            if file.exists():
                continue
            row = codec.encode(entry)
            file.write_bytes(row.value)
            file.with_suffix(".json").write_text(json.dumps(to_json(entry, row), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
