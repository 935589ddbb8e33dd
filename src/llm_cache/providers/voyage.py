"""Voyage's embeddings of more than texts; the others it has in OpenAI's and Cohere's words. It must not know them.

https://docs.voyageai.com/reference.
"""

from __future__ import annotations

from llm_cache.core.model import Reading
from llm_cache.providers.format import OUTSIDE, Format, after_v1, has
from llm_cache.providers.parse import Json, Malformed, mapping, model_name
from llm_cache.providers.reading import traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import embedding_usage


def _judge(body: Json) -> Reading:
    if not isinstance(body.get("data"), list):
        raise Malformed
    # Of contextualized embeddings each item is a list again.
    found = [item for item in body["data"] if mapping(item).get("embedding") or mapping(item).get("data")]
    return Reading(
        traits=traits(empty=not found, reasons=()),
        model=model_name(body.get("model")),
        usage=embedding_usage(body.get("usage")),
    )


FORMATS = tuple(
    Format("voyage", after_v1(ending), has("inputs"), Replies(_judge), OUTSIDE)
    for ending in ("/multimodalembeddings", "/contextualizedembeddings")
)
