"""Hits of our library beside those of other caches, each in a process and an environment of its own, in turn.

All sit on one core, and a round has some calls of each, so that a noisy neighbour disturbs all of them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Result, Timing, timing, versus

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Comparison:
    """A job of ours and one of theirs (see `peer`), what they are called, and what the ratio should be at most."""

    name: str
    ours: str
    peer: str
    theirs: str
    environment: str
    target: float | None = None


COMPARISONS = (
    Comparison("get_or_set hit", "our_get", "diskcache, get and json.loads", "diskcache_get", "peer-caches", 0.5),
    Comparison("get_or_set hit, key of request", "our_request", "DSPy, in memory", "dspy_memory", "peer-dspy"),
    Comparison("get_or_set hit, key of request", "our_request", "DSPy, on disk", "dspy_disk", "peer-dspy"),
    Comparison("get_or_set hit, key of request", "our_request", "GPTCache, memory", "gptcache_memory", "peer-gptcache"),
    Comparison("cached_call hit", "our_decorator", "diskcache.memoize", "diskcache_memoize", "peer-caches", 0.5),
    Comparison("cached_call hit", "our_decorator", "joblib.Memory", "joblib_memory", "peer-caches", 0.2),
    Comparison("wrapped httpx client, hit", "our_http", "hishel, SQLite, a GET", "hishel_sqlite", "peer-caches"),
    Comparison("wrapped OpenAI client, hit", "our_openai", "LangChain, in memory", "langchain_memory", "peer-caches"),
    Comparison("wrapped OpenAI client, hit", "our_openai", "LangChain, SQLite", "langchain_sqlite", "peer-caches"),
    Comparison("wrapped OpenAI client, hit", "our_openai", "LiteLLM, in memory", "litellm_memory", "peer-litellm"),
    Comparison("wrapped OpenAI client, hit", "our_openai", "LiteLLM, on disk", "litellm_disk", "peer-litellm"),
)  # fmt: skip


def python_of(environment: str, *, make: bool) -> str | None:
    """The interpreter of a peer's environment, which is made first if that may take minutes; None if there is none."""
    if not environment:
        return sys.executable
    python = ROOT / ".venvs" / environment / "bin" / "python"
    if make:
        command = [sys.executable, "tools/environment.py", f".venvs/{environment}", f"requirements/{environment}.txt"]
        subprocess.run(command, cwd=ROOT, check=False)
    return str(python) if python.exists() else None


class Worker:
    """A process that does one job when it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.times: list[int] = []
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a job of {self._process.args!r} ended")
        return line

    def round(self, calls: int, *, keep: bool) -> None:
        """Make so many calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        times = json.loads(self._line())
        if keep:
            self.times += times


@contextmanager
def worker(python: str, job: str) -> Iterator[Worker]:
    """A worker of the last core, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(ROOT / "benchmarks" / "peer.py"), job, folder, str((os.cpu_count() or 1) - 1)]
        environment = {**os.environ, "HOME": folder, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:
            try:
                yield Worker(process)
            finally:
                process.kill()


def compare(pairs: Iterable[tuple[str, str]], *, rounds: int, calls: int) -> list[Timing]:
    """Times of jobs, each given as its interpreter and its name, in turn after one round to warm up."""
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(*pair)) for pair in pairs]
        for number in range(rounds + 1):
            for each in workers:
                each.round(calls, keep=number > 0)
        return [timing(each.times) for each in workers]


def run(*, quick: bool) -> list[Result]:
    """A result for each comparison whose peer is here."""
    found = []
    pythons = {each: python_of(each, make=not quick) for each in {each.environment for each in COMPARISONS}}
    for each in COMPARISONS:
        theirs = pythons[each.environment]
        if theirs is None:
            print(f"peers: {each.peer} is left out, since .venvs/{each.environment} is not made.", file=sys.stderr)
            continue
        try:
            jobs = [(sys.executable, each.ours), (theirs, each.theirs)]
            ours, beside = compare(jobs, rounds=3 if quick else 20, calls=50 if quick else 200)
        except RuntimeError as error:
            print(f"peers: {each.peer} is left out: {error}", file=sys.stderr)
            continue
        found.append(versus(f"{each.name}, SQLite", each.peer, ours, beside, ratio=each.target or 1))
    return found
