"""Fills a store with a month of made-up calls, for pictures of the dashboard. It must not call anybody.

python tools/dashboard_store.py FILE
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from llm_cache.clients.engine import Engine
from llm_cache.config import load
from llm_cache.core.events import About, Bypassed, Dropped, Hit, Missed, Stored
from llm_cache.core.model import Entry, Frame, Head, Request, Usage
from llm_cache.testing import Reply, anthropic_message, anthropic_stream, openai_chat, openai_chat_stream

DAY_S = 86_400
JSON = (("content-type", "application/json"),)
SSE = (("content-type", "text/event-stream; charset=utf-8"),)
QUESTIONS = (
    "Summarise the incident report in three sentences for the weekly review.",
    "Which of these two answers is better, and why? Answer with A or B first.",
    "Translate the release notes into German. Keep code and names as they are.",
    "Extract every date and amount from this invoice as JSON.",
    "Write a regular expression that finds ISO 8601 dates, and explain it.",
    "Is the claim supported by the passage? Answer yes, no or unclear.",
)
ANSWERS = (
    "The queue filled because one worker held its lock for eleven minutes. Restarting it cleared the backlog.",
    "A. It answers what was asked and gives the source, while B repeats the question and guesses the year.",
    "Die Warteschlange wird jetzt beim Start geprüft, und `retry_limit` gilt auch für Streams.",
    '{"date": "2026-03-14", "amount": "1,280.00", "currency": "EUR"}',
)


@dataclass(frozen=True)
class Kind:
    """Calls of one sort: who is asked, how often a day, and how often it has been asked before."""

    provider: str
    model: str
    path: str
    namespace: str
    calls: int
    repeated: float
    usage: Usage
    cost: str


CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
KINDS = (
    Kind("openai", "gpt-4o", CHAT, "evals", 42, 0.82, Usage(1840, 312, cache_read_tokens=1024), "0.00788"),
    Kind("openai", "gpt-4o-mini", CHAT, "evals", 96, 0.88, Usage(920, 180), "0.000246"),
    Kind("anthropic", "claude-sonnet-4-5", MESSAGES, "agents", 34, 0.71, Usage(5200, 640, 3800, 600), "0.02274"),
    Kind("anthropic", "claude-haiku-4-5", MESSAGES, "agents", 25, 0.64, Usage(2100, 220), "0.0032"),
    Kind("openai", "text-embedding-3-small", "/v1/embeddings", "default", 30, 0.93, Usage(410, 0), "0.0000082"),
    Kind("mistral", "mistral-large-latest", CHAT, "default", 12, 0.55, Usage(760, 240), "0.00296"),
)


def fill(engine: Engine, set_clock: Callable[[float], None], now: float, days: int = 30) -> None:
    """Put a month of calls into the store, the latest a moment ago."""
    chance = random.Random(7)  # noqa: S311 - the same picture every time
    for age in range(days - 1, -1, -1):
        midnight = now // DAY_S * DAY_S - age * DAY_S
        busy = (0.45 if time.gmtime(midnight).tm_wday > 4 else 1.0) * chance.uniform(0.7, 1.15) * (1.5 - age / days)
        for kind in KINDS:
            learned = min(1.0, 0.55 + (days - age) / days)
            until = min(DAY_S, now - midnight)
            _day(
                engine,
                kind,
                chance,
                [midnight + until * at for at in _times(chance, int(kind.calls * busy))],
                set_clock,
                kind.repeated * learned,
            )
        engine.ledger.flush()
    set_clock(now)


def _times(chance: random.Random, calls: int) -> list[float]:
    return sorted(chance.random() for _ in range(calls))


def _day(
    engine: Engine,
    kind: Kind,
    chance: random.Random,
    times: list[float],
    set_clock: Callable[[float], None],
    repeated: float,
) -> None:
    about = About(kind.provider, kind.model, kind.path, kind.namespace)
    entry: Entry | None = None
    for at in times:
        set_clock(at)
        if entry is not None and chance.random() < repeated:
            engine.ledger(Hit(About(kind.provider, kind.model, kind.path, kind.namespace, entry.key), entry))
            continue
        engine.ledger(Missed(about, chance.choice(("absent", "absent", "absent", "expired", "refresh"))))
        if chance.random() < 0.04:
            engine.ledger(Dropped(about, chance.choice(("cut_off", "status_429", "empty"))))
            continue
        entry = _entry(kind, chance, at)
        engine.store.put(engine.codec.encode(entry))
        engine.ledger(Stored(about, entry))
    if chance.random() < 0.3:
        engine.ledger(Bypassed(about, "no_store"))


def _entry(kind: Kind, chance: random.Random, at: float) -> Entry:
    question, answer = chance.choice(QUESTIONS), chance.choice(ANSWERS)
    body, reply, stream = _exchange(kind, question, answer, chance)
    pieces = list(reply.chunks) if reply.chunks is not None else [reply.payload]
    frames, clock = [], 180_000
    for piece in pieces:
        frames.append(Frame(piece.encode() if isinstance(piece, str) else piece, clock))
        clock += chance.randint(8_000, 70_000)
    return Entry(
        key=f"{chance.getrandbits(256):064x}",
        kind="http",
        provider=kind.provider,
        model=kind.model,
        endpoint=kind.path,
        namespace=kind.namespace,
        head=Head(200, SSE if stream else JSON),
        frames=tuple(frames),
        stream=stream,
        created_at=at,
        expires_at=at + 30 * DAY_S,
        asked=Request("POST", f"https://api.example.com{kind.path}", JSON, json.dumps(body).encode()),
        usage=kind.usage,
        cost_usd=Decimal(kind.cost),
        latency_ms=clock / 1000,
        answered_model=kind.model,
    )


def _exchange(kind: Kind, question: str, answer: str, chance: random.Random) -> tuple[dict[str, object], Reply, bool]:
    system = "You are a careful assistant. Answer in the language of the question."
    stream = chance.random() < 0.4
    pieces = [answer[at : at + 9] for at in range(0, len(answer), 9)]
    if kind.path == "/v1/embeddings":
        vector = [{"object": "embedding", "index": 0, "embedding": [0.01] * 8}]
        return {"model": kind.model, "input": question}, Reply(json={"object": "list", "data": vector}), False
    if kind.path == MESSAGES:
        conversation: list[dict[str, object]] = [{"role": "user", "content": question}]
        if chance.random() < 0.6:
            use = {"type": "tool_use", "id": "toolu_01", "name": "read_file", "input": {"path": "notes/incident.md"}}
            result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "09:12 queue full\n09:23 restarted"}
            conversation += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        tool = {"name": "read_file", "description": "Reads a file.", "input_schema": {"type": "object"}}
        asked = {"model": kind.model, "max_tokens": 800, "system": system, "messages": conversation, "tools": [tool]}
        if stream:
            return {**asked, "stream": True}, anthropic_stream(pieces, model=kind.model), True
        return asked, anthropic_message(answer, model=kind.model), False
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    body: dict[str, object] = {"model": kind.model, "messages": messages, "temperature": 0}
    if stream:
        return {**body, "stream": True}, openai_chat_stream(pieces, model=kind.model), True
    return body, openai_chat(answer, model=kind.model), False


def main(arguments: list[str]) -> int:
    """Fill a file."""
    clock = [time.time()]
    engine = Engine(load({"database_url": arguments[0]}), lambda: clock[0])

    def set_clock(at: float) -> None:
        clock[0] = at

    fill(engine, set_clock, time.time())
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
