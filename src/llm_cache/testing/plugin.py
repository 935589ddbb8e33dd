"""The pytest plugin: tests that call models, recorded once and replayed without a network. It must stay light.

Every pytest of an environment with llm-cache loads this file; what it needs is imported when a test is under it.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.testing.recorded_test import RecordedTest

MODES = ("offline", "auto", "refresh", "off")
_running: pytest.StashKey[RecordedTest] = pytest.StashKey()
_now: pytest.StashKey[RecordedTest | None] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and the settings of the same names."""
    group = parser.getgroup("llm-cache")
    group.addoption(
        "--llm-cache",
        choices=MODES,
        help="offline: replay, never call; auto: replay, record what is missing; refresh: record anew; off: nothing."
        " With it every test is under the cache; without it those that have the marker or ask for the fixture are,"
        " offline.",
    )
    group.addoption(
        "--llm-cache-store",
        metavar="URL",
        help="One store for all tests, as LLMCACHE_DATABASE_URL, instead of a cassette for each.",
    )
    parser.addini("llm_cache", "What --llm-cache says where it is not given.", default="")
    parser.addini("llm_cache_store", "What --llm-cache-store says where it is not given.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "llm_cache(mode=None, cassette=None): calls of models in this test go through llm-cache; a cassette is named"
        " relative to the test's file.",
    )
    mode = config.getini("llm_cache")
    if mode and mode not in MODES:
        raise pytest.UsageError(f"llm_cache in the pytest configuration is {mode!r}: it is one of {', '.join(MODES)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Put the cache under a test for as long as it runs, its fixtures included."""
    mode = _mode_of(item)
    if mode == "off":
        return (yield)
    from llm_cache.testing.recorded_test import RecordedTest

    marker = item.get_closest_marker("llm_cache")
    cassette = marker.kwargs.get("cassette") if marker else None
    test = item.stash[_running] = RecordedTest(item.path, item.nodeid, mode, _store_of(item.config), cassette)
    item.config.stash[_now] = test
    try:
        with test:
            return (yield)
    finally:
        item.config.stash[_now] = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what failed before: plugins run again what did."""
    test = item.stash.get(_running, None)
    if test is not None:
        test.begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say beside a failure which calls were not recorded, and what comes nearest: the test's own error may not."""
    report = yield
    test = item.stash.get(_running, None)
    if test is not None:
        test.failed = test.failed or report.failed
        if report.failed and test.misses:
            report.sections.append(("llm-cache", test.told()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Give a fixture that several tests share a cassette of its own: which of them comes first differs each time."""
    test = request.config.stash.get(_now, None)
    if test is None or fixturedef.scope == "function" or test.path is None:
        return (yield)
    from llm_cache.testing.recorded_test import RecordedTest

    file = Path(inspect.getfile(inspect.unwrap(fixturedef.func)))
    if not file.is_relative_to(request.config.rootpath) or "site-packages" in file.parts:
        # Another plugin's: nowhere to keep a cassette.
        return (yield)
    own = fixturedef.argname
    if fixturedef.scope == "class" and request.cls is not None:
        own = f"{request.cls.__name__}::{own}"
    if hasattr(request, "param"):
        own = f"{own}[{request.param!r}]"
    part = RecordedTest(file, own, test.mode, None, None)
    with part:
        try:
            return (yield)
        except BaseException:
            part.failed = True
            test.blame(part)
            raise


@pytest.fixture
def llm_cache(request: pytest.FixtureRequest) -> LLMCache:
    """The cache that this test's calls go through; to ask for it puts the test under the cache."""
    test = request.node.stash.get(_running, None)
    if test is None:
        pytest.skip("--llm-cache=off")
    cache: LLMCache = test.cache
    return cache


def _mode_of(item: pytest.Item) -> str:
    given = item.config.getoption("--llm-cache") or item.config.getini("llm_cache")
    marker = item.get_closest_marker("llm_cache")
    if marker is not None:
        unknown = set(marker.kwargs) - {"mode", "cassette"}
        if marker.args or unknown:
            raise pytest.UsageError(f"{item.nodeid}: the marker llm_cache takes mode= and cassette=, nothing else")
        asked = marker.kwargs.get("mode")
        if asked is not None and asked not in MODES:
            raise pytest.UsageError(f"{item.nodeid}: the marker llm_cache has mode={asked!r}: use {', '.join(MODES)}")
        # Offline is a promise about the whole run; a test may keep itself out of it, but not call.
        if asked is not None and not (given == "offline" and asked != "off"):
            return str(asked)
    if given:
        return str(given)
    under = marker is not None or "llm_cache" in getattr(item, "fixturenames", ())
    return "offline" if under else "off"


def _store_of(config: pytest.Config) -> str | None:
    found: Any = config.getoption("--llm-cache-store") or config.getini("llm_cache_store")
    return str(found) if found else None
