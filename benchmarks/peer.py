"""One job of somebody else's cache, or of ours, in a process of its own: `python peer.py NAME FOLDER CORE`.

Imports nothing of ours but for our own jobs, since it runs in the environments of the others. For each number that it
reads it makes so many calls and writes how long each took, in nanoseconds, as a line of JSON.
"""

import contextlib
import gc
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

Job = Callable[[], Any]
TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down to think about language models. " * 7
REPLY = {
    "id": "chatcmpl-9zQm3Xb7Yk2Lr8Tn5Vw1Pd6Sf",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 150, "total_tokens": 162},
}
TEMPLATE = "Answer in one paragraph: {prompt}"
MESSAGES = [{"role": "user", "content": "Tell me about foxes."}]
REQUEST = {"model": "gpt-4o-mini", "messages": MESSAGES}
BODY = json.dumps(REPLY).encode()
URL = "https://api.openai.com/v1/chat/completions"
HEADERS = [("content-type", "application/json"), ("x-request-id", "req_1")]


class Client:
    """Stands in for an SDK's client: an object that does not count."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    def create(self, messages: list[dict[str, str]]) -> Any:
        """The same answer to everything."""
        return self._reply if messages else None


client = Client(REPLY)


def ask(prompt: str, temperature: float = 0.7) -> Any:
    """What people decorate: a template, a client, a call."""
    return client.create([{"role": "user", "content": TEMPLATE.format(prompt=prompt), "temperature": str(temperature)}])


# --- others ----------------------------------------------------------------------------------


def diskcache_get(folder: str) -> Job:
    """JSON text behind a key that is there already."""
    import diskcache

    cache = diskcache.Cache(folder)
    cache["key"] = json.dumps(REPLY)
    return lambda: json.loads(cache.get("key"))


def diskcache_memoize(folder: str) -> Job:
    """Its decorator."""
    import diskcache

    memoized = diskcache.Cache(folder).memoize()(ask)
    return lambda: memoized("foxes")


def joblib_memory(folder: str) -> Job:
    """Its decorator."""
    import joblib

    memoized = joblib.Memory(folder, verbose=0).cache(ask)
    return lambda: memoized("foxes")


def hishel_sqlite(folder: str) -> Job:
    """A GET: a POST it does not answer from its store, whatever it is told."""
    import hishel
    import httpx
    from hishel.httpx import CacheTransport

    class Null(httpx.BaseTransport):
        calls = 0

        def handle_request(self, request: Any) -> Any:
            self.calls += 1
            assert self.calls < 2, "hishel did not answer from its store"
            return httpx.Response(200, headers=HEADERS, content=BODY)

    storage = hishel.SqliteStorage(database_path=f"{folder}/hishel.db")
    client = httpx.Client(transport=CacheTransport(Null(), storage))

    def call() -> Any:
        return client.get(URL, params={"body": json.dumps(REQUEST)}).json()

    return call


def _langchain(cache: Any) -> Job:
    from langchain_core.globals import set_llm_cache
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    set_llm_cache(cache)
    model = GenericFakeChatModel(messages=iter([AIMessage(TEXT)]))
    return lambda: model.invoke("Tell me about foxes.")


def langchain_memory(_folder: str) -> Job:
    """A chat model's `invoke`."""
    from langchain_core.caches import InMemoryCache

    return _langchain(InMemoryCache())


def langchain_sqlite(folder: str) -> Job:
    """A chat model's `invoke`."""
    from langchain_community.cache import SQLiteCache

    return _langchain(SQLiteCache(database_path=f"{folder}/langchain.db"))


def _dspy(folder: str, **kind: bool) -> Job:
    from dspy.clients.cache import Cache

    cache = Cache(disk_cache_dir=folder, **kind)
    cache.put(REQUEST, REPLY)
    assert cache.get(REQUEST) == REPLY
    return lambda: cache.get(REQUEST)


def dspy_memory(folder: str) -> Job:
    """Its key of the request, and the answer in memory."""
    return _dspy(folder, enable_disk_cache=False, enable_memory_cache=True)


def dspy_disk(folder: str) -> Job:
    """Its key of the request, and the answer on the disk."""
    return _dspy(folder, enable_disk_cache=True, enable_memory_cache=False)


def _litellm(cache: Any) -> Job:
    import litellm

    litellm.cache = cache
    litellm.suppress_debug_info = True
    # Answers at once where it would call.
    kind = {"model": "gpt-4o-mini", "messages": MESSAGES, "caching": True, "mock_response": TEXT}
    litellm.completion(**kind)
    assert litellm.completion(**kind)._hidden_params["cache_hit"]  # noqa: SLF001 - where it says so
    return lambda: litellm.completion(**kind)


