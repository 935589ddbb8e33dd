"""Every vendor has one line, and no two lines claim the same thing."""

from __future__ import annotations

import pytest
from genai_prices import data

from llm_cache.providers.compatible import BY_NAME, VENDORS, price_name, vendor_by_key, vendor_of


def test_names_bases_and_keys_are_claimed_once():
    assert len({vendor.name for vendor in VENDORS}) == len(VENDORS)
    bases = [base for vendor in VENDORS for base in vendor.bases]
    assert len(set(bases)) == len(bases)
    keys = [key for vendor in VENDORS for key in vendor.keys]
    assert not [one for one in keys for other in keys if one is not other and one.startswith(other)]


def test_prices_are_looked_up_under_names_that_exist():
    known = {provider.id for provider in data.providers}
    # Those that have none are free, or priced by whoever stands behind.
    assert {vendor.prices for vendor in BY_NAME.values() if vendor.prices} <= known
    assert price_name("ollama") == ""
    assert price_name("xai") == "x-ai"
    assert price_name("acme") == "acme"


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("api.openai.com", None, "openai"),
        ("api.openai.com", 8443, None),
        ("api.openai.com.evil.test", None, None),
        ("eu.api.openai.com", None, "openai"),
        ("europe-west4-aiplatform.googleapis.com", None, "vertex"),
        ("aiplatform.eu.rep.googleapis.com", None, "vertex"),
        ("bedrock-runtime.us-east-1.amazonaws.com", None, "bedrock"),
        ("x.services.ai.azure.com", None, "azure"),
        ("localhost", 11434, "ollama"),
        ("localhost", 8000, None),
        ("[::1]", 8000, None),
    ],
)
def test_a_vendor_is_known_by_its_hosts(host, port, name):
    assert vendor_of(host, port) == name


def test_a_key_that_could_be_anybodys_is_nobodys():
    assert vendor_by_key("sk-or-v1-x") == "openrouter"
    assert vendor_by_key("sk-x") is None
    assert vendor_by_key("") is None
