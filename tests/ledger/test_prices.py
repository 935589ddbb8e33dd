"""What a reply cost: own prices first, then the bundled ones; exact, and unknown where nobody knows."""

from __future__ import annotations

import decimal
import subprocess
import sys
from decimal import Decimal

import pytest
from genai_prices import data

from llm_cache.core.model import Usage
from llm_cache.ledger.prices import Prices, to_pico, to_usd
from llm_cache.ledger.table import Price
from llm_cache.providers.compatible import BY_NAME

AT = 1_767_268_800.0
OWN = Prices({"acme": {"big": Price(Decimal("0.01"), Decimal("0.03"), Decimal("0.001"), Decimal("0.0125"))}})


def own(usage, model="big", prices=OWN):
    return prices.cost("acme", (model,), usage, AT)


def test_own_prices_are_per_thousand_tokens():
    assert own(Usage(1000, 1000)) == to_pico(Decimal("0.04"))
    assert own(Usage(1, 1)) == 40_000_000


def test_own_prices_count_the_parts_of_the_input_once():
    assert own(Usage(1000, 0, cache_read_tokens=600, cache_write_tokens=100)) == to_pico(
        Decimal("0.003") + Decimal("0.0006") + Decimal("0.00125")
    )
    plain = Prices({"acme": {"big": Price(Decimal("0.01"), Decimal("0.03"))}})
    assert own(Usage(1000, 0, cache_read_tokens=600, cache_write_tokens=100), prices=plain) == to_pico(Decimal("0.01"))


def test_what_was_billed_and_not_told_is_unknown_and_not_nothing():
    assert own(None) is None
    assert own(Usage()) is None
    assert own(Usage(5, None)) is None
    assert own(Usage(None, 5)) is None
    assert own(Usage(5, 5, cache_read_tokens=6)) is None


def test_a_row_without_an_output_price_is_for_models_that_write_nothing():
    prices = Prices({"acme": {"embed": Price(Decimal("0.01"))}})
    assert own(Usage(1000), "embed", prices) == to_pico(Decimal("0.01"))
    assert own(Usage(1000, 0), "embed", prices) == to_pico(Decimal("0.01"))
    assert own(Usage(1000, 1), "embed", prices) is None


def test_own_prices_win_over_bundled_ones():
    prices = Prices({"openai": {"gpt-4o": Price(Decimal(1), Decimal(1))}})
    assert prices.cost("openai", ("gpt-4o-2024-08-06",), Usage(1, 1), AT) == to_pico(Decimal("0.002"))
    assert not prices.loaded


def test_the_model_that_answered_goes_before_the_one_that_was_asked():
    prices = Prices({"azure": {"my-deployment": Price(Decimal(1), Decimal(1))}})
    assert prices.cost("azure", ("gpt-4o", "my-deployment"), Usage(1, 1), AT) == to_pico(Decimal("0.002"))


# From the vendors' pages of 2025: openai.com/api/pricing, anthropic.com/pricing, in USD per million tokens.
@pytest.mark.parametrize(
    ("provider", "model", "usage", "usd"),
    [
        ("openai", "gpt-4o-2024-08-06", Usage(1000, 500), "0.0075"),
        ("openai", "gpt-4o", Usage(1000, 500, cache_read_tokens=200, reasoning_tokens=100), "0.00725"),
        ("openai", "text-embedding-3-small", Usage(7), "0.00000014"),
        ("anthropic", "claude-sonnet-4-5", Usage(20, 7, cache_read_tokens=4, cache_write_tokens=5), "0.00015795"),
        ("azure", "gpt-4o", Usage(1000, 500), "0.0075"),
        ("xai", "grok-3", Usage(1000, 100), "0.0045"),
    ],
)
def test_bundled_prices(provider, model, usage, usd):
    assert Prices({}).cost(provider, (model,), usage, AT) == to_pico(Decimal(usd))


VENDORS = {provider.id: provider for provider in data.providers}
PRICED = [each for each in BY_NAME.values() if each.prices in VENDORS]


