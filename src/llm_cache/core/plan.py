"""What happens to a call: the one place where that is decided, for every way in.

Two generators that yield effects and are sent their answers: `answer` up to the head of a reply,
`relay` for its body. They perform nothing themselves; `runtime` does, with threads or an event
loop. No effect is ever yielded while a generator is being closed: what must be cleaned up is the
runner's business, so that cancellation never enters a plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from llm_cache.core import events
from llm_cache.core.effects import (
    Claim,
    Claimed,
    Deliver,
    Effect,
    Explain,
    Join,
    Landing,
    Lookup,
    Pause,
    Pull,
    Pulled,
    Revalidate,
    Save,
    Send,
    Sent,
    Tell,
)
from llm_cache.core.model import Entry, Step
from llm_cache.core.policy import Mode
from llm_cache.core.recorder import Recorder, Refused, public_url
from llm_cache.errors import CacheMissError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from llm_cache.core.model import Endpoint, Request
    from llm_cache.core.policy import Kind, Policy
    from llm_cache.core.signature import Signature

OK = 200
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Ask:
    """A call with everything that is known before it is decided.

    `endpoint` is None where the request is not one that any provider's file knows; `signature` is
    None where the cache is out of it anyway. `credentials` is what the upstream knows the caller by:
    it is compared with that of others who make the same call meanwhile, and never kept.
    """

    request: Request
    policy: Policy
    endpoint: Endpoint | None
    signature: Signature | None
    credentials: object = None
    kind: Kind = "http"
    verify: Callable[[Entry], None] | None = None
    """Raises `EntryError` for an entry that cannot be served to this caller; it is then a miss."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Serve what is stored. `stale` if it is past its expiry; `age_s` since it was made."""

    entry: Entry
    stale: bool = False
    age_s: float = 0.0
    joined: bool = False
    """Whether somebody out of reach fetched it while this call waited."""

    @property
    def status(self) -> str:
        """What this is in a word."""
        return "stale" if self.stale else "joined" if self.joined else "hit"


@dataclass(frozen=True, slots=True)
class Relay:
    """Pass on what is being fetched; `body` turns its chunks into deliveries and an entry."""

    sent: Sent
    body: Generator[Effect, Any, None]
    recorder: Recorder | None
    reason: str


@dataclass(frozen=True, slots=True)
class Follow:
    """Read along with the fetch that the runner holds a seat in."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Call as if there were no cache; `reason` says why."""

    reason: str


Outcome = Replay | Relay | Follow | Pass


def about(ask: Ask) -> events.About:
    """Which call this is, for events."""
    endpoint = ask.endpoint
    return events.About(
        endpoint.provider if endpoint else "",
        endpoint.model if endpoint else "",
        endpoint.path if endpoint else "",
        ask.policy.namespace,
        ask.signature.key if ask.signature else "",
    )


def bypass_reason(ask: Ask) -> str | None:
    """Why the cache has no part in this call, or None."""
    if ask.policy.mode is Mode.OFF:
        return "off"
    if ask.endpoint is None:
        return "unknown_endpoint"
    return ask.endpoint.uncacheable


def fresh(entry: Entry, policy: Policy, now: float) -> bool:
    """Whether the entry may be served as it is."""
    if entry.expires_at is not None and now >= entry.expires_at:
        return False
    return policy.max_age_s is None or now - entry.created_at <= policy.max_age_s


def _within(entry: Entry, grace_s: float, now: float) -> bool:
    """Whether an expired entry is still inside a period of grace."""
    return entry.expires_at is not None and now < entry.expires_at + grace_s


def answer(ask: Ask, now: float) -> Generator[Effect, Any, Outcome]:
    """Decide one call, up to the head of its reply. `now` is seconds since the epoch.

    Raises:
        CacheMissError: the policy forbids the network and nothing is stored.
        Exception: whatever the upstream raised, unwrapped.
    """
    signature, policy, whom = ask.signature, ask.policy, about(ask)
    reason = bypass_reason(ask)
    if reason is not None or signature is None:
        if policy.mode is not Mode.OFFLINE:
            yield Tell(events.Bypassed(whom, reason or "off"))
            return Pass(reason or "off")
        yield Tell(events.Missed(whom, "offline"))
        raise CacheMissError(f"the cache is offline, and this call is not cacheable ({reason}): {_named(ask)}")
    found = _Absent("refresh") if not policy.reads else (yield from _look(ask, whom, now))
    if isinstance(found, Replay):
        return found
    if policy.mode is Mode.OFFLINE:
        explanation = yield Explain(signature, ask.request)
        yield Tell(events.Missed(whom, "offline"))
        raise CacheMissError(_miss(ask, found.why), key=signature.key, explanation=explanation or "")
    waited = False
    while policy.joins:
        claimed = yield Claim(signature.key)
        if claimed is Claimed.FOLLOW:
            landing = yield Join(signature.key)
            if landing is Landing.JOINED:
                return Follow()
            if landing is not Landing.DIED:
                break
        elif claimed is Claimed.BUSY:
            waited_s = yield Pause(signature.key)
            if waited_s >= policy.join_timeout_s:
                break
            waited = True
        elif claimed is Claimed.ALONE:
            break
        # Somebody may have landed since our last look: also a new leader looks once more.
        found = yield from _look(ask, whom, now, waited=waited)
        if isinstance(found, Replay):
            return found
        if claimed is Claimed.LEAD:
            break
    return (yield from _fetch(ask, whom, found, now))


@dataclass(frozen=True, slots=True)
class _Absent:
    """Nothing to serve, and why; `leftover` may still be served if fetching fails."""

    why: str
    leftover: Entry | None = None


