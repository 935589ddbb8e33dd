"""Lines of sealed entries: the columns that a sealed store shows anyway, and the record as it lies there, unopened.

Such a line says no more than the store does to whoever has its file. It can be read again only where the store's own
keys are: in that store, or in a copy of it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from llm_cache.codec.codec import sealed_with, to_pico, to_usd
from llm_cache.core.model import Row
from llm_cache.errors import FormatError
from llm_cache.ledger.report import money

if TYPE_CHECKING:
    from decimal import Decimal

    from llm_cache.transfer.records import Line


def record_of_sealed(row: Row) -> dict[str, Any]:
    """The line of a sealed row."""
    fields = row._asdict()
    cost = to_usd(fields.pop("cost_pico"))
    value: bytes = fields.pop("value")
    return {
        **fields,
        "key": row.key.hex(),
        "cost_usd": None if cost is None else money(cost),
        "sealed": base64.b64encode(value).decode(),
    }


def row_of(line: Line, cost_usd: Decimal | None) -> Row:
    """The row of a sealed line, whose columns have been checked as those of an entry.

    Raises:
        FormatError: what is in it is no sealed record.
    """
    try:
        value = base64.b64decode(line.sealed or "", validate=True)
    except binascii.Error:
        value = b""
    row = Row(
        bytes.fromhex(line.key),
        value,
        line.kind,
        line.provider,
        line.model,
        line.endpoint,
        line.namespace,
        line.stream,
        line.status,
        line.created_at,
        line.expires_at,
        line.input_tokens,
        line.output_tokens,
        to_pico(cost_usd),
        line.latency_ms,
        line.hits,
        line.last_hit_at,
    )
    if sealed_with(row) is None:
        raise FormatError("what it calls sealed is no sealed record")
    return row
