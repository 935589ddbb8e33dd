"""What an import brings along: module lists, not times, which differ by machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

SDKS = {"anthropic", "boto3", "botocore", "cohere", "google", "groq", "mistralai", "ollama", "openai", "together"}
SERVERS = {"aiohttp", "click", "fastapi", "prometheus_client", "starlette", "uvicorn", "uvloop"}
HEAVY = {"cryptography", "genai_prices", "httpx", "httpx2", "opentelemetry", "pydantic", "redis", "requests", "rich"}
COSTLY = {"asyncio", "concurrent", "dataclasses", "inspect", "json", "logging", "msgspec", "socket", "sqlite3", "ssl"}


def brought(code: str) -> set[str]:
    """The modules that a program has beyond those of the interpreter, submodules of ours with their room."""
    program = f"import sys\nbefore = {{*sys.modules}}\n{code}\nprint(*({{*sys.modules}} - before))"
    # Without site, so that nothing of this environment is counted.
    command = [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}\n{program}"]
    return {*subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()}


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_package_alone_brings_nothing_but_itself():
    modules = brought("import llm_cache")
    assert {name for name in modules if name.startswith("llm_cache")} == {"llm_cache"}
    assert tops(modules) - {"llm_cache"} <= sys.stdlib_module_names
    assert not tops(modules) & COSTLY


@pytest.mark.parametrize(
    "code",
    [
        "from llm_cache import LLMCache; LLMCache(database_url=':memory:').close()",
        "from llm_cache import wrap, wrap_openai, install, options, last_call",
        "from llm_cache import cached_call\n@cached_call\ndef f(): ...",
        "from llm_cache import LLMCache\nLLMCache(database_url=':memory:').get_or_set('k', dict, 'p', 'm', '/e', {})",
    ],
)
def test_no_sdk_no_server_and_nothing_heavy_comes_with_what_a_program_uses(code):
    assert not tops(brought(code)) & (SDKS | SERVERS | HEAVY)
