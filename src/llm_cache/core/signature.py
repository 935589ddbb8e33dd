"""From a request to its key: version 1 of the published specification (docs/reference/key.md).

What counts is decided by the `Endpoint` and the `Policy`; this file only writes it down and
digests it. A key never changes for a request once this version is released.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_cache.core import canonical
from llm_cache.core.multipart import Part, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.core.model import Endpoint, Headers, Request
    from llm_cache.core.policy import Policy

VERSION = 1
HEADERS = frozenset(
    {
        "anthropic-beta",
        "anthropic-version",
        "openai-beta",
        "openai-organization",
        "openai-project",
    }
)
"""The only request headers that count; any other is the client's own business."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The canonical form of a request, kept so that a miss can be explained.

    Attributes:
        key: 64 lower-case hex digits, the SHA-256 of `document`; on a sealed store an HMAC of that.
        document: the canonical JSON text that was digested.
        origin: on a sealed store the SHA-256, else empty.
    """

    key: str
    document: bytes
    origin: str = ""

    @property
    def digest(self) -> bytes:
        """The key as 32 bytes, the way stores keep it."""
        return bytes.fromhex(self.key)


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, parsed once for everyone who looks at it.

    `value` is None if it is neither JSON nor a form; `exact` tells whether every reader would
    understand it in the same way, else it counts by its bytes. A form has `parts`, and a value that
    shows it as an object.
    """

    text: bytes
    value: object
    exact: bool
    parts: tuple[Part, ...] | None = None


def loads(text: bytes, content_type: str = "") -> Body:
    """Parse a body, forgiving what `canonical.parse` refuses so that its shape can be seen.

    `content_type` is what was sent with it; only a form's matters.
    """
    if text.startswith(b"--"):  # as no JSON does
        parts = parts_of(text, content_type)
        return Body(text, None if parts is None else _shown(parts), exact=parts is not None, parts=parts)
    try:
        return Body(text, canonical.parse(text), exact=True)
    except canonical.NotCanonical:
        pass
    try:
        return Body(text, json.loads(text), exact=False)
    except (ValueError, RecursionError):
        return Body(text, None, exact=False)


def sign(request: Request, body: Body, endpoint: Endpoint, policy: Policy) -> Signature:
    """The signature of an HTTP request."""
    rest = _envelope(
        "http",
        endpoint.upstream,
        endpoint.path,
        endpoint.query,
        _semantic(request.headers),
        policy.namespace,
        policy.scope,
        policy.sample,
    )
    if body.parts is not None:
        return _signature(b"body_parts", canonical.write(_counted_parts(body.parts, endpoint, policy)), rest)
    if body.exact:
        try:
            counted = canonical.write(_counted(body.value, endpoint, policy))
        except canonical.NotCanonical:
            pass
        else:
            return _signature(b"body", counted, rest)
    return _signature(b"body_sha256", _hex(body.text), rest)


def sign_value(endpoint: Endpoint, model: str, data: object, policy: Policy) -> Signature:
    """The signature of a request that a program describes in Python values.

    Raises:
        canonical.NotCanonical: the value holds NaN, an infinity or half a surrogate pair.
        TypeError, ValueError: the value holds something that JSON does not have.
    """
    # Through text, so that 1.0 in a program and 1 on the wire are one number here too.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    counted = _counted(canonical.parse(text), endpoint, policy)
    rest = _envelope(
        "value", endpoint.provider, endpoint.path, (), (),
        policy.namespace, policy.scope, policy.sample,
    )  # fmt: skip
    return _signature(b"body", canonical.write({"model": model, "request": counted}), rest)


def sign_call(endpoint: Endpoint, body: bytes, policy: Policy) -> Signature:
    """The signature of a decorated function's call; `call_body` makes the body."""
    rest = _envelope(
        "call", endpoint.upstream, endpoint.path, (), (),
        policy.namespace, policy.scope, policy.sample,
    )  # fmt: skip
    return _signature(b"body", body, rest)


def call_body(arguments: bytes, code: bytes, model: str) -> bytes:
    """What of a call decides its answer, as canonical JSON.

    Args:
        arguments: an object with every argument that counts, as canonical JSON, types included.
        code: the digest of the function, or what its author gave in its place, as canonical JSON.
        model: the model that the decorator names, `""` if none.
    """
    return b'{"arguments":%b,"code":%b,"model":%b}' % (arguments, code, canonical.write(model))


