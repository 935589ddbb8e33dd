"""What the tests of frameworks share: filters, the marks of cells, and how to ask twice. It holds no tests."""

from __future__ import annotations

import pytest

from llm_cache import last_call
from tests.sdk.sdks import installed

FILTERS = [
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

CHAT, MESSAGES_PATH = "/v1/chat/completions", "/v1/messages"
MESSAGES = [{"role": "user", "content": "hi"}]


def needs(distribution, column, name=None, *, no=None):
    """A test of one cell, skipped where the SDK is not installed."""
    found = installed(distribution)
    row = f"{name or distribution} {(found or '?').partition('.')[0]}"

    def decorate(test):
        marked = pytest.mark.cell(row, column, no=no)(test)
        return pytest.mark.skipif(found is None, reason=f"{distribution} is not installed")(marked)

    return decorate


def twice(call):
    """What a call gives, twice; the second time from the cache."""
    first = call()
    second = call()
    assert last_call().status == "hit"
    return first, second


async def atwice(call):
    first = await call()
    second = await call()
    return first, second


AIOHTTP = "it sends with aiohttp, which has no place for a cache; `llm-cache run` and the proxy cover it"
