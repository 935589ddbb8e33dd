"""The SDKs of the matrix: how each makes its clients, and how it asks for a recorded exchange. It holds no tests."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

MESSAGES = [{"role": "user", "content": "hi"}]
OPENAI_LIKE = {"/chat/completions", "/completions", "/responses", "/embeddings", "/images/generations"}


def installed(distribution: str) -> str | None:
    """The version of a distribution, None if it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def major(distribution: str) -> int:
    return int((installed(distribution) or "0").partition(".")[0])


@dataclass(frozen=True)
class Sdk:
    """One SDK.

    Attributes:
        name: what the table calls it, without its version.
        distribution: what has to be installed.
        client: makes the sync client, or the async one.
        ask: asks for an exchange; `later` says that the client is the async one.
        takes: whether the SDK has a method for the exchange.
        beside: what else has to be installed.
    """

    name: str
    distribution: str
    client: Callable[[Any, Any, bool], Any]
    ask: Callable[[Any, Any, bool], Any]
    takes: Callable[[Any], bool]
    beside: tuple[str, ...] = ()

    @property
    def row(self) -> str:
        """Its line in the table."""
        return f"{self.name} {'.'.join((installed(self.distribution) or '?').split('.')[:1])}"


def path_of(exchange) -> str:
    return exchange.path.partition("?")[0]


def ending_of(exchange, endings) -> str | None:
    return next((ending for ending in endings if path_of(exchange).endswith(ending)), None)


def base_of(upstream, exchange, ending) -> str:
    return upstream.url + path_of(exchange).removesuffix(ending)


def model_of(exchange) -> str:
    request = json.loads(exchange.request or b"{}")
    return request.get("model") or "m" if isinstance(request, dict) else "m"


# --- OpenAI and those that are generated like it -----------------------------------------------

OPENAI_METHODS = {
    "/chat/completions": ("chat.completions.create", {"messages": MESSAGES}),
    "/responses": ("responses.create", {"input": "hi"}),
    "/embeddings": ("embeddings.create", {"input": "hi", "encoding_format": "float"}),
    "/completions": ("completions.create", {"prompt": "hi"}),
    "/images/generations": ("images.generate", {"prompt": "hi"}),
}


def ask_like_openai(client, exchange, later=False):
    name, arguments = OPENAI_METHODS[ending_of(exchange, OPENAI_METHODS)]
    method = client
    for part in name.split("."):
        method = getattr(method, part)
    stream = {"stream": True} if exchange.stream else {}
    return method(model=model_of(exchange), **arguments, **stream)


def _openai(upstream, exchange, later=False):
    import openai

    base = base_of(upstream, exchange, ending_of(exchange, OPENAI_METHODS))
    kind = {"base_url": base, "api_key": "sk-test", "max_retries": 0}
    return (openai.AsyncOpenAI if later else openai.OpenAI)(**kind)


def _azure(upstream, exchange, later=False):
    import openai

    kind = {"azure_endpoint": upstream.url, "api_key": "k", "api_version": "2024-10-21", "max_retries": 0}
    return (openai.AsyncAzureOpenAI if later else openai.AzureOpenAI)(**kind)


def _ask_azure(client, exchange, later=False):
    method = client.chat.completions.create
    stream = {"stream": True} if exchange.stream else {}
    deployment = path_of(exchange).split("/")[3]
    return method(model=deployment, messages=MESSAGES, **stream)


def _anthropic(upstream, exchange, later=False):
    import anthropic

    kind = {"base_url": upstream.url, "api_key": "sk-ant-test", "max_retries": 0}
    return (anthropic.AsyncAnthropic if later else anthropic.Anthropic)(**kind)


def _ask_anthropic(client, exchange, later=False):
    if path_of(exchange).endswith("/count_tokens"):
        return client.messages.count_tokens(model="claude-haiku-4-5", messages=MESSAGES)
    stream = {"stream": True} if exchange.stream else {}
    return client.messages.create(model="claude-haiku-4-5", messages=MESSAGES, max_tokens=9, **stream)


def _bearer():
    """Whether Bedrock is to be called with an API key: through a proxy a signature does not hold."""
    return "AWS_BEARER_TOKEN_BEDROCK" in os.environ


