"""OpenAI's formats: their paths, their bodies, and the replies that are plain data. It must not know other vendors.

The readers of chat and responses have files of their own; `compatible.py` names who speaks like this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from llm_cache.core.model import Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers import openai_audio, openai_chat, openai_responses
from llm_cache.providers.format import OUTSIDE, Format, MakeReader, Match, after_v1, has, has_messages
from llm_cache.providers.parse import Json, Malformed, mapping, model_name, whole
from llm_cache.providers.reading import Told, kind_of, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import FREE, embedding_usage, openai_usage

_DEPLOYMENT = re.compile(r"(.*?)(/openai/deployments/([^/]+))")
_IMAGES = frozenset({"image_generation.completed", "image_edit.completed"})
UPLOADS = ("/audio/transcriptions", "/audio/translations", "/images/edits", "/images/variations")
"""The endings of the endpoints that take a form with a file."""


def _endpoint(ending: str) -> Callable[[str], Match | None]:
    """Matches the ending as OpenAI writes it, and below an Azure deployment, whose name stays in the path."""
    anywhere = after_v1(ending)

    def match(path: str) -> Match | None:
        if not path.endswith(ending) or path.endswith("/chat" + ending):
            return None
        azure = _DEPLOYMENT.fullmatch(path[: -len(ending)])
        if azure is not None:
            prefix, deployment, model = azure.groups()
            return Match(prefix, deployment + ending, model)
        return anywhere(path)

    return match


def _judge_embeddings(body: Json) -> Reading:
    return _judge_list(body, "data", ("embedding",))


def _judge_images(body: Json) -> Reading:
    return _judge_list(body, "data", ("url", "b64_json"))


def _judge_moderations(body: Json) -> Reading:
    if not isinstance(body.get("results"), list):
        raise Malformed
    empty = not body["results"]
    return Reading(traits=traits(empty=empty, reasons=()), model=model_name(body.get("model")), usage=FREE)


def _judge_count(body: Json) -> Reading:
    if "input_tokens" not in body:
        raise Malformed
    whole(body["input_tokens"])
    return Reading(usage=FREE)


def _judge_list(body: Json, where: str, fields: tuple[str, ...]) -> Reading:
    """A body whose answers are the objects of a list, each in one of these fields."""
    if not isinstance(body.get(where), list):
        raise Malformed
    found = [item for item in body[where] if any(mapping(item).get(field) for field in fields)]
    return Reading(
        traits=traits(empty=not found, reasons=()),
        model=model_name(body.get("model")),
        usage=embedding_usage(body.get("usage")),
    )


def _ends_image(event: Event) -> Step:
    # By bytes first: an event is megabytes of base64, and most are previews.
    if b".completed" in event.data or event.name.endswith(b".completed"):
        return Step.COMPLETE if kind_of(event) in _IMAGES else Step.MORE
    return Step.MORE


def _judge_image_stream(events: Sequence[Told]) -> Reading:
    done = [data for kind, data in events if kind in _IMAGES]
    return Reading(
        traits=traits(empty=not any(data.get("b64_json") or data.get("url") for data in done), reasons=()),
        usage=openai_usage(done[-1].get("usage"), done[-1].get("service_tier")) if done else None,
    )


def _format(
    ending: str,
    accepts: Callable[[Json], bool],
    reader: MakeReader,
    uncacheable: Callable[[Json], str | None] | None = None,
) -> Format:
    strangers = openai_chat.STRANGERS if reader is openai_chat.REPLIES else None
    return Format("openai", _endpoint(ending), accepts, reader, OUTSIDE, uncacheable=uncacheable, strangers=strangers)


_IMAGE = Replies(_judge_images, _ends_image, _judge_image_stream, each=True)

FORMATS = (
    _format("/chat/completions", has_messages, openai_chat.REPLIES),
    _format(
        "/responses",
        has("input", "prompt", "previous_response_id", "instructions", "conversation"),
        openai_responses.REPLIES,
        openai_responses.uncacheable,
    ),
    _format("/completions", has("prompt"), openai_chat.REPLIES),
    _format("/embeddings", has("input"), Replies(_judge_embeddings)),
    _format("/audio/speech", has("input"), openai_audio.SPEECH),
    _format("/moderations", has("input"), Replies(_judge_moderations)),
    _format("/images/generations", has("prompt"), _IMAGE),
    _format("/images/edits", has("image", "image[]", "images"), _IMAGE),
    _format("/images/variations", has("image"), _IMAGE),
    _format("/audio/transcriptions", has("file", "url"), openai_audio.TRANSCRIPT),
    _format("/audio/translations", has("file", "url"), openai_audio.TRANSCRIPT),
    _format("/responses/input_tokens", has("input", "previous_response_id", "instructions"), Replies(_judge_count)),
)
