"""Tells a listener what happened. One that fails costs nobody anything. It knows no event by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.core.events import Event

_log = logging.getLogger("llm_cache")


def heard(listener: Callable[[Event], None], event: Event) -> None:
    """Tell it; what it raises is logged and goes no further, since a call may hang on it."""
    try:
        listener(event)
    except Exception:
        _log.exception("an event could not be counted: %r", type(event).__name__)