def litellm_memory(_folder: str) -> Job:
    """`completion`, which gives an object."""
    from litellm.caching.caching import Cache

    return _litellm(Cache(type="local"))


def litellm_disk(folder: str) -> Job:
    """`completion`, which gives an object."""
    from litellm.caching.caching import Cache

    return _litellm(Cache(type="disk", disk_cache_dir=folder))


def gptcache_memory(folder: str) -> Job:
    """Its exact match, in memory: a prompt and a text."""
    from gptcache import cache
    from gptcache.adapter.api import get, put
    from gptcache.manager.factory import get_data_manager
    from gptcache.processor.pre import get_prompt

    cache.init(pre_embedding_func=get_prompt, data_manager=get_data_manager(data_path=f"{folder}/map.txt"))
    put("Tell me about foxes.", TEXT)
    assert get("Tell me about foxes.") == TEXT
    return lambda: get("Tell me about foxes.")


# --- ours ------------------------------------------------------------------------------------


def our_get(folder: str) -> Job:
    """`get_or_set` with a key."""
    from llm_cache import LLMCache

    cache = LLMCache(database_url=f"{folder}/ours.db")
    about = "openai", "gpt-4o-mini", "/v1/chat/completions", REQUEST
    return lambda: cache.get_or_set("key", lambda: REPLY, *about)


def our_request(folder: str) -> Job:
    """`get_or_set` with the key of the request."""
    from llm_cache import LLMCache

    cache = LLMCache(database_url=f"{folder}/ours.db")
    about = "openai", "gpt-4o-mini", "/v1/chat/completions", REQUEST
    return lambda: cache.get_or_set(None, lambda: REPLY, *about)


def our_decorator(folder: str) -> Job:
    """`cached_call`."""
    from llm_cache import LLMCache, cached_call

    memoized = cached_call("openai", "gpt-4o-mini", cache=LLMCache(database_url=f"{folder}/ours.db"))(ask)
    return lambda: memoized("foxes")


def our_http(folder: str) -> Job:
    """A wrapped client of httpx."""
    import httpx

    from llm_cache import LLMCache, wrap

    def null(_request: Any) -> Any:
        return httpx.Response(200, headers=HEADERS, content=BODY)

    client = httpx.Client(transport=httpx.MockTransport(null))
    wrap(client, LLMCache(database_url=f"{folder}/ours.db")).start()

    def call() -> Any:
        body = json.dumps(REQUEST).encode()
        return client.post(URL, content=body, headers={"content-type": "application/json"}).json()

    return call


def our_openai(folder: str) -> Job:
    """A wrapped client of OpenAI's SDK."""
    return _wrapped(folder, short=True)


def our_openai_long(folder: str) -> Job:
    """The same without its short way: a copy of the client has none."""
    return _wrapped(folder, short=False)


def _wrapped(folder: str, *, short: bool) -> Job:
    from llm_cache import LLMCache, wrap

    client = _openai()
    wrap(client, LLMCache(database_url=f"{folder}/ours.db")).start()
    asked = client if short else client.with_options(max_retries=2)
    return lambda: asked.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)


def openai_null(_folder: str) -> Job:
    """OpenAI's SDK on a transport that answers from memory: its own cost, and the floor of all that go through it."""
    client = _openai()
    return lambda: client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)


def _openai() -> Any:
    import openai

    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

    class Null(httpx.BaseTransport):
        def handle_request(self, request: Any) -> Any:
            return httpx.Response(200, headers=HEADERS, stream=httpx.ByteStream(BODY))

    http = httpx.Client(transport=Null())
    return openai.OpenAI(base_url="https://api.openai.com/v1", api_key="sk-bench", http_client=http)


def main(name: str, folder: str, core: str) -> None:
    """Answer until there is nothing more to read."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    warnings.simplefilter("ignore")
    # Else it asks the network for prices when it is imported.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # What others print is not for us.
    with contextlib.redirect_stdout(io.StringIO()):
        job = globals()[name](folder)
        for _ in range(20):
            job()
    if name.startswith("our_"):
        # Once in a process we load prices, beside its calls: that is no part of a hit.
        time.sleep(8)
    print("ready", flush=True)
    clock = time.perf_counter_ns
    for line in sys.stdin:
        times = []
        with contextlib.redirect_stdout(io.StringIO()):
            gc.collect()
            gc.disable()
            for _ in range(int(line)):
                begun = clock()
                job()
                times.append(clock() - begun)
            gc.enable()
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
