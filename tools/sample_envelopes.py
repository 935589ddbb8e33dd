"""What providers send, made up: for each kind of call a request and its reply in chunks. Nothing recorded is in it."""

from __future__ import annotations

import json
import string
from typing import Any

from tools.sample_text import ANTHROPIC_MODELS, HEX, OPENAI_MODELS, SYSTEMS, Maker

Made = tuple[bytes, list[bytes]]


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def pretty(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode()


def event(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + compact(value) + b"\n\n"


def usage(make: Maker) -> dict[str, object]:
    asked, told = make.number(8, 400), make.number(1, 400)
    return {
        "prompt_tokens": asked,
        "completion_tokens": told,
        "total_tokens": asked + told,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat(make: Maker) -> Made:
    model = make.chance.choice(OPENAI_MODELS)
    body: dict[str, Any] = {
        "id": f"chatcmpl-{make.ident(29)}",
        "object": "chat.completion",
        "created": make.at(),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": make.text(), "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage(make),
        "service_tier": "default",
        "system_fingerprint": f"fp_{make.ident(10, HEX)}",
    }
    if make.chance.random() < 0.2:
        call = {
            "id": f"call_{make.ident(24)}",
            "type": "function",
            "function": {"name": "get_current_weather", "arguments": '{"location":"Paris, France"}'},
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []}
        body["choices"][0]["message"] = message
        body["choices"][0]["finish_reason"] = "tool_calls"
    asked = make.request(make.chance.choice((model, model[:6], "gpt-4o-mini", "gpt-4")))
    return asked, [pretty(body) + b"\n" if make.chance.random() < 0.7 else compact(body)]


def chat_stream(make: Maker) -> Made:
    model = make.chance.choice(OPENAI_MODELS)
    head = {
        "id": f"chatcmpl-{make.ident(29)}",
        "object": "chat.completion.chunk",
        "created": make.at(),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": f"fp_{make.ident(10, HEX)}",
    }
    padded = make.chance.random() < 0.7

    def chunk(delta: object, finish: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        padding = {"obfuscation": make.ident(make.number(1, 16))} if padded else {}
        return event({**head, "choices": [choice], **more, **padding})

    chunks = [chunk({"role": "assistant", "content": "", "refusal": None}, usage=None)]
    chunks += [chunk({"content": piece}, usage=None) for piece in make.pieces(make.text(3))]
    chunks.append(chunk({}, "stop", usage=None))
    if padded:
        chunks.append(event({**head, "choices": [], "usage": usage(make), "obfuscation": make.ident(8)}))
    chunks.append(b"data: [DONE]\n\n")
    return make.request(model[:6], stream=True, stream_options={"include_usage": True}), chunks


def compatible_stream(make: Maker) -> Made:
    head = {
        "id": f"chatcmpl-{make.ident(8, HEX)}-{make.ident(4, HEX)}-{make.ident(12, HEX)}",
        "object": "chat.completion.chunk",
        "created": make.at(),
        "model": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    }
    pad = make.chance.random() < 0.5
    chunks = []
    for piece in ["", *make.pieces(make.text(3))]:
        more = {"p": (string.ascii_lowercase + string.digits)[: make.number(1, 36)]} if pad else {}
        chunks.append(
            event(
                {
                    **head,
                    "choices": [{"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}],
                    **more,
                }
            )
        )
    chunks += [
        event(
            {
                **head,
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 12, "total_tokens": 40, "completion_tokens": 28},
            }
        ),
        b"data: [DONE]\n\n",
    ]
    return make.request("llama-3.3-70b-versatile", stream=True), chunks


def responses(make: Maker) -> Made:
    model = make.chance.choice(OPENAI_MODELS)
    message = {
        "id": f"msg_{make.ident(48, HEX)}",
        "type": "message",
        "status": "completed",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": make.text()}],
        "role": "assistant",
    }
    body: dict[str, Any] = {
        "id": f"resp_{make.ident(48, HEX)}",
        "object": "response",
        "created_at": make.at(),
        "status": "completed",
        "background": False,
        "billing": {"payer": "developer"},
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": model,
        "output": [message],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": make.number(8, 300),
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 60,
        },
        "user": None,
        "metadata": {},
    }
    return compact({"model": model[:6], "input": make.task()}), [pretty(body)]


def responses_stream(make: Maker) -> Made:
    asked, (whole,) = responses(make)
    body = json.loads(whole)
    message = body["output"][0]
    pieces = make.pieces(message["content"][0]["text"])
    begun = {**body, "status": "in_progress", "output": [], "usage": None}
    at = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    number = iter(range(10_000))

    def say(name: str, **more: object) -> bytes:
        return event({"type": name, "sequence_number": next(number), **more}, name)

    chunks = [
        say("response.created", response=begun),
        say("response.in_progress", response=begun),
        say("response.output_item.added", output_index=0, item={**message, "status": "in_progress", "content": []}),
        say(
            "response.content_part.added",
            **at,
            part={"type": "output_text", "annotations": [], "logprobs": [], "text": ""},
        ),
        *(
            say(
                "response.output_text.delta", **at, delta=piece, logprobs=[], obfuscation=make.ident(make.number(1, 16))
            )
            for piece in pieces
        ),
        say("response.output_text.done", **at, text="".join(pieces), logprobs=[]),
        say("response.content_part.done", **at, part=message["content"][0]),
        say("response.output_item.done", output_index=0, item=message),
        say("response.completed", response=body),
    ]
    return asked[:-1] + b',"stream":true}', chunks


def anthropic_usage(make: Maker) -> dict[str, object]:
    return {
        "input_tokens": make.number(8, 400),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": make.number(1, 400),
        "service_tier": "standard",
    }


def messages(make: Maker) -> Made:
    model = make.chance.choice(ANTHROPIC_MODELS)
    body = {
        "model": model,
        "id": f"msg_01{make.ident(22)}",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": make.text()}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": anthropic_usage(make),
    }
    return compact(
        {
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": make.task()}],
            "model": model,
            "system": make.chance.choice(SYSTEMS),
        }
    ), [compact(body)]


def messages_stream(make: Maker) -> Made:
    asked, (whole,) = messages(make)
    body = json.loads(whole)
    pieces = make.pieces(body["content"][0]["text"])

    def say(value: dict[str, object]) -> bytes:
        text = json.dumps(value, separators=(",", ":"))
        return f"event: {value['type']}\ndata: {text[:-1]}{' ' * make.number(0, 12)}}}\n\n".encode()

    start = {**body, "content": [], "stop_reason": None}
    chunks = [
        say({"type": "message_start", "message": start})
        + say({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        + event({"type": "ping"}, "ping"),
        *(
            say({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
            for piece in pieces
        ),
        say({"type": "content_block_stop", "index": 0}),
        say(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": body["usage"],
            }
        )
        + say({"type": "message_stop"}),
    ]
    return asked[:-1] + b',"stream":true}', chunks


def gemini(make: Maker) -> Made:
    body = {
        "candidates": [
            {
                "content": {"parts": [{"text": make.text()}], "role": "model"},
                "finishReason": "STOP",
                "avgLogprobs": -0.0123,
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 20,
            "totalTokenCount": 28,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
            "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": make.ident(22),
    }
    return compact(
        {"contents": [{"parts": [{"text": make.task()}], "role": "user"}], "generationConfig": {"temperature": 0}}
    ), [pretty(body)]


def other(make: Maker) -> Made:
    kind = make.number(0, 3)
    body: dict[str, Any]
    if kind == 0:
        body = {
            "id": make.ident(8, HEX),
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": make.text()}]},
            "usage": {
                "billed_units": {"input_tokens": 5, "output_tokens": 20},
                "tokens": {"input_tokens": 70, "output_tokens": 20},
            },
        }
        return make.request("command-r-plus-08-2024"), [compact(body)]
    if kind == 1:
        body = {
            "model": "llama3.2",
            "created_at": "2025-06-01T12:00:00.123456Z",
            "message": {"role": "assistant", "content": make.text()},
            "done_reason": "stop",
            "done": True,
            "total_duration": make.at(),
            "load_duration": make.at(),
            "prompt_eval_count": 26,
            "prompt_eval_duration": make.at(),
            "eval_count": 30,
            "eval_duration": make.at(),
        }
        return make.request("llama3.2", stream=False), [compact(body)]
    if kind == 2:
        body = {
            "output": {"message": {"role": "assistant", "content": [{"text": make.text()}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 20, "outputTokens": 20, "totalTokens": 40},
            "metrics": {"latencyMs": 800},
        }
        return compact(
            {
                "messages": [{"role": "user", "content": [{"text": make.task()}]}],
                "inferenceConfig": {"maxTokens": 512, "temperature": 0},
            }
        ), [compact(body)]
    body = {
        "id": make.ident(32, HEX),
        "object": "chat.completion",
        "created": make.at(),
        "model": "mistral-small-latest",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "tool_calls": None, "content": make.text()},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "total_tokens": 30, "completion_tokens": 20},
    }
    return make.request("mistral-small-latest"), [compact(body)]
