"""A call is recognised by its path's ending and its body's shape, on any host; what is not the same is another key."""

from __future__ import annotations

import timeit

import pytest

from llm_cache.core.model import Request
from llm_cache.providers.format import OUTSIDE
from llm_cache.providers.registry import Rules, endpoint_named, recognise

CHAT = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
CHAT_PATH = "/v1/chat/completions"
GEMINI = "https://generativelanguage.googleapis.com/v1beta"
MESSAGE = {**CHAT, "max_tokens": 5}


def at(url: str, body: object = CHAT, kind: str | None = None, method: str = "POST", **headers: str):
    return recognise(
        Request(method, url, tuple((name.replace("_", "-"), value) for name, value in headers.items())), body, kind=kind
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", CHAT),
        ("/chat/completions", {"messages": []}),
        ("/responses", {"model": "m", "input": "?"}),
        ("/responses", {"model": "m", "prompt": {"id": "p"}}),
        ("/responses", {"model": "m", "previous_response_id": "r"}),
        ("/responses", {"model": "m", "input": "?", "background": True}),
        ("/completions", {"model": "m", "prompt": "?"}),
        ("/embeddings", {"model": "m", "input": ["?"]}),
        ("/moderations", {"input": "?"}),
        ("/images/generations", {"prompt": "?"}),
        ("/messages", MESSAGE),
        ("/messages/count_tokens", CHAT),
        ("/complete", {"prompt": "?", "max_tokens_to_sample": 5}),
    ],
)
@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "https://api.openai.com", "http://[::1]:8000/any/prefix"])
@pytest.mark.parametrize("version", ["", "/v1", "/v1/v1"])
def test_known_endings_on_any_host(base, version, path, body):
    endpoint = at(base + version + path, body)
    assert endpoint is not None
    assert endpoint.path == "/v1" + path
    assert endpoint.uncacheable is None
    assert endpoint.outside == OUTSIDE
    again = at(base + path, body)
    assert (endpoint.upstream, endpoint.query) == (again.upstream, again.query)
    assert at(base + version + path, dict(body)) is endpoint


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://api.openai.com/v1/chat/completions", {"model": "m"}),
        ("https://api.openai.com/v1/chat/completions", {"messages": "?"}),
        ("https://api.openai.com/v1/chat/completions", {"model": "m", "prompt": "?"}),
        ("https://api.openai.com/v1/chat/completions", None),
        ("https://api.openai.com/v1/chat/completions", [CHAT]),
        ("https://api.openai.com/v1/chat/completions/abc", CHAT),
        ("https://api.openai.com/v1/chat/completions/", CHAT),
        ("https://api.openai.com/v1/threads/t/messages", MESSAGE),
        ("https://api.openai.com/v1/threads/t/runs", CHAT),
        ("https://api.openai.com/v1/responses/r/cancel", {"input": "?"}),
        ("https://api.openai.com/v1/responses", {"model": "m"}),
        ("https://api.openai.com/v1/files", CHAT),
        ("https://api.openai.com/v1/batches", CHAT),
        ("https://api.openai.com/v1/mycompletions", {"prompt": "?"}),
        ("https://api.openai.com/v1/embeddings", {"model": "m"}),
        ("https://api.anthropic.com/v1/messages", CHAT),
        ("https://api.anthropic.com/v1/messages/batches", MESSAGE),
        ("https://api.anthropic.com/v1/complete", {"prompt": "?"}),
        ("https://api.cohere.com/v2/chat", {"message": "?"}),
        ("https://api.cohere.com/v1/chat", CHAT),
        ("https://api.cohere.com/chat", CHAT),
        ("https://api.cohere.com/v1/datasets", {"texts": []}),
        ("https://api.cohere.com/v1/rerank", {"query": "?"}),
        ("http://localhost:11434/api/chat", {"messages": []}),  # an application's own; Ollama wants a model
        ("http://localhost:11434/api/show", {"model": "m"}),
        ("http://localhost:11434/api/pull", {"model": "m", "stream": True}),
        (f"{GEMINI}/models/m:generateContent", {"content": {}}),
        (f"{GEMINI}/models/m:batchGenerateContent", {"contents": []}),
        (f"{GEMINI}/models/m:predictLongRunning", {"instances": []}),
        (f"{GEMINI}/models/m:generateContent/x", {"contents": []}),
        (f"{GEMINI}/models/:generateContent", {"contents": []}),
        (f"{GEMINI}/models/{'m' * 3000}:generateContent", {"contents": []}),
        (f"{GEMINI}/cachedContents", {"contents": []}),
        (f"{GEMINI}/models/m:rawPredict", CHAT),
        ("ftp://api.openai.com/v1/chat/completions", CHAT),
        ("call://openai/v1/chat/completions", CHAT),
        ("https://api.openai.com:port/v1/chat/completions", CHAT),
        ("https:///v1/chat/completions", CHAT),
        ("http://[::1/v1/chat/completions", CHAT),
        ("", CHAT),
    ],
)
def test_anything_else_passes_through(url, body):
    assert at(url, body) is None


