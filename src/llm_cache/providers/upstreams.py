"""Where the proxy sends a request: which upstream it means, and the URL there. It must not open a connection.

A request may come with a vendor's path, headers and key, or with the name of an upstream as its
first path segment. `route` finds the name, `base_of` its address, `join` the URL.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from llm_cache.core.model import Headers
from llm_cache.providers.compatible import VENDORS, vendor_by_key

BUILT_IN: Final = MappingProxyType({vendor.name: vendor.bases[0] if vendor.bases else None for vendor in VENDORS})
"""Each built-in upstream's base URL; None for those that have one only once they are configured."""

_KEY_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_PATHS = (
    ("anthropic", re.compile(r"/(v1/)?(messages(/count_tokens|/batches.*)?|complete)$")),
    # The first such segment only, which a lookahead gives once and for all: a path may have thousands of them.
    ("vertex", re.compile(r"^(?=(.*?/(?:projects|publishers)/))\1.*:\w+$|^/v1beta1/")),
    ("google", re.compile(r"/models/[^/]+:\w+$|^/v1(beta|alpha)/")),
    ("cohere", re.compile(r"/v[12]/chat$|^/v2/")),
    (
        "ollama",
        re.compile(
            r"^/api/(blobs|chat|copy|create|delete|embed|embeddings|generate|ps|pull|push|show|tags|version)(/|$)"
        ),
    ),
    ("huggingface", re.compile(r"^/hf-inference/")),
    ("bedrock", re.compile(r"^/model/[^/]+/(converse|invoke)(-stream|-with-response-stream)?$")),
)
_THREADS = re.compile(r"/threads/[^/]+/messages")
# User agents come last: the OpenAI SDK serves every vendor.
_AGENTS = (
    ("anthropic", ("Anthropic/", "AsyncAnthropic/")),
    ("together", ("Together/", "AsyncTogether/")),
    ("groq", ("Groq/", "AsyncGroq/")),
    ("mistral", ("mistral-client-python/",)),
    ("cohere", ("cohere/",)),
    ("ollama", ("ollama-python/",)),
)
# Nobody else has these; some others have what they share with Cohere (`/rerank`), so headers go first.
_COHERE_LATE = re.compile(r"^/v1/(embed|rerank|generate|classify|summarize|tokenize|detokenize)$")

_LOCATION = re.compile(r"/locations/([a-z]+(?:-[a-z]+)*[0-9]*)/")
_VERSION = re.compile(r"v[0-9]+[a-z0-9]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\U0010ffff#]")


def route(path: str, query: str, headers: Headers, names: Collection[str]) -> tuple[str, str]:
    """The name of the upstream that a request means, and the path to ask for there.

    Args:
        path: the request's path, percent-encoded as sent, any token segment removed.
        query: its query without the question mark.
        headers: its headers, names in lower case.
        names: the upstreams that may be addressed as `/<name>/…`, built in and configured.
    """
    name, slash, rest = path.removeprefix("/").partition("/")
    if name in names:
        if name == "openai" and slash and (vendor := _behind_openai(rest, query, headers)):
            return vendor, path  # Azure's and Groq's own paths begin so
        return name, slash + rest or "/"
    return detect(path, query, headers), path


def detect(path: str, query: str, headers: Headers) -> str:
    """The name of the upstream that a request without a name means: by key, path, headers; else openai.

    A key that is plainly one vendor's goes to that vendor, whatever else the request looks like: it
    must not be shown to another.
    """
    found = dict(reversed(headers))  # the first of a name counts
    owner = _owner(found)
    if owner is not None:
        return owner
    if path.startswith("/openai/"):
        behind = _behind_openai(path.removeprefix("/openai/"), query, headers)
        if behind:
            return behind
    known = _by_path(path)
    if known:
        return known
    if "anthropic-version" in found:
        return "anthropic"
    if "x-goog-api-key" in found:
        return "google"
    if "api-key" in found:
        return "azure"
    if any(name.startswith("x-fern-") for name in found):
        return "cohere"
    agent = found.get("user-agent", "")
    for name, prefixes in _AGENTS:
        if agent.startswith(prefixes):
            return name
    return "cohere" if _COHERE_LATE.search(path) else "openai"


