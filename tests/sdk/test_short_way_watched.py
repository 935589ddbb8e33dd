"""Whoever watches a wrapped client sees every call: nothing on the way through an SDK is left out that could matter."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import warnings

import pytest

from llm_cache import last_call, wrap
from llm_cache.testing import anthropic_message, openai_chat

from .short_ways import CHAT, MESSAGES, NEEDED, ask, settled

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
pytestmark = NEEDED


def event_hook(client, seen, patch):
    client._client.event_hooks = {"request": [lambda request: seen.append(1)], "response": []}


def event_hook_in_place(client, seen, patch):
    client._client._event_hooks["response"].append(lambda response: seen.append(1))


def patched_method(client, seen, patch):
    before = client.chat.completions.create
    patch.setattr(client.chat.completions, "create", lambda **more: seen.append(1) or before(**more))


def patched_class(client, seen, patch):
    cls = type(client.chat.completions)
    before = cls.create
    patch.setattr(cls, "create", lambda self, **more: seen.append(1) or before(self, **more))


def patched_post(client, seen, patch):
    before = client.chat.completions._post
    patch.setattr(client.chat.completions, "_post", lambda *args, **more: seen.append(1) or before(*args, **more))


def patched_request(client, seen, patch):
    before = client.request
    patch.setattr(client, "request", lambda *args, **more: seen.append(1) or before(*args, **more))


def patched_prepare(client, seen, patch):
    before = openai._base_client.BaseClient._build_request
    patch.setattr(
        openai._base_client.BaseClient,
        "_build_request",
        lambda self, *args, **more: seen.append(1) or before(self, *args, **more),
    )


def patched_send(client, seen, patch):
    cls = next(cls for cls in type(client._client).__mro__ if "send" in vars(cls))
    before = cls.send
    patch.setattr(cls, "send", lambda self, *args, **more: seen.append(1) or before(self, *args, **more))


def custom_auth(client, seen, patch):
    client._client.auth = lambda request: seen.append(1) or request


def transport_before(client, seen, patch):
    inner = client._client._transport

    class Before(type(inner).__mro__[2]):
        def handle_request(self, request):
            seen.append(1)
            return inner.handle_request(request)

    patch.setattr(client._client, "_transport", Before())


def key_provider(client, seen, patch):
    client._api_key_provider = lambda: seen.append(1) or "sk-other"


def sdk_log(client, seen, patch):
    _log(logging.getLogger("openai._base_client"), logging.DEBUG, seen, patch)


def http_log(client, seen, patch):
    library = type(client._client).__mro__[-2].__module__.partition(".")[0]
    _log(logging.getLogger(library), logging.INFO, seen, patch)


def _log(logger, level, seen, patch):
    class Handler(logging.Handler):
        def emit(self, record):
            if "200" in record.getMessage():
                seen.append(1)

    handler = Handler()
    patch.setattr(logger, "handlers", [*logger.handlers, handler])
    patch.setattr(logger, "level", level)
    logger.manager._clear_cache()


WATCHERS = [
    event_hook, event_hook_in_place, patched_method, patched_class, patched_post, patched_request, patched_prepare,
    patched_send, custom_auth, transport_before, key_provider, sdk_log, http_log,
]  # fmt: skip


@pytest.fixture
def quiet_again():
    yield
    logging.getLogger().manager._clear_cache()


@pytest.mark.parametrize("watch", WATCHERS, ids=lambda watch: watch.__name__)
@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
def test_whoever_watches_sees_every_call(watch, early, cache, client, shorts, monkeypatch, quiet_again):
    seen = []
    if watch is key_provider and not hasattr(client, "_api_key_provider"):
        pytest.skip("this version has none")
    with monkeypatch.context() as patch, wrap(client, cache):
        if early and watch is not transport_before:
            watch(client, seen, patch)
            settled(client)
        else:
            settled(client)
            assert shorts
            watch(client, seen, patch)
        del seen[:]
        before = len(shorts)
        for _ in range(4):
            assert ask(client).choices[0].message.content == "hello"
        assert len(seen) >= 4
        # What was put before the method itself is before the short way as well.
        assert watch is patched_method or len(shorts) == before
    assert last_call().status == "hit"


def test_what_a_later_version_may_keep_in_a_client_is_not_guessed_at(cache, client, shorts):
    client._new_in_this_version = "who knows"
    with wrap(client, cache):
        settled(client)
    assert not shorts


def test_classes_that_are_derived_go_the_long_way(cache, upstream, shorts):
    upstream.reply(CHAT, openai_chat("hello"))
    seen = []

    class Derived(openai.OpenAI):
        def _prepare_options(self, given):
            seen.append(1)
            return super()._prepare_options(given)

    class Http(openai.DefaultHttpxClient):
        def send(self, *args, **more):
            seen.append(1)
            return super().send(*args, **more)

    kind = {"base_url": upstream.url + "/v1", "api_key": "sk-test"}
    for made in (Derived(**kind), openai.OpenAI(**kind, http_client=Http())):
        with made, wrap(made, cache):
            del seen[:]
            settled(made)
            assert len(seen) == 5
    assert not shorts


def test_spans_are_made_of_every_call(cache, upstream, shorts, monkeypatch):
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    upstream.reply("/v1/messages", anthropic_message("hello"))
    claude = anthropic.Anthropic(base_url=upstream.url, api_key="sk-ant-test", max_retries=0)
    with claude, wrap(claude, cache):
        settled(claude, lambda each: each.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=MESSAGES))
        assert shorts
        del shorts[:]
        provider = sdk.TracerProvider()
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        settled(claude, lambda each: each.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=MESSAGES))
        assert not shorts


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_warning_of_the_sdk_comes_each_time_and_names_the_callers_line(cache, upstream, shorts, asynchronous):
    messages = importlib.import_module("anthropic.resources.messages.messages")
    model = min(messages.DEPRECATED_MODELS)
    upstream.reply("/v1/messages", anthropic_message("hello"))
    cls = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
    claude = cls(base_url=upstream.url, api_key="sk-ant-test", max_retries=0)

    def ask():
        return claude.messages.create(model=model, max_tokens=9, messages=MESSAGES)

    async def ask_async(times):
        return [said(await caught(ask)) for _ in range(times)]

    async def caught(job):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            await job()
        return heard

    def said(heard):
        return [(each.filename, each.lineno) for each in heard if "model" in str(each.message)]

    def several(times):
        if asynchronous:
            return loop.run_until_complete(ask_async(times))
        every = []
        for _ in range(times):
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                ask()
            every.append(said(heard))
        return every

    loop = asyncio.new_event_loop()
    unwrapped = several(1)
    assert unwrapped[0]
    with wrap(claude, cache):
        assert several(5) == unwrapped * 5
    assert not shorts
    if asynchronous:
        loop.run_until_complete(claude.close())
    loop.close()


# --- without a trace -------------------------------------------------------------------------


def test_the_client_is_given_back_as_it_was(cache, client, shorts, upstream):
    before = {**vars(client.chat.completions)}
    with wrap(client, cache):
        settled(client)
        assert "create" in vars(client.chat.completions)
        assert inspect.signature(client.chat.completions.create) == inspect.signature(
            type(client.chat.completions).create.__get__(client)
        )
        kept = client.chat.completions.create
        raw = client.chat.completions.with_raw_response
        assert raw.create(model="gpt-4", messages=MESSAGES).parse().choices[0].message.content == "hello"
        with wrap(client, cache):
            ask(client)
        assert "create" in vars(client.chat.completions)
    assert {**vars(client.chat.completions)} == {**before, "with_raw_response": raw}
    # What somebody has kept of it goes straight through.
    count = upstream.count()
    assert kept(model="gpt-4", messages=MESSAGES).choices[0].message.content == "hello"
    assert raw.create(model="gpt-4", messages=MESSAGES).parse().choices[0].message.content == "hello"
    assert upstream.count() == count + 2


def test_what_another_has_put_there_meanwhile_stays(cache, client):
    with wrap(client, cache):
        settled(client)
        mine = client.chat.completions.create = lambda **more: None
    assert client.chat.completions.create is mine


def test_a_client_that_is_closed_says_so(cache, client, shorts):
    with wrap(client, cache):
        settled(client)
        assert shorts
        client.close()
        with pytest.raises((openai.APIConnectionError, RuntimeError)):
            ask(client)


def test_wrong_arguments_are_the_same_error_at_the_same_time(cache, client, upstream):
    other = openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=0)

    async def hits():
        async with other:
            with wrap(other, cache):
                for _ in range(5):
                    assert (await ask(other)).choices[0].message.content == "hello"
                with pytest.raises(TypeError, match="Missing required arguments"):
                    other.chat.completions.create(model="gpt-4")
                # One that is never awaited is no call.
                before = cache.stats().hits
                ask(other).close()
                assert cache.stats().hits == before

    asyncio.run(hits())
    with wrap(client, cache):
        settled(client)
        with pytest.raises(TypeError, match="Missing required arguments"):
            client.chat.completions.create(model="gpt-4")
