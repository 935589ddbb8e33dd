"""The vendors: a line for each, with its addresses. It must not say what their bytes mean; the formats' files do.

A vendor who speaks OpenAI's format needs nothing but its line here, and a server that has no line
works as well: it is only called by its host and port.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple


class Vendor(NamedTuple):
    """A vendor.

    Attributes:
        name: for people, and for `/<name>/…` at the proxy.
        bases: its own addresses. The first is the proxy's upstream; the others are where it speaks
            other formats. What is in the key for them is `own.py`'s business.
        prices: its id in genai-prices; "" where they have no prices for it.
        hosts: further `host` or `host:port` patterns that are this vendor's, for its name only.
        keys: how its API keys begin, where that tells it from every other vendor.
    """

    name: str
    bases: tuple[str, ...]
    prices: str = ""
    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


# The proxy's built-in upstreams, as product.md lists them. Azure and Bedrock have addresses once they are given them.
VENDORS = (
    Vendor("openai", ("https://api.openai.com/v1",), "openai", ("*.api.openai.com",)),
    Vendor("anthropic", ("https://api.anthropic.com/v1",), "anthropic", keys=("sk-ant-",)),
    Vendor(
        "cohere",
        ("https://api.cohere.com", "https://api.cohere.com/compatibility/v1"),
        "cohere",
        ("api.cohere.ai",),
    ),
    Vendor(
        "google",
        ("https://generativelanguage.googleapis.com", "https://generativelanguage.googleapis.com/v1beta/openai"),
        "google",
    ),
    Vendor(
        "vertex",
        ("https://aiplatform.googleapis.com",),
        "google",
        ("*-aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com"),
    ),
    Vendor("mistral", ("https://api.mistral.ai/v1",), "mistral", ("codestral.mistral.ai",)),
    Vendor("groq", ("https://api.groq.com/openai/v1",), "groq", keys=("gsk_",)),
    Vendor("together", ("https://api.together.xyz/v1", "https://api.together.ai/v1"), "together"),
    Vendor("deepseek", ("https://api.deepseek.com",), "deepseek"),
    Vendor("xai", ("https://api.x.ai/v1",), "x-ai", ("*.api.x.ai",), keys=("xai-",)),
    Vendor("openrouter", ("https://openrouter.ai/api/v1",), "openrouter", keys=("sk-or-",)),
    Vendor("fireworks", ("https://api.fireworks.ai/inference/v1",), "fireworks"),
    Vendor("perplexity", ("https://api.perplexity.ai",), "perplexity", keys=("pplx-",)),
    Vendor("cerebras", ("https://api.cerebras.ai/v1",), "cerebras"),
    Vendor("huggingface", ("https://router.huggingface.co/v1",), hosts=("*.huggingface.co",)),
    Vendor("voyage", ("https://api.voyageai.com/v1",), "voyageai"),
    Vendor("zai", ("https://api.z.ai/api/paas/v4",), "zai", ("open.bigmodel.cn",)),
    Vendor(
        "ollama",
        ("http://localhost:11434",),
        hosts=("localhost:11434", "127.0.0.1:11434", "ollama.com"),
    ),
    Vendor("vllm", ("http://localhost:8000/v1",)),
    Vendor(
        "azure",
        (),
        "azure",
        ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com", "*.inference.ai.azure.com"),
    ),
    Vendor("bedrock", (), "aws", ("bedrock*.amazonaws.com", "bedrock-mantle.*.api.aws")),
)
# Known by host for their name and price alone; at the proxy they are a line of configuration.
_OTHERS = (
    Vendor("baseten", (), "baseten", ("inference.baseten.co", "*.api.baseten.co")),
    Vendor("moonshot", (), "moonshotai", ("api.moonshot.ai", "api.moonshot.cn")),
    Vendor("minimax", (), "minimax", ("api.minimax.io", "api.minimaxi.com")),
    Vendor("novita", (), "novita", ("api.novita.ai",)),
    Vendor("ovhcloud", (), "ovhcloud", ("*.endpoints.kepler.ai.cloud.ovh.net",)),
)

BY_NAME = {vendor.name: vendor for vendor in (*VENDORS, *_OTHERS)}
_PATTERNS = [
    (pattern, vendor.name)
    for vendor in (*VENDORS, *_OTHERS)
    for pattern in (*(base.split("/")[2] for base in vendor.bases if base.startswith("https:")), *vendor.hosts)
]


def vendor_of(host: str, port: int | None) -> str | None:
    """The name of the vendor at that host (in lower case; the port if it is not the scheme's own), or None."""
    address = host if port is None else f"{host}:{port}"
    for pattern, name in _PATTERNS:
        if fnmatchcase(address, pattern):
            return name
    return None


def vendor_by_key(key: str) -> str | None:
    """The name of the vendor whose API keys begin like this one, or None if it could be anybody's."""
    for vendor in VENDORS:
        if vendor.keys and key.startswith(vendor.keys):
            return vendor.name
    return None


def price_name(provider: str) -> str:
    """What genai-prices calls this provider, "" where it has no prices for it; a name of the user's own stays."""
    vendor = BY_NAME.get(provider)
    return vendor.prices if vendor is not None else provider
