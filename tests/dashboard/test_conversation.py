"""Requests and answers of every format as messages: what was said is seen, whoever said it."""

from __future__ import annotations

import base64
import json

import pytest

from llm_cache.proxy.dashboard.assemble import events_of, whole
from llm_cache.proxy.dashboard.conversation import answered, asked
from llm_cache.proxy.dashboard.parts import parts_of
from llm_cache.proxy.dashboard.texts import MOST, SHOWN, Texts
from llm_cache.testing import load_traffic, traffic_folder
from tests.dashboard.filling import PNG, TALK


def said(messages) -> list[tuple[str, list[tuple[str, str]]]]:
    """Roles, and kinds and texts of parts."""
    return [(each["role"], [_part(part) for part in each["parts"]]) for each in messages]


def _part(part):
    if part["kind"] == "result":
        return "result", "".join(inner.get("text", "") for inner in part["parts"])
    return part["kind"], part.get("name") or part.get("text") or part.get("src", "")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": "One"}, [("user", [("text", "One")])]),
        ({"instructions": "Be.", "input": "One"}, [("system", [("text", "Be.")]), ("user", [("text", "One")])]),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "One"}]},
                    {"type": "reasoning", "summary": []},
                ]
            },
            [("user", [("text", "One")]), ("user", [("thought", "(hidden by the provider)")])],
        ),
        (
            {
                "input": [
                    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
                    {"type": "function_call_output", "call_id": "c", "output": "42"},
                ]
            },
            [("user", [("call", "f")]), ("user", [("result", "42")])],
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
                    },
                    {"role": "tool", "tool_call_id": "c", "content": "42"},
                ]
            },
            [("assistant", [("call", "f")]), ("tool", [("result", "42")])],
        ),
        (
            {
                "systemInstruction": {"parts": [{"text": "Be."}]},
                "contents": [
                    {
                        "role": "user",
                        "parts": [{"text": "One"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}],
                    },
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}]},
                ],
            },
            [
                ("system", [("text", "Be.")]),
                ("user", [("text", "One"), ("image", f"data:image/png;base64,{PNG}")]),
                ("model", [("call", "f")]),
                ("user", [("result", '{\n  "a": 1\n}')]),
            ],
        ),
        (
            {
                "system": [{"text": "Be."}],
                "messages": [
                    {
                        "role": "user",
                        "content": [{"text": "One"}, {"image": {"format": "png", "source": {"bytes": PNG}}}],
                    },
                    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]},
                ],
            },
            [
                ("system", [("text", "Be.")]),
                ("user", [("text", "One"), ("image", f"data:image/png;base64,{PNG}")]),
                ("assistant", [("call", "f")]),
            ],
        ),
        ({"prompt": "One", "images": [PNG]}, [("user", [("text", "One"), ("image", f"data:image/png;base64,{PNG}")])]),
        (
            {"message": "Two", "chat_history": [{"role": "USER", "message": "One"}], "preamble": "Be."},
            [("system", [("text", "Be.")]), ("USER", [("text", "One")]), ("user", [("text", "Two")])],
        ),
        ("plain", [("", [("text", "plain")])]),
        ([1, 2], [("", [("json", "1"), ("json", "2")])]),
        (None, []),
        ({"odd": 1}, []),
    ],
)
def test_requests(body, expected):
    assert said(asked(body, Texts())["messages"]) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"choices": [{"message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}}]},
            [("thought", "Hm"), ("text", "Hi")],
        ),
        ({"choices": [{"message": {"role": "assistant", "content": None, "refusal": "No."}}]}, [("refusal", "No.")]),
        ({"choices": [{"text": "Hi"}]}, [("text", "Hi")]),
        (
            {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]},
            [("text", "Hi")],
        ),
        (
            {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}, {"text": "Hi"}]}}]},
            [("thought", "Hm"), ("text", "Hi")],
        ),
        ({"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}}, [("text", "Hi")]),
        ({"message": {"role": "assistant", "content": "Hi"}, "done": True}, [("text", "Hi")]),
        ({"generations": [{"text": "Hi"}]}, [("text", "Hi")]),
        ({"completion": "Hi"}, [("text", "Hi")]),
        ({"data": [{"embedding": [1.0, 2.0]}]}, [("note", "1 embedding, 2 numbers each")]),
        (
            {"data": [{"b64_json": PNG}, {"url": "https://x.example/1.png"}]},
            [("image", f"data:image/png;base64,{PNG}"), ("link", "https://x.example/1.png")],
        ),
    ],
)
def test_answers(body, expected):
    ((_, parts),) = said(answered(body, Texts()))
    assert parts == expected


