"""What a program's environment must say for its SDKs to find the proxy. It must not start anything.

Source of the variables: the SDKs' own documentation and code; what was probed is in the table of the documentation
(docs/how-to/run.md).
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import NamedTuple
from urllib.parse import urlsplit

from llm_cache.config.given import upstream


class Variable(NamedTuple):
    """A variable that holds the base URL of an API.

    Attributes:
        upstream: the upstream it stands for.
        path: what usually ends such a URL.
    """

    name: str
    upstream: str
    path: str = ""


# The first of an upstream counts where several are set to different places.
VARIABLES = (
    Variable("OPENAI_BASE_URL", "openai", "/v1"),
    Variable("OPENAI_API_BASE", "openai", "/v1"),
    Variable("ANTHROPIC_BASE_URL", "anthropic"),
    Variable("ANTHROPIC_API_BASE", "anthropic"),
    Variable("CO_API_URL", "cohere"),
    Variable("GOOGLE_GEMINI_BASE_URL", "google"),
    Variable("GOOGLE_VERTEX_BASE_URL", "vertex"),
    Variable("GROQ_BASE_URL", "groq"),
    Variable("GROQ_API_BASE", "groq", "/openai/v1"),
    Variable("MISTRAL_API_BASE", "mistral", "/v1"),
    Variable("TOGETHER_BASE_URL", "together", "/v1"),
    Variable("OLLAMA_HOST", "ollama"),
)
_AZURE = Variable("AZURE_OPENAI_ENDPOINT", "azure")
# Not `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`: boto3 shows a key to HTTPS only (botocore.auth.BearerAuth), and would fail.
_BEDROCK = Variable("ANTHROPIC_BEDROCK_BASE_URL", "bedrock")
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "CO_API_KEY",
    "GEMINI_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "TOGETHER_API_KEY",
)
"""Without these the SDKs do not even begin."""
NO_KEY = "llm-cache-offline"
_OLLAMA_PORT = 11434


def upstreams_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The upstreams that an environment names already, by their names at the proxy.

    Raises:
        ConfigError: a variable holds no URL of a server.
    """
    found: dict[str, str] = {}
    for variable in _variables(environ):
        value = environ.get(variable.name, "").strip()
        if variable is _BEDROCK and not value:
            region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
            value = f"https://bedrock-runtime.{region}.amazonaws.com"
        if value:
            value = _server(value) if variable.upstream == "ollama" else value
            name, url = upstream(variable.upstream, value, variable.name)
            found.setdefault(name, url)
    if "openai" in found:
        # Azure's newer API is used with the SDK of OpenAI, and known by its key's header whatever the path says.
        found.setdefault("azure", found["openai"])
    return found


def surroundings(environ: Mapping[str, str], url: str, token: str, *, offline: bool) -> dict[str, str]:
    """The environment of a program whose calls shall go through the proxy at that URL.

    Args:
        environ: the environment that it would have had.
        url: where the proxy is, without a path.
        token: its token.
        offline: whether no call leaves the proxy, so that keys are not needed.
    """
    made = dict(environ)
    for variable in _variables(environ):
        before = environ.get(variable.name, "").strip().rstrip("/")
        # Only what the SDK would have written itself: the version in its place, or not at all.
        path = variable.path if not before or before.endswith(variable.path) else ""
        made[variable.name] = f"{url}/~{token}/{variable.upstream}{path}"
    if offline:
        for key in KEYS:
            if not made.get(key):
                made[key] = NO_KEY
    _spare(made, urlsplit(url).hostname or "")
    return made


def _variables(environ: Mapping[str, str]) -> list[Variable]:
    found = list(VARIABLES)
    if environ.get(_AZURE.name):
        found.append(_AZURE)
    if environ.get("AWS_BEARER_TOKEN_BEDROCK"):
        # Without such a key requests are signed for the host that they go to, which must then be the real one.
        found.append(_BEDROCK)
    return found


def _server(value: str) -> str:
    """Ollama's own way to write an address: `host`, `host:port` or a URL, also what its server listens on."""
    if "://" not in value:
        value = f"http://{value}"
    parts = urlsplit(value)
    host = parts.netloc.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104 - read, not bound to
    try:
        if parts.port is None and parts.scheme == "http":
            host = f"{host.rstrip(':')}:{_OLLAMA_PORT}"
    except ValueError:
        pass  # the check that follows says what is wrong
    return f"{parts.scheme}://{host}{parts.path}"


def _spare(environ: MutableMapping[str, str], host: str) -> None:
    """Keep requests to the proxy from going through another one that the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        listed = [each.strip() for each in environ.get(name, "").split(",") if each.strip()]
        if host not in listed and "*" not in listed:
            environ[name] = ",".join([*listed, host])
