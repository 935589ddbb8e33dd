"""Deleting from the dashboard: first how many, then, when that was confirmed, all of them. It must not guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from llm_cache.clients import admin
from llm_cache.errors import ConfigError
from llm_cache.proxy.dashboard.answers import Problem

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be deleted: entries that match everything that is given. Without `confirm` they are counted."""

    key: str | None = None
    provider: str | None = None
    model: str | None = None
    namespace: str | None = None
    older_than_days: float | None = None
    expired: bool = False
    everything: bool = False
    confirm: bool = False


def purge(engine: Engine, body: bytes) -> dict[str, object]:
    """Count, or delete.

    Raises:
        Problem: it does not say clearly what.
    """
    try:
        wanted = msgspec.json.decode(body, type=Purge)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"What to delete is not understood: {error}") from error
    names = (wanted.key, wanted.provider, wanted.model, wanted.namespace, wanted.older_than_days)
    if wanted.everything and (wanted.expired or any(each is not None for each in names)):
        raise Problem(400, "Everything cannot be combined with what narrows it down.")
    try:
        count = admin.purge(
            engine,
            key=wanted.key,
            expired=wanted.expired,
            older_than_days=wanted.older_than_days,
            provider=wanted.provider,
            model=wanted.model,
            namespace=wanted.namespace,
            everything=wanted.everything,
            dry_run=not wanted.confirm,
        )
    except ConfigError as error:
        raise Problem(400, str(error)) from error
    return {"count": count, "deleted": wanted.confirm}
