"""What missed, and why. It must not show what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_cache.proxy.dashboard.figures import figures

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine


def misses(engine: Engine, query: Mapping[str, str]) -> dict[str, object]:
    """Reasons and models, of some days.

    Raises:
        Problem: the query is wrong.
    """
    told = figures(engine.ledger.account(lenient=True), engine.clock(), query)
    return {"total": told["total"], "reasons": told["reasons"], "lines": told["lines"], "fields": None}