def _look(
    ask: Ask, whom: events.About, now: float, *, waited: bool = False
) -> Generator[Effect, Any, Replay | _Absent]:
    """See whether the store has an answer that may be served; after a wait it is the one that was waited for."""
    policy = ask.policy
    entry = cast("Entry | None", (yield Lookup(whom.key)))
    if entry is None:
        return _Absent("absent")
    age_s = max(0.0, now - entry.created_at)
    if waited and fresh(entry, policy, now):
        yield Tell(events.Joined(whom, entry, entry.usage))
        return Replay(entry, age_s=age_s, joined=True)
    if fresh(entry, policy, now):
        yield Tell(events.Hit(whom, entry, age_s))
        return Replay(entry, age_s=age_s)
    if policy.max_age_s is not None:
        # Whoever sets an age does not want older answers in any case.
        return _Absent("expired")
    if _within(entry, policy.stale_while_revalidate_s, now):
        yield Tell(events.Hit(whom, entry, age_s, stale=True))
        if policy.writes:
            # Else it would call while offline, or pay for an answer that nobody may keep.
            yield Revalidate(whom.key)
        return Replay(entry, stale=True, age_s=age_s)
    return _Absent("expired", entry if _within(entry, policy.stale_if_error_s, now) else None)


def _fetch(ask: Ask, whom: events.About, absent: _Absent, now: float) -> Generator[Effect, Any, Outcome]:
    """Call the upstream, or fall back on what is left over."""
    leftover = absent.leftover
    document = None if ask.signature is None else ask.signature.document
    if leftover is None:
        yield Tell(events.Missed(whom, absent.why, document))
        return _relay(ask, whom, cast("Sent", (yield Send(ask.request))), absent.why)
    try:
        sent = cast("Sent", (yield Send(ask.request)))
    except Exception:
        sent = None
    if sent is None or sent.head.status >= SERVER_ERROR:
        age_s = max(0.0, now - leftover.created_at)
        yield Tell(events.Hit(whom, leftover, age_s, stale=True))
        return Replay(leftover, stale=True, age_s=age_s)
    yield Tell(events.Missed(whom, absent.why, document))
    return _relay(ask, whom, sent, absent.why)


def _named(ask: Ask) -> str:
    """The call for people."""
    return f"{ask.request.method} {public_url(ask.request.url)}"


def _miss(ask: Ask, why: str) -> str:
    state = "only an expired answer is" if why == "expired" else "no answer is"
    return f"the cache is offline and {state} stored for {_named(ask)}"


def _relay(ask: Ask, whom: events.About, sent: Sent, why: str) -> Relay:
    endpoint, policy = ask.endpoint, ask.policy
    recorder = None
    if sent.head.status == OK and endpoint is not None:
        origin = ask.signature.origin if ask.signature else ""
        recorder = Recorder(ask.request, endpoint, policy, whom, sent, ask.kind, origin)
    return Relay(sent, relay(recorder, whom, sent, keep=policy.writes), recorder, why)


def relay(recorder: Recorder | None, whom: events.About, sent: Sent, *, keep: bool) -> Generator[Effect, Any, None]:
    """Pass a body on, chunk by chunk, and keep it when it is whole.

    Every chunk leaves at once but the one that completes the reply: that one leaves after `Save`,
    so that whoever has seen the end of an answer finds it in the store. Where only the end of the
    body tells that it is whole, the end is what waits.

    Raises:
        Exception: whatever the upstream raised; what had arrived has been delivered.
    """
    held: list[bytes] = []
    settled = unsaved = False
    while True:
        try:
            pulled = cast("Pulled", (yield Pull()))
        except Exception:
            for data in held:
                yield Deliver(data)
            if not settled:
                yield Tell(_dropped(whom, recorder, sent, "broken_off"))
            raise
        if pulled.data is None:
            if not settled or unsaved:
                yield from _settle(recorder, whom, sent, pulled.at, keep=keep, again=settled)
            for data in held:
                yield Deliver(data)
            return
        step = recorder.feed(pulled.data, pulled.at) if recorder is not None else Step.MORE
        held.append(pulled.data)
        unsaved = settled
        if step is Step.HOLD:
            continue
        if step is Step.COMPLETE and not settled:
            yield from _settle(recorder, whom, sent, pulled.at, keep=keep, again=False)
            settled, unsaved = True, False
        for data in held:
            yield Deliver(data)
        held.clear()


def _settle(
    recorder: Recorder | None,
    whom: events.About,
    sent: Sent,
    at: float,
    *,
    keep: bool,
    again: bool,
) -> Generator[Effect, Any, None]:
    """Keep the reply as it stands, or say why not. Called again if bytes follow its end."""
    if recorder is None:
        yield Tell(events.Dropped(whom, f"status_{sent.head.status}"))
        return
    result = recorder.finish(at)
    if isinstance(result, Refused):
        if not again:
            yield Tell(_refused(whom, result, sent))
        return
    if keep and (yield Save(result)):
        yield Tell(events.Stored(whom, result, again, sent.nested))
    elif not again:
        reason = "store_failed" if keep else "not_to_be_stored"
        yield Tell(_refused(whom, Refused(reason, result.usage, result.latency_ms), sent))


def _dropped(whom: events.About, recorder: Recorder | None, sent: Sent, reason: str) -> events.Dropped:
    if recorder is None:
        return events.Dropped(whom, f"status_{sent.head.status}")
    return _refused(whom, replace(recorder.abandoned(), reason=reason), sent)


def _refused(whom: events.About, refused: Refused, sent: Sent) -> events.Dropped:
    return events.Dropped(whom, refused.reason, refused.usage, refused.latency_ms, sent.nested)


def abandoned(body: Relay, whom: events.About) -> events.Dropped:
    """What to tell when a relay's readers have all gone before its end."""
    return _dropped(whom, body.recorder, body.sent, "abandoned")