def base_of(name: str, path: str, configured: str | None = None) -> str | None:
    """The base URL of an upstream for this path: what is configured, else what is built in, else None.

    Vertex has a host for each region, which only the path tells.
    """
    if configured is not None:
        return configured
    if name == "google" and path.startswith(("/models/", "/tunedModels/")):
        return f"{BUILT_IN[name]}/v1beta"  # litellm leaves the version to the base URL
    if name == "huggingface" and path.startswith("/hf-inference/"):
        return "https://router.huggingface.co"  # its own tasks are beside its version of OpenAI's
    location = _LOCATION.search(path) if name == "vertex" else None
    if location is not None and location[1] in {"us", "eu"}:
        return f"https://aiplatform.{location[1]}.rep.googleapis.com"
    if location is not None and location[1] != "global":
        return f"https://{location[1]}-aiplatform.googleapis.com"
    return BUILT_IN.get(name)


def join(base: str, target: str) -> str:
    """The URL at an upstream: base and target, the overlap of their paths written once.

    Args:
        base: the upstream's base URL, trusted; it has no query.
        target: path and query as the request has them, percent-encoded as sent.

    Raises:
        ValueError: the target is not a path below the base. It is text for a 400.
    """
    path, mark, query = target.partition("?")
    _check(path, query)
    scheme, _, rest = base.partition("://")
    authority, slash, base_path = rest.rstrip("/").partition("/")
    before = base_path.split("/") if slash else []
    # Several slashes in front are one: clients with a base URL that ends in `/` write `//v1/…`.
    asked = path.lstrip("/").split("/")
    while len(asked) > 1 and asked[0] == "v1" and _VERSION.fullmatch(asked[1]):
        del asked[0]  # `/v1/v1/messages`, `/v1/v2/chat`: a base URL's version before the SDK's own
    for length in range(min(len(before), len(asked)), 0, -1):
        overlap = before[-length:]
        if asked[:length] == overlap:
            del asked[:length]
            while _VERSION.fullmatch(overlap[-1]) and asked[:length] == overlap:
                del asked[:length]  # Groq's `/openai/v1/openai/v1/…`
            break
    else:
        if before and asked[0] == "v1" and _VERSION.fullmatch(before[-1]):
            del asked[0]  # the base has a version of its own, `/api/paas/v4`
    whole = "".join("/" + segment for segment in (*before, *asked))
    return f"{scheme}://{authority}{whole or '/'}{mark}{query}"


@lru_cache(maxsize=256)
def _by_path(path: str) -> str:
    """Whose path this plainly is, or ""."""
    for name, pattern in _PATHS:
        if pattern.search(path) and not (name == "anthropic" and _THREADS.search(path)):
            return name
    return ""


def _check(path: str, query: str) -> None:
    if not path.startswith("/"):
        raise ValueError("The request's target must be a path.")
    if _FORBIDDEN.search(path) or _FORBIDDEN.search(query) or "\\" in path:
        raise ValueError("The request's target has characters that no URL has.")
    decoded = path
    for _ in range(4):  # because some server behind the upstream may decode again
        if any(part.partition(";")[0] in {".", ".."} for part in re.split(r"[/\\]", decoded)):
            raise ValueError("The request's path may not have '.' or '..' segments.")
        again = unquote(decoded, "latin-1")
        if again == decoded:
            return
        decoded = again
    raise ValueError("The request's path is percent-encoded too many times.")


def _behind_openai(rest: str, query: str, headers: Headers) -> str:
    """Whose path `/openai/<rest>` is, if it is azure's or groq's own; else ""."""
    found = dict(reversed(headers))
    if rest.startswith("deployments/") or "api-key" in found or re.search(r"(^|&)api-version=", query):
        return "azure"
    agent = found.get("user-agent", "")
    if agent.startswith(("AzureOpenAI/", "AsyncAzureOpenAI/")):
        return "azure"
    groq = _owner(found) == "groq" or agent.startswith(("Groq/", "AsyncGroq/"))
    return "groq" if groq and rest.startswith("v1/") else ""


def _owner(headers: dict[str, str]) -> str | None:
    for name in _KEY_HEADERS:
        value = headers.get(name)
        if value:
            scheme, _, key = value.partition(" ")
            owner = vendor_by_key(key.strip() if scheme.lower() == "bearer" else value)
            if owner is not None:
                return owner
    return None
