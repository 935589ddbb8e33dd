"""Digests of the functions in files of this repository, in whatever interpreter runs this, as JSON.

The standard library and `llm_cache` only. It must not know what is right.
"""

import importlib
import inspect
import json
import pkgutil
import sys

import llm_cache.core
from llm_cache.clients.function_digest import digest

OTHERS = (
    "clients.arguments",
    "clients.reads",
    "clients.redaction",
    "clients.syntax",
    "clients.typed",
    "codec.values_objects",
    "errors",
)


def functions(module):
    for name, value in sorted(vars(module).items()):
        if inspect.isfunction(value):
            yield name, value, None
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            yield from ((f"{name}.{each}", function, value) for each, function in sorted(vars(value).items()))


def main():
    names = [f"core.{found.name}" for found in pkgutil.iter_modules(llm_cache.core.__path__)]
    digests = {}
    for module in (importlib.import_module(f"llm_cache.{name}") for name in (*names, *OTHERS)):
        for name, function, owner in functions(module):
            # Not those that dataclasses, enums and named tuples make.
            if inspect.isfunction(function) and function.__code__.co_filename == module.__file__:
                digests[f"{module.__name__}.{name}"] = digest(function, owner)
    json.dump(digests, sys.stdout)


if __name__ == "__main__":
    main()
