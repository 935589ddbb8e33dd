"""Chooses the answer to a request: scripted, standing, recorded, or a 404 that explains itself. It must not send it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

from llm_cache.testing.build_errors import error_like
from llm_cache.testing.matching import nearness
from llm_cache.testing.reply import Handler, Reply

if TYPE_CHECKING:
    from llm_cache.testing.matching import Recordings
    from llm_cache.testing.reply import Received

Answer: TypeAlias = Reply | Handler


class Rules:
    """What a test has asked for, in the order of precedence. Thread-safe."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        self._lock = threading.Lock()
        self._scripted: list[tuple[str, Answer]] = []
        self._standing: dict[str, Answer] = {}

    def script(self, path: str, answers: tuple[Answer, ...]) -> None:
        """Each answers one request, in this order, after those that are scripted already."""
        with self._lock:
            self._scripted += [(path, answer) for answer in answers]

    def stand(self, path: str, answer: Answer) -> None:
        """It answers every request on that path, in the place of an earlier one."""
        with self._lock:
            # Taken out first, so that among equally near paths the newest comes last.
            self._standing.pop(path, None)
            self._standing[path] = answer

    def unanswered(self) -> int:
        """How many scripted answers nobody has asked for yet."""
        with self._lock:
            return len(self._scripted)

    def clear(self) -> None:
        """Forget what was scripted; recordings begin again."""
        with self._lock:
            self._scripted.clear()
            self._standing.clear()
            self._recordings.rewind()

    def choose(self, received: Received) -> Answer:
        """The answer to this request; a scripted one is used up by it."""
        with self._lock:
            scripted = self._nearest_scripted(received.target)
            if scripted is not None:
                return self._scripted.pop(scripted)[1]
            standing = self._nearest_standing(received.target)
            if standing is not None:
                return standing
            exchange = self._recordings.find(received)
            if exchange is not None:
                return exchange.reply()
            return error_like(received, 404, self._recordings.explain(received), code="not_recorded")

    def _nearest_scripted(self, target: str) -> int | None:
        near = [(nearness(path, target), at) for at, (path, _) in enumerate(self._scripted)]
        return min(((level, at) for level, at in near if level is not None), default=(0, None))[1]

    def _nearest_standing(self, target: str) -> Answer | None:
        best: tuple[int, Answer] | None = None
        for path, answer in self._standing.items():
            level = nearness(path, target)
            if level is not None and (best is None or level <= best[0]):
                best = (level, answer)
        return best[1] if best is not None else None
