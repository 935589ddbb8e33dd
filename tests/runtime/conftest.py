"""No test leaves an error that nobody looks at: lost exceptions, destroyed tasks, failed background jobs."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from llm_cache.runtime.writer import writer
from tests.runtime.staging import PATIENCE_S

UNSEEN = ("asyncio", "concurrent.futures")
JOBS = "a background job failed"


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in UNSEEN or record.getMessage() == JOBS:
            self.lines.append(self.format(record))


@pytest.fixture(autouse=True, scope="package")
def _young() -> None:
    """What was there before these tests need not be looked through after each of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_is_lost(_young: None) -> Iterator[None]:
    heard = _Heard()
    loggers = [logging.getLogger(name) for name in (*UNSEEN, "llm_cache")]
    for logger in loggers:
        logger.addHandler(heard)
    yield
    gc.collect()
    writer().drain(PATIENCE_S)
    for logger in loggers:
        logger.removeHandler(heard)
    assert heard.lines == []