def _anthropic_bedrock(upstream, exchange, later=False):
    import anthropic

    signed = {"aws_access_key": "k", "aws_secret_key": "s"}
    kind = {"base_url": upstream.url, "aws_region": "us-east-1", "max_retries": 0, **({} if _bearer() else signed)}
    return (anthropic.AsyncAnthropicBedrock if later else anthropic.AnthropicBedrock)(**kind)


def _ask_anthropic_bedrock(client, exchange, later=False):
    stream = {"stream": True} if exchange.stream else {}
    model = path_of(exchange).split("/")[2].replace("%3A", ":")
    return client.messages.create(model=model, messages=MESSAGES, max_tokens=9, **stream)


def _groq(upstream, exchange, later=False):
    import groq

    kind = {"base_url": upstream.url, "api_key": "gsk_test", "max_retries": 0}
    return (groq.AsyncGroq if later else groq.Groq)(**kind)


def _together(upstream, exchange, later=False):
    import together

    kind = {"base_url": upstream.url + "/v1", "api_key": "k", "max_retries": 0}
    return (together.AsyncTogether if later else together.Together)(**kind)


# --- Cohere ------------------------------------------------------------------------------------


def _cohere_v1(upstream, exchange, later=False):
    import cohere

    kind = {"base_url": upstream.url, "api_key": "k", "log_warning_experimental_features": False}
    return (cohere.AsyncClient if later else cohere.Client)(**kind)


def _cohere_v2(upstream, exchange, later=False):
    import cohere

    kind = {"base_url": upstream.url, "api_key": "k", "log_warning_experimental_features": False}
    return (cohere.AsyncClientV2 if later else cohere.ClientV2)(**kind)


def _ask_cohere(client, exchange, later=False):
    path = path_of(exchange)
    model = model_of(exchange)
    if path == "/v1/chat":
        return (client.chat_stream if exchange.stream else client.chat)(message="hi", model=model)
    if path == "/v2/chat":
        return (client.chat_stream if exchange.stream else client.chat)(messages=MESSAGES, model=model)
    if path.endswith("/embed"):
        asked = json.loads(exchange.request)
        types = asked.get("embedding_types") or ["float"]
        return client.embed(texts=["hi"], model=model, input_type="search_document", embedding_types=types)
    if path.endswith("/rerank"):
        return client.rerank(query="q", documents=["a", "b"], model=model)
    if path.endswith("/generate"):
        return client.generate(prompt="hi", model=model)
    # The SDK downloads a tokenizer by itself, unless it is told that it is offline.
    return client.tokenize(text="hi", model=model, offline=False)


# --- Mistral -----------------------------------------------------------------------------------


def _mistral(upstream, exchange, later=False):
    try:
        cls = importlib.import_module("mistralai.client").Mistral
    except (ImportError, AttributeError):
        cls = importlib.import_module("mistralai").Mistral
    return cls(api_key="k", server_url=upstream.url)


def _ask_mistral(client, exchange, later=False):
    if path_of(exchange).endswith("/embeddings"):
        return (client.embeddings.create_async if later else client.embeddings.create)(model="m", inputs=["hi"])
    names = ("stream_async" if later else "stream") if exchange.stream else ("complete_async" if later else "complete")
    return getattr(client.chat, names)(model="m", messages=MESSAGES)


# --- Google ------------------------------------------------------------------------------------


def _genai(upstream, exchange, later=False):
    from google import genai

    return genai.Client(api_key="k", http_options={"base_url": upstream.url, "api_version": "v1beta"})


def _ask_genai(client, exchange, later=False):
    models = client.aio.models if later else client.models
    name, _, method = path_of(exchange).rpartition("/")[2].partition(":")
    if method == "countTokens":
        return models.count_tokens(model=name, contents="hi")
    if method == "batchEmbedContents":
        return models.embed_content(model=name, contents="hi")
    ask = models.generate_content_stream if exchange.stream else models.generate_content
    return ask(model=name, contents="hi")


def _genai_on_vertex(upstream, exchange, later=False):
    from google import genai
    from google.oauth2.credentials import Credentials

    _, version, _, project, _, location, *_ = path_of(exchange).split("/")
    return genai.Client(
        vertexai=True,
        project=project,
        location=location,
        credentials=Credentials(token="t"),
        http_options={"base_url": upstream.url, "api_version": version},
    )


# --- Ollama, Hugging Face, Bedrock ---------------------------------------------------------------


