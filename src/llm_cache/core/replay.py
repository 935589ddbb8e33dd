"""Turns a stored entry back into the chunks of its reply. It changes no byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_cache.core.model import Entry


def chunks(entry: Entry) -> list[bytes]:
    """The body in the pieces in which it arrived; one piece if it is not a stream.

    A plain reply was cut by the network, not by the provider, so its cuts carry no meaning.
    """
    if entry.stream:
        return [frame.data for frame in entry.frames]
    return [entry.body] if entry.frames else []


def paced(entry: Entry) -> Iterator[tuple[float, bytes]]:
    """The pieces with the seconds to wait before each, as the provider paced them."""
    before_us = 0
    for frame in entry.frames:
        yield max(0, frame.at_us - before_us) / 1_000_000, frame.data
        before_us = frame.at_us
