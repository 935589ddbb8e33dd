"""The settings as `LLMCache` takes them, for type checkers and editors. It must not check any of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypedDict

from llm_cache.core.policy import Mode


class Arguments(TypedDict, total=False):
    """Every key of the configuration but `backend` and `database_url`; None is "not given"."""

    default_ttl_days: float | str | None
    enable_compression: bool | None
    enable_encryption: bool | None
    encryption_key: str | None
    namespace: str | None
    mode: Mode | str | None
    ignore_fields: Iterable[str] | None
    dont_store: Iterable[str] | None
    max_size_mb: float | None
    max_entry_mb: float | None
    memory_mb: float | None
    read_timeout_ms: float | None
    write_timeout_ms: float | None
    stale_while_revalidate_s: float | None
    stale_if_error_s: float | None
    join_timeout_s: float | None
    proxy_host: str | None
    proxy_port: int | None
    proxy_scope: str | None
    proxy_tokens: Mapping[str, str] | None
    proxy_allowed_hosts: Iterable[str] | None
    drain_on_disconnect: bool | None
    upstreams: Mapping[str, str] | None
    proxy_max_body_mb: float | None
    proxy_max_header_kb: float | None
    proxy_max_upstream_calls: int | None
    proxy_connect_timeout_s: float | None
    proxy_idle_timeout_s: float | None
    proxy_total_timeout_s: float | None
    workers: int | None
    replay_pace: str | None
    log_level: str | None
    log_file: str | os.PathLike[str] | None
    pricing_table: Mapping[str, object] | None
