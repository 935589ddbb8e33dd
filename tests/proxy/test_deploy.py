"""What is in deploy/ and in the guide speaks of what there is: metrics, options, keys and variables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm_cache.cli.serve_command import command
from llm_cache.config.keys import KEYS
from llm_cache.testing import FakeUpstream, openai_chat

from .running import Running

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "how-to" / "team-proxy.md").read_text(encoding="utf-8")


@pytest.fixture
def metrics(upstream: FakeUpstream, proxy: Running) -> set[str]:
    upstream.reply("*", openai_chat("Hello!"))
    proxy.ask()
    proxy.ask()
    text: str = proxy.get("/metrics").text
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    return names | {f"{name}_bucket" for name in re.findall(r"^# TYPE (\S+) histogram", text, re.MULTILINE)}


def test_every_metric_that_is_named_exists(metrics: set[str]) -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked.append((ROOT / "deploy" / "llm-cache-rules.yml").read_text(encoding="utf-8"))
    asked += [GUIDE, (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")]
    named = {name for text in asked for name in re.findall(r"\bllm_cache_\w+", text)}
    assert len(named) > 20
    assert named <= metrics, named - metrics


def test_every_option_of_the_guide_exists_and_none_is_missing() -> None:
    shown = set(re.findall(r"^  (--[a-z-]+)", CliRunner().invoke(command, ["--help"]).output, re.MULTILINE))
    told = set(re.findall(r"(--[a-z][a-z-]+)", GUIDE.partition("## Options")[2].partition("\n## ")[0]))
    assert told == shown - {"--help"}


def test_every_key_and_variable_of_the_guide_exists() -> None:
    told = GUIDE.partition("## Options")[2].partition("\n## ")[0]
    variables = {key.variable for key in KEYS.values()} | {"LLMCACHE_UPSTREAMS__NAME"}
    assert set(re.findall(r"LLMCACHE_\w+", told)) <= variables
    keys = {name for name in KEYS if name.startswith("proxy_")}
    assert keys <= set(re.findall(r"proxy_\w+", told))


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not on the path")
    unit = (ROOT / "deploy" / "llm-cache.service").read_text(encoding="utf-8")
    start = "/usr/local/bin/llm-cache serve"
    assert start in unit
    # It looks whether the program is there.
    there = tmp_path / "llm-cache.service"
    there.write_text(unit.replace(start, f"{sys.executable} serve"), encoding="utf-8")
    done = subprocess.run([tool, "verify", str(there)], capture_output=True, text=True, timeout=30)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "llm-cache" in line]) == (0, [])


def test_prometheus_takes_the_rules() -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not on the path")
    rules = ROOT / "deploy" / "llm-cache-rules.yml"
    done = subprocess.run([tool, "check", "rules", str(rules)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
