"""What a reply cost: the user's own prices first, then those of genai-prices. It must not use the network.

Money is whole pico-dollars (1e-12 USD): even a price of 0.000001 USD per million tokens, a thousandth of the cheapest
there is, is exact. What is smaller is rounded to the nearest pico-dollar, half to even, once for each call.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING

from llm_cache.core.model import Usage
from llm_cache.ledger.table import Price, PriceTable, row_for

if TYPE_CHECKING:
    from llm_cache.ledger.bundled import Bundled

_log = logging.getLogger("llm_cache")
PICO = 12
_THOUSAND = Decimal(1000)
# A user's own decimal context must not reach into our sums.
_CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_REMEMBERED = 4096
_BILLED = ("input_tokens", "output_tokens", "search_units", "web_searches", "file_searches", "audio_ms", "billed_pico")
"""The fields of a usage that something is billed by; the others are parts of these."""


def to_pico(usd: Decimal) -> int:
    """Whole pico-dollars, half to even."""
    return int(usd.scaleb(PICO, _CONTEXT).to_integral_value(ROUND_HALF_EVEN, _CONTEXT))


def to_usd(pico: int) -> Decimal:
    """Exact dollars, without trailing zeros behind the point."""
    whole, rest = divmod(abs(pico), 10**PICO)
    digits = f"{rest:0{PICO}d}".rstrip("0")
    return Decimal(f"{'-' if pico < 0 else ''}{whole}{f'.{digits}' if digits else ''}")


class Prices:
    """Finds prices. Threads may share one.

    Args:
        table: the user's own prices.

    Attributes:
        broken: whether the bundled prices cannot be loaded in this process.
    """

    def __init__(self, table: PriceTable) -> None:
        self.table = table
        self._bundled: Bundled | None = None
        self.broken = False
        self._remembered: dict[tuple[str, tuple[str, ...], Usage, float], int | None] = {}

    @property
    def loaded(self) -> bool:
        """Whether asking for a price is quick, since the bundled prices are in memory."""
        return self._bundled is not None

    def load(self) -> None:
        """Bring the bundled prices into memory, which takes most of a second and 100 MB; later calls do nothing."""
        if self._bundled is not None or self.broken:
            return
        try:
            from llm_cache.ledger.bundled import Bundled

            self._bundled = Bundled()
        except Exception:
            # Somebody else's package, somebody else's dependencies: without it money is unknown, and that is all.
            self.broken = True
            _log.warning("prices cannot be loaded, so what calls cost is unknown for now", exc_info=True)

    def own(self, provider: str, models: Sequence[str], usage: Usage | None) -> tuple[bool, int | None]:
        """What can be said without the bundled prices: whether that is the last word, and the price.

        Args:
            provider: the vendor's name.
            models: the names of the model, the one that answered before the one that was asked.
            usage: what was billed; None is the last word, and unknown.
        """
        if usage is None or all(getattr(usage, name) is None for name in _BILLED):
            return True, None
        for model in models:
            row = row_for(self.table, provider, model)
            if row is not None:
                return True, _from_row(row, usage)
        if usage.billed_pico is not None:
            # Nobody knows it better than who wrote the bill.
            return True, usage.billed_pico
        if usage.input_tokens == usage.output_tokens == 0 and not any(getattr(usage, name) for name in _BILLED):
            # Nothing was billed (counting tokens, moderations), whoever the model is.
            return True, 0
        return False, None

    def cost(self, provider: str, models: Sequence[str], usage: Usage | None, at: float) -> int | None:
        """Pico-dollars, or None if nobody knows. Loads the bundled prices if it must.

        Args:
            provider: as in `own`.
            models: as in `own`.
            usage: as in `own`.
            at: when the call was made, seconds since the epoch; prices have dates.
        """
        settled, cost = self.own(provider, models, usage)
        if settled or usage is None:
            return cost
        question = (provider, tuple(models), usage, at)
        try:
            return self._remembered[question]
        except KeyError:
            pass
        self.load()
        cost = self._ask(provider, models, usage, at)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[question] = cost
        return cost

    def _ask(self, provider: str, models: Sequence[str], usage: Usage, at: float) -> int | None:
        bundled = self._bundled
        if bundled is None:
            return None
        for model in models:
            try:
                with localcontext(_CONTEXT):
                    usd = bundled.cost(provider, model, usage, at)
            except Exception:
                # A library that we feed with whatever a server sent: a price is not worth a failure.
                _log.debug("no price for %s of %s", model, provider, exc_info=True)
                continue
            if usd is not None:
                return to_pico(usd)
        return None


def _from_row(row: Price, usage: Usage) -> int | None:
    """The price by one of the user's rows; None if the row has no price for something that was billed."""
    factor = Decimal(1) if usage.terms is None else row.factors.get(usage.terms)
    counted = _input_of(row, usage), _output_of(row, usage), _searches_of(row, usage)
    if factor is None or usage.audio_ms or None in counted:
        return None
    with localcontext(_CONTEXT):
        return to_pico(sum((part for part in counted if part is not None), Decimal(0)) * factor / _THOUSAND)


def _input_of(row: Price, usage: Usage) -> Decimal | None:
    """The price of what was asked, times a thousand."""
    asked, read, written = usage.input_tokens, usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    heard, hourly = usage.input_audio_tokens or 0, usage.cache_write_1h_tokens or 0
    if asked is None:
        return None if row.input else Decimal(0)
    sound = row.input if row.input_audio is None and heard == asked else row.input_audio
    heard -= usage.cache_read_audio_tokens or 0
    if read + written > asked or hourly > written or heard > asked - read - written or (heard and sound is None):
        # Sound costs several times what text does: a row that does not name its price does not know it.
        return None
    with localcontext(_CONTEXT):
        cached = row.input if row.cached is None else row.cached
        write = row.input if row.cache_write is None else row.cache_write
        return (
            row.input * (asked - read - written - heard)
            + (sound or Decimal(0)) * heard
            + cached * read
            + write * (written - hourly)
            + (write if row.cache_write_1h is None else row.cache_write_1h) * hourly
        )


def _output_of(row: Price, usage: Usage) -> Decimal | None:
    """The price of what was answered, likewise."""
    said, spoken = usage.output_tokens, usage.output_audio_tokens or 0
    if said is None:
        return None if row.output else Decimal(0)
    sound = row.output if row.output_audio is None and spoken == said else row.output_audio
    if (said and row.output is None) or spoken > said or (spoken and sound is None):
        return None
    with localcontext(_CONTEXT):
        return (row.output or Decimal(0)) * (said - spoken) + (sound or Decimal(0)) * spoken


def _searches_of(row: Price, usage: Usage) -> Decimal | None:
    """The price of what is billed by the search, likewise."""
    if usage.file_searches:
        return None
    total = Decimal(0)
    for count, price in ((usage.search_units, row.search_units), (usage.web_searches, row.web_searches)):
        if count and price is None:
            return None
        with localcontext(_CONTEXT):
            total += (price or 0) * (count or 0)
    return total
