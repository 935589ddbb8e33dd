"""Every command, option, setting, variable, metric, header, error and reason has its line in the reference.

That the pages are what the code says is the gate `reference`'s business; here it is that nothing is left out of them.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import click
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import llm_cache
from llm_cache import errors
from llm_cache.cli.main import command
from llm_cache.config.keys import KEYS
from llm_cache.core.events import Bypassed, Dropped, Missed
from llm_cache.ledger import about as reasons
from llm_cache.proxy import about
from llm_cache.proxy.incoming import _ROLES
from tests.proxy.running import NO_PROXY, Running

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "llm_cache"
sys.path.insert(0, str(ROOT))
from tools.reference_proxy import refusals  # noqa: E402


def page(name):
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


def sources(*folders):
    for folder in folders:
        for file in sorted((SOURCE / folder).rglob("*.py")):
            if file.name != "about.py":
                yield file, ast.parse(file.read_text(encoding="utf-8"))


def commands(group, name):
    yield name, group
    for inner, found in getattr(group, "commands", {}).items():
        yield from commands(found, f"{name} {inner}")


def test_every_command_and_option_is_described():
    text = page("cli")
    with click.Context(command, info_name="llm-cache") as top:
        found = [(name, command.get_command(top, name)) for name in command.list_commands(top)]
    assert len(found) >= 15
    for name, each in [pair for first, top in found for pair in commands(top, f"llm-cache {first}")]:
        section = text.partition(f" `{name}`\n")[2].partition("\n#")[0]
        assert section, name
        for option in each.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(spelling in section for spelling in option.opts), (name, option.opts)
                assert option.help, (name, option.opts)


def test_every_setting_and_variable_is_described():
    text = page("configuration")
    for key in KEYS.values():
        assert f"| `{key.name}` |" in text
        assert key.variable is None or f"`{key.variable}`" in text
    read = set()
    for _, tree in sources("."):
        words = (each.value for each in ast.walk(tree) if isinstance(each, ast.Constant))
        read |= {word for word in words if isinstance(word, str) and re.fullmatch(r"(LLMCACHE|XDG)_[A-Z_]*[A-Z]", word)}
    assert {"LLMCACHE_CONFIG", "XDG_CACHE_HOME"} <= read
    assert [name for name in read if f"`{name}`" not in text] == []


def test_every_metric_is_described(upstream):
    with httpx.Client(**NO_PROXY) as client:
        proxy = Running(upstream.url, {"backend": "memory"})
        try:
            for path in ("/v1/chat/completions", "/v1/files"):
                client.post(proxy.url + path, json={"model": "m", "messages": []})
            served = client.get(f"{proxy.url}/metrics").text
        finally:
            proxy.stop()
    lines = dict(re.findall(r"^\| `(llm_cache_\w+)` \| (.*)$", page("metrics"), re.MULTILINE))
    families = list(text_string_to_metric_families(served))
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", served, re.MULTILINE))
    assert set(types) == set(lines)
    for family in families:
        for sample in family.samples:
            name = re.sub(r"_(bucket|count|sum)$", "", sample.name) if family.type == "histogram" else sample.name
            # The parser is as sure as the library how a counter's name ends.
            name = name.replace("saved_usd_total", "saved_usd")
            assert lines[name].startswith(f"{types[name]} |")
            assert [label for label in sample.labels if label != "le" and f"`{label}`" not in lines[name]] == []
    assert any(sample.labels.get("reason") == "unknown_endpoint" for family in families for sample in family.samples)


def test_every_header_that_steers_or_tells_is_described():
    text = page("headers").lower()
    ours = {name.decode() for name in _ROLES if name.startswith(b"x-llm-cache")}
    for _, tree in sources("proxy"):
        words = (each.value for each in ast.walk(tree) if isinstance(each, ast.Constant))
        ours |= {
            word.decode()
            for word in words
            if isinstance(word, bytes) and re.fullmatch(rb"x-llm-cache(-[a-z]+)?|x-should-retry|cache-status|age", word)
        }
    assert len(ours) >= 10
    inside = {"x-llm-cache-dashboard"}  # between the dashboard's pages and their server
    assert [name for name in sorted(ours - inside) if f"`{name}`" not in text] == []
    asked = (SOURCE / "proxy" / "steering.py").read_text(encoding="utf-8")
    directives = set(re.findall(r'"([a-z-]+)" in directives', asked))
    assert directives == {re.split(r"[ =]", name)[1] for name in about.REQUEST if name.startswith("Cache-Control")}


def test_every_refusal_of_the_proxy_is_described_with_its_status():
    found = refusals()
    assert set(found) == set(about.REFUSALS)
    for code, statuses in found.items():
        assert f"| `{code}` | {', '.join(map(str, sorted(statuses)))} |" in page("headers")


def test_every_error_is_described():
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, Exception):
            assert f"## `{name}`" in page("errors"), name
            assert name in llm_cache.__all__


@pytest.mark.parametrize("module", ["llm_cache", "llm_cache.httpx", "llm_cache.proxy", "llm_cache.testing"])
def test_every_public_name_is_described(module):
    section = page("api").partition(f"\n## {module}\n")[2].partition("\n## ")[0]
    found = importlib.import_module(module)
    for name in found.__all__:
        value = getattr(found, name)
        if not (isinstance(value, type) and issubclass(value, Exception)):
            described = section.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
            assert len(described) > 80, name
            assert "(" in described or "- `" in described, name


def words_given_to(calls, keywords, *folders):
    """The constants that these are called with, in their first or second place or by these keywords."""
    found = set()
    for _, tree in sources(*folders):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            values = node.args[:2] if name in calls else []
            values = [*values, *(each.value for each in node.keywords if each.arg in keywords)]
            parts = (part for value in values for part in ast.walk(value))
            found |= {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    return found


def test_every_reason_is_described():
    missed = words_given_to({"_Absent", Missed.__name__}, set(), "core", "runtime")
    assert missed == set(reasons.MISSES)
    bypassed = words_given_to({Bypassed.__name__}, set(), "core", "runtime")
    # Further ones are an endpoint's: what its file returns, and what is made without one.
    text = "\n".join(
        file.read_text(encoding="utf-8") for room in ("clients", "providers") for file in (SOURCE / room).glob("*.py")
    )
    bypassed |= set(re.findall(r'return "(\w+)" if body\.get', text)) | set(re.findall(r'self\._model, "(\w+)"', text))
    assert {"conversation", "code_unreadable"} <= bypassed
    assert bypassed <= set(reasons.BYPASSES)
    dropped = words_given_to({Dropped.__name__, "Refused", "Unread"}, {"flaw"}, "core", "runtime", "providers")
    dropped = {word for word in dropped if re.fullmatch(r"[a-z_]+", word)} - {"status", "status_"}
    assert dropped - set(reasons.DROPS) == set()
    assert {"cut_off", "error", "failed", "malformed", "abandoned"} <= dropped
    failed = words_given_to({"StoreFailed"}, set(), "runtime")
    assert failed <= set(reasons.FAILURES)
    assert "decode" in failed
    text = page("reasons")
    for words in (reasons.MISSES, reasons.BYPASSES, reasons.DROPS, reasons.FAILURES):
        assert all(f"| `{word}` | {said} |" in text for word, said in words.items())
