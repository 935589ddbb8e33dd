"""One entry as a page shows it: request, answer, frames, bill. It must not change it or count as a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_cache.clients.admin import seen
from llm_cache.codec.values import viewable
from llm_cache.core.model import Usage
from llm_cache.errors import EntryError, SealError
from llm_cache.proxy.dashboard.answers import Problem
from llm_cache.proxy.dashboard.assemble import events_of, whole
from llm_cache.proxy.dashboard.conversation import answered, asked
from llm_cache.proxy.dashboard.entries import columns
from llm_cache.proxy.dashboard.texts import Texts, readable

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry, Frame
    from llm_cache.stores.base import Row

FRAMES = 100
"""How many frames a page shows at a time."""
_FRAME = 2000
"""Characters of a frame that are shown."""


def row_of(engine: Engine, key: str) -> Row:
    """The row of a key of 64 hex digits.

    Raises:
        Problem: there is none.
    """
    try:
        digest = bytes.fromhex(key)
    except ValueError:
        digest = b""
    row = engine.store.get(digest) if len(digest) == 32 else None
    if row is None:
        raise Problem(404, "There is no such entry: it may have been deleted.")
    return row


def shown(engine: Engine, row: Row, texts: Texts) -> dict[str, object]:
    """All that the page of an entry has, but for its frames."""
    try:
        told: dict[str, object] = columns(engine.codec.whole(row))
        entry = seen(engine, row)
    except EntryError as error:
        return {**columns(row), "unreadable": _why(error)}
    told["cost_usd"] = engine.ledger.price(entry)
    told["url"] = entry.asked.url if entry.asked else None
    told["answered_model"] = entry.answered_model
    told["headers"] = [{"name": name, "value": value} for name, value in entry.head.headers]
    told["frames"] = len(entry.frames)
    told["usage"] = entry.usage.told() if entry.usage else None
    told["bill"] = bill(engine, entry)
    # The order decides the numbers of texts.
    told["request"] = asked(_inner(entry.request), texts)
    messages = answered(_answer(entry), texts)
    if not messages and entry.text:
        messages = answered(entry.text, texts)
    told["answer"] = messages
    told["raw_request"] = None if entry.request is None else texts.json(entry.request)
    told["raw_answer"] = texts.json(_raw(entry))
    return told


def bill(engine: Engine, entry: Entry) -> list[dict[str, object]]:
    """What the parts of the usage cost, each as the price of all less the price without it; None is unknown.

    Prices of a vendor may depend on the whole (long contexts), so that the parts need not add up to the total.
    """
    usage = entry.usage
    if usage is None:
        return []
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    hourly, heard, spoken = usage.cache_write_1h_tokens or 0, usage.input_audio_tokens or 0, usage.output_audio_tokens
    asked_for, said, thought = usage.input_tokens, usage.output_tokens, usage.reasoning_tokens
    heard -= usage.cache_read_audio_tokens or 0
    fresh = None if asked_for is None else max(0, asked_for - read - written - heard)
    nothing = Usage(0, 0, terms=usage.terms)
    parts: list[tuple[str, int | None, Usage]] = [
        ("input", fresh, replace(nothing, input_tokens=fresh)),
        ("audio heard", heard, replace(nothing, input_tokens=heard, input_audio_tokens=heard)),
        ("read from the provider's cache", read, replace(nothing, input_tokens=read, cache_read_tokens=read)),
        (
            "written to the provider's cache",
            written - hourly,
            replace(nothing, input_tokens=written - hourly, cache_write_tokens=written - hourly),
        ),
        (
            "written to the provider's cache for an hour",
            hourly,
            replace(nothing, input_tokens=hourly, cache_write_tokens=hourly, cache_write_1h_tokens=hourly),
        ),
        ("output", said, replace(nothing, output_tokens=said, output_audio_tokens=spoken)),
        ("searches in the web", usage.web_searches, replace(nothing, web_searches=usage.web_searches)),
        ("searches in files", usage.file_searches, replace(nothing, file_searches=usage.file_searches)),
        ("search units", usage.search_units, replace(nothing, search_units=usage.search_units)),
    ]
    lines = [part for part in parts if part[1] or (part[1] is None and part[0] == "input") or part[0] == "output"]
    priced = engine.ledger.price
    told: list[dict[str, object]] = [
        {"what": what, "tokens": tokens, "cost_usd": priced(replace(entry, usage=part, cost_usd=None))}
        for what, tokens, part in lines
    ]
    if thought:
        after = next(place for place, line in enumerate(told, 1) if line["what"] == "output")
        told.insert(after, {"what": "of it for reasoning", "tokens": thought, "cost_usd": None, "part": True})
    total = None if asked_for is None or said is None else asked_for + said
    what = f"total, at {usage.terms} terms" if usage.terms else "total"
    told.append({"what": what, "tokens": total, "cost_usd": priced(entry), "total": True})
    return told


def frames_of(engine: Engine, row: Row, first: int) -> dict[str, object]:
    """Some of an entry's frames: when each came, and what was in it.

    Raises:
        Problem: the entry cannot be read.
    """
    try:
        entry = engine.codec.decode(row)
    except EntryError as error:
        raise Problem(409, _why(error)) from error
    frames = entry.frames
    shown_frames = [_frame(number, frame, entry.kind) for number, frame in _slice(frames, first)]
    return {"frames": shown_frames, "total": len(frames)}


def _slice(frames: tuple[Frame, ...], first: int) -> Iterable[tuple[int, Frame]]:
    return enumerate(frames[first : first + FRAMES], first)


def _frame(number: int, frame: Frame, kind: str) -> dict[str, object]:
    try:
        text = frame.data[: 4 * _FRAME].decode("utf-8", "replace") if kind == "http" else readable(viewable(frame.data))
    except EntryError:
        text = frame.data[: 4 * _FRAME].decode("utf-8", "replace")
    cut = len(text) > _FRAME or len(frame.data) > 4 * _FRAME
    return {"number": number, "at_us": frame.at_us, "bytes": len(frame.data), "text": text[:_FRAME], "cut": cut}


def _inner(request: object) -> object:
    """What was asked, also of a call that wraps it."""
    if isinstance(request, dict) and isinstance(request.get("request_data"), dict):
        return request["request_data"]
    return request


def _answer(entry: Entry) -> Any:
    """The answer as one value, whatever pieces it came in."""
    response = entry.response
    if entry.kind == "http":
        return (whole(events_of(entry.body)) if entry.stream else response) or response
    if isinstance(response, list) and entry.stream:
        objects = [each for each in response if isinstance(each, dict)]
        strings = [each for each in response if isinstance(each, str)]
        return "".join(strings) if strings and not objects else whole(objects)
    return response


def _raw(entry: Entry) -> object:
    if entry.kind == "http" and entry.stream:
        return entry.body.decode("utf-8", "replace")
    return entry.response


def _why(error: EntryError) -> str:
    if isinstance(error, SealError):
        return f"What was asked and answered is encrypted, and cannot be opened here: {error}"
    return f"The record cannot be read: {error}"
