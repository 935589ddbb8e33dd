"""Which upstream a request goes to, and the URL there. A request must not choose a host that is not configured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from llm_cache.providers.address import address
from llm_cache.providers.registry import FORMATS
from llm_cache.providers.upstreams import BUILT_IN, base_of, join, route
from llm_cache.proxy.incoming import Incoming
from llm_cache.proxy.refusal import Refusal

_MOST_JOINED, _LONGEST_JOINED = 2000, 1000  # callers choose them, and what is remembered stays
_SIGNED = b"AWS4-HMAC-SHA256"
_TOKEN = re.compile(r"/+(?:~|%7[eE])")
# What may follow two slashes, which clients with a base URL that ends in `/` write. Anything else could be meant as the
# authority of another server (RFC 3986, 4.2).
_STARTS = re.compile(
    r"v[0-9]+[a-z0-9]*|chat|completions|embeddings|images|messages|models|moderations|responses|openai"
)


class Route(NamedTuple):
    """Where a request goes.

    Attributes:
        name: the upstream's.
        url: the whole URL there, with the query as sent.
        endpoint: whether an LLM endpoint is at that path, so that its body is worth reading.
    """

    name: str
    url: str
    endpoint: bool


class Routes:
    """Finds the upstream of each request.

    Args:
        configured: base URLs by name, beside the built-in ones and in their place.
    """

    def __init__(self, configured: Mapping[str, str]) -> None:
        self._configured = dict(configured)
        self._names = frozenset(BUILT_IN) | frozenset(configured)
        self._joined: dict[tuple[str, str], tuple[str, bool]] = {}

    def find(self, incoming: Incoming) -> Route:
        """The route of a request.

        Raises:
            Refusal: its target is none, or the upstream it names has no address.
        """
        path = incoming.path
        if incoming.target or not path.startswith("/") or incoming.method in {"CONNECT", "TRACE"}:
            raise Refusal(400, "bad_target", "The request's target must be a path on this proxy.")
        if "websocket" in incoming.upgrade:
            raise Refusal(
                501,
                "no_websockets",
                "This proxy carries no WebSocket connections: point this client at the provider itself.",
                ((b"connection", b"close"),),
            )
        if _TOKEN.match(path):
            # Not sent on: the segment is a secret, and no upstream has such a path.
            raise Refusal(404, "no_tokens", "The path begins with a token, and this proxy has none configured.")
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
            first = path[1:].partition("/")[0]
            if first not in self._names and not _STARTS.fullmatch(first):
                raise Refusal(400, "bad_target", "The request's path may not begin with two slashes.")
        if any(name == b"authorization" and value.startswith(_SIGNED) for name, value in incoming.credentials) or (
            "X-Amz-Signature=" in incoming.query
        ):
            raise Refusal(
                400,
                "signed_for_another_host",
                "The request is signed for AWS (SigV4), and such a signature holds only for the host it was made for:"
                " use a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK), which passes; boto3 sends it to an https:// address"
                " alone. Or cache the calls in the program.",
            )
        name, path = route(path, incoming.query, incoming.headers, self._names)
        if _TOKEN.match(path):
            raise Refusal(404, "misplaced_token", "The token belongs in front of the path, before the upstream's name.")
        base = base_of(name, path, self._configured.get(name))
        if base is None:
            raise Refusal(
                404,
                "upstream_not_configured",
                f'The upstream "{name}" has no address yet: start the proxy with --upstream {name}=URL, or set'
                f' LLMCACHE_UPSTREAMS__{name.upper()}=URL, or {name} = "URL" under [upstreams] in the configuration.',
            )
        try:
            known = self._joined.get((base, path)) or self._join(base, path)
            # With its query a URL is never remembered: that may hold a key.
            url = join(base, f"{path}?{incoming.query}") if incoming.query else known[0]
        except ValueError as error:
            raise Refusal(400, "bad_target", str(error)) from None
        return Route(name, url, known[1])

    def _join(self, base: str, path: str) -> tuple[str, bool]:
        url = join(base, path)
        known = url, is_endpoint(url)
        if len(self._joined) < _MOST_JOINED and len(path) <= _LONGEST_JOINED:
            self._joined[base, path] = known
        return known


@lru_cache(maxsize=1024)
def is_endpoint(url: str) -> bool:
    """Whether some provider's format has an endpoint at that URL; the body decides which."""
    at = address(url)
    return at is not None and any(form.match(at.path) is not None for form in FORMATS)
