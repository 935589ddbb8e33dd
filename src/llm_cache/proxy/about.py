"""What each header, page and refusal of the proxy is for, in a sentence, for the reference. It holds no code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REQUEST: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Cache-Control: no-cache": "Call, whatever is stored, and keep the answer.",
        "Cache-Control: no-store": "Do not keep the answer.",
        "Cache-Control: only-if-cached": "Do not call: what is not stored is a 504.",
        "Cache-Control: max-age=N": "Take nothing that is older than N seconds.",
        "X-LLM-Cache-TTL": "For how many seconds the answer is kept, fractions allowed; the server's own is the most.",
        "X-LLM-Cache-Namespace": "The namespace: 1 to 200 printable characters.",
        "X-LLM-Cache-Mode": "`read-write`, `read-only`, `refresh`, `offline` or `off`.",
        "X-LLM-Cache-Sample": "Which of several answers to one prompt: 0, 1, 2 …",
        "X-LLM-Cache-Token": "Who calls, where the proxy has tokens. `/~TOKEN/` in front of the path says the same.",
    }
)
RESPONSE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Cache-Status": "What the cache did, in the words of RFC 9211: `llm-cache; hit; ttl=86400; key=…`,"
        " `llm-cache; fwd=miss; stored`, `fwd=stale`, `fwd=request` (it was asked to call), `fwd=miss; collapsed` (it"
        " joined a call in flight), `fwd=bypass; detail=…`. `stored` is only said where it is known before the answer"
        " leaves, which of a stream it is not. An error of the proxy's own has its code as `detail`.",
        "Age": "How old a hit is, in seconds.",
        "X-LLM-Cache": "`hit`, `miss`, `stale`, `joined` or `bypass`.",
        "X-LLM-Cache-Key": "The key, as `llm-cache show` takes it.",
        "Cache-Control": "`private, no-store`: for caches in front, which could not tell callers apart.",
        "x-should-retry": "`false` with errors that would be the same again; the SDKs of OpenAI and Anthropic heed it.",
    }
)
PAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/healthz": "Whether the process lives. The one page that needs no token.",
        "/readyz": "200, or 503 while the store fails; calls go on without it.",
        "/health": "Status, version, kind of store, number of entries and uptime, as JSON.",
        "/metrics": "The [metrics](metrics.md).",
        "/dashboard": "The [dashboard](../how-to/dashboard.md), for those who may see everybody's entries.",
    }
)
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "admin_only": "The page is not for the holder of this token, or not for this machine.",
        "bad_host": "There must be one `Host` header.",
        "bad_request": "The request breaks HTTP's own rules.",
        "bad_target": "The path or the URL could be read in two ways, or names a host.",
        "body_too_large": "The body is over `proxy_max_body_mb`.",
        "cache_miss": "Nothing is stored, and nothing may be called. The message has the nearest stored request.",
        "foreign_origin": "A web page of another origin sent it.",
        "head_too_large": "The headers are over `proxy_max_header_kb`.",
        "malformed_header": "A header that steers the cache has a value that it cannot have.",
        "misplaced_token": "The path has a token behind the upstream's name.",
        "no_token": "The proxy has tokens, and none came.",
        "no_tokens": "A token was sent to a proxy that has none.",
        "no_websockets": "The proxy carries no WebSockets.",
        "read_only": "The page can only be read.",
        "signed_for_another_host": "An AWS signature is for the host that it was made for, so it cannot be passed on.",
        "too_many_calls": "`proxy_max_upstream_calls` are under way.",
        "unknown_host": "The `Host` is none of the proxy's names (`proxy_allowed_hosts`).",
        "upstream_failed": "The upstream broke off, or spoke no HTTP.",
        "upstream_not_configured": "Azure, Bedrock and the like need a base URL of yours.",
        "upstream_timeout": "The upstream was silent for longer than is allowed, or took too long.",
        "upstream_unreachable": "No connection to the upstream.",
        "wrong_token": "The token is none that is known.",
    }
)
