"""`llm-cache run`: an unchanged program finds the proxy by its SDK's variables, and is otherwise left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llm_cache import LLMCache
from llm_cache.errors import ConfigError
from llm_cache.proxy.surroundings import surroundings, upstreams_in
from llm_cache.testing import FakeUpstream, anthropic_message, openai_chat, openai_chat_stream

COMMAND = str(Path(sys.executable).with_name("llm-cache"))
PROGRAM = """
import json, os, sys, urllib.request
assert "127.0.0.1" in os.environ["NO_PROXY"]
base = os.environ["OPENAI_BASE_URL"]
for seed in map(int, sys.argv[1:]):
    body = {"model": "gpt-4o", "seed": seed, "messages": [{"role": "user", "content": "Hello"}]}
    call = urllib.request.Request(base + "/chat/completions", json.dumps(body).encode())
    call.add_header("content-type", "application/json")
    call.add_header("authorization", "Bearer " + os.environ.get("OPENAI_API_KEY", "none"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print(json.load(opener.open(call))["choices"][0]["message"]["content"])
"""


def run(*arguments: str, status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [COMMAND, "run", *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **variables}
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


def python(*arguments: str) -> list[str]:
    return ["--", sys.executable, "-c", *arguments]


def test_the_second_run_makes_no_call(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.reply("/v1/chat/completions", openai_chat("Hello!", model="gpt-4o"))
    base = {"OPENAI_BASE_URL": f"{upstream.url}/v1"}
    first = run(*python(PROGRAM, "1", "2"), OPENAI_API_KEY="sk-mine", **base)
    assert first.stdout == "Hello!\nHello!\n"
    assert upstream.count() == 2
    assert upstream.requests[0].header("authorization") == "Bearer sk-mine"
    # Whoever runs it, with whatever key: the store is this user's.
    report = tmp_path / "report.json"
    second = run("--report", str(report), *python(PROGRAM, "1", "2"), OPENAI_API_KEY="sk-other", **base)
    assert second.stdout == first.stdout
    assert upstream.count() == 2
    (line,) = second.stderr.splitlines()
    assert line.startswith("llm-cache: 2 calls, 2 hits, $0.0")
    told = json.loads(report.read_text())
    assert (told["calls"], told["hits"], told["misses"], told["exit_status"]) == (2, 2, 0, 0)
    assert float(told["cost_saved_usd"]) > 0
    assert told["by_model"][0]["model"] == "gpt-4o"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    with LLMCache() as cache:
        assert cache.stats().entries == 2


def test_offline_needs_neither_key_nor_network(upstream: FakeUpstream) -> None:
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    base = {"OPENAI_BASE_URL": f"{upstream.url}/v1"}
    run(*python(PROGRAM, "1"), **base)
    printed = "import os; print(os.environ['OPENAI_API_KEY'])"
    assert run("--offline", *python(printed)).stdout.strip()
    assert run("--offline", *python(PROGRAM, "1"), **base).stdout == "Hello!\n"
    failed = subprocess.run(
        [COMMAND, "run", "--offline", *python(PROGRAM, "2")], capture_output=True, text=True, env={**os.environ, **base}
    )
    assert failed.returncode == 1
    assert "504" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("llm-cache: 1 call, 0 hits")
    assert upstream.count() == 1


def test_refresh_and_namespace(upstream: FakeUpstream) -> None:
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    base = {"OPENAI_BASE_URL": upstream.url}
    for arguments, calls in (([], 1), (["--refresh"], 2), (["--namespace", "other"], 3), ([], 3)):
        run(*arguments, *python(PROGRAM, "1"), **base)
        assert upstream.count() == calls
    assert {received.target for received in upstream.requests} == {"/chat/completions"}, "as the program wrote it"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (python("raise SystemExit(3)"), 3),
        (["--", "sh", "-c", "kill -9 $$"], 137),
        (["--", "no-such-program"], 127),
        (["--", "/"], 126),
        ([], 2),
        (["--offline", "--refresh", "true"], 2),
        (["--report", "/nowhere/x", "true"], 2),
        (["true", "--offline", "--unknown"], 0),
    ],
)
def test_the_exit_status_is_the_programs(arguments: list[str], status: int) -> None:
    assert run(*arguments, status=status).stdout == ""


def test_standard_streams_are_the_programs() -> None:
    done = subprocess.run([COMMAND, "run", "cat"], input=b"a\x00b", capture_output=True, timeout=60)
    assert done.stdout == b"a\x00b"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_program(sig: signal.Signals) -> None:
    code = f"""
import signal, sys, time
signal.signal({int(sig)}, lambda *_: sys.exit(42))
print("ready", flush=True)
time.sleep(30)
"""
    # Under nohup a hang-up is ignored by all that is started, and `run` leaves it so.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        popen = subprocess.Popen([COMMAND, "run", *python(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        assert popen.stdout is not None
        assert popen.stdout.readline() == b"ready\n"
        popen.send_signal(sig)
        _, said = popen.communicate(timeout=20)
        assert popen.returncode == 42
        assert said.startswith(b"llm-cache: 0 calls, 0 hits")
    finally:
        popen.kill()
        popen.wait()


def test_what_a_program_leaves_behind_is_read_to_its_end_and_an_interrupt_ends_that(upstream: FakeUpstream) -> None:
    never = threading.Event()
    upstream.reply("*", replace(openai_chat_stream(["a", "b"]), gates={1: never}))
    code = """
import http.client, os, urllib.parse
base = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
line = http.client.HTTPConnection(base.netloc)
body = '{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}'
line.request("POST", base.path + "/chat/completions", body, {"content-type": "application/json"})
line.getresponse().read(1)
print("left", flush=True)
os._exit(0)
"""
    popen = subprocess.Popen(
        [COMMAND, "run", *python(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OPENAI_BASE_URL": upstream.url},
    )
    try:
        assert popen.stdout is not None
        assert popen.stdout.readline() == b"left\n"
        time.sleep(0.5)
        assert popen.poll() is None
        popen.send_signal(signal.SIGINT)
        _, said = popen.communicate(timeout=20)
        assert popen.returncode == 0
        assert b"Traceback" not in said
    finally:
        never.set()
        popen.kill()
        popen.wait()


def test_whom_the_variables_point_at() -> None:
    made = surroundings({"PATH": "x", "NO_PROXY": "a.example"}, "http://127.0.0.1:5", "T", offline=False)
    assert made["PATH"] == "x"
    assert made["NO_PROXY"] == "a.example,127.0.0.1"
    assert made["OPENAI_BASE_URL"] == "http://127.0.0.1:5/~T/openai/v1"
    assert made["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:5/~T/anthropic"
    assert made["GROQ_BASE_URL"] == "http://127.0.0.1:5/~T/groq"
    assert made["OLLAMA_HOST"] == "http://127.0.0.1:5/~T/ollama"
    assert "AZURE_OPENAI_ENDPOINT" not in made
    assert "ANTHROPIC_BEDROCK_BASE_URL" not in made
    key = {"AWS_BEARER_TOKEN_BEDROCK": "x"}
    made = surroundings(key, "http://127.0.0.1:5", "T", offline=False)
    assert made["ANTHROPIC_BEDROCK_BASE_URL"] == "http://127.0.0.1:5/~T/bedrock"
    assert "AWS_ENDPOINT_URL_BEDROCK_RUNTIME" not in made, "boto3 shows a key to nobody without TLS"
    assert "OPENAI_API_KEY" not in made


@pytest.mark.parametrize(
    ("environ", "name", "url"),
    [
        ({"OPENAI_BASE_URL": "http://x.example/v1/"}, "openai", "http://x.example/v1"),
        ({"OPENAI_BASE_URL": "https://r.openai.azure.com/openai/v1"}, "azure", "https://r.openai.azure.com/openai/v1"),
        ({"AZURE_OPENAI_ENDPOINT": "https://r.example"}, "azure", "https://r.example"),
        ({"OLLAMA_HOST": "0.0.0.0"}, "ollama", "http://127.0.0.1:11434"),
        ({"OLLAMA_HOST": "gpu:8080"}, "ollama", "http://gpu:8080"),
        ({"OLLAMA_HOST": "https://ollama.com"}, "ollama", "https://ollama.com"),
        (
            {"AWS_BEARER_TOKEN_BEDROCK": "x", "AWS_REGION": "eu-west-1"},
            "bedrock",
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
        ),
    ],
)
def test_a_value_that_was_set_becomes_the_upstream(environ: dict[str, str], name: str, url: str) -> None:
    assert upstreams_in(environ)[name] == url


def test_a_value_that_is_no_url_is_told() -> None:
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
        upstreams_in({"OPENAI_BASE_URL": "not a url"})


def test_a_version_is_where_the_program_wrote_it() -> None:
    for before, path in (("http://x/v1", "/openai/v1"), ("http://x", "/openai"), ("http://x/api", "/openai")):
        made = surroundings({"OPENAI_BASE_URL": before}, "http://127.0.0.1:5", "T", offline=False)
        assert made["OPENAI_BASE_URL"] == f"http://127.0.0.1:5/~T{path}"


@pytest.mark.sdk
def test_an_agent_of_many_steps_pays_once(upstream: FakeUpstream) -> None:
    """Two SDKs, a stream, a tool's result in the conversation: the second run replays every step."""
    pytest.importorskip("openai")
    pytest.importorskip("anthropic")
    upstream.reply("/v1/chat/completions", openai_chat("do it"))
    upstream.reply("/v1/messages", anthropic_message("done"))
    code = """
import anthropic, openai
plan, act = openai.OpenAI(max_retries=0), anthropic.Anthropic(max_retries=0)
said = [{"role": "user", "content": "Begin."}]
for step in range(6):
    answer = plan.chat.completions.create(model="gpt-4o", messages=said).choices[0].message.content
    said.append({"role": "assistant", "content": answer})
    ask = [{"role": "user", "content": f"{step} {answer}"}]
    done = act.messages.create(model="claude-sonnet-5", max_tokens=9, messages=ask)
    said.append({"role": "user", "content": done.content[0].text})
print(len(said))
"""
    base = {"OPENAI_BASE_URL": upstream.url, "ANTHROPIC_BASE_URL": upstream.url}
    keys = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"}
    for hits in (0, 12):
        done = run(*python(code), **base, **keys)
        assert done.stdout == "13\n"
        assert f"12 calls, {hits} hits" in done.stderr
        assert upstream.count() == 12
