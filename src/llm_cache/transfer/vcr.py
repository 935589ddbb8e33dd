"""Cassettes of VCR.py as entries. It must not make objects of what a cassette says: plain data alone.

A cassette has what a call asked and what it was answered, so these entries are found by the same calls afterwards. JSON
is read here; YAML by PyYAML's safe loader, which knows no tags but those of plain data, where PyYAML is installed.
"""

from __future__ import annotations

import base64
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llm_cache.core.effects import Sent
from llm_cache.core.events import About
from llm_cache.core.model import Head, Headers, Request
from llm_cache.core.recorder import Recorder, Refused
from llm_cache.core.signature import loads, sign
from llm_cache.errors import FormatError
from llm_cache.providers.registry import recognise

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry

LARGEST = 256 * 1024 * 1024
"""Bytes of a cassette, which is read whole."""


class Skipped(Exception):
    """Why an interaction makes no entry."""


def read(path: Path) -> list[Any]:
    """The interactions of a cassette.

    Raises:
        FormatError: it is none, or in YAML where that cannot be read.
        OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise FormatError(f"{path} is larger than {LARGEST // 1_000_000} MB, which no cassette is")
    data = path.read_bytes()
    try:
        cassette = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        cassette = _yaml(path, data)
    interactions = cassette.get("interactions") if isinstance(cassette, dict) else None
    if not isinstance(interactions, list):
        raise FormatError(f"{path} is no cassette: it has no list of interactions")
    return interactions


def _yaml(path: Path, data: bytes) -> object:
    try:
        import yaml
    except ImportError:
        raise FormatError(
            f"{path} is in YAML, which needs PyYAML: pip install pyyaml, or write the cassette as JSON"
        ) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(data, loader)  # noqa: S506 - it is the safe loader, in C where there is one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def entry_of(engine: Engine, interaction: object, at: float) -> Entry:
    """The entry of one interaction.

    Args:
        engine: the cache it is for; its namespace and its fields that do not count are used.
        interaction: as `read` gives it.
        at: when the cassette was written, for replies that do not say when they were made.

    Raises:
        Skipped: it is no call of a model, or its answer is none that is kept.
    """
    try:
        request, head, body = _exchange(interaction)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Skipped(f"an interaction is not as VCR.py writes it ({type(error).__name__})") from error
    return made_entry(engine, request, head, body, _made(head, at))


def made_entry(engine: Engine, request: Request, head: Head, body: bytes, at: float) -> Entry:
    """The entry that a cache would have made of a request and its answer.

    Raises:
        Skipped: it would not have made one.
    """
    policy = engine.policy_for()
    parsed = loads(request.body)
    endpoint = recognise(request, parsed.value)
    if endpoint is None or endpoint.uncacheable:
        raise Skipped("not a call of a model that can be cached")
    if head.status != 200:
        raise Skipped(f"its status is {head.status}")
    # Not as a sealed store would name it: the codec does that.
    key = sign(request, parsed, endpoint, policy).key
    about = About(endpoint.provider, endpoint.model, endpoint.path, policy.namespace, key)
    recorder = Recorder(request, endpoint, policy, about, Sent(head, at, at))
    recorder.feed(body, at)
    entry = recorder.finish(at)
    if isinstance(entry, Refused):
        raise Skipped(f"its answer is not kept: {entry.reason}")
    # As old as it is, but as good as new to a cache that has it from today.
    lifetime = None if policy.ttl_s is None else engine.clock() + policy.ttl_s
    return replace(entry, expires_at=lifetime)


def _made(head: Head, at: float) -> float:
    try:
        return parsedate_to_datetime(head.header("date") or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return at


def _exchange(interaction: Any) -> tuple[Request, Head, bytes]:
    asked, answered = interaction["request"], interaction["response"]
    method, url = asked["method"], asked["uri"]
    if not (isinstance(method, str) and isinstance(url, str)):
        raise TypeError
    request = Request(method.upper(), url, _headers(asked.get("headers")), _bytes(asked.get("body")))
    headers = _headers(answered.get("headers"))
    # VCR.py has one form for most HTTP libraries, and once had another for httpx.
    status = answered["status"]["code"] if "status" in answered else answered["status_code"]
    body = answered["body"] if "body" in answered else answered["content"]
    head = Head(int(status), tuple(pair for pair in headers if pair[0] not in {"content-encoding", "content-length"}))
    return request, head, _unpacked(_bytes(body), dict(headers).get("content-encoding", ""))


def _headers(given: Any) -> Headers:
    pairs = given.items() if isinstance(given, Mapping) else (given or ())
    headers = []
    for name, values in pairs:
        for value in values if isinstance(values, list) else [values]:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            if text.isprintable():
                headers.append((str(name).lower(), text))
    return tuple(headers)


def _bytes(given: Any) -> bytes:
    if given is None:
        return b""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode()
    if isinstance(
        given, Mapping
    ):  # as our guide writes YAML's binary in JSON, or as VCR.py writes bodies of both kinds
        if "base64" in given or "base64_string" in given:
            return base64.b64decode(given.get("base64") or given["base64_string"], validate=True)
        return _bytes(given["string"])
    raise TypeError


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding, as far as the standard library goes; VCR.py may have taken it off."""
    if encoding == "gzip" and body.startswith(b"\x1f\x8b"):
        try:
            return _bounded(gzip.GzipFile(fileobj=io.BytesIO(body)))
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError from error
    if encoding in {"", "gzip", "identity"} or body[:1] in {b"{", b"d", b"e", b"["}:
        return body
    raise ValueError(encoding)


def _bounded(file: gzip.GzipFile) -> bytes:
    body = file.read(LARGEST // 4)
    if file.read(1):
        raise ValueError
    return body


def entries(engine: Engine, path: Path, skipped: dict[str, int]) -> Iterator[Entry]:
    """The entries of a cassette; `skipped` counts, by reason, what makes none.

    Raises:
        FormatError: as `read`.
        OSError: as `read`.
    """
    at = path.stat().st_mtime
    for interaction in read(path):
        try:
            yield entry_of(engine, interaction, at)
        except Skipped as reason:
            skipped[str(reason)] = skipped.get(str(reason), 0) + 1
