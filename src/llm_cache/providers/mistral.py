"""Mistral's endpoints beside OpenAI's: fill-in-the-middle, agents, OCR, classifiers. It must not know other vendors.

https://docs.mistral.ai/api. Conversations (`/conversations`) live on the server and are not cached.
"""

from __future__ import annotations

from collections.abc import Callable

from llm_cache.core.model import Reading
from llm_cache.providers import openai_chat
from llm_cache.providers.format import OUTSIDE, Format, MakeReader, after_v1, has, has_messages
from llm_cache.providers.parse import Json, Malformed, mapping, model_name, string
from llm_cache.providers.reading import traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import openai_usage


def _judge_pages(body: Json) -> Reading:
    if not isinstance(body.get("pages"), list):
        raise Malformed
    said = [string(mapping(page).get("markdown")) for page in body["pages"]]
    # A page may be blank: that there are pages is the answer. They are billed by page, not by token.
    return Reading(
        traits=traits(empty=not said, reasons=()), model=model_name(body.get("model")), text="\n\n".join(said)
    )


def _judge_results(body: Json) -> Reading:
    if not isinstance(body.get("results"), list):
        raise Malformed
    return Reading(
        traits=traits(empty=not body["results"], reasons=()),
        model=model_name(body.get("model")),
        usage=openai_usage(body.get("usage")),
    )


def _format(ending: str, accepts: Callable[[Json], bool], reader: MakeReader) -> Format:
    return Format("mistral", after_v1(ending), accepts, reader, OUTSIDE)


FORMATS = (
    _format("/fim/completions", has("prompt"), openai_chat.REPLIES),
    _format("/agents/completions", has_messages, openai_chat.REPLIES),
    _format("/ocr", has("document"), Replies(_judge_pages)),
    _format("/chat/classifications", has("input"), Replies(_judge_results)),
    _format("/classifications", has("input"), Replies(_judge_results)),
    _format("/chat/moderations", has("input"), Replies(_judge_results)),
)
