"""The acts of `llm-cache demo`, each measured while it is shown. It must not claim what it has not just seen."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import click

from llm_cache.cli import output
from llm_cache.clients.cache import LLMCache
from llm_cache.clients.options import last_call, options
from llm_cache.clients.wrap import wrap
from llm_cache.errors import CacheMissError
from llm_cache.testing import FakeUpstream, Received, Reply, openai_chat, openai_chat_stream

MODEL = "gpt-4o"
_WAIT_S = 1.6
"""Until a provider's first byte: what a chat model of this size takes on an ordinary day."""
_TOKEN_S = 0.045
_CALLERS = 10
_QUESTION = "Why is the sky blue?"
_ANSWER = (
    "Sunlight is a mixture of all colours. On its way through the air it meets molecules that are far smaller than its"
    " waves, and they scatter short waves much more than long ones: blue about five times as much as red. So blue"
    " comes to your eye from everywhere, and that is the sky."
)
_STORY = "A cache went to the market. It bought every answer once, and gave it away a thousand times."


class Ask(Protocol):
    """Asks the model: the whole text, or its pieces as they come."""

    def __call__(self, question: str, *, stream: bool = False) -> Iterator[str]: ...


def play(pace: float) -> None:
    """Play all acts; `pace` multiplies how long the provider takes."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-cache-demo-"))
        upstream = stack.enter_context(_provider(pace))
        cache = stack.enter_context(LLMCache(backend="sqlite", database_url=str(Path(folder) / "demo.db")))
        ask, name = _asking(stack, upstream.url, cache)
        click.echo(f"A provider on this machine that is as slow as a real one, asked through {name}.")
        _twice(ask)
        _streamed(ask)
        _together(ask, upstream)
        _missed(ask)
        _sum(cache, upstream)


@contextmanager
def _provider(pace: float) -> Iterator[FakeUpstream]:
    def answer(received: Received) -> Reply:
        asked = json.loads(received.body)
        if asked.get("stream"):
            words = [f"{word} " for word in _STORY.split()]
            told = openai_chat_stream(words, model=MODEL, include_usage=True)
            return replace(told, delay_s=_WAIT_S * pace, chunk_delay_s=_TOKEN_S * pace)
        return replace(openai_chat(_ANSWER, model=MODEL), delay_s=_WAIT_S * pace)

    with FakeUpstream(split="whole") as upstream:
        upstream.reply("/v1/chat/completions", answer)
        yield upstream


def _asking(stack: ExitStack, url: str, cache: LLMCache) -> tuple[Ask, str]:
    """How the model is asked here, and by what: the SDK if there is one, else the HTTP library that is."""
    try:
        import openai
    except ImportError:
        return _by_http(stack, url, cache)
    client = stack.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0))
    stack.enter_context(wrap(client, cache))

    def ask(question: str, *, stream: bool = False) -> Iterator[str]:
        sent: dict[str, Any] = _request(question, stream=stream)
        reply: Any = client.chat.completions.create(**sent)
        if not stream:
            yield str(reply.choices[0].message.content)
            return
        for chunk in reply:
            yield from (choice.delta.content for choice in chunk.choices if choice.delta.content)

    return ask, f"the OpenAI SDK {openai.__version__}"


def _by_http(stack: ExitStack, url: str, cache: LLMCache) -> tuple[Ask, str]:
    try:
        import httpx2 as library
    except ImportError:
        import httpx as library  # type: ignore[no-redef]

    client: Any = stack.enter_context(library.Client(base_url=url))
    stack.enter_context(wrap(client, cache))

    def ask(question: str, *, stream: bool = False) -> Iterator[str]:
        with client.stream("POST", "/v1/chat/completions", json=_request(question, stream=stream)) as reply:
            if not stream:
                said = json.loads(reply.read())
                if reply.status_code != 200:
                    raise CacheMissError(str(said["error"]["message"]))
                yield str(said["choices"][0]["message"]["content"])
                return
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        yield str(choice["delta"].get("content") or "")

    return ask, f"{library.__name__} {library.__version__} (the OpenAI SDK is not installed)"


def _request(question: str, *, stream: bool) -> dict[str, Any]:
    sent: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": question}]}
    if stream:
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
    return sent


def _title(number: int, text: str) -> None:
    click.echo()
    click.secho(f"{number}. {text}", bold=True)


def _timed(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def _took(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def _line(what: str, seconds: float, more: str = "") -> None:
    click.echo(f"   {what:<28}{_took(seconds):>10}   {more}".rstrip())


def _twice(ask: Ask) -> None:
    _title(1, "The same question twice")
    click.echo(f"   {_QUESTION}")
    paid: list[str] = []
    first = _timed(lambda: paid.extend(ask(_QUESTION)))
    call = last_call()
    _line("the first time", first, f"{_status(call)}, paid {output.dollars(call.cost_usd if call else None)}")
    said: list[str] = []
    second = _timed(lambda: said.extend(ask(_QUESTION)))
    _line("the second time", second, f"{_status(last_call())}, free")
    same = "the same to the letter" if said == paid else "NOT the same"
    click.echo(f"   {len(said[0].split())} words, {same}, {first / second:,.0f} times as fast.")


def _status(call: object) -> str:
    status = str(getattr(call, "status", "unknown"))
    return click.style(status, fg="yellow" if status == "miss" else "green", bold=True)


def _streamed(ask: Ask) -> None:
    _title(2, "A stream, and its replay")
    for attempt in ("as it comes", "from the cache"):
        click.echo("   ", nl=False)
        began = time.perf_counter()
        for piece in ask("Tell me a story.", stream=True):
            click.echo(piece, nl=False)
        took = time.perf_counter() - began
        click.echo()
        _line(attempt, took, _status(last_call()))


def _together(ask: Ask, upstream: FakeUpstream) -> None:
    _title(3, f"{_CALLERS} callers ask the same at once")
    before = upstream.count()
    with ThreadPoolExecutor(_CALLERS) as pool:
        took = _timed(lambda: list(pool.map(lambda _: list(ask("What is a cache?")), range(_CALLERS))))
    reached = click.style(f"{upstream.count() - before} request", fg="green", bold=True)
    _line(f"{_CALLERS} answers", took, f"{reached} reached the provider")


def _missed(ask: Ask) -> None:
    _title(4, "A miss that says why")
    click.echo('   The first question again, offline, with "sky" spelt "Sky":')
    # An offline miss is meant here; the SDK and the cache would say so on the terminal once more.
    logging.getLogger("llm_cache").setLevel(logging.CRITICAL)
    with options(mode="offline"):
        try:
            list(ask(_QUESTION.replace("sky", "Sky")))
        except Exception as error:  # whatever the SDK makes of a 504
            body = getattr(error, "body", None)
            told = body.get("message") if isinstance(body, dict) else None
            for line in str(told or error).splitlines():
                click.secho(f"   | {output.safe(line)}", fg="cyan")


def _sum(cache: LLMCache, upstream: FakeUpstream) -> None:
    _title(5, "What it came to")
    stats = cache.stats()
    output.pairs(
        (
            ("   Calls", f"{stats.hits + stats.misses}; {upstream.count()} of them reached the provider"),
            ("   Hits", f"{stats.hits}, {stats.joined} of them joined a call in flight"),
            ("   Spent", output.dollars(stats.cost_spent_usd)),
            ("   Saved", f"{output.dollars(stats.cost_saved_usd)} and {stats.time_saved_s:.1f} s of waiting"),
        )
    )
    click.echo("\nYours: `llm-cache run -- python your_program.py`, or one line: `with wrap_openai(client):`")
