"""What tests of the ways in share. It must not hold tests."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import linecache
import sys
import textwrap

import pytest

from llm_cache import LLMCache

_numbers = itertools.count()


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


@pytest.fixture
def warned():
    """One warning a type is for a whole process; each test begins anew."""
    # By its name: what tests import here is public, so that they can run where only a wheel is.
    importlib.import_module("llm_cache.clients.values")._warned.clear()


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Makes a module of some source and imports it anew each time, whatever its name was before."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def write(source, name="program"):
        folder = tmp_path / f"v{next(_numbers)}"
        folder.mkdir()
        file = folder / f"{name}.py"
        file.write_text(textwrap.dedent(source))
        linecache.checkcache()
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield write
    for name in names:
        sys.modules.pop(name, None)


class Cell:
    """A notebook: cells are compiled under names of their own and kept in `linecache`, as IPython does it."""

    def __init__(self) -> None:
        self.space = {"__name__": "__main__"}

    def __call__(self, source):
        source = textwrap.dedent(source)
        name = f"<ipython-input-{next(_numbers)}-{abs(hash(source)):x}>"
        linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
        exec(compile(source, name, "exec"), self.space)
        return self.space


@pytest.fixture
def cell():
    return Cell()
