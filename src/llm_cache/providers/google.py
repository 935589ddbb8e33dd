"""Google's formats: Gemini by API key and on Vertex, which speak alike. It must not know other vendors.

https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings for the bodies. A
stream is server-sent events (`alt=sse`) or one JSON array sent in pieces, and has no terminal event:
it is whole when every candidate has a reason for its end and the body has ended in good order.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_cache.core.model import Reading
from llm_cache.providers import openai_chat
from llm_cache.providers.anthropic import MESSAGE, judge_count
from llm_cache.providers.format import OUTSIDE, Format, always, asks_stream, at, counted, has, has_messages, never
from llm_cache.providers.parse import Json, Malformed, mapping, maybe, model_name, sequence, string, whole
from llm_cache.providers.reading import Told, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.terms import with_terms
from llm_cache.providers.usage import FREE, google_usage, total

# Reasons that say neither that the answer is whole nor that the user's limit or a filter has cut it
# (https://ai.google.dev/api/generate-content#FinishReason).
_FAILED = frozenset(
    {
        "FINISH_REASON_UNSPECIFIED",
        "IMAGE_OTHER",
        "LANGUAGE",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "NO_IMAGE",
        "OTHER",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)
_SILENT = frozenset({"thought", "thoughtSignature", "text"})  # in a part without text they are no answer


class _Candidate:
    """One answer, as far as it has come."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.called = False  # a function, or an answer that is no text
        self.finish = ""

    def hear(self, told: Json) -> None:
        self.finish = string(told.get("finishReason")) or self.finish
        for item in sequence(mapping(told.get("content")).get("parts")):
            part = mapping(item)
            if part.get("thought"):
                continue
            self.text.append(string(part.get("text")))
            self.called = self.called or bool(part.keys() - _SILENT)


def _heard(chunks: Sequence[Json]) -> tuple[dict[int, _Candidate], str]:
    """The candidates, and why the prompt was blocked, if it was."""
    candidates: dict[int, _Candidate] = {}
    blocked = ""
    for chunk in chunks:
        blocked = blocked or string(maybe(chunk.get("promptFeedback")).get("blockReason"))
        for item in sequence(chunk.get("candidates")):
            told = mapping(item)
            candidates.setdefault(whole(told.get("index")), _Candidate()).hear(told)
    return candidates, blocked


def _ended(events: Sequence[Told], count: int) -> bool:
    candidates, blocked = _heard([data for _, data in events])
    finished = [candidate for candidate in candidates.values() if candidate.finish]
    return bool(blocked) or (len(finished) == len(candidates) >= count)


def _judge_content(body: Json) -> Reading:
    return _judge_chunks([Told("", body)])


def _judge_chunks(events: Sequence[Told]) -> Reading:
    chunks = [data for _, data in events]
    if not any(chunk.keys() & {"candidates", "promptFeedback"} for chunk in chunks):
        raise Malformed
    candidates, blocked = _heard(chunks)
    finishes = [candidate.finish for candidate in candidates.values()]
    reasons = [*finishes, "content_filter"] if blocked else finishes
    names = [name for chunk in chunks if (name := model_name(chunk.get("modelVersion")))]
    usages = [usage for chunk in chunks if (usage := google_usage(chunk.get("usageMetadata")))]
    texts = ["".join(candidate.text) for _, candidate in sorted(candidates.items())]
    return Reading(
        flaw="failed" if _FAILED.intersection(finishes) else None,
        traits=traits(
            empty=not any(candidate.called or any(candidate.text) for candidate in candidates.values()),
            reasons=reasons,
        ),
        model=names[0] if names else None,
        # The counts of a stream are cumulative. A search by Google is billed apart, and so many a day are free.
        usage=with_terms(usages[-1] if usages else None, "grounded" if _grounded(chunks) else None),
        text="\n".join(text for text in texts if text),
    )


def _grounded(chunks: Sequence[Json]) -> bool:
    found = [maybe(item).get("groundingMetadata") for chunk in chunks for item in sequence(chunk.get("candidates"))]
    return any(maybe(each).get("webSearchQueries") for each in found)


