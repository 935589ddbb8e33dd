"""The table of settings: for each key its variable, its default and its check. It must not read any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from llm_cache.config import given
from llm_cache.config.given import Given
from llm_cache.core.policy import Mode

_MB_LIMIT = 1024.0 * 1024
_DAY_MS = 86_400_000.0
_WEEK_S = 7 * 86_400.0
_YEAR_S = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    Attributes:
        variable: the environment's name for it, None if it has none.
        default: its value when nobody gives one.
        check: makes a value of what somebody gave, or raises `ConfigError`.
        secret: whether its value must not be shown.
    """

    name: str
    default: object
    check: Callable[[Given], object]
    variable: str | None = ""
    secret: bool = False

    def __post_init__(self) -> None:
        """Most variables are named like their key."""
        if self.variable == "":
            object.__setattr__(self, "variable", f"LLMCACHE_{self.name.upper()}")


_KEYS = (
    # Checked together, in place.py.
    Key("backend", None, given.text),
    Key("database_url", None, given.text),
    Key("default_ttl_days", 30, given.ttl, "LLMCACHE_TTL"),
    Key("enable_compression", True, given.flag, "LLMCACHE_COMPRESSION"),
    Key("enable_encryption", False, given.flag, "LLMCACHE_ENCRYPTION"),
    Key("encryption_key", None, given.text, secret=True),
    Key("namespace", "default", given.namespace),
    Key("mode", Mode.READ_WRITE, given.mode),
    Key("ignore_fields", frozenset(), given.words),
    Key("dont_store", frozenset({"content_filter", "empty"}), given.traits),
    Key("max_size_mb", 10240, given.number(0, _MB_LIMIT * 1024, above=True)),
    # What is larger than this is no answer to wait for, and would be held in memory several times over.
    Key("max_entry_mb", 16, given.number(0, 1024, above=True)),
    Key("memory_mb", 64, given.number(0, _MB_LIMIT)),
    Key("read_timeout_ms", 100, given.number(0, _DAY_MS, above=True)),
    Key("write_timeout_ms", 2000, given.number(0, _DAY_MS, above=True)),
    Key("stale_while_revalidate_s", 0, given.number(0, 10 * _YEAR_S)),
    Key("stale_if_error_s", 0, given.number(0, 10 * _YEAR_S)),
    Key("join_timeout_s", 120, given.number(0, _WEEK_S)),
    Key("proxy_host", "127.0.0.1", given.text),
    # 0 lets the system choose a free one.
    Key("proxy_port", 8100, given.number(0, 65535, whole=True)),
    Key("proxy_scope", "credential", given.one_of("credential", "shared")),
    Key("proxy_tokens", MappingProxyType({}), given.tokens, secret=True),
    Key("proxy_allowed_hosts", frozenset(), given.hosts),
    Key("drain_on_disconnect", True, given.flag),
    # One variable for each: LLMCACHE_UPSTREAMS__NAME.
    Key("upstreams", MappingProxyType({}), given.upstreams, None),
    # Larger than any vendor's limit for a request that is answered at once (OpenAI 50 MB, Anthropic 32 MB).
    Key("proxy_max_body_mb", 64, given.number(0, _MB_LIMIT, above=True)),
    Key("proxy_max_header_kb", 64, given.number(1, 1024)),
    Key("proxy_max_upstream_calls", 1000, given.number(1, 100_000, whole=True)),
    Key("proxy_connect_timeout_s", 10, given.number(0, 3600, above=True)),
    # What the SDKs wait by default; reasoning models say nothing for minutes.
    Key("proxy_idle_timeout_s", 600, given.number(0, _WEEK_S, above=True)),
    Key("proxy_total_timeout_s", 3600, given.number(0, _WEEK_S, above=True)),
    Key("workers", 1, given.number(1, 1024, whole=True)),
    Key("replay_pace", "instant", given.one_of("instant", "recorded")),
    Key("log_level", None, given.one_of(*given.LEVELS)),
    Key("log_file", None, given.path),
    # Nobody writes a table into a variable.
    Key("pricing_table", MappingProxyType({}), given.prices, None),
)
KEYS: Final[Mapping[str, Key]] = MappingProxyType({key.name: key for key in _KEYS})
"""Every setting by its key, in the order of the documentation."""
VARIABLES: Final[Mapping[str, Key]] = MappingProxyType({key.variable: key for key in _KEYS if key.variable})
"""Every setting by its environment variable."""
