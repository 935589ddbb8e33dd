"""LangChain's SQLite cache as entries. It must not make objects of what is stored: it reads JSON and nothing else.

LangChain keeps messages, a description of the client, and the message that came back. From these the request that
`langchain-openai` sends is made again, and an answer of the same content; where anything is in them that is not
understood to the last field, there is no entry, because it might answer another question.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_cache.core.model import Head, Request
from llm_cache.errors import FormatError
from llm_cache.transfer.vcr import Skipped, made_entry

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry

_URL = "https://api.openai.com/v1/chat/completions"
_HEAD = Head(200, (("content-type", "application/json"),))
_ROLES = {"HumanMessage": "user", "SystemMessage": "system", "AIMessage": "assistant"}
_SENT = frozenset({"temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort"})
"""Arguments of the client that are fields of the request, by the same name."""
_NOT_SENT = frozenset(
    {
        "api_key",
        "default_request_timeout",
        "max_retries",
        "model",
        "model_name",
        "openai_api_key",
        "output_version",
        "request_timeout",
        "stream_usage",
        "streaming",
        "timeout",
    }
)
_LARGEST = 64 * 1024 * 1024


def entries(engine: Engine, path: Path, skipped: dict[str, int]) -> Iterator[Entry]:
    """The entries of a cache of LangChain's; `skipped` counts, by reason, what makes none.

    Raises:
        FormatError: the file is no such cache, or damaged.
    """
    at = path.stat().st_mtime
    try:
        # For reading only, and without making the files that SQLite needs for writing.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT prompt, llm, response FROM full_llm_cache WHERE idx = 0 AND length(response) < ?", (_LARGEST,)
            )
            for prompt, llm, response in rows:
                try:
                    request, body = _exchange(prompt, llm, response)
                    yield made_entry(engine, request, _HEAD, body, at)
                except Skipped as reason:
                    skipped[str(reason)] = skipped.get(str(reason), 0) + 1
                except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
                    reason_ = "it is not as LangChain writes it"
                    skipped[reason_] = skipped.get(reason_, 0) + 1
    except sqlite3.Error as error:
        raise FormatError(f"{path} is no cache of LangChain's, or is damaged: {error}") from error


def _exchange(prompt: str, llm: str, response: str) -> tuple[Request, bytes]:
    client, dashes, call = llm.partition("---")
    described = json.loads(client)
    if not dashes or _name(described) != "ChatOpenAI":
        raise Skipped("only what ChatOpenAI was asked can be told from its cache")
    if call not in {"[('stop', None)]", "[]"}:
        raise Skipped("it was called with tools, stop words or other options")
    options = described["kwargs"]
    unknown = options.keys() - _SENT - _NOT_SENT
    if unknown:
        raise Skipped(f"its client has an option that is not understood: {min(unknown)[:40]}")
    body: dict[str, Any] = {
        "messages": [_message(message) for message in json.loads(prompt)],
        "model": options["model_name"] if "model_name" in options else options["model"],
    }
    body |= {name: options[name] for name in _SENT if options.get(name) is not None}
    if options.get("streaming"):
        raise Skipped("it was a stream, whose pieces LangChain does not keep")
    request = Request("POST", _URL, (("content-type", "application/json"),), json.dumps(body).encode())
    return request, _reply(json.loads(response), str(body["model"]))


def _name(described: Any) -> str:
    return str(described["id"][-1]) if described.get("type") == "constructor" else ""


def _message(message: Any) -> dict[str, str]:
    kwargs, role = message["kwargs"], _ROLES.get(_name(message))
    extra = {name: value for name, value in kwargs.get("additional_kwargs", {}).items() if value is not None}
    if role is None or extra or kwargs.get("tool_calls") or kwargs.get("name"):
        raise Skipped("a message has more than a text")
    return {"content": _text(kwargs["content"]), "role": role}


def _text(content: object) -> str:
    if not isinstance(content, str):
        raise Skipped("a message has more than a text")
    return content


def _reply(generation: Any, model: str) -> bytes:
    if _name(generation) != "ChatGeneration":
        raise Skipped("its answer is no chat message")
    message = generation["kwargs"]["message"]
    text = _message(message)["content"]
    told = message["kwargs"].get("response_metadata", {})
    usage = told.get("token_usage")
    reply = {
        "id": message["kwargs"].get("id") or "chatcmpl-imported",
        "object": "chat.completion",
        "created": 0,
        "model": told.get("model_name") or model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": told.get("finish_reason") or "stop",
            }
        ],
        **({"usage": usage} if isinstance(usage, dict) else {}),
    }
    return json.dumps(reply, ensure_ascii=False).encode()