@pytest.mark.parametrize("vendor", PRICED, ids=lambda vendor: vendor.name)
def test_a_vendors_line_says_whose_prices_its_calls_have(vendor):
    prices = Prices({})
    ids = [model.id for model in VENDORS[vendor.prices].models]
    models = [*ids, *(f"accounts/fireworks/models/{name}" for name in ids)]  # as that one's API names them
    # Some have embeddings alone.
    usages = (Usage(1000, 100), Usage(1000, 0))
    assert any(prices.cost(vendor.name, (model,), usage, AT) for usage in usages for model in models)


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "no-such-model", Usage(1, 1)),
        ("not-openai", "gpt-4o", Usage(1, 1)),
        ("openai-mirror", "gpt-4o", Usage(1, 1)),
        ("", "gpt-4o", Usage(1, 1)),
        ("ollama", "llama3", Usage(1, 1)),
        ("openai", "", Usage(1, 1)),
        ("openai", "gpt-4o", Usage(7)),
        ("openai", "gpt-4o", Usage(1, 1, cache_read_tokens=2)),
    ],
)
def test_unknown_is_none_and_never_nothing(provider, model, usage):
    assert Prices({}).cost(provider, (model,), usage, AT) is None


def test_what_was_not_billed_costs_nothing_whoever_the_model_is():
    prices = Prices({})
    assert prices.cost("openai", ("omni-moderation-latest",), Usage(0, 0), AT) == 0
    assert not prices.loaded


def test_prices_are_those_of_the_time_of_the_call():
    prices = Prices({})
    usage = Usage(1_000_000, 0)
    # OpenAI's o3 became cheaper on 10 June 2025.
    before, after = (prices.cost("openai", ("o3",), usage, at) for at in (1_748_700_000.0, 1_752_000_000.0))
    assert before != after
    assert None not in {before, after}


def test_a_users_decimal_context_does_not_reach_into_the_sums():
    with decimal.localcontext(decimal.Context(prec=2, rounding=decimal.ROUND_UP)):
        assert OWN.cost("acme", ("big",), Usage(12345, 6789), AT) == 123450000000 + 203670000000
        assert Prices({}).cost("openai", ("gpt-4o",), Usage(12345, 6789), AT) == 12345 * 2500000 + 6789 * 10000000
        assert to_usd(123456789012345) == Decimal("123.456789012345")


@pytest.mark.parametrize(
    ("usd", "pico"),
    [
        ("0.000000000001", 1),
        ("0.0000000000005", 0),
        ("0.0000000000015", 2),
        ("0.0000000000016", 2),
        ("12.5", 12500000000000),
    ],
)
def test_below_a_pico_dollar_half_goes_to_even(usd, pico):
    assert to_pico(Decimal(usd)) == pico


@pytest.mark.parametrize("pico", [0, 1, 10**12, 10**30 + 7, -5, 7_250_000_000])
def test_dollars_and_back(pico):
    assert to_pico(to_usd(pico)) == pico
    assert "E" not in str(to_usd(pico)) or abs(pico) < 10**6


def test_a_broken_genai_prices_leaves_money_unknown(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.delitem(sys.modules, "llm_cache.ledger.bundled", raising=False)
    prices = Prices({})
    assert prices.cost("openai", ("gpt-4o",), Usage(1, 1), AT) is None
    assert prices.broken
    assert "unknown for now" in caplog.text


def test_bundled_prices_are_loaded_by_the_first_question_and_use_no_network():
    code = """
import socket, sys
def refuse(*_): raise SystemExit("network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from llm_cache.ledger.prices import Prices
from llm_cache.ledger import ledger, metrics, report
from llm_cache.core.model import Usage
assert "genai_prices" not in sys.modules and "prometheus_client" not in sys.modules
print(Prices({}).cost("openai", ("gpt-4o",), Usage(1000, 500), 1.7e9))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "7500000000"
