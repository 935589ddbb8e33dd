"""The proxy finds the upstream that is meant, and nothing in a request makes it ask another."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given, strategies as st

from llm_cache.providers.upstreams import BUILT_IN, base_of, detect, join, route

NAMES = {*BUILT_IN, "acme"}


def headers(**fields: str):
    return tuple((name.replace("_", "-"), value) for name, value in fields.items())


def test_all_upstreams_that_were_promised_are_built_in():
    named = (
        "openai anthropic cohere google vertex mistral groq together deepseek xai openrouter fireworks perplexity "
        "cerebras huggingface voyage zai ollama vllm azure bedrock"
    )
    assert set(BUILT_IN) >= set(named.split())
    assert {name for name, base in BUILT_IN.items() if base is None} == {"azure", "bedrock"}
    assert all(
        base.startswith("https://") for name, base in BUILT_IN.items() if base and name not in {"ollama", "vllm"}
    )


@pytest.mark.parametrize(
    ("path", "query", "fields", "name"),
    [
        ("/v1/chat/completions", "", {}, "openai"),
        ("/chat/completions", "", {"authorization": "Bearer sk-proj-x"}, "openai"),
        ("/responses", "", {"user_agent": "OpenAI/Python 3"}, "openai"),
        ("/v1/models", "", {}, "openai"),
        ("/v1/messages", "", {}, "anthropic"),
        ("/v1/messages", "beta=true", {"authorization": "Bearer anything"}, "anthropic"),
        ("/v1/v1/messages", "", {}, "anthropic"),
        ("/v1/messages/count_tokens", "", {}, "anthropic"),
        ("/v1/messages/batches/b", "", {}, "anthropic"),
        ("/v1/complete", "", {}, "anthropic"),
        ("/v1/threads/t/messages", "", {}, "openai"),
        ("/v1/threads/t/messages/m", "", {}, "openai"),
        ("/v1beta/models/gemini:generateContent", "", {}, "google"),
        ("/v1/models/gemini:streamGenerateContent", "alt=sse", {}, "google"),
        ("/models/gemini:countTokens", "", {}, "google"),
        ("/v1beta/models", "", {}, "google"),
        ("/v1beta1/projects/p/locations/us-central1/publishers/google/models/g:generateContent", "", {}, "vertex"),
        ("/v1/projects/p/locations/global/publishers/anthropic/models/c:rawPredict", "", {}, "vertex"),
        ("/v1/chat", "", {}, "cohere"),
        ("/v2/chat", "", {}, "cohere"),
        ("/v2/embed", "", {}, "cohere"),
        ("/v1/rerank", "", {}, "cohere"),
        ("/v1/rerank", "", {"user_agent": "Together/v1"}, "together"),
        ("/openai/deployments/d/chat/completions", "", {}, "azure"),
        ("/openai/responses", "api-version=1", {}, "azure"),
        ("/openai/v1/responses", "", {"api_key": "k"}, "azure"),
        ("/openai/v1/responses", "", {"user_agent": "AsyncAzureOpenAI/Python 2"}, "azure"),
        ("/openai/v1/chat/completions", "", {"authorization": "Bearer gsk_x"}, "groq"),
        ("/openai/v1/chat/completions", "", {"user_agent": "Groq/Python 1"}, "groq"),
        ("/openai/v1/chat/completions", "", {"authorization": "Bearer sk-x"}, "openai"),
        ("/api/chat", "", {}, "ollama"),
        ("/api/tags", "", {}, "ollama"),
        ("/api/chatter", "", {}, "openai"),
        ("/model/us.amazon.nova%3A0/converse-stream", "", {}, "bedrock"),
        ("/model/a/invoke-with-response-stream", "", {}, "bedrock"),
        ("/v1/models", "", {"anthropic_version": "2023-06-01", "authorization": "Bearer x"}, "anthropic"),
        ("/v1/files", "", {"x_goog_api_key": "k"}, "google"),
        ("/chat/completions", "", {"api_key": "k"}, "azure"),
        ("/v1/models", "", {"x_fern_language": "Python"}, "cohere"),
        ("/v1/chat/completions", "", {"user_agent": "mistral-client-python/1"}, "mistral"),
        ("/v1/chat/completions", "", {"user_agent": "AsyncGroq/Python 1"}, "groq"),
        ("/v1/chat/completions", "", {"authorization": "Bearer gsk_x"}, "groq"),
        ("/v1/chat/completions", "", {"authorization": "bearer sk-or-v1-x"}, "openrouter"),
        ("/v1/chat/completions", "", {"authorization": "Bearer xai-x", "user_agent": "OpenAI/Python 3"}, "xai"),
        ("/v1/messages", "", {"authorization": "Bearer sk-or-v1-x", "anthropic_version": "1"}, "openrouter"),
        ("/v1/chat/completions", "", {"x_api_key": "sk-ant-x"}, "anthropic"),
        ("/api/chat", "", {"authorization": "Bearer gsk_x"}, "groq"),
    ],
)
def test_a_request_without_a_name_tells_what_it_means(path, query, fields, name):
    assert detect(path, query, headers(**fields)) == name


@pytest.mark.parametrize(
    ("path", "query", "fields", "meant"),
    [
        ("/groq/v1/chat/completions", "", {}, ("groq", "/v1/chat/completions")),
        ("/acme/chat/completions", "", {"anthropic_version": "1"}, ("acme", "/chat/completions")),
        ("/acme", "", {}, ("acme", "/")),
        ("/acme/", "", {}, ("acme", "/")),
        ("/acme//evil.test/x", "", {}, ("acme", "//evil.test/x")),
        ("/anthropic/v1/messages", "", {"authorization": "Bearer gsk_x"}, ("anthropic", "/v1/messages")),
        ("/openai/v1/chat/completions", "", {"authorization": "Bearer sk-x"}, ("openai", "/v1/chat/completions")),
        ("/openai/chat/completions", "", {}, ("openai", "/chat/completions")),
        ("/openai", "", {"api_key": "k"}, ("openai", "/")),
        ("/openai/v1/chat/completions", "", {"authorization": "Bearer gsk_x"}, ("groq", "/openai/v1/chat/completions")),
        ("/openai/deployments/d/embeddings", "", {}, ("azure", "/openai/deployments/d/embeddings")),
        ("/openai/responses", "x=1&api-version=2", {}, ("azure", "/openai/responses")),
        ("/openai/v1/responses", "", {"api_key": "k"}, ("azure", "/openai/v1/responses")),
        ("/azure/openai/v1/responses", "", {}, ("azure", "/openai/v1/responses")),
        ("/v1/messages", "", {}, ("anthropic", "/v1/messages")),
        ("/Groq/v1/chat/completions", "", {}, ("openai", "/Groq/v1/chat/completions")),
    ],
)
def test_a_name_in_front_wins(path, query, fields, meant):
    assert route(path, query, headers(**fields), NAMES) == meant


def test_the_first_of_two_headers_counts():
    twice = (("authorization", "Bearer gsk_x"), ("authorization", "Bearer xai-x"))
    assert detect("/v1/chat/completions", "", twice) == "groq"


def test_an_azure_request_is_nobody_elses_even_without_an_azure_upstream():
    assert route("/openai/v1/responses", "", headers(api_key="k"), {"openai"})[0] == "azure"


@pytest.mark.parametrize(
    ("base", "target", "url"),
    [
        ("https://api.openai.com/v1", "/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1", "/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1", "/v1/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1/", "/v1/models?limit=1", "https://api.openai.com/v1/models?limit=1"),
        ("https://h", "/chat/completions", "https://h/chat/completions"),
        ("https://h", "/v1/v1/messages", "https://h/v1/messages"),
        ("https://h/", "/v1/x", "https://h/v1/x"),
        ("https://h", "/", "https://h/"),
        ("https://h/v1", "/", "https://h/v1/"),
        ("https://h/v1", "/v1", "https://h/v1"),
        ("https://h/v1", "/v1x/chat", "https://h/v1/v1x/chat"),
        ("https://h/a/b", "/b/c", "https://h/a/b/c"),
        ("https://h/a/b", "/a/b/c", "https://h/a/b/c"),
        ("https://h/a/b", "/a/c", "https://h/a/b/a/c"),
        ("https://h/a/a", "/a/a/c", "https://h/a/a/c"),
        ("https://h/a", "/a/a/c", "https://h/a/a/c"),
        (
            "https://api.groq.com/openai/v1",
            "/openai/v1/chat/completions",
            "https://api.groq.com/openai/v1/chat/completions",
        ),
        ("https://api.groq.com/openai/v1", "/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
        (
            "https://api.groq.com/openai/v1",
            "/openai/v1/openai/v1/chat/completions",
            "https://api.groq.com/openai/v1/chat/completions",
        ),
        ("https://api.z.ai/api/paas/v4", "/v1/chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("https://api.z.ai/api/paas/v4", "/paas/v4/chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("https://api.cohere.com", "/v1/v2/chat", "https://api.cohere.com/v2/chat"),
        ("https://g", "/v1/v1beta/models/m:generateContent", "https://g/v1beta/models/m:generateContent"),
        ("https://h/v1", "//v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h:8443/v1", "//evil.test/x", "https://h:8443/v1/evil.test/x"),
        ("https://h", "//evil.test/x", "https://h/evil.test/x"),
        ("https://h", "/model/us.a%3A0/converse?x=%2F&y=a+b", "https://h/model/us.a%3A0/converse?x=%2F&y=a+b"),
        ("https://h", "/a@evil.test/", "https://h/a@evil.test/"),
        ("https://h", "/http://evil.test/", "https://h/http://evil.test/"),
        ("https://h/v1", "/x?a=../..&b=http://evil.test", "https://h/v1/x?a=../..&b=http://evil.test"),
        ("https://h", "/models/...x/y..z", "https://h/models/...x/y..z"),
        ("https://h", "/a%25b", "https://h/a%25b"),
        ("http://[::1]:80/v1", "/v1/x", "http://[::1]:80/v1/x"),
    ],
)
def test_base_and_path_become_one_url(base, target, url):
    assert join(base, target) == url


@pytest.mark.parametrize(
    "target",
    [
        "",
        "x",
        "http://evil.test/v1/chat/completions",
        "https://api.openai.com@evil.test/",
        "@evil.test/",
        ".evil.test/",
        ":80@evil.test/",
        "?x",
        "/..",
        "/../admin",
        "/v1/../../admin",
        "/v1/..",
        "/./x",
        "/%2e%2e/admin",
        "/%2E./admin",
        "/.%2e/admin",
        "/%252e%252e/admin",
        "/%25252e%25252e/admin",
        "/..%2fadmin",
        "/x%2f..%2fadmin",
        "/..%5cadmin",
        "/..;x=1/admin",
        "/\\evil.test/x",
        "\\\\evil.test/x",
        "/x\\..\\y",
        "/x y",
        "/x\r\nHost: evil.test",
        "/x\x00",
        "/x#y",
        "/x?y#z",
        "/x?y z",
        "/é",
        "/%252525252525252525252e",
    ],
)
def test_a_hostile_target_is_refused(target):
    with pytest.raises(ValueError, match=r"^The request's (target|path) "):
        join("https://api.openai.com/v1", target)


@given(st.text(st.sampled_from("/.%2ef5cv1\\@:?#;a"), max_size=30))
def test_no_target_leaves_the_base(target):
    base = "https://api.openai.com:8443/in/v1"
    for text in (target, "/" + target):
        try:
            parts = urlsplit(join(base, text))
        except ValueError:
            continue
        assert (parts.scheme, parts.netloc) == ("https", "api.openai.com:8443")
        assert parts.path.startswith("/in/v1")
        assert not {".", ".."} & set(parts.path.split("/"))


@pytest.mark.parametrize(
    ("name", "path", "configured", "base"),
    [
        ("openai", "/v1/models", None, "https://api.openai.com/v1"),
        ("openai", "/v1/models", "http://here", "http://here"),
        ("azure", "/x", None, None),
        ("acme", "/x", None, None),
        ("vertex", "/v1/projects/p/locations/us-central1/x", None, "https://us-central1-aiplatform.googleapis.com"),
        ("vertex", "/v1/projects/p/locations/global/x", None, "https://aiplatform.googleapis.com"),
        ("vertex", "/v1/projects/p/locations/eu/x", None, "https://aiplatform.eu.rep.googleapis.com"),
        ("vertex", "/v1/publishers/google/models/x", None, "https://aiplatform.googleapis.com"),
        ("vertex", "/v1/projects/p/locations/evil.test%2F/x", None, "https://aiplatform.googleapis.com"),
        ("vertex", "/v1/projects/p/locations/evil.test/x", None, "https://aiplatform.googleapis.com"),
        ("vertex", "/v1/projects/p/locations/a@b/x", None, "https://aiplatform.googleapis.com"),
    ],
)
def test_the_base_of_an_upstream(name, path, configured, base):
    assert base_of(name, path, configured) == base
