"""Whose answers a caller may be served: the name of its token, or a digest of the credentials that came with it.

It must neither keep nor show a credential; what leaves it is an HMAC under a secret of the store.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import time
from collections.abc import Callable
from urllib.parse import unquote_plus

from llm_cache.providers.address import CREDENTIALS
from llm_cache.proxy.incoming import Incoming, Raw

_log = logging.getLogger("llm_cache")
_AGAIN_S = 5.0
"""How long a store that could not give its secret is left alone."""
_AT_ONCE_S = 1.0
"""How long a proxy may take to begin because its store does not give it."""
_INFRASTRUCTURE = re.compile(
    rb"(__cf_bm|__cflb|_cfuvid|__cfruid|__cfseq|__cfwaitingroom|AWSALB\w*|GCLB|GCILB|ARRAffinity(SameSite)?"
    rb"|ApplicationGatewayAffinity(CORS)?)="
)
"""Cookies of load balancers and bot filters before the providers (Cloudflare, AWS, Google, Azure).

They tell connections apart, not callers, and are new every half hour: SDKs that send them back, as those of OpenAI and
Anthropic do, would miss what they fetched themselves. Any other cookie counts.
"""


class Scopes:
    """The scope of each request.

    Args:
        secret: gives 32 bytes that belong to the store, or raises.
        shared: whether all callers share all answers, with each other and with the library.
        named: whether every caller has a token, so that credentials need not tell them apart.
    """

    def __init__(self, secret: Callable[[], bytes], *, shared: bool, named: bool = False) -> None:
        self._load = secret
        self._shared = shared
        self._named = named
        self._secret = b""
        self._again = 0.0
        # Without the store's own, callers are told apart all the same; nothing can be stored then anyway.
        self._makeshift = os.urandom(32)

    async def begin(self) -> None:
        """Have the store's secret at hand from the first call on.

        A store that several workers make at once may be busy with that for a moment.
        """
        until = time.monotonic() + _AT_ONCE_S
        late = False
        while not (self.ready or late):
            late = time.monotonic() >= until
            self._again = 0.0
            await self.prepare(quietly=not late)
            await asyncio.sleep(0 if self._secret else 0.1)

    async def prepare(self, *, quietly: bool = False) -> None:
        """Have the store's secret at hand, if the store answers.

        Args:
            quietly: whether that it does not is no news yet.
        """
        if self.ready or time.monotonic() < self._again:
            return
        self._again = time.monotonic() + _AGAIN_S
        try:
            # It may be made now, and then written.
            self._secret = await asyncio.to_thread(self._load)
        except Exception as error:
            _log.log(
                logging.DEBUG if quietly else logging.WARNING,
                "callers are kept apart without the store's secret: %s",
                error,
            )

    @property
    def ready(self) -> bool:
        """Whether there is nothing to prepare."""
        return self._shared or self._named or bool(self._secret)

    def of(self, incoming: Incoming, caller: str = "") -> str:
        """The name of the caller's token, else 64 hex digits that depend on all credentials; "" where all is shared.

        No credentials at all is a scope of its own. No token has a name of 64 characters.
        """
        if self._shared:
            return ""
        if caller:
            return caller
        parts = incoming.credentials
        if any(name == b"cookie" for name, _ in parts):
            parts = [part for pair in parts for part in _without_infrastructure(pair)]
        if incoming.query:
            parts = [*parts, *_in_query(incoming.query)]
        # Lengths before the texts, so that no two lists of credentials make one message.
        message = b"".join([b"%d:%b=%d:%b;" % (len(name), name, len(value), value) for name, value in sorted(parts)])
        return hmac.digest(self._secret or self._makeshift, message, "sha256").hex()


def _without_infrastructure(pair: Raw) -> list[Raw]:
    """The header itself, or what counts of it: each cookie that may say who calls."""
    name, value = pair
    if name != b"cookie":
        return [pair]
    cookies = [cookie.strip() for cookie in value.split(b";")]
    return [(name, cookie) for cookie in cookies if cookie and not _INFRASTRUCTURE.match(cookie)]


def _in_query(query: str) -> list[tuple[bytes, bytes]]:
    """The parameters that the key leaves out because they say who asks: they must count here."""
    found = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        name = unquote_plus(name).lower()
        if name in CREDENTIALS:
            found.append((b"?" + name.encode("utf-8", "replace"), value.encode("latin-1")))
    return found
