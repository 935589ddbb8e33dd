"""Writes every lock file in requirements/ from pyproject.toml. Changes nothing else. Standard library only.

One lock serves all Pythons and platforms. No index address is written into it: where packages come from is the
business of the machine that installs them, and the hashes say whether they are the right ones.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venvs" / "uv"
LOCKS = {
    "dev": ("pyproject.toml", "--group", "dev"),
    "lowest": ("pyproject.toml", "--group", "dev", "--resolution", "lowest-direct"),
    "sdk-openai2": ("pyproject.toml", "--group", "sdk-openai2"),
    "sdk-openai1": ("pyproject.toml", "--group", "sdk-openai1"),
    "sdk-frameworks": ("pyproject.toml", "--group", "sdk-frameworks"),
    "sdk-frameworks2": ("pyproject.toml", "--group", "sdk-frameworks2"),
    "peer-caches": ("--group", "peer-caches"),
    "peer-dspy": ("--group", "peer-dspy"),
    "peer-gptcache": ("--group", "peer-gptcache"),
    "peer-litellm": ("--group", "peer-litellm"),
    "docs": ("--group", "docs"),
    "plots": ("--group", "plots"),
    "release": ("--group", "release"),
    "uv": ("--group", "uv"),
}


def main(*more: str) -> None:
    """Compile them all with the pinned uv; `more` goes to it as it is (`--upgrade`)."""
    python = TOOLS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(TOOLS)], check=True)
    install = ["-m", "pip", "install", "-qq", "--require-hashes", "--requirement", "requirements/uv.txt"]
    subprocess.run([str(python), *install], cwd=ROOT, check=True)
    for name, what in LOCKS.items():
        command = [
            *(str(TOOLS / "bin" / "uv"), "pip", "compile", "--quiet", "--universal", "--python-version", "3.10"),
            *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"),
            *("--custom-compile-command", "make lock"),
            *(*what, "--output-file", f"requirements/{name}.txt", *more),
        ]
        # As pip does: this interpreter, and the certificates this machine trusts.
        surroundings = {"UV_SYSTEM_CERTS": "1", **os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": str(python)}
        if subprocess.run(command, cwd=ROOT, env=surroundings, check=False).returncode:
            sys.exit(f"lock: requirements/{name}.txt could not be made; the sentence above says why.")
        print(f"requirements/{name}.txt")


if __name__ == "__main__":
    main(*sys.argv[1:])
