"""For tests of programs that call LLMs: fake providers, recorded traffic, a clock. It must not be used elsewhere.

The names are imported when they are first used: the pytest plugin lives here too, and every pytest loads it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.testing.build_anthropic import anthropic_message, anthropic_stream
    from llm_cache.testing.build_bedrock import bedrock_converse, bedrock_converse_stream, bedrock_invoke_stream
    from llm_cache.testing.build_cohere import cohere_chat, cohere_chat_stream
    from llm_cache.testing.build_errors import anthropic_error, anthropic_error_event, openai_error, openai_error_event
    from llm_cache.testing.build_google import google_content, google_stream
    from llm_cache.testing.build_ollama import ollama_chat, ollama_chat_stream
    from llm_cache.testing.build_openai import openai_chat, openai_chat_stream, openai_embeddings
    from llm_cache.testing.build_responses import openai_responses, openai_responses_stream
    from llm_cache.testing.clock import FakeClock
    from llm_cache.testing.contract import StoreContract
    from llm_cache.testing.play import play
    from llm_cache.testing.reply import Received, Reply
    from llm_cache.testing.traffic import Exchange, load_traffic, traffic_folder
    from llm_cache.testing.upstream import FakeUpstream

__all__ = [
    "Exchange",
    "FakeClock",
    "FakeUpstream",
    "Received",
    "Reply",
    "StoreContract",
    "anthropic_error",
    "anthropic_error_event",
    "anthropic_message",
    "anthropic_stream",
    "bedrock_converse",
    "bedrock_converse_stream",
    "bedrock_invoke_stream",
    "cohere_chat",
    "cohere_chat_stream",
    "google_content",
    "google_stream",
    "load_traffic",
    "ollama_chat",
    "ollama_chat_stream",
    "openai_chat",
    "openai_chat_stream",
    "openai_embeddings",
    "openai_error",
    "openai_error_event",
    "openai_responses",
    "openai_responses_stream",
    "play",
    "traffic_folder",
]

_HOMES = {
    "Exchange": "traffic",
    "FakeClock": "clock",
    "FakeUpstream": "upstream",
    "Received": "reply",
    "Reply": "reply",
    "StoreContract": "contract",
    "anthropic_error": "build_errors",
    "anthropic_error_event": "build_errors",
    "anthropic_message": "build_anthropic",
    "anthropic_stream": "build_anthropic",
    "bedrock_converse": "build_bedrock",
    "bedrock_converse_stream": "build_bedrock",
    "bedrock_invoke_stream": "build_bedrock",
    "cohere_chat": "build_cohere",
    "cohere_chat_stream": "build_cohere",
    "google_content": "build_google",
    "google_stream": "build_google",
    "load_traffic": "traffic",
    "ollama_chat": "build_ollama",
    "ollama_chat_stream": "build_ollama",
    "openai_chat": "build_openai",
    "openai_chat_stream": "build_openai",
    "openai_embeddings": "build_openai",
    "openai_error": "build_errors",
    "openai_error_event": "build_errors",
    "openai_responses": "build_responses",
    "openai_responses_stream": "build_responses",
    "play": "play",
    "traffic_folder": "traffic",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'llm_cache.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"llm_cache.testing.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
