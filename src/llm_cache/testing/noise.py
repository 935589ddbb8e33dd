"""Headers and identifiers as real answers have them. It must not be needed to understand an answer.

They are here to be lost: cookies, rate limits and organisations must never turn up in a cache.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llm_cache.testing.reply import Headers

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_serial: Final = itertools.count(1)

COOKIE: Final = "fake-session-cookie"
"""In every `set-cookie` of the fake upstream: search a store for it."""


def new_id(prefix: str, length: int = 24) -> str:
    """An identifier that looks like a vendor's and is new in this process, but the same in each run.

    `next` on a count is atomic in CPython, so this is thread-safe without a lock.
    """
    digest = hashlib.sha256(f"{prefix}{next(_serial)}".encode()).digest()
    digits = itertools.cycle(digest)
    return prefix + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in itertools.islice(digits, length))


def noise_headers(provider: str, present: Headers = ()) -> Headers:
    """What an answer of that provider has beside its content, without the names that are `present`."""
    if provider.startswith("anthropic"):
        own = _anthropic()
    elif provider.startswith("bedrock"):
        own = (("x-amzn-requestid", new_id("", 36)),)
    elif provider.startswith("google"):
        own = (("server-timing", "gfet4t7; dur=412"), ("vary", "Origin"), ("x-frame-options", "SAMEORIGIN"))
    else:
        own = _openai()
    common = (
        # Neither Secure nor bound to a domain: over plain HTTP a client's jar would refuse those and nothing be tested.
        ("set-cookie", f"__cf_bm={COOKIE}-{new_id('', 12)}; path=/; HttpOnly"),
        ("cf-ray", new_id("", 16).lower() + "-FRA"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
    )
    taken = {name.lower() for name, _ in present}
    return tuple((name, value) for name, value in own + common if name not in taken)


def _openai() -> Headers:
    return (
        ("x-request-id", new_id("req_", 32).lower()),
        ("openai-processing-ms", "412"),
        ("openai-version", "2020-10-01"),
        ("openai-organization", "fake-organization"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "199960"),
        ("x-ratelimit-reset-requests", "8.64s"),
    )


def _anthropic() -> Headers:
    return (
        ("request-id", new_id("req_011C")),
        ("anthropic-organization-id", "fake-organization"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", "2026-11-23T17:41:00Z"),
    )
