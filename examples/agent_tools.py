"""An agent with a tool that breaks in the middle of a run: the rerun replays what it had, and pays for the rest.

python examples/agent_tools.py
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import json
from collections.abc import Callable
from typing import Any

import openai

from llm_cache import last_call, wrap_openai

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "How many degrees it has in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
DEGREES = {"Oslo": -2, "Lagos": 31, "Lima": 22}


def weather(city: str) -> int:
    return DEGREES[city]


def broken_weather(city: str) -> int:
    if city == "Lima":
        raise TimeoutError("the weather service does not answer")
    return DEGREES[city]


def run(client: openai.OpenAI, question: str, tool: Callable[[str], int]) -> str:
    """Ask, do what the model wants done, tell it, until it has an answer."""
    messages: Any = [{"role": "user", "content": question}]
    while True:
        reply = client.chat.completions.create(model="gpt-4o", temperature=0, messages=messages, tools=TOOLS)
        message = reply.choices[0].message
        call = last_call()
        print(f"  step {len(messages) // 2 + 1}: {call.status if call else ''}")
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for wanted in message.tool_calls:
            city = json.loads(wanted.function.arguments)["city"]
            result = {"city": city, "degrees": tool(city)}
            messages.append({"role": "tool", "tool_call_id": wanted.id, "content": json.dumps(result)})


def main() -> None:
    question = "Which is the warmest now: Oslo, Lagos or Lima?"
    with wrap_openai(openai.OpenAI()) as client:
        print("first run")
        try:
            run(client, question, broken_weather)
        except TimeoutError as error:
            print(f"  failed: {error}")
        print("second run")
        print(" ", run(client, question, weather))


if __name__ == "__main__":
    main()
