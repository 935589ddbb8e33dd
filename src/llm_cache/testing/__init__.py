"""For tests of programs that call LLMs: fake providers, recorded traffic, a clock. It must not be used elsewhere."""

from llm_cache.testing.build_anthropic import anthropic_message, anthropic_stream
from llm_cache.testing.build_errors import anthropic_error, anthropic_error_event, openai_error, openai_error_event
from llm_cache.testing.build_openai import openai_chat, openai_chat_stream, openai_embeddings
from llm_cache.testing.build_responses import openai_responses, openai_responses_stream
from llm_cache.testing.clock import FakeClock
from llm_cache.testing.play import play
from llm_cache.testing.reply import Received, Reply
from llm_cache.testing.traffic import Exchange, load_traffic, traffic_folder
from llm_cache.testing.upstream import FakeUpstream

# Here come `StoreContract` (contract.py) and `play` (for plans); whoever adds a file adds its names here and below.

__all__ = [
    "Exchange",
    "FakeClock",
    "FakeUpstream",
    "Received",
    "Reply",
    "anthropic_error",
    "anthropic_error_event",
    "anthropic_message",
    "anthropic_stream",
    "load_traffic",
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
