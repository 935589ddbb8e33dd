"""Writing a single row through a channel whose transaction has begun. It must neither begin one nor end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_cache.stores.sqlite_schema import (
    ADD_ROW,
    PUT_GROUP,
    REPLACE_ROW,
    SELECT_GROUP,
    SELECT_ID,
    group_of,
    values_of,
)

if TYPE_CHECKING:
    from llm_cache.core.model import Row
    from llm_cache.stores.sqlite_channel import Channel


def keep_row(channel: Channel, row: Row) -> None:
    """Keep the row, in place of an older one."""
    values = values_of(row, _group(channel, row))
    there = channel.execute(SELECT_ID, (row.key, row.key)).fetchone()
    if there is None:
        channel.execute(ADD_ROW, values)
    else:
        channel.execute(REPLACE_ROW, (*values[1:], *there))


def _group(channel: Channel, row: Row) -> int:
    """The group of a row's names, made if there is none."""
    names = group_of(row)
    found = channel.execute(SELECT_GROUP, names).fetchone()
    if found is None:
        channel.execute(PUT_GROUP, names)
        found = channel.execute(SELECT_GROUP, names).fetchone()
    number: int = found[0]
    return number
