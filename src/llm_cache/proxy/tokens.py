"""Who may use the proxy at all: a token in a header or in front of the path. It must never show or log a secret."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from llm_cache.proxy.incoming import Incoming, without_token
from llm_cache.proxy.refusal import Refusal

ADMIN = "admin"
"""The name of the token that opens the pages which show entries, where there are several tokens."""


class Tokens:
    """The tokens of one proxy; none at all lets everybody in.

    Args:
        tokens: secrets by the name of whom they were given to.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._secrets = [(name, secret.encode()) for name, secret in tokens.items()]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._secrets)

    def take(self, incoming: Incoming) -> str:
        """The name of the token that came with a request, whose path has no token from then on; "" without tokens.

        Raises:
            Refusal: there is none, or it is not one of ours.
        """
        if not self._secrets:
            return ""
        presented = list(incoming.tokens)
        # Taken away before anybody looks whether it is right: it must not be logged either way.
        incoming.path, segment = without_token(incoming.path)
        if segment is not None:
            presented.append(unquote_to_bytes(segment))
        names = {self._name_of(each) for each in presented}
        if len(names) == 1 and (name := names.pop()):
            return name
        what = "needs a token" if not presented else "does not know the token that came with the request"
        raise Refusal(
            401,
            "no_token" if not presented else "wrong_token",
            f"This proxy {what}: send it as the header X-LLM-Cache-Token, or put /~TOKEN before the path of the"
            " base URL.",
            ((b"www-authenticate", b'X-LLM-Cache-Token realm="llm-cache"'), (b"x-should-retry", b"false")),
        )

    def administers(self, name: str) -> bool:
        """Whether the holder of that token may look at everybody's entries."""
        return len(self._secrets) == 1 or name == ADMIN

    def _name_of(self, presented: bytes) -> str:
        """Compared with every secret, and each in a time that does not tell how much of it is right."""
        found = ""
        for name, secret in self._secrets:
            if hmac.compare_digest(presented, secret):
                found = name
        return found
