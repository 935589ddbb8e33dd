"""Real SDKs against the fake upstream. Runs in several environments, each with other majors of the SDKs."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cache import LLMCache


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs an SDK, and runs again beside the majors before."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("sdk")


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made
