"""Which recorded exchanges each SDK of the matrix is asked for. It holds no tests."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llm_cache.providers.registry import possible
from llm_cache.testing import load_traffic, traffic_folder
from tests.sdk.sdks import OPENAI_METHODS, SDKS, ending_of, installed, path_of

FOLDER = traffic_folder()
_MOST = 2
"""Recordings of one endpoint and one kind that each SDK is asked for; every SDK here sees the same bytes."""


@lru_cache(maxsize=1)
def all_cases():
    """Each installed SDK with all recorded exchanges that it has a method for."""
    if FOLDER is None:
        return []
    return [
        (sdk, exchange)
        for sdk in SDKS
        if all(map(installed, (sdk.distribution, *sdk.beside)))
        for exchange in load_traffic()
        if possible(f"http://{exchange.host}{exchange.path}")
        and exchange.ok
        and exchange.status == 200
        and sdk.takes(exchange)
    ]


@lru_cache(maxsize=1)
def everything():
    """Each recorded success with the SDK of its vendor, or with OpenAI's where it speaks like that, or with None."""
    found = {exchange.id: sdk for sdk, exchange in all_cases()}
    openai = next((sdk for sdk in SDKS if sdk.name == "openai" and installed("openai")), None)
    return [
        (found.get(exchange.id, openai if ending_of(exchange, OPENAI_METHODS) else None), exchange)
        for exchange in (load_traffic() if FOLDER else ())
        if exchange.ok
    ]


@lru_cache(maxsize=1)
def cases():
    """Of them, those that each SDK of the matrix is asked for."""
    found = []
    seen: dict[Any, int] = {}
    for sdk, exchange in all_cases():
        what = (sdk.name, path_of(exchange).split(":")[-1].split("/")[-1], exchange.stream)
        seen[what] = seen.get(what, 0) + 1
        if seen[what] <= _MOST:
            found.append((sdk, exchange))
    return found