NATIVE = [
    ("/v1/chat", {"message": "?"}, "cohere"),
    ("/v2/chat", CHAT, "cohere"),
    ("/v1/generate", {"prompt": "?"}, "cohere"),
    ("/v1/embed", {"texts": ["?"]}, "cohere"),
    ("/v2/embed", {"images": ["?"]}, "cohere"),
    ("/v2/rerank", {"query": "?", "documents": []}, "cohere"),
    ("/v1/classify", {"inputs": []}, "cohere"),
    ("/v1/tokenize", {"text": "?"}, "cohere"),
    ("/v1/detokenize", {"tokens": []}, "cohere"),
    ("/api/chat", CHAT, "ollama"),
    ("/api/generate", {"model": "m", "prompt": "?"}, "ollama"),
    ("/api/embed", {"model": "m", "input": "?"}, "ollama"),
    ("/api/embeddings", {"model": "m", "prompt": "?"}, "ollama"),
    ("/v1beta/models/m:generateContent", {"contents": []}, "google"),
    ("/models/m:streamGenerateContent", {"contents": []}, "google"),
    ("/v1/models/m:embedContent", {"content": {}}, "google"),
    ("/v1alpha/models/m:batchEmbedContents", {"requests": []}, "google"),
    ("/v1beta/tunedModels/m:generateContent", {"contents": []}, "google"),
    ("/v1beta/models/m:countTokens", {"contents": []}, "google"),
    ("/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent", {"contents": []}, "vertex"),
    ("/v1/projects/p/locations/l/publishers/google/models/m:predict", {"instances": []}, "vertex"),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", CHAT, "vertex"),
    ("/v1/projects/p/locations/l/publishers/mistralai/models/m:streamRawPredict", CHAT, "vertex"),
]


@pytest.mark.parametrize(("path", "body", "vendor"), NATIVE, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "https://llm.test/any/prefix"])
def test_native_endings_on_any_host(base, path, body, vendor):
    endpoint = at(base + path, body)
    assert (endpoint.provider, endpoint.path) == (vendor, path)
    if not path.startswith("/models/"):  # there it would be the version
        doubled = at(base + "/v1" + path, body)
        assert (doubled.path, doubled.upstream) == (path, endpoint.upstream)
    if ":" in path:
        assert endpoint.model == "m"
    assert endpoint.outside == OUTSIDE


def test_the_path_of_a_native_call_tells_whether_it_streams():
    assert at(f"{GEMINI}/models/m:streamGenerateContent", {"contents": []}).stream
    assert not at(f"{GEMINI}/models/m:generateContent", {"contents": [], "stream": True}).stream
    for body, stream in (({}, True), ({"stream": None}, True), ({"stream": True}, True), ({"stream": False}, False)):
        assert at("http://localhost:11434/api/chat", {**CHAT, **body}).stream is stream
        assert at("http://localhost:11434/v1/chat/completions", {**CHAT, **body}).stream is (body.get("stream") is True)


def test_a_model_in_a_path_is_decoded_and_counts_as_it_is_written():
    endpoint = at(
        "https://h/v1/projects/p/locations/l/publishers/anthropic/models/claude%40001:rawPredict", {"messages": []}
    )
    assert endpoint.model == "claude@001"
    assert endpoint.path.endswith("/claude@001:rawPredict")


def test_googles_key_is_no_part_of_the_query():
    endpoint = at(f"{GEMINI}/models/m:streamGenerateContent?key=secret&alt=sse", {"contents": []})
    assert endpoint.query == (("alt", "sse"),)


def test_a_conversation_of_cohere_is_not_cached():
    url = "https://api.cohere.com/v1/chat"
    assert at(url, {"message": "?", "conversation_id": "c"}).uncacheable == "conversation"
    assert at(url, {"message": "?", "conversation_id": None}).uncacheable is None


def test_only_a_post_is_cacheable():
    assert at("https://api.openai.com/v1/chat/completions", method="GET") is None
    assert at("https://api.openai.com/v1/chat/completions", method="PUT") is None


