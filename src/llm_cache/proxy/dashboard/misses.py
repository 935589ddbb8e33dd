"""What missed, and why: by reason, by model, and by fields that were new each time. It must show no value of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_cache.errors import StoreError
from llm_cache.proxy.dashboard.figures import figures

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.ledger.misses import Costly

_MOST = 20


def misses(engine: Engine, query: Mapping[str, str]) -> dict[str, object]:
    """Reasons and models of some days, and which fields cost hits lately.

    Raises:
        Problem: the query is wrong.
    """
    found = figures(engine.ledger.account(lenient=True), engine.clock(), query)
    try:
        fields: list[dict[str, object]] | None = [_told(one) for one in engine.ledger.costly()[:_MOST]]
    except StoreError:
        fields = None
    return {"total": found["total"], "reasons": found["reasons"], "lines": found["lines"], "fields": fields}


def _told(one: Costly) -> dict[str, object]:
    return {
        "fields": one.fields,
        "paths": one.paths,
        "misses": one.misses,
        "cost_usd": one.cost_usd,
        "unpriced": one.unpriced,
        "generated": one.generated,
        "rule": one.rule,
        "advice": one.advice,
        "key": one.key,
        "near": one.near,
    }
