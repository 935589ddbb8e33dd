"""Text, names and numbers as they are in calls of models, made up. It must not read anything recorded."""

from __future__ import annotations

import json
import random
import string

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"

PROSE = """
Python is a high-level, interpreted programming language known for its readability and its large standard library.
It was created by Guido van Rossum and first released in 1991. The capital of France is Paris, which is also its largest
city. Here is a short summary of the main points: first, the most important thing is to understand what the problem is.
To solve this, we need to consider each step in turn. Let me know if you would like more information or an example.
Sure! Here's how you can do that. I'm sorry, but I can't help with that request. However, there are a few things that
you should keep in mind when you use this approach. For example, if the input is empty, the function should return an
empty list instead of raising an error. In conclusion, both options have their advantages and disadvantages, and which
one is better depends on your specific needs. The answer is 42, because the sum of the first and the second number is
equal to the total amount. Machine learning is a field of artificial intelligence that uses data and algorithms to learn
patterns and make predictions without being explicitly programmed. It is important to note that the results may vary.
You can use the following code to read a file and print the number of lines in it. This means that the value has been
changed by another process. There are several reasons why this might happen, such as a missing file, the wrong version
of a package, or not enough memory. Please provide more details so that I can give you a better answer. What would you
like to know about the history of the United States, the weather in London today, or the best way to learn a language?
The user wants to know how many people live in the city. I should call the tool to get the current weather. Based on the
information provided, the company was founded in 2010 and has more than 500 employees around the world. They also offer
services for small and large businesses, including marketing, design, development and support. Once upon a time, there
was a little girl who lived with her mother in a small house near the forest. She had always wanted to see the world
outside, so one day she decided to go on a journey. Water boils at 100 degrees Celsius at sea level. The process takes
about ten minutes, and then it will be ready to use. Make sure that all of the changes are saved before you continue.
Yes, that is correct. No, it is not possible to do so at this time. Hello! How can I assist you today? Thank you for
your question. Overall, this is one of the most common ways in which people work together and share what they have
learned.
Each of these can be used when the system is running, but only after the first part of the work has been done. Which of
these would be right for me, and how long does it take? He said that they could come with us if there were still places.
"""
TASKS = (
    "What is {}?",
    "Explain {} in simple terms.",
    "Write a short poem about {}.",
    "Summarize the following text in one sentence: {}",
    "Translate to French: {}",
    "Answer with one word. {}",
    "You are given a question and must answer it step by step.\n\nQuestion: {}\n\nAnswer:",
    "Extract the names, dates and places from the text below and return JSON.\n\n{}",
    "Classify the sentiment of this review as positive, negative or neutral: {}",
    "Write a Python function that {}. Include type hints and a docstring.",
    "Tell me a joke about {}",
    "Count to 10",
)
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer in one sentence.",
    "You are an expert software engineer. Be concise and do not explain unless you are asked to.",
    "You are a grader. Reply with a JSON object with the keys score and reason.",
)
OPENAI_MODELS = (
    "gpt-4o-mini-2024-07-18",
    "gpt-4o-2024-08-06",
    "gpt-4.1-mini-2025-04-14",
    "gpt-5-mini-2025-08-07",
    "gpt-4-0613",
    "gpt-3.5-turbo-0125",
)
ANTHROPIC_MODELS = (
    "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5-20251001",
    "claude-3-5-sonnet-20241022",
    "claude-opus-4-1-20250805",
)


class Maker:
    """One source of everything that looks generated."""

    def __init__(self, seed: int, prose: str = PROSE) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - the same every time
        self.sentences = [s.strip() + "." for s in " ".join(prose.split()).split(".") if s.strip()]
        self.words = " ".join(self.sentences).split()

    def ident(self, count: int, letters: str = ALNUM) -> str:
        return "".join(self.chance.choices(letters, k=count))

    def number(self, low: int, high: int) -> int:
        return self.chance.randint(low, high)

    def text(self, most: int = 6) -> str:
        chosen = []
        for _ in range(self.number(1, most)):
            if self.chance.random() < 0.6:
                chosen.append(self.chance.choice(self.sentences))
            else:
                chosen.append(" ".join(self.chance.choices(self.words, k=self.number(4, 14))).capitalize() + ".")
        return self.chance.choice((" ", " ", "\n\n", "\n- ", "\n\n1. ", "\n\n**Note:** ")).join(chosen)

    def task(self) -> str:
        return self.chance.choice(TASKS).format(" ".join(self.chance.choices(self.words, k=self.number(2, 10))))

    def pieces(self, text: str) -> list[str]:
        words = text.split(" ")
        return [words[0], *(" " + word for word in words[1:])]

    def at(self) -> int:
        return self.number(1_715_000_000, 1_790_000_000)

    def request(self, model: str, **more: object) -> bytes:
        messages = []
        if self.chance.random() < 0.6:
            messages.append({"role": "system", "content": self.chance.choice(SYSTEMS)})
        messages.append({"role": "user", "content": self.task()})
        if self.chance.random() < 0.25:
            messages += [{"role": "assistant", "content": self.text(2)}, {"role": "user", "content": self.task()}]
        body: dict[str, object] = {"model": model, "messages": messages}
        if self.chance.random() < 0.5:
            body |= {"temperature": self.chance.choice((0, 0.0, 0.7, 1))}
        if self.chance.random() < 0.5:
            body |= {"max_tokens": self.chance.choice((100, 256, 512, 1024, 4096))}
        if self.chance.random() < 0.3:
            body["tools"] = [self.tool()]
        if self.chance.random() < 0.5:
            messages_last = body.pop("messages")
            body = {"messages": messages_last, **body}
        body |= more
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def tool(self) -> dict[str, object]:
        parameters = {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}},
            "required": ["location"],
            "additionalProperties": False,
        }
        return {
            "type": "function",
            "function": {
                "name": "get_current_weather",
                "description": "Get the current weather in a given location",
                "parameters": parameters,
                "strict": True,
            },
        }
