"""Finds the endpoint that a request is meant for. It must not read replies; each format's file does.

A call is recognised by the ending of its path and the shape of its body, on any host. The URL is
taken apart once and remembered: a program asks few endpoints many times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from llm_cache.core.model import Endpoint, Request
from llm_cache.providers import anthropic, bedrock, cohere, google, huggingface, mistral, ollama, openai, voyage
from llm_cache.providers.address import address, counting_query, normal_path
from llm_cache.providers.compatible import BY_NAME, vendor_of
from llm_cache.providers.format import Format, MakeReader, Match
from llm_cache.providers.openai import UPLOADS
from llm_cache.providers.own import upstream_of
from llm_cache.providers.upstreams import detect

FORMATS: tuple[Format, ...] = (
    *cohere.FORMATS,
    *google.FORMATS,
    *ollama.FORMATS,
    *bedrock.FORMATS,
    *huggingface.FORMATS,
    *mistral.FORMATS,
    *voyage.FORMATS,
    *anthropic.FORMATS,
    *openai.FORMATS,
)
"""Longer endings before shorter ones: `/v2/rerank` before `/rerank`, `/api/embeddings` before `/embeddings`."""

_VALUE_FAMILIES = frozenset({"openai", "anthropic"})
"""Whose calls leave something out when they are described by hand. The key's specification had no others when it was
frozen: at any other endpoint all of a description counts."""
_UNSAID = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream"})
_MOST_URL = 4096  # longer ones are taken apart each time, so that what is remembered stays small
_MOST_MODEL = 256


@dataclass(frozen=True, eq=False)
class _Place:
    """An endpoint at a URL, before a body is known. Compared by identity: it is made once for each URL."""

    format: Format
    at: Match
    upstream: str
    query: tuple[tuple[str, str], ...]
    vendor: str | None
    path: str
    raw_query: str
    local: bool


class Rules(NamedTuple):
    """What of a body stays out of the key, and who understands a reply; None where nobody does."""

    outside: frozenset[str] = frozenset()
    unmark: Callable[[object], object] | None = None
    reader: MakeReader | None = None
    stream_counts: bool = False


def recognise(request: Request, body: object, *, kind: str | None = None) -> Endpoint | None:
    """The endpoint that the request is meant for, or None if it is not cacheable.

    Args:
        request: the call as it goes out, to its real upstream.
        body: its body, parsed; None if it is not JSON.
        kind: what the caller knows of the provider, for servers that nobody knows by their host: the
            kind of SDK that was wrapped, or the upstream's name at the proxy.
    """
    if request.method != "POST" or not isinstance(body, dict):
        return None
    url = request.url
    for place in _places(url) if len(url) <= _MOST_URL else _places.__wrapped__(url):
        form = place.format
        if form.accepts(body) and (
            form.proof is None or form.proof[0] in body or request.header(form.proof[1]) is not None
        ):
            break
    else:
        return None
    provider = place.vendor or kind or _told(place, request)
    model = body.get("model")
    if not isinstance(model, str):
        model = place.at.model
    refuse = form.uncacheable
    make = _endpoint if len(model) <= _MOST_MODEL else _endpoint.__wrapped__
    stream, count = form.streams(body), form.results(body)
    strange = form.strangers is not None and _strange(place, kind)
    return make(place, provider, model, stream, count, refuse(body) if refuse is not None else None, strange=strange)


def possible(url: str) -> bool:
    """Whether a POST to that URL may be a call of a model, by its path alone. Its body decides."""
    return bool(_places(url) if len(url) <= _MOST_URL else _places.__wrapped__(url))


def readable(content_type: str, url: str) -> bool:
    """Whether a body of that type may hold a call: JSON, said to be so, or by clients that say nothing or anything.

    boto3 sends no type, and `curl -d` that of a form. An upload is only read where an endpoint takes one.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return url.partition("?")[0].endswith(UPLOADS)
    return "json" in kind or kind in _UNSAID


def _strange(place: _Place, kind: str | None) -> bool:
    """Whether nobody can know how this server ends its streams: it has a name of the user's own, or none, elsewhere.

    The vendors of `compatible.py` end them with `[DONE]`, and so do the servers that people run on their own machine.
    """
    if kind and kind not in BY_NAME:
        return True
    return place.vendor is None and not place.local


def _told(place: _Place, request: Request) -> str:
    """The provider where neither the host nor the caller says: by path and headers, else whose format it is."""
    found = detect(place.path, place.raw_query, request.headers)
    return place.format.family if found == "openai" else found


def endpoint_named(provider: str, path: str) -> Rules:  # noqa: ARG001 - no two formats share a path yet
    """The rules for a call described by hand, `get_or_set(provider=…, endpoint="/v1/chat/completions")`.

    The path decides, with or without its `/v1`, a leading slash or a host before it. What nobody
    knows has no rules: all of its body counts. `provider` is for formats that share a path.
    """
    known = address(path)
    stem = known.path if known is not None else "/" + normal_path(path.partition("?")[0]).lstrip("/")
    for form in FORMATS:
        if form.match(stem.rstrip("/")) is not None:
            outside = form.outside if form.family in _VALUE_FAMILIES else frozenset()
            return Rules(outside, form.unmark, form.reader, form.stream_counts)
    return Rules()


@lru_cache(maxsize=1024)
def _places(url: str) -> tuple[_Place, ...]:
    at = address(url)
    if at is None:
        return ()
    query = counting_query(at.query)
    vendor = vendor_of(at.host, at.odd_port)
    local = at.host in {"localhost", "[::1]"} or at.host.startswith("127.")
    found = ((form, form.match(at.path)) for form in FORMATS)
    return tuple(
        _Place(form, match, upstream_of(at, match.prefix), query, vendor, at.path, at.query, local)
        for form, match in found
        if match is not None
    )


@lru_cache(maxsize=1024)
def _endpoint(
    place: _Place,
    provider: str,
    model: str,
    stream: bool,
    count: int,
    uncacheable: str | None,
    *,
    strange: bool,
) -> Endpoint:
    form = place.format
    reader = form.strangers if strange and form.strangers is not None else form.reader
    return Endpoint(
        provider=provider,
        upstream=place.upstream,
        path=place.at.path,
        model=model,
        stream=stream,
        reader=partial(reader, stream=stream, count=count),
        query=place.query,
        outside=form.outside,
        unmark=form.unmark,
        uncacheable=uncacheable,
        stream_counts=form.stream_counts,
        arrays=form.arrays,
    )