def test_an_anthropic_message_is_proved_by_a_field_or_a_header():
    url = "http://llm.test/v1/messages"
    assert at(url, CHAT) is None
    assert at(url, CHAT, anthropic_version="2023-06-01") is not None
    assert at("http://llm.test/v1/complete", {"prompt": "?"}, anthropic_version="2023-06-01") is not None


def test_a_conversation_on_the_server_is_not_cached():
    url = "https://api.openai.com/v1/responses"
    assert at(url, {"input": "?", "conversation": "c"}).uncacheable == "conversation"
    assert at(url, {"input": "?", "conversation": {"id": "c"}}).uncacheable == "conversation"
    assert at(url, {"input": "?", "conversation": None}).uncacheable is None
    assert at(url, {"input": "?", "store": True, "previous_response_id": "r"}).uncacheable is None


@pytest.mark.parametrize(
    ("url", "upstream", "path"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai", "/v1/chat/completions"),
        ("https://API.OpenAI.com:443/chat/completions", "openai", "/v1/chat/completions"),
        ("https://user:secret@api.openai.com/v1/chat/completions", "openai", "/v1/chat/completions"),
        ("https://api.openai.com:8443/v1/chat/completions", "api.openai.com:8443", "/v1/chat/completions"),
        ("http://api.openai.com/v1/chat/completions", "api.openai.com:80", "/v1/chat/completions"),
        ("https://api.openai.com/v2/chat/completions", "api.openai.com:443/v2", "/v1/chat/completions"),
        ("https://eu.api.openai.com/v1/chat/completions", "eu.api.openai.com:443", "/v1/chat/completions"),
        ("https://api.groq.com/openai/v1/chat/completions", "groq", "/v1/chat/completions"),
        ("https://api.groq.com/v1/chat/completions", "api.groq.com:443", "/v1/chat/completions"),
        ("https://openrouter.ai/api/v1/chat/completions", "openrouter", "/v1/chat/completions"),
        ("https://api.fireworks.ai/inference/v1/chat/completions", "fireworks", "/v1/chat/completions"),
        ("https://api.deepseek.com/chat/completions", "deepseek", "/v1/chat/completions"),
        ("https://api.deepseek.com/v1/chat/completions", "deepseek", "/v1/chat/completions"),
        ("https://api.deepseek.com/beta/chat/completions", "api.deepseek.com:443/beta", "/v1/chat/completions"),
        ("https://api.z.ai/api/paas/v4/chat/completions", "zai", "/v1/chat/completions"),
        (
            "https://api.z.ai/api/coding/paas/v4/chat/completions",
            "api.z.ai:443/api/coding/paas/v4",
            "/v1/chat/completions",
        ),
        ("https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", "google", "/v1/chat/completions"),
        ("https://router.huggingface.co/v1/chat/completions", "huggingface", "/v1/chat/completions"),
        (
            "https://router.huggingface.co/novita/v3/openai/chat/completions",
            "router.huggingface.co:443/novita/v3/openai",
            "/v1/chat/completions",
        ),
        ("http://localhost:8000/v1/chat/completions", "localhost:8000", "/v1/chat/completions"),
        ("http://localhost:8001/v1/chat/completions", "localhost:8001", "/v1/chat/completions"),
        ("http://localhost/v1/chat/completions", "localhost:80", "/v1/chat/completions"),
        ("http://localhost:0/v1/chat/completions", "localhost:0", "/v1/chat/completions"),
        ("http://[::1]:8000/v1/chat/completions", "[::1]:8000", "/v1/chat/completions"),
        ("http://[FE80::1]/gw/v1/v1/chat/completions", "[fe80::1]:80/gw", "/v1/chat/completions"),
        ("http://h/my%20gw/v1/chat/completions", "h:80/my%20gw", "/v1/chat/completions"),
        ("http://h/g%77/v1/ch%61t/completions", "h:80/gw", "/v1/chat/completions"),
        ("http://h/a%2fb/v1/chat/completions", "h:80/a%2Fb", "/v1/chat/completions"),
        (
            "https://r.openai.azure.com/openai/deployments/gpt%2D4/chat/completions",
            "r.openai.azure.com:443",
            "/openai/deployments/gpt-4/chat/completions",
        ),
        (
            "https://gw.test/apim/openai/deployments/d/chat/completions",
            "gw.test:443/apim",
            "/openai/deployments/d/chat/completions",
        ),
        (
            "https://r.openai.azure.com/openai/v1/chat/completions",
            "r.openai.azure.com:443/openai",
            "/v1/chat/completions",
        ),
    ],
)
def test_what_identifies_the_server_and_the_call(url, upstream, path):
    endpoint = at(url)
    assert (endpoint.upstream, endpoint.path) == (upstream, path)


