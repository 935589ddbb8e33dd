"""What a request's headers ask of the cache. They can only tighten what the server allows, never widen it.

Sources: RFC 9111, 5.2.1 for `Cache-Control` in requests; product.md for the headers of our own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_cache.clients.options import Layer
from llm_cache.core.policy import Mode, Policy, mode_named, namespace_named, sample_numbered, tightened
from llm_cache.errors import ConfigError
from llm_cache.proxy.incoming import Raw
from llm_cache.proxy.refusal import Refusal

# RFC 9111, 5.2: `name`, or `name=value` with the value a token or a quoted string.
# No two runs of white space may follow each other, or the time to find that there is no match grows with its square.
_DIRECTIVE = re.compile(r'[\s,]*([^\s,="]+)(?:\s*=(?:\s*"((?:[^"\\]|\\.)*)"|\s*([^\s,"]+))?)?\s*(?=,|$)')
_WHOLE = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def steer(headers: Sequence[Raw], server: Policy) -> Layer:
    """The layer of policy that a request's headers make on top of the server's policy.

    Raises:
        Refusal: a value is malformed. What would be ignored silently could be a wish to be private.
    """
    fields: dict[str, object] = {}
    directives: dict[str, str | None] = {}
    seen: set[bytes] = set()
    for name, value in headers:
        if name == b"cache-control":
            _directives(value.decode("latin-1"), directives)
            continue
        if name in seen:
            raise _malformed(name, "it was sent twice")
        seen.add(name)
        _own(name, _text(value), server, fields)
    if directives:
        _standard(directives, server, fields)
    return tuple(fields.items())


def _own(name: bytes, value: str, server: Policy, fields: dict[str, object]) -> None:
    try:
        if name == b"x-llm-cache-mode":
            _narrow(mode_named(value.lower(), source="it"), server, fields)
        elif name == b"x-llm-cache-namespace":
            fields["namespace"] = namespace_named(value, source="it")
        elif name == b"x-llm-cache-sample":
            # What is no number at all is named as what it is.
            fields["sample"] = sample_numbered(int(value) if _WHOLE.fullmatch(value) else value, source="it")
        elif name == b"x-llm-cache-ttl":
            seconds = _lifetime(value)
            fields["ttl_s"] = seconds if server.ttl_s is None else min(seconds, server.ttl_s)
    except ConfigError as error:
        raise _malformed(name, str(error)) from None


def _lifetime(value: str) -> float:
    seconds = float(value) if _SECONDS.fullmatch(value) else 0.0
    if seconds <= 0:
        raise ConfigError(f"it is {value!r}: a lifetime is a number of seconds above 0")
    return seconds


def _narrow(asked: Mode, server: Policy, fields: dict[str, object]) -> None:
    """The mode that allows no more than both."""
    mode = asked
    if server.mode is Mode.REFRESH:
        # It reads nothing, whatever is asked; `offline` then has no answer left to give.
        mode = {Mode.READ_WRITE: Mode.REFRESH, Mode.READ_ONLY: Mode.OFF}.get(asked, asked)
        fields["lookup"] = False
    elif server.mode is not Mode.READ_WRITE:
        mode = tightened(Policy(mode=asked), server.mode).mode
    fields["mode"] = mode


def _standard(directives: dict[str, str | None], server: Policy, fields: dict[str, object]) -> None:
    if "no-cache" in directives:
        fields["lookup"] = False
    if "no-store" in directives:
        fields["store"] = False
    if "max-age" in directives:
        fields["max_age_s"] = float(directives["max-age"] or 0)
    if "only-if-cached" in directives:
        _narrow(Mode.OFFLINE, server, fields)


def _directives(value: str, found: dict[str, str | None]) -> None:
    at = 0
    while at < len(value):
        match = _DIRECTIVE.match(value, at)
        if match is None:
            if value[at:].strip(" \t,"):
                raise _malformed(b"cache-control", "it is no list of directives")
            return
        at = match.end()
        name, argument = match[1].lower(), match[2] if match[2] is not None else match[3]
        if name == "max-age":
            if argument is None or not _WHOLE.fullmatch(argument):
                raise _malformed(b"cache-control", "max-age is a whole number of seconds")
            # Of two the stricter one counts.
            argument = str(min(int(argument), int(found.get(name) or argument)))
        found[name] = argument


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _malformed(name: bytes, why: str) -> Refusal:
    return Refusal(400, "malformed_header", f"The header {name.decode()} cannot be understood: {why}.")
