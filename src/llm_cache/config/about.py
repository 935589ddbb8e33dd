"""What each setting is for, in a sentence or two, for the reference. It holds no code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ABOUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "backend": "Where entries are kept: `sqlite`, `redis` or `memory`. By the URL's scheme where it is not given.",
        "database_url": "`sqlite:///relative`, `sqlite:////absolute`, a path (`~` is expanded), `:memory:`, or a URL of"
        " Redis: `redis://`, `rediss://`, `unix://`, `redis+cluster://`.",
        "default_ttl_days": 'How long an answer is kept, in days; fractions are allowed, and `"never"` is no expiry.',
        "enable_compression": "Whether new records are compressed. Old ones are read either way.",
        "enable_encryption": "Whether new records are sealed with `encryption_key`, which must be given then.",
        "encryption_key": "The passphrase. It alone turns nothing on. Never shown.",
        "namespace": "Entries of one namespace are never served to another: text of 1 to 200 printable characters.",
        "mode": "`read-write`, `read-only`, `refresh`, `offline` or `off`. `offline` in the environment is a ceiling"
        " that no code and no request can lift.",
        "ignore_fields": "Fields of a request's body that do not count, beside the built-in list.",
        "dont_store": "Which whole answers are not kept: `content_filter`, `empty`, `length`, `refusal`; or `none`.",
        "max_size_mb": "How large the store may become before what is cheapest to fetch again, and was not used for"
        " longest, is removed. Redis has a limit of its own (`maxmemory`).",
        "max_entry_mb": "Larger answers are passed on and not kept.",
        "memory_mb": "How much of what was read last each process keeps decoded in memory; 0 is nothing.",
        "read_timeout_ms": "How long a call waits for a lookup before it goes on without the cache.",
        "write_timeout_ms": "How long the end of an answer waits to be kept before it is passed on all the same.",
        "stale_while_revalidate_s": "For so many seconds after its expiry an answer is served while it is fetched anew"
        " behind.",
        "stale_if_error_s": "For so many seconds after its expiry an answer is served if fetching it anew fails.",
        "join_timeout_s": "How long a call waits for an identical one that is in flight before it calls for itself.",
        "proxy_host": "The address that the proxy listens on.",
        "proxy_port": "The port; 0 lets the system choose a free one.",
        "proxy_scope": "`credential`: an answer is served only to callers with the credentials that fetched it."
        " `shared`: to all, which beyond loopback wants a token.",
        "proxy_tokens": "Secrets by name that clients must present; in the variable `name=secret,name=secret`. Never"
        " shown.",
        "proxy_allowed_hosts": "Further names that the proxy is called by, beside loopback names, the bound address and"
        " IP literals.",
        "drain_on_disconnect": "Whether an answer whose client has gone is read to its end and kept, for at most 120"
        " seconds.",
        "upstreams": "Base URLs by name; `/<name>/…` at the proxy goes there. One of a built-in name takes its place.",
        "proxy_max_body_mb": "Larger requests are refused with 413.",
        "proxy_max_header_kb": "Larger heads of requests are refused with 431.",
        "proxy_max_upstream_calls": "So many calls may be at upstreams at once; what goes beyond is refused with 503.",
        "proxy_connect_timeout_s": "How long connecting to an upstream may take.",
        "proxy_idle_timeout_s": "How long an upstream may be silent.",
        "proxy_total_timeout_s": "How long a call may take altogether.",
        "workers": "How many processes serve the port.",
        "replay_pace": "`instant`, or `recorded`: streams are replayed as fast as they came, for demonstrations.",
        "log_level": "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`; `WARNING` in a library, `INFO` in the proxy.",
        "log_file": "Where the log goes instead of standard error.",
        "pricing_table": "Prices of your own, in USD per 1,000 tokens: see [money](../explanation/money.md).",
    }
)
"""Every setting by its key."""
VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LLMCACHE_CONFIG": "The configuration file, instead of the one in its usual place.",
        "XDG_CONFIG_HOME": "Where `llm-cache/config.toml` is looked for instead of `~/.config`.",
        "XDG_CACHE_HOME": "Where `llm-cache/cache.db` is made instead of `~/.cache`.",
        "LLMCACHE_TEST_TRAFFIC": "A folder of recorded traffic, for `llm_cache.testing.load_traffic` and for our own"
        " tests.",
    }
)
"""The variables that are no setting's."""