def _judge_embedding(body: Json) -> Reading:
    return _judge_embeddings({**body, "embeddings": [body["embedding"]] if "embedding" in body else None})


def _judge_embeddings(body: Json) -> Reading:
    if not isinstance(body.get("embeddings"), list):
        raise Malformed
    found = [item for item in body["embeddings"] if mapping(item).get("values")]
    usage = google_usage(body.get("usageMetadata"))
    return Reading(traits=traits(empty=not found, reasons=()), usage=usage)


def _judge_count(body: Json) -> Reading:
    if not body.keys() & {"totalTokens", "tokensInfo"}:
        raise Malformed
    return Reading(usage=FREE)


def _judge_predictions(body: Json) -> Reading:
    if not isinstance(body.get("predictions"), list):
        raise Malformed
    blocked = [maybe(item).get("raiFilteredReason") for item in body["predictions"]]
    # Imagen leaves out what its filter took, with or without a reason in the place.
    found = [item for item, reason in zip(body["predictions"], blocked, strict=True) if item and not reason]
    counts = [maybe(maybe(maybe(item).get("embeddings")).get("statistics")) for item in body["predictions"]]
    return Reading(
        traits=traits(empty=not found, reasons=["content_filter"] if any(blocked) else ()),
        usage=total(count.get("token_count") for count in counts),
    )


def _candidates(body: Json) -> int:
    config = maybe(body.get("generationConfig")) or maybe(body.get("generation_config"))
    return counted(config.get("candidateCount", config.get("candidate_count", 1)))


_VERSION = "(?:/v[0-9]+(?:(?:alpha|beta)[0-9]*)?)?"
_PROJECT = "(?:/projects/[^/]+/locations/[^/]+)?"


def _at(methods: str, publisher: str = "[^/]+") -> str:
    """The pattern of a method's path. `models` and `tunedModels` are Gemini's, publishers are Vertex's."""
    return rf"{_VERSION}{_PROJECT}(?:/publishers/{publisher})?/(?:models|tunedModels)/(?P<model>[^/]+):{methods}"


def _raw(publisher: str, model: str = "[^/]+") -> str:
    return rf"{_VERSION}{_PROJECT}/publishers/{publisher}/models/(?P<model>{model}):(?:raw|streamRaw)Predict"


_CONTENT = Replies(_judge_content, None, _judge_chunks, ended=_ended, arrays=True)

FORMATS = (
    Format(
        "google",
        at(_at("generateContent")),
        has("contents"),
        _CONTENT,
        OUTSIDE,
        streams=never,
        results=_candidates,
    ),
    Format(
        "google",
        at(_at("streamGenerateContent")),
        has("contents"),
        _CONTENT,
        OUTSIDE,
        streams=always,
        results=_candidates,
        arrays=True,
    ),
    Format("google", at(_at("embedContent")), has("content"), Replies(_judge_embedding), OUTSIDE),
    Format("google", at(_at("batchEmbedContents")), has("requests"), Replies(_judge_embeddings), OUTSIDE),
    Format(
        "google",
        at(_at("(?:count|compute)Tokens")),
        has("contents", "generateContentRequest", "instances"),
        Replies(_judge_count),
        OUTSIDE,
    ),
    Format("google", at(_at("predict")), has("instances"), Replies(_judge_predictions), OUTSIDE),
    # Other vendors' models on Vertex speak their vendors' formats.
    # Claude's tokens are counted by a model of that name; the model that is meant is in the body.
    Format("vertex", at(_raw("anthropic", "count-tokens")), has_messages, Replies(judge_count), OUTSIDE, streams=never),
    Format("vertex", at(_raw("anthropic")), has_messages, MESSAGE, OUTSIDE, streams=asks_stream),
    Format("vertex", at(_raw("[^/]+")), has_messages, openai_chat.REPLIES, OUTSIDE, streams=asks_stream),
)
