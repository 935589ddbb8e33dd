"""Requests, policies, entries and readers for plan tests, all of one made-up vendor. It holds no tests."""

from __future__ import annotations

from typing import Any

from llm_cache.core import plan
from llm_cache.core.effects import Deliver, Effect, Pull, Pulled, Save, Sent, Tell
from llm_cache.core.events import About, Event
from llm_cache.core.model import Endpoint, Entry, Frame, Head, Reading, Request, Step, Usage
from llm_cache.core.policy import Policy
from llm_cache.core.signature import loads, sign

NOW = 1_700_000_000.0
OK = Head(200, (("content-type", "text/event-stream"), ("x-request-id", "r1")))
SENT = Sent(OK, NOW, NOW + 1)
USAGE = Usage(3, 2)


class Lines:
    """Reads a stream whose terminal event is the line `END`; ` error`, ` empty` and ` length` are what they say."""

    def __init__(self, *, streamed: bool = True) -> None:
        self.streamed = streamed
        self.seen = b""

    def feed(self, data: bytes) -> Step:
        self.seen += data
        if not self.streamed:
            return Step.MORE
        if b"END\n" in self.seen:
            return Step.COMPLETE
        return Step.HOLD if self.seen.endswith(b"END") else Step.MORE

    def finish(self) -> Reading:
        words = set(self.seen.decode().split())
        flaw = None
        if "error" in words:
            flaw = "error"
        elif self.streamed and b"END\n" not in self.seen:
            flaw = "cut_off"
        traits = words & {"content_filter", "empty", "length", "refusal"}
        return Reading(flaw, frozenset(traits), "acme-1-2024", USAGE if "usage" in words else None)


def endpoint(*, stream: bool = True, **fields: Any) -> Endpoint:
    given: dict[str, Any] = {
        "provider": "acme",
        "upstream": "acme",
        "path": "/v1/say",
        "model": "acme-1",
        "stream": stream,
        "reader": lambda _head: Lines(streamed=stream),
    }
    return Endpoint(**{**given, **fields})


def request(body: bytes = b'{"prompt":"hi"}', **fields: Any) -> Request:
    return Request(**{"method": "POST", "url": "https://api.acme.example/v1/say", "body": body, **fields})


def ask(
    policy: Policy | None = None,
    where: Endpoint | None = None,
    what: Request | None = None,
    **fields: Any,
) -> plan.Ask:
    policy, where, what = policy or Policy(), where or endpoint(), what or request()
    return plan.Ask(what, policy, where, sign(what, loads(what.body), where, policy), **fields)


KEY = ask().signature.key
WHOM = About("acme", "acme-1", "/v1/say", "default", KEY)


def entry(*chunks: bytes, age_s: float = 60.0, ttl_s: float | None = 3600.0, **fields: Any) -> Entry:
    """An entry that was made `age_s` ago and was to live for `ttl_s` from then."""
    made = NOW - age_s
    given: dict[str, Any] = {
        "key": KEY,
        "kind": "http",
        "provider": "acme",
        "model": "acme-1-2024",
        "endpoint": "/v1/say",
        "namespace": "default",
        "head": OK,
        "frames": tuple(Frame(data, index * 1000) for index, data in enumerate(chunks or (b"a\n", b"END\n"))),
        "stream": True,
        "created_at": made,
        "expires_at": None if ttl_s is None else made + ttl_s,
    }
    return Entry(**{**given, **fields})


class _Told:
    """Whether an effect tells an event of a class, with these attributes."""

    def __init__(self, kind: type[Event], fields: dict[str, object]) -> None:
        self.kind = kind
        self.fields = fields

    def __call__(self, effect: Effect) -> bool:
        return (
            isinstance(effect, Tell)
            and type(effect.event) is self.kind
            and all(getattr(effect.event, name) == value for name, value in self.fields.items())
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"Tell({self.kind.__name__}({fields}))"


def told(kind: type[Event], **fields: object) -> _Told:
    return _Told(kind, fields)


def saves(body: bytes, **fields: object) -> Any:
    """An effect that keeps an entry with this body, and with these attributes."""

    def matches(effect: Effect) -> bool:
        return (
            isinstance(effect, Save)
            and effect.entry.body == body
            and all(getattr(effect.entry, name) == value for name, value in fields.items())
        )

    matches.__name__ = f"Save(an entry of {body!r} with {fields!r})"
    return matches


def pulls(data: bytes | None, at: float = NOW + 2) -> tuple[Pull, Pulled]:
    return Pull(), Pulled(data, at)


def delivers(*chunks: bytes) -> list[Deliver]:
    return [Deliver(data) for data in chunks]
