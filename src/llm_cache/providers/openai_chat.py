"""Reads the replies of `/chat/completions` and `/completions`, of OpenAI and of everyone who speaks like it.

It must not rely on a field because OpenAI sends it: vendors leave out ids, objects, roles and
usage, add reasoning in fields of their own, and close streams with chunks of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from llm_cache.core.model import Reading, Step, Usage
from llm_cache.core.sse import Event
from llm_cache.providers.parse import Json, Malformed, mapping, maybe, model_name, sequence, string, whole
from llm_cache.providers.reading import Told, is_failure, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.terms import tier, with_terms
from llm_cache.providers.usage import openai_usage

_THOUGHTS = frozenset({"thinking", "reasoning"})  # parts of a content list that are no answer (Mistral)


@dataclass
class _Choice:
    """One answer of the `n` that were asked for, as far as it has come."""

    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    called: bool = False  # tools, or anything else that is neither text nor reasoning
    finish: str = ""

    def hear(self, said: Json) -> None:
        """Take a message, or the next piece of one."""
        content = said.get("content")
        if isinstance(content, str):
            self.text.append(content)
        else:
            for part in sequence(content):
                self._hear_part(part)
        self.refusal.append(string(said.get("refusal")))
        if sequence(said.get("tool_calls")) or any(said.get(name) for name in ("function_call", "audio", "images")):
            self.called = True

    def _hear_part(self, part: object) -> None:
        if isinstance(part, str):
            self.text.append(part)
            return
        told = mapping(part)
        kind = told.get("type")
        if isinstance(kind, str) and kind in _THOUGHTS:
            return
        if kind == "refusal":
            self.refusal.append(string(told.get("refusal")))
        elif "text" in told:
            self.text.append(string(told["text"]))
        else:
            self.called = True

    @property
    def empty(self) -> bool:
        return not (self.called or any(self.text) or any(self.refusal))


def _ends(event: Event) -> Step:
    return Step.COMPLETE if event.data.strip() == b"[DONE]" else Step.MORE


def _ended(events: Sequence[Told], count: int) -> bool:
    """Whether a stream that has no `[DONE]` is whole once its body has ended in good order.

    A connection that is cut is an error of the transport and no end; so each answer must have said why it ends, and
    usage must have come where its place (`"usage": null` in the chunks before) says that it will.
    """
    finished: dict[int, bool] = {}
    announced = told_usage = False
    for _, data in events:
        announced = announced or ("usage" in data and data["usage"] is None)
        told_usage = told_usage or bool(data.get("usage"))
        for item in sequence(data.get("choices")):
            place = whole(mapping(item).get("index"))
            finished[place] = finished.get(place, False) or bool(item.get("finish_reason"))
    return len(finished) >= count and all(finished.values()) and (told_usage or not announced)


def _judge_body(body: Json) -> Reading:
    if not isinstance(body.get("choices"), list):
        raise Malformed
    return _reading([body], "message")


def _judge_stream(events: Sequence[Told]) -> Reading:
    chunks = [data for _, data in events]
    if not any("choices" in chunk for chunk in chunks):
        raise Malformed
    return _reading(chunks, "delta")


def _reading(chunks: Iterable[Json], said: str) -> Reading:
    choices: dict[int, _Choice] = {}
    model: str | None = None
    usage: Usage | None = None
    service_tier: object = None
    flaw: str | None = None
    for chunk in chunks:
        model = model or model_name(chunk.get("model"))
        # The last word counts: some send it with every chunk, Groq in a place of its own.
        service_tier = chunk.get("service_tier") or service_tier
        usage = openai_usage(chunk.get("usage")) or openai_usage(maybe(chunk.get("x_groq")).get("usage")) or usage
        for item in sequence(chunk.get("choices")):
            told = mapping(item)
            choice = choices.setdefault(whole(told.get("index")), _Choice())
            choice.hear(mapping(told.get(said)))
            choice.text.append(string(told.get("text")))
            choice.finish = string(told.get("finish_reason")) or choice.finish
            if told.get("error"):
                flaw = "error"
    finishes = [choice.finish for choice in choices.values()]
    if flaw is None and any(is_failure(finish) for finish in finishes):
        flaw = "failed"
    answers = ["".join(choice.text) or "".join(choice.refusal) for _, choice in sorted(choices.items())]
    return Reading(
        flaw=flaw,
        traits=traits(
            empty=all(choice.empty for choice in choices.values()),
            reasons=finishes,
            refused=any(any(choice.refusal) for choice in choices.values()),
        ),
        model=model,
        usage=with_terms(usage, tier(service_tier)),
        text="\n".join(answer for answer in answers if answer),
    )


REPLIES = Replies(_judge_body, _ends, _judge_stream)
STRANGERS = replace(REPLIES, ended=_ended)
