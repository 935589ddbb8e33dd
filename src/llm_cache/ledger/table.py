"""The user's own prices: how they are written and which model a row means. It must not know anybody else's prices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from llm_cache.errors import ConfigError

MOST = Decimal(1_000_000)
"""USD per 1,000 tokens beyond which a price is a slip of the pen."""
_NAMES = (
    "input",
    "output",
    "cached",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
    "search_units",
    "web_searches",
)
FACTORS = ("batch", "flex", "priority", "fast")
"""Terms that a row may have a factor for."""
# A trailing date as vendors write it: 2024-08-06 (OpenAI), 20240229 (Anthropic, with @ on Vertex), 05-20 (Google),
# 0613 (OpenAI's first models), 2407 (Mistral's year and month); or `latest`. Versions (-001, -v2) are no dates.
_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_TRAILING = re.compile(
    rf"(?:-20[0-9]{{2}}-{_MONTH}-{_DAY}|[-@]20[0-9]{{2}}{_MONTH}{_DAY}|-{_MONTH}-{_DAY}"
    rf"|-{_MONTH}{_DAY}|-2[0-9]{_MONTH}|[-@]latest)$"
)


@dataclass(frozen=True, slots=True)
class Price:
    """What 1,000 tokens cost in USD.

    `output` None is for models that write nothing (embeddings): a reply with output tokens then has no known price.
    `cached` and `cache_write` are for tokens read from and written to the provider's prompt cache; None is `input`.
    `cache_write_1h` is for those that are kept for an hour; None is `cache_write`. A reply with audio beside text has
    no known price where `input_audio` or `output_audio` is None.

    Attributes:
        search_units: what 1,000 of a reranker's search units cost.
        web_searches: what 1,000 searches in the web cost.
        factors: by terms (`batch`, `flex`, `priority`, `fast`), what times the whole price is asked at them; at terms
            that are not in it a reply has no known price.
    """

    input: Decimal
    output: Decimal | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    search_units: Decimal | None = None
    web_searches: Decimal | None = None
    factors: Mapping[str, Decimal] = field(default_factory=dict)


PriceTable = Mapping[str, Mapping[str, Price]]
"""Prices by provider and model."""


Where = Callable[[tuple[str, ...]], str]
"""Names the place of a row, given by its path in the table, for an error message."""


def price_table(value: object, where: Where) -> dict[str, dict[str, Price]]:
    """The table from what TOML or a caller wrote, nested or dotted to any depth.

    TOML reads `openai.gpt-3.5-turbo` as three levels; the first is the provider, the others together are the model.

    Raises:
        ConfigError: a row is wrong.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where(())} must be a table of rows like openai.gpt-4 = {{ input = 0.03, output = 0.06 }}")
    table: dict[str, dict[str, Price]] = {}
    for path, row in _rows(value, (), where):
        name = ".".join(path)
        provider, dot, model = name.partition(".")
        if not (provider and dot and model):
            raise ConfigError(f"{where(path)} has a row {name!r}: a row is named provider.model, such as openai.gpt-4")
        models = table.setdefault(provider, {})
        if model in models:
            raise ConfigError(f"{where(path)} has two rows for {name}")
        models[model] = _price(row, f"{where(path)}: the row {name}")
    return table


def _rows(
    node: Mapping[object, object], path: tuple[str, ...], where: Where
) -> Iterator[tuple[tuple[str, ...], dict[str, object]]]:
    """Every row with its path. One table may be a row and hold longer names beside (gpt-4 and gpt-4.1)."""
    row: dict[str, object] = {}
    for name, value in node.items():
        if not isinstance(name, str):
            raise ConfigError(f"{where(path)} has a name that is no text: {name!r}")
        if isinstance(value, Price):
            told = {key: getattr(value, key) for key in _NAMES if getattr(value, key) is not None}
            yield (*path, name), {**told, **value.factors}
        elif isinstance(value, Mapping):
            yield from _rows(value, (*path, name), where)
        else:
            row[name] = value
    if row or (path and not node):
        yield path, row


def _price(row: dict[str, object], source: str) -> Price:
    unknown = sorted(row.keys() - {*_NAMES, *FACTORS})
    if unknown:
        raise ConfigError(
            f"{source} has {unknown[0]!r}: a row has {', '.join(_NAMES)}, in USD per 1,000, "
            f"and the factors {', '.join(FACTORS)}"
        )
    if "input" not in row and not row.keys() & {"search_units"}:
        raise ConfigError(f"{source} has no input price")
    told = {name: _amount(value, f"{source}: {name}") for name, value in row.items()}
    factors = {name: told.pop(name) for name in FACTORS if name in told}
    return Price(**{"input": Decimal(0), **told}, factors=factors)


def _amount(value: object, source: str) -> Decimal:
    amount = None
    if isinstance(value, Decimal):
        amount = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        # By its shortest spelling, which is what was written: 0.03 means three hundredths, not the nearest binary.
        amount = Decimal(repr(value))
    if amount is None or not amount.is_finite() or not 0 <= amount <= MOST:
        shown = value if isinstance(value, Decimal) else repr(value)
        raise ConfigError(f"{source} is {shown}: a price is a number from 0 to {MOST:,} USD per 1,000 tokens")
    return amount


def undated(model: str) -> str | None:
    """The model's name without its trailing date or `latest`; None if there is none."""
    match = _TRAILING.search(model)
    return model[: match.start()] or None if match else None


def row_for(table: PriceTable, provider: str, model: str) -> Price | None:
    """The row that means this model: exactly, or exactly once a trailing date is taken off. Never a prefix."""
    models = table.get(provider)
    if not models:
        return None
    row = models.get(model)
    if row is None and (shorter := undated(model)) is not None:
        row = models.get(shorter)
    return row