def test_deployments_are_different_calls():
    one, two = (at(f"https://r.openai.azure.com/openai/deployments/{name}/chat/completions") for name in "ab")
    assert one.path != two.path
    named = at("https://r.openai.azure.com/openai/deployments/gpt/chat/completions", {"messages": []})
    assert named.model == "gpt"


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("", ()),
        ("api-version=2024-02-01", (("api-version", "2024-02-01"),)),
        ("b=2&a=1", (("a", "1"), ("b", "2"))),
        ("a=2&a=1", (("a", "2"), ("a", "1"))),
        ("a=%20x&b=+y&c&d=", (("a", " x"), ("b", " y"), ("c", ""), ("d", ""))),
        ("key=s&api_key=s&API-Key=s&apikey=s&access_token=s&token=s&subscription-key=s&alt=sse", (("alt", "sse"),)),
        ("k%65y=s&a=1", (("a", "1"),)),
        ("max_tokens=1&keys=2", (("keys", "2"), ("max_tokens", "1"))),
        ("a=%FF&&a=%FE", (("a", "%FF"), ("a", "%FE"))),
    ],
)
def test_the_query_counts_without_credentials(query, counts):
    assert at(f"http://h/v1/chat/completions?{query}").query == counts


@pytest.mark.parametrize(
    ("url", "kind", "headers", "provider"),
    [
        ("https://api.groq.com/openai/v1/chat/completions", "openai", {}, "groq"),
        ("https://x.openai.azure.com/openai/v1/chat/completions", "openai", {}, "azure"),
        ("https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions", None, {}, "bedrock"),
        ("http://127.0.0.1:11434/v1/chat/completions", "openai", {}, "ollama"),
        ("http://127.0.0.1:11435/v1/chat/completions", "mistral", {}, "mistral"),
        ("http://127.0.0.1:11435/v1/chat/completions", None, {}, "openai"),
        ("http://h/v1/chat/completions", None, {"user_agent": "Together/Python 1"}, "together"),
        ("http://h/v1/chat/completions", None, {"api_key": "x"}, "azure"),
        ("http://h/openai/deployments/d/chat/completions", None, {}, "azure"),
        ("http://h/v1/chat/completions", None, {"authorization": "Bearer gsk_x"}, "groq"),
    ],
)
def test_the_provider_is_known_by_host_then_by_kind_then_as_in_the_proxy(url, kind, headers, provider):
    assert at(url, kind=kind, **headers).provider == provider


def test_stream_and_model_are_what_the_request_says():
    url = "http://h/v1/chat/completions"
    assert at(url, {**CHAT, "stream": True}).stream
    assert not at(url, {**CHAT, "stream": False}).stream
    assert not at(url, {**CHAT, "stream": "yes"}).stream
    assert at(url).model == "m"
    assert at(url, {"messages": []}).model == ""
    assert at(url, {"messages": [], "model": {"odd": 1}}).model == ""
    assert at(url, {"messages": [], "model": "m" * 100_000}).model == "m" * 100_000


def test_a_path_written_by_hand_has_the_endpoints_rules():
    for path in (
        "/v1/chat/completions",
        "chat/completions",
        "https://api.openai.com/v1/chat/completions",
        "/v1/embeddings/",
    ):
        assert endpoint_named("acme", path).outside == OUTSIDE
        assert endpoint_named("acme", path).unmark is None
    assert endpoint_named("anthropic", "/v1/messages").outside == OUTSIDE
    assert endpoint_named("anthropic", "messages").unmark is not None
    assert endpoint_named("acme", "chat/completions").reader is not None
    assert endpoint_named("acme", "/v1/generations") == Rules()
    # What came to be known after the key was frozen leaves nothing out of a description.
    assert endpoint_named("acme", "/v1/generate").outside == frozenset()
    assert endpoint_named("ollama", "api/chat").stream_counts
    assert endpoint_named("acme", "") == Rules()


def test_a_request_seen_before_costs_next_to_nothing():
    request = Request("POST", "https://api.openai.com/v1/chat/completions", (("x", "y"),) * 20)
    recognise(request, CHAT)
    assert (
        min(timeit.repeat(lambda: recognise(request, CHAT), number=1000, repeat=5)) < 0.02
    )  # 20 µs each; it takes 0.4
