"""The decorator's examples of the README that this package was asked for, as written, and as methods and coroutines."""

from __future__ import annotations

import pytest

from llm_cache import LLMCache, cached_call, last_call
from llm_cache.clients import cache as cache_module
from llm_cache.testing import anthropic_message, openai_chat, openai_chat_stream

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")


@pytest.fixture(autouse=True)
def _default_cache(monkeypatch, tmp_path, upstream):
    """The process's default cache, as a new process would make it, and where the providers are."""
    monkeypatch.setenv("LLMCACHE_DATABASE_URL", str(tmp_path / "default.db"))
    monkeypatch.setattr(cache_module, "_default", None)
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url)
    yield
    if cache_module._default is not None:
        cache_module._default.close()


@pytest.fixture
def openai_client(upstream, _default_cache):
    def answer(received):
        return openai_chat_stream("Hello to you!") if b'"stream":true' in received.body else openai_chat("Hello!")

    upstream.reply("/v1/chat/completions", answer)
    with openai.OpenAI() as client:
        yield client


def test_decorator_pattern(openai_client, upstream):
    @cached_call(provider="openai", model="gpt-4")
    def ask_llm(prompt: str):
        # Your existing OpenAI call here
        return openai_client.chat.completions.create(
            model="gpt-4",
            messages=[{"role": "user", "content": prompt}]
        )  # fmt: skip

    # First call hits the API
    response1 = ask_llm("What is Python?")
    # Second call returns cached response
    response2 = ask_llm("What is Python?")  # Instant!

    assert response1 == response2
    assert type(response1) is type(response2) is openai.types.chat.ChatCompletion
    assert response1._request_id == response2._request_id is not None
    assert response1.model_dump(exclude_unset=True) == response2.model_dump(exclude_unset=True)
    assert upstream.count() == 1
    (entry,) = cache_module.default_cache().entries()
    assert (entry.provider, entry.model, entry.text) == ("openai", "gpt-4", "Hello!")


def test_streaming_support(openai_client, upstream):
    @cached_call(provider="openai", model="gpt-4")
    def streaming_call(messages, stream=True):
        return openai_client.chat.completions.create(
            model="gpt-4",
            messages=messages,
            stream=stream
        )  # fmt: skip

    # First call collects the stream
    response = streaming_call([{"role": "user", "content": "Hello"}], stream=True)
    first = list(response)

    # Subsequent calls replay the cached stream
    response = streaming_call([{"role": "user", "content": "Hello"}], stream=True)
    assert last_call().status == "hit"
    assert type(response) is openai.Stream
    second = []
    for chunk in response:
        second.append(chunk)
    assert first == second
    assert len(first) > 3
    assert upstream.count() == 1

    plain = [streaming_call([{"role": "user", "content": "Hello"}], stream=False) for _ in range(2)]
    assert plain[0] == plain[1]
    assert plain[1].choices[0].message.content == "Hello!"
    assert upstream.count() == 2


def test_custom_ttl(openai_client, upstream):
    @cached_call(provider="openai", model="gpt-4", ttl_days=7)
    def short_lived_cache(prompt):
        return openai_client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": prompt}])

    assert short_lived_cache("a") == short_lived_cache("a")
    (entry,) = cache_module.default_cache().entries()
    assert entry.expires_at - entry.created_at == 7 * 86_400


def test_anthropic_integration(upstream):
    upstream.reply("/v1/messages", anthropic_message("Hello!"))
    clients = []

    @cached_call(provider="anthropic", model="claude-3-sonnet")
    def ask_claude(prompt):
        client = anthropic.Anthropic()
        clients.append(client)  # so that the test can close it
        return client.messages.create(
            model="claude-3-sonnet",
            max_tokens=1000,
            messages=[{"role": "user", "content": prompt}]
        )  # fmt: skip

    first, second = ask_claude("Hi"), ask_claude("Hi")
    for client in clients:
        client.close()
    assert len(clients) == 1
    assert first == second
    assert type(second) is anthropic.types.Message
    assert (second.content[0].text, second._request_id) == ("Hello!", first._request_id)
    assert upstream.count() == 1
    (entry,) = cache_module.default_cache().entries()
    assert (entry.provider, entry.model, entry.output_tokens) == ("anthropic", "claude-3-sonnet", 1)


def test_the_same_as_methods(openai_client, upstream):
    class Assistant:
        def __init__(self, client):
            self.client = client

        @cached_call(provider="openai", model="gpt-4", ignore=("self",))
        def ask(self, prompt, stream=False):
            return self.client.chat.completions.create(
                model="gpt-4", messages=[{"role": "user", "content": prompt}], stream=stream
            )

    one, two = Assistant(openai_client), Assistant(openai_client)
    assert one.ask("a") == two.ask("a")
    assert list(one.ask("a", stream=True)) == list(two.ask("a", stream=True))
    assert upstream.count() == 2


async def test_the_same_as_coroutines(openai_client, upstream):
    async with openai.AsyncOpenAI() as client:

        @cached_call(provider="openai", model="gpt-4")
        async def ask(prompt, stream=False):
            return await client.chat.completions.create(
                model="gpt-4", messages=[{"role": "user", "content": prompt}], stream=stream
            )

        assert await ask("a") == await ask("a")
        first = [chunk async for chunk in await ask("a", stream=True)]
        replayed = await ask("a", stream=True)
        assert type(replayed) is openai.AsyncStream
        assert [chunk async for chunk in replayed] == first
        assert last_call().status == "hit"
        assert upstream.count() == 2


def test_the_method_of_an_sdk_itself(openai_client, upstream):
    create = cached_call(provider="openai", ignore="self")(openai_client.chat.completions.create)
    messages = [{"role": "user", "content": "Hello"}]
    assert create(model="gpt-4", messages=messages) == create(model="gpt-4", messages=messages)
    assert upstream.count() == 1
    with LLMCache(database_url=":memory:"):
        assert len(create.cache_key(model="gpt-4", messages=messages)) == 64