def _ollama(upstream, exchange, later=False):
    import ollama

    return (ollama.AsyncClient if later else ollama.Client)(host=upstream.url)


def _ask_ollama(client, exchange, later=False):
    if path_of(exchange).endswith("/chat"):
        return client.chat(model="m", messages=MESSAGES, stream=exchange.stream)
    return client.generate(model="m", prompt="hi", stream=exchange.stream)


def _huggingface(upstream, exchange, later=False):
    import huggingface_hub

    base = base_of(upstream, exchange, "/chat/completions")
    kind = {"base_url": base, "api_key": "k"}
    return (huggingface_hub.AsyncInferenceClient if later else huggingface_hub.InferenceClient)(**kind)


def _ask_huggingface(client, exchange, later=False):
    return client.chat_completion(messages=MESSAGES, model="m", stream=exchange.stream)


def _bedrock(upstream, exchange, later=False):
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    # An API key is sent to https alone.
    signature = {"signature_version": UNSIGNED} if _bearer() else {}
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=upstream.url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(retries={"max_attempts": 0}, **signature),
    )


def _ask_bedrock(client, exchange, later=False):
    _, _, model, method = path_of(exchange).split("/")
    model = model.replace("%3A", ":").replace("%3AO", ":0")
    if method.startswith("converse"):
        ask = client.converse_stream if exchange.stream else client.converse
        return ask(modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}])
    ask = client.invoke_model_with_response_stream if exchange.stream else client.invoke_model
    return ask(modelId=model, body=exchange.request)


def _endings(*endings, providers=None):
    def takes(exchange):
        at_home = providers is None or exchange.provider in providers
        return at_home and ending_of(exchange, endings) is not None

    return takes


def _at_together(exchange):
    # Its first version has no HTTP client that could be wrapped; test_frameworks_before.py has it with `install`.
    return exchange.provider == "together" and major("together") != 1


def _on_bedrock(exchange):
    return exchange.provider == "bedrock" and not path_of(exchange).startswith("/openai")


SDKS = (
    Sdk("openai", "openai", _openai, ask_like_openai, _endings(*OPENAI_METHODS, providers={"openai", "openrouter"})),
    Sdk(
        "openai, `AzureOpenAI`",
        "openai",
        _azure,
        _ask_azure,
        lambda exchange: "/deployments/" in exchange.path and path_of(exchange).endswith("/chat/completions"),
    ),
    Sdk("anthropic", "anthropic", _anthropic, _ask_anthropic, _endings("/v1/messages", "/v1/messages/count_tokens")),
    Sdk(
        "anthropic, `AnthropicBedrock`",
        "anthropic",
        _anthropic_bedrock,
        _ask_anthropic_bedrock,
        lambda exchange: _on_bedrock(exchange) and "anthropic" in exchange.path and "/invoke" in exchange.path,
        ("boto3",),
    ),
    Sdk(
        "cohere, `Client`",
        "cohere",
        _cohere_v1,
        _ask_cohere,
        _endings("/v1/chat", "/v1/generate", "/v1/rerank", "/v1/tokenize", providers={"cohere"}),
    ),
    Sdk(
        "cohere, `ClientV2`",
        "cohere",
        _cohere_v2,
        _ask_cohere,
        _endings("/v2/chat", "/v2/embed", "/v2/rerank", providers={"cohere"}),
    ),
    Sdk("mistralai", "mistralai", _mistral, _ask_mistral, lambda exchange: exchange.provider == "mistral"),
    Sdk("google-genai", "google-genai", _genai, _ask_genai, lambda e: "/v1beta/models/" in e.path),
    Sdk(
        "google-genai, Vertex AI",
        "google-genai",
        _genai_on_vertex,
        _ask_genai,
        lambda exchange: exchange.provider == "google-vertex",
    ),
    Sdk("groq", "groq", _groq, ask_like_openai, lambda exchange: exchange.provider == "groq"),
    Sdk("together", "together", _together, ask_like_openai, _at_together),
    Sdk("ollama", "ollama", _ollama, _ask_ollama, _endings("/api/chat", "/api/generate")),
    Sdk(
        "huggingface_hub",
        "huggingface_hub",
        _huggingface,
        _ask_huggingface,
        lambda exchange: exchange.provider == "huggingface",
    ),
    Sdk("boto3, `bedrock-runtime`", "boto3", _bedrock, _ask_bedrock, _on_bedrock),
)
