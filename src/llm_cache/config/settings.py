"""What is configured, checked and whole. Plain data: it must not look anything up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from llm_cache.core.policy import Mode
from llm_cache.ledger.table import PriceTable

HIDDEN = "(set, not shown)"
"""What is shown in place of a secret."""
_SECRETS = frozenset({"encryption_key", "proxy_tokens"})
_NOT_KEYS = frozenset({"ceiling", "file", "origins"})
_USERINFO = re.compile(r"://.*@", re.DOTALL)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A URL, or what should have been one, without user, password and secret parameters."""
    return _SECRET_PARAMETER.sub(r"\1…", _USERINFO.sub("://…@", text))


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings in force. Attributes are named like the keys of the file.

    `database_url` is an absolute path for sqlite, `:memory:` for memory. `default_ttl_days` None is no expiry,
    `log_level` None WARNING in a library and INFO in the proxy, `log_file` None the standard error stream.

    Attributes:
        ceiling: the mode that the environment sets as a limit (`offline`), whatever `mode` and any call say.
        file: the configuration file that was read, if there was one.
        origins: where each value came from; see `origin`.
    """

    backend: str
    database_url: str
    default_ttl_days: float | None
    enable_compression: bool
    enable_encryption: bool
    encryption_key: str | None
    namespace: str
    mode: Mode
    ignore_fields: frozenset[str]
    dont_store: frozenset[str]
    max_size_mb: float
    max_entry_mb: float
    memory_mb: float
    read_timeout_ms: float
    write_timeout_ms: float
    stale_while_revalidate_s: float
    stale_if_error_s: float
    join_timeout_s: float
    proxy_host: str
    proxy_port: int
    proxy_scope: str
    proxy_tokens: Mapping[str, str]
    proxy_allowed_hosts: frozenset[str]
    drain_on_disconnect: bool
    upstreams: Mapping[str, str]
    proxy_max_body_mb: float
    proxy_max_header_kb: float
    proxy_max_upstream_calls: int
    proxy_connect_timeout_s: float
    proxy_idle_timeout_s: float
    proxy_total_timeout_s: float
    workers: int
    replay_pace: str
    log_level: str | None
    log_file: Path | None
    pricing_table: PriceTable
    ceiling: Mode | None = None
    file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def origin(self, key: str) -> str:
        """Where a value came from: `argument`, `LLMCACHE_TTL`, `config.toml line 4` or `default`."""
        return self.origins.get(key, "default")

    def shown(self) -> dict[str, object]:
        """Every setting by its key, as it may be shown: secrets are hidden."""
        values: dict[str, object] = {}
        for each in fields(self):
            if each.name in _NOT_KEYS:
                continue
            value = getattr(self, each.name)
            if each.name in _SECRETS:
                value = HIDDEN if value else None
            elif each.name == "database_url":
                value = without_secrets(value)
            elif each.name == "default_ttl_days" and value is None:
                value = "never"
            values[each.name] = value
        return values

    def __repr__(self) -> str:
        """All settings but secrets."""
        return f"Settings({', '.join(f'{key}={value!r}' for key, value in self.shown().items())})"
