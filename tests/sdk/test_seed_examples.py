"""The examples of the README that this package was asked for, as written but for where the provider is."""

from __future__ import annotations

import importlib.util

import pytest

from llm_cache import LLMCache, wrap_openai
from llm_cache.testing import openai_chat

openai = pytest.importorskip("openai")


@pytest.fixture
def openai_client(upstream, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    return openai.OpenAI()


def test_context_manager(openai_client, upstream):
    client = openai_client

    # Wrap your client with caching
    with wrap_openai(client, ttl_days=7):
        # All calls are automatically cached
        response1 = client.chat.completions.create(
            model="gpt-4",
            messages=[{"role": "user", "content": "Hello"}]
        )  # fmt: skip

        # Same request returns cached response
        response2 = client.chat.completions.create(
            model="gpt-4",
            messages=[{"role": "user", "content": "Hello"}]
        )  # fmt: skip

    assert response1 == response2
    assert upstream.count() == 1


def test_low_level_api(openai_client, upstream):
    cache = LLMCache()

    def fetch_from_openai(prompt):
        return openai_client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": prompt}])

    for _ in range(2):
        # Get or set from cache
        response = cache.get_or_set(
            key="unique_request_hash",
            fetch_func=lambda: fetch_from_openai("What is AI?"),
            provider="openai",
            model="gpt-4",
            endpoint="/v1/chat/completions",
            request_data={"messages": [{"role": "user", "content": "What is AI?"}]}
        )  # fmt: skip
        assert type(response).__name__ == "ChatCompletion"
        assert response.choices[0].message.content == "Hello!"
    assert upstream.count() == 1
    (entry,) = cache.entries()
    assert (entry.provider, entry.endpoint, entry.text) == ("openai", "/v1/chat/completions", "Hello!")
    assert entry.input_tokens is not None
    cache.close()


@pytest.mark.skipif(importlib.util.find_spec("httpx") is None, reason="httpx is not installed")
def test_http_client_integration(openai_client, upstream):
    import httpx

    cache = LLMCache()
    api_key = "sk-test"

    def cached_api_call(prompt):
        def fetch():
            with httpx.Client() as client:
                response = client.post(
                    upstream.url + "/v1/chat/completions",
                    headers={"Authorization": f"Bearer {api_key}"},
                    json={
                        "model": "gpt-4",
                        "messages": [{"role": "user", "content": prompt}]
                    }
                )  # fmt: skip
                return response.json()

        return cache.get_or_set(
            key=f"prompt_{hash(prompt)}",
            fetch_func=fetch,
            provider="openai",
            model="gpt-4",
            endpoint="/v1/chat/completions",
            request_data={"messages": [{"role": "user", "content": prompt}]}
        )  # fmt: skip

    assert cached_api_call("What is Python?") == cached_api_call("What is Python?")
    assert upstream.count() == 1
    cache.close()


def test_openai_integration(openai_client, upstream):
    client = openai_client

    for _ in range(2):
        with wrap_openai(client):
            # All calls are cached
            response = client.chat.completions.create(
                model="gpt-4",
                messages=[{"role": "user", "content": "Explain quantum computing"}],
                temperature=0.7
            )  # fmt: skip
    assert response.choices[0].message.content == "Hello!"
    assert upstream.count() == 1