def sign_named(name: str, policy: Policy) -> Signature:
    """The signature of an explicit key: it alone decides, with namespace, scope and sample."""
    rest = _envelope("value", "", "", (), (), policy.namespace, policy.scope, policy.sample)
    # Digested, because a name may hold anything, half a surrogate pair included.
    return _signature(b"body_sha256", _hex(name.encode("utf-8", "surrogatepass")), rest)


def keyed(signature: Signature, name: Callable[[bytes], bytes]) -> Signature:
    """The signature for a sealed store, where `name` makes a row's key of a plain one: an HMAC under a key of its own.

    Of the digest, not of the document: what is stored already can then be given another key.
    """
    return Signature(name(signature.digest).hex(), signature.document, signature.key)


def _signature(name: bytes, body: bytes, rest: bytes) -> Signature:
    document = b'{"%b":%b%b' % (name, body, rest)
    return Signature(hashlib.sha256(document).hexdigest(), document)


def _hex(data: bytes) -> bytes:
    return b'"%b"' % hashlib.sha256(data).hexdigest().encode()


def _counted(value: object, endpoint: Endpoint, policy: Policy) -> object:
    """The part of a body that can change the answer."""
    if not isinstance(value, dict):
        return value
    left_out = endpoint.outside | policy.ignore_fields
    if "stream" in left_out:
        # It decides what kind of bytes the answer is: nobody could read the other kind.
        left_out -= {"stream"}
    # `"stream": false` equals absence where that is the default; every other default counts (specification, "body").
    counted = {
        name: member
        for name, member in value.items()
        if name not in left_out and not (name == "stream" and member is False and not endpoint.stream_counts)
    }
    return counted if endpoint.unmark is None else endpoint.unmark(counted)


def _counted_parts(parts: tuple[Part, ...], endpoint: Endpoint, policy: Policy) -> list[list[str | None]]:
    """The parts of a form that can change the answer. Parts of one name keep their order: it may matter."""
    left_out = (endpoint.outside | policy.ignore_fields) - {"stream"}
    return [
        [part.name, part.filename, part.content_type, hashlib.sha256(part.data).hexdigest()]
        for part in sorted(parts, key=lambda part: part.name)
        if part.name not in left_out and not (part.name == "stream" and part.data == b"false")
    ]


def _shown(parts: tuple[Part, ...]) -> dict[str, object]:
    """A form as an object: its texts by their names, and of its files what identifies them."""
    shown: dict[str, object] = {}
    for part in parts:
        value: object
        try:
            value = part.data.decode() if part.filename is None else None
        except UnicodeDecodeError:
            value = None
        if value is None:
            digest = hashlib.sha256(part.data).hexdigest()
            value = {"filename": part.filename, "size": len(part.data), "sha256": digest}
        elif part.name == "stream":
            value = {"true": True, "false": False}.get(part.data.decode(), value)
        elif part.name == "n" and part.data.isdigit() and len(part.data) < 4:
            value = int(part.data)
        if part.name in shown:
            before = shown[part.name]
            value = [*(before if isinstance(before, list) else [before]), value]
        shown[part.name] = value
    return shown


def _semantic(headers: Headers) -> Headers:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name in HEADERS:
            # Optional white space is these two (RFC 9110, 5.6.3); Python would strip more.
            found.setdefault(name, []).extend(part.strip(" \t") for part in value.split(","))
    return tuple(sorted((name, ",".join(parts)) for name, parts in found.items()))


@lru_cache(maxsize=1024)
def _envelope(
    kind: str,
    upstream: str,
    path: str,
    query: Headers,
    headers: Headers,
    namespace: str,
    scope: str,
    sample: int,
) -> bytes:
    """All members but the body, which sorts before them: `,"endpoint":…}`."""
    members = {
        "endpoint": path,
        "headers": dict(headers),
        "kind": kind,
        "namespace": namespace,
        "query": query,
        "sample": sample,
        "scope": scope,
        "upstream": upstream,
        "version": VERSION,
    }
    return b"," + canonical.write(members)[1:]
