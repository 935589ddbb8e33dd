"""Every example runs as it is shown, with no key, no network and an empty home, and does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytest.importorskip("openai")
pytestmark = [
    pytest.mark.sdk,
    pytest.mark.timeout(240),  # each is a program or two of its own, on a machine that may have other things to do
    pytest.mark.skipif(sys.version_info < (3, 11), reason="written for the SDKs of today, which need Python 3.11"),
]

FOLDER = Path(__file__).resolve().parents[2] / "examples"
PAID = re.compile(r"(\d+) calls? paid for")


@pytest.fixture
def environ(tmp_path):
    """That of a user who has nothing: no key, no settings, an empty home."""
    mine = ("LLMCACHE_", "OPENAI_", "PYTEST_", "COVERAGE_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    (tmp_path / "home").mkdir()
    return {**kept, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def run(environ, tmp_path):
    def running(*command, **more):
        done = subprocess.run(
            [sys.executable, "-W", "error", *map(str, command)],
            env={**environ, **more}, cwd=tmp_path, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        # Nothing of a user's own is touched by what is made up.
        assert list((tmp_path / "home").iterdir()) == []
        return done.stdout

    return running


def test_an_evaluation_is_paid_for_once(run):
    said = run(FOLDER / "eval_samples.py")
    assert "20 calls paid for" in said
    assert re.search(r"; 20 free: \$0\.0000\d+$", said, re.MULTILINE)


def test_an_agent_pays_for_the_steps_that_are_new(run):
    first, _, second = run(FOLDER / "agent_tools.py").partition("second run")
    assert re.findall(r"step \d: (\w+)", first) == ["miss"] * 3
    assert "failed" in first
    assert re.findall(r"step \d: (\w+)", second) == ["hit", "hit", "hit", "miss"]
    assert "Lagos is the warmest" in second


def test_documents_are_embedded_once(run):
    said = run(FOLDER / "rag_embeddings.py")
    assert "valid for three months" in said
    assert "21:10" in said
    # Five documents, two for each question; then one document and two for the question.
    assert PAID.findall(said) == ["7", "10"]
    assert "5 from the cache" in said


def test_a_sealed_store_shows_no_prompt(run):
    said = run(FOLDER / "encrypted_store.py")
    assert "1 call paid for, 1 from the cache" in said
    assert "the prompt can be read in the file: False" in said
    assert "does not open the cache" in said


def test_teams_share_with_themselves(run, redis_server):
    said = run(FOLDER / "team_proxy.py", REDIS_URL=redis_server.url)
    assert [line.split()[:2] for line in said.splitlines()[:4]] == [
        ["search", "miss"],
        ["search", "hit"],
        ["support", "miss"],
        ["search", "hit"],
    ]
    assert "llm_cache_hits_total 2" in said
    assert "llm_cache_workers 2" in said


def test_ci_replays_with_no_key_and_no_network(run):
    # Providers' names cannot be looked up here: what is not replayed would fail.
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", FOLDER / "ci_offline")
    assert "3 passed" in said


def test_what_ci_has_not_recorded_fails_with_what_is_nearest(environ, tmp_path):
    folder = tmp_path / "ci"
    for file in (FOLDER / "ci_offline").rglob("*.*"):
        copy = folder / file.relative_to(FOLDER / "ci_offline")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(
            file.read_text().replace("in one sentence", "in one line") if file.suffix == ".py" else file.read_text()
        )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert "2 failed, 1 passed" in done.stdout
    assert "in one line" in done.stdout
    assert "in one sentence" in done.stdout
    assert "pytest --llm-cache=auto" in done.stdout


def test_the_notebook_runs_from_top_to_bottom_and_is_checked_in_without_outputs(run, tmp_path):
    notebook = json.loads((FOLDER / "notebook_research.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
    # As a kernel runs them: each a program of its own, in one namespace, and its source to be had by its name.
    kernel = (
        "import json, linecache, pathlib, sys\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "names = {'__name__': '__main__'}\n"
        "for number, cell in enumerate(json.loads(pathlib.Path(sys.argv[1]).read_text())):\n"
        "    file = f'<cell {number}>'\n"
        "    linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)\n"
        "    exec(compile(cell, file, 'exec'), names)\n"
        "print(names['topics'], len(names['draws']))\n"
    )
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    said = run("-c", kernel, tmp_path / "cells.json")
    assert "['physics', 'biology', 'economics'] 5" in said
    # Three questions, a table and five draws; all but the table once more.
    assert "9 calls paid for" in said
    assert "8 free" in said


@contextmanager
def serving(environ, tmp_path, program):
    port = _free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, FOLDER / program, "--port", str(port)],
            env=environ, cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
                for _ in range(300):
                    try:
                        client.get("/nowhere")
                        break
                    except httpx.ConnectError:
                        assert process.poll() is None, (tmp_path / "log").read_text()
                        time.sleep(0.1)
                yield client
        finally:
            process.terminate()
            assert process.wait(20) in {0, -15}, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_web_chat_streams(environ, tmp_path):
    with serving(environ, tmp_path, "web_chat.py") as client:
        assert "<form>" in client.get("/").text
        replies = [client.post("/chat", json={"messages": [{"role": "user", "content": "Hello?"}]}) for _ in range(2)]
    assert [reply.headers["x-cache"] for reply in replies] == ["miss", "hit"]
    assert replies[0].text == replies[1].text
    assert replies[0].text.startswith("You asked: Hello?")


def test_an_application_has_the_proxy_inside_of_it(environ, tmp_path):
    question = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    with serving(environ, tmp_path, "fastapi_app.py") as client:
        assert client.get("/ask", params={"question": "Why is the sky blue?"}).json()["cache"] == "miss"
        assert client.get("/ask", params={"question": "Why is the sky blue?"}).json()["cache"] == "hit"
        # The same question through the mounted proxy, by somebody else: one cache, one answer.
        reply = client.post("/llm/v1/chat/completions", json=question)
        assert reply.headers["x-llm-cache"] == "hit"
        assert reply.json()["choices"][0]["message"]["content"].startswith("You asked: Why is the sky blue?")
        assert client.get("/llm/healthz").status_code == 200
        other = client.post("/llm/v1/chat/completions", json={**question, "temperature": 1})
        assert other.headers["x-llm-cache"] == "miss"


def test_every_example_is_listed_and_run_here():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    tested = Path(__file__).read_text(encoding="utf-8")
    names = {file.name for file in FOLDER.iterdir() if file.suffix in {".py", ".ipynb"} or file.name == "ci_offline"}
    assert len(names) == 9 + 1
    for name in names:
        assert f"({name})" in listed or f"({name}/)" in listed, name
        assert f'"{name}"' in tested or name == "stand_in.py", name


def _free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
