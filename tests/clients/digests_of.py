"""Digests of functions in whatever interpreter runs this: cases as JSON on standard input, digests on standard output.

Standard library and `llm_cache` only. It must not know what is right.
"""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

from llm_cache.clients.arguments import Parameters
from llm_cache.clients.function_digest import digest


def load(source, folder, number):
    file = Path(folder) / f"case{number}.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("vectors", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["vectors"] = module
    spec.loader.exec_module(module)
    return module


def written(parameters, arguments):
    return parameters.written(parameters.bound((), arguments)).decode()


def main():
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(json.load(sys.stdin)):
            module = load(case["source"], folder, number)
            target = module
            for name in case["function"].split("."):
                target = getattr(target, name)
            owner = getattr(module, case["owner"]) if "owner" in case else None
            if "arguments" in case:
                value = eval(case["arguments"], dict(vars(module)))  # of this repository, and of nobody else
                found[case["name"]] = written(Parameters(target, ()), value)
            else:
                found[case["name"]] = digest(target, owner)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