STREAMS = {
    "anthropic": (
        [
            {"type": "message_start", "message": {}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "H"}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "i"}},
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "tool_use", "name": "f", "input": {}},
            },
            {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"a":'}},
            {"type": "content_block_delta", "index": 2, "delta": {"partial_json": "1}"}},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        ],
        [("thought", "Hm"), ("text", "Hi"), ("call", "f")],
    ),
    "responses": (
        [
            {"type": "response.output_text.delta", "delta": "Hi"},
            {
                "type": "response.completed",
                "response": {
                    "output": [
                        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
                    ]
                },
            },
        ],
        [("text", "Hi")],
    ),
    "gemini": (
        [
            {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "H"}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "i"}]}, "finishReason": "STOP"}]},
        ],
        [("thought", "Hm"), ("text", "Hi")],
    ),
    "cohere": (
        [
            {"type": "message-start", "delta": {"message": {"role": "assistant"}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
            {
                "type": "tool-call-start",
                "index": 0,
                "delta": {"message": {"tool_calls": {"id": "c", "function": {"name": "f", "arguments": ""}}}},
            },
            {
                "type": "tool-call-delta",
                "index": 0,
                "delta": {"message": {"tool_calls": {"function": {"arguments": "{}"}}}},
            },
        ],
        [("text", "Hi"), ("call", "f")],
    ),
    "ollama": (
        [{"message": {"content": "H"}, "done": False}, {"message": {"content": "i"}, "done": True}],
        [("text", "Hi")],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("lines", [False, True])
def test_streams(name, lines):
    events, expected = STREAMS[name]
    texts = [json.dumps(event) for event in events]
    body = "".join(f"{text}\n" if lines else f"data: {text}\n\n" for text in texts).encode()
    ((_, parts),) = said(answered(whole(events_of(body)), Texts()))
    assert parts == expected


def recorded():
    return [] if traffic_folder() is None else [each for each in load_traffic() if each.ok]


@pytest.mark.skipif(traffic_folder() is None, reason="there is no recorded traffic")
@pytest.mark.parametrize("exchange", recorded(), ids=lambda exchange: exchange.name)
def test_recorded_traffic_is_recognised(exchange):
    """Every conversation has its messages, every answer something to read; what is neither is left as data."""
    texts = Texts()
    if exchange.request.startswith(b"{"):
        body = json.loads(exchange.request)
        told = asked(body, texts)
        if {"messages", "contents", "input", "prompt"} & set(body):
            assert told["messages"]
    response = exchange.response
    if exchange.stream:
        answer = whole(events_of(response))
        assert answered(answer, texts), answer
    elif not exchange.stream and response.startswith(b"{"):
        body = json.loads(response)
        if {"choices", "content", "candidates", "completion", "generations"} & set(body):
            for message in answered(body, texts):
                assert message["parts"]


@pytest.mark.parametrize(
    "content",
    [
        {"type": "image_url", "image_url": 5},
        {"type": "image", "source": None},
        {"type": "tool_result", "content": {"a": [{}]}},
        {"function": "x", "name": 5},
        {"functionCall": []},
        {"inlineData": {"data": "%"}},
        {"fileData": None},
        {"type": ["list"]},
        {"type": "thinking", "thinking": [1, None]},
        {"text": 5},
        [[[[[["deep"]]]]]],
        5,
        True,
    ],
)
def test_odd_shapes_are_shown_as_data(content):
    assert all(isinstance(part["kind"], str) for part in parts_of(content, Texts()))


def test_an_agents_endless_conversation_ends():
    messages = [{"role": "user", "content": f"{n}"} for n in range(3 * MOST)]
    told = asked({"messages": messages}, Texts())["messages"]
    assert len(told) == MOST + 1
    assert "not shown" in told[-1]["parts"][0]["text"]


def test_texts_are_cut_and_numbered_the_same_each_time():
    first, second = Texts(), Texts(1)
    for texts in (first, second):
        texts.add("short")
        told = texts.add("x" * (SHOWN + 1))
    assert told == {"text": "x" * SHOWN, "length": SHOWN + 1, "id": 1}
    assert second.whole == "x" * (SHOWN + 1)
    assert Texts().add("\ud800 half") == {"text": "\ufffd half"}


def test_a_fake_image_is_a_note():
    texts = Texts()
    for data in (base64.b64encode(b"<svg onload=x>" * 9).decode(), "!!!", PNG[:8]):
        (part,) = parts_of({"type": "image", "source": {"type": "base64", "data": data}}, texts)
        assert part["kind"] == "note", data
    assert asked(TALK, texts)["tools"][0]["about"] == "Reads."
