"""The addresses that have a vendor's name in the key. Frozen with version 1 of the key: nothing is added or changed.

It is apart from the vendors' table, which grows: a vendor that gets a line there, or another base, must not lose what
is stored under its host and port.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from llm_cache.providers.address import Address

_PORT: Final = 443
OWN: Final = MappingProxyType(
    {
        ("api.openai.com", ""): "openai",
        ("api.anthropic.com", ""): "anthropic",
        ("api.cohere.com", ""): "cohere",
        ("api.cohere.com", "/compatibility"): "cohere",
        ("generativelanguage.googleapis.com", ""): "google",
        ("generativelanguage.googleapis.com", "/v1beta/openai"): "google",
        ("aiplatform.googleapis.com", ""): "vertex",
        ("api.mistral.ai", ""): "mistral",
        ("api.groq.com", "/openai"): "groq",
        ("api.together.xyz", ""): "together",
        ("api.together.ai", ""): "together",
        ("api.deepseek.com", ""): "deepseek",
        ("api.x.ai", ""): "xai",
        ("openrouter.ai", "/api"): "openrouter",
        ("api.fireworks.ai", "/inference"): "fireworks",
        ("api.perplexity.ai", ""): "perplexity",
        ("api.cerebras.ai", ""): "cerebras",
        ("router.huggingface.co", ""): "huggingface",
        ("api.voyageai.com", ""): "voyage",
        ("api.z.ai", "/api/paas/v4"): "zai",
    }
)
"""Host and what stands before the endpoint: the table of the key specification ("The vendors' own addresses")."""


def upstream_of(at: Address, prefix: str) -> str:
    """The vendor's name at its own address, else host, port and what stands before the endpoint."""
    vendor = OWN.get((at.host, prefix)) if at.scheme == "https" and at.port == _PORT else None
    return vendor if vendor is not None else f"{at.host}:{at.port}{prefix}"
