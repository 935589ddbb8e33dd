"""`FakeUpstream`, the face of the fake providers. It must not know how anything is sent, matched or counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from llm_cache.testing.build_errors import error_like
from llm_cache.testing.connection import Connection
from llm_cache.testing.gates import Gates
from llm_cache.testing.journal import Journal
from llm_cache.testing.matching import Recordings
from llm_cache.testing.reply import Received, Reply
from llm_cache.testing.rules import Answer, Rules
from llm_cache.testing.server import LoopThread
from llm_cache.testing.stage import Stage
from llm_cache.testing.traffic import Exchange, load_traffic

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from typing_extensions import Self

    from llm_cache.testing.reply import Split

_POLL_S: Final = 0.001
ANY_PATH: Final = "*"


class FakeUpstream:
    """A real HTTP/1.1 server on loopback that plays LLM providers: recorded answers, scripted ones, and faults.

        with FakeUpstream() as up:
            up.reply("/v1/chat/completions", openai_chat("Hello!"))
            client = OpenAI(base_url=f"{up.url}/v1", api_key="none")
            ...
            assert up.count() == 1

    It runs in a thread with an event loop of its own, so it serves sync tests and async ones, whatever their loop.
    An answer is the first of these that there is for the request's path: a scripted one (`script`, `fail`,
    `play(times=)`), which is used up; a standing one (`reply`, `play`); a recording of the same question; a 404 in the
    provider's format that names the nearest recording.

    Paths are compared as sent, then without the query, then as endpoints: `/chat/completions`,
    `/v1/chat/completions` and `/openai/v1/chat/completions` are one. A path may be a glob; `"*"` is any.

    All methods may be called from any thread, before and after it is started.
    """

    def __init__(
        self,
        exchanges: Iterable[Exchange] = (),
        *,
        split: Split = "random",
        seed: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Prepare it; nothing listens before `start()` or `with`.

        Args:
            exchanges: recordings to answer from.
            split: how bodies are cut into pieces, each written on its own: at `random` places (some of them inside of
                characters, line ends and field names), between `events`, between `bytes`, or not (`whole`). Chunks
                that a test gives are left as they are.
            seed: makes other random cuts than the default ones, and sends some plain JSON chunked.
            host: address to listen on.
            port: port to listen on; 0 is a free one, which it keeps when it is stopped and started again.
        """
        self.host = host
        self._port = port
        self._split = split
        self._seed = seed
        self._journal = Journal()
        self._rules = Rules(Recordings(exchanges))
        self._server: LoopThread | None = None
        self._stage: Stage | None = None

    @classmethod
    def from_traffic(
        cls,
        folder: str | os.PathLike[str] | None = None,
        *,
        select: Callable[[Exchange], bool] | None = None,
        split: Split = "random",
        seed: int | None = None,
    ) -> Self:
        """One that answers from recorded traffic: of `folder`, else of `traffic_folder()`; those that `select` takes.

        Raises FileNotFoundError if there is no such folder.
        """
        exchanges = load_traffic(folder)
        return cls(filter(select, exchanges) if select is not None else exchanges, split=split, seed=seed)

    def start(self) -> None:
        """Listen. Returns when connections are accepted. Raises OSError if the address is taken."""
        if self._server is not None:
            raise RuntimeError("this upstream has been started already.")
        stage = Stage(self._rules, self._journal, Gates(), self._split, self._seed)
        self._server = LoopThread(lambda: Connection(stage), self.host, self._port, stage.connections)
        self._stage = stage
        self._port = self._server.port

    def stop(self) -> None:
        """Drop all connections, stop listening, and return when both is done. It may be started again."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def drop_connections(self) -> None:
        """Drop all connections, idle ones as well, but go on listening: what the restart of a server looks like."""
        server, stage = self._server, self._stage
        if server is not None and stage is not None:
            server.post(stage.drop_connections)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; then raise what a handler of the test raised, if nothing else is being raised."""
        self.stop()
        with self._journal.changed:
            failed = self._journal.handler_errors[:1]
        if error is None and failed:
            raise failed[0]

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Stopping takes a millisecond or two and waits for nothing that this loop would have to do.
        self.__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        """The port it listens on. Raises RuntimeError before the first start."""
        if not self._port:
            raise RuntimeError("this upstream has no port before it is started: use `with`, or start().")
        return self._port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def reply(self, path: str, reply: Answer) -> None:
        """Answer every request on that path with this, from now on; the newest such rule counts.

        A handler (a function from `Received` to `Reply`) is asked each time, in a thread of its own. If it raises, the
        client gets a 500 and the `with` statement raises it at its end.
        """
        self._rules.stand(path, reply)

    def script(self, path: str, *replies: Answer) -> None:
        """Answer the next requests on that path with these, in order, one each, before anything else."""
        self._rules.script(path, replies)

    def fail(
        self,
        path: str = ANY_PATH,
        times: int = 1,
        *,
        status: int = 503,
        reset: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Fail the next requests on that path: with an error in the provider's format, or a reset before the head."""

        def refuse(received: Received) -> Reply:
            told = error_like(received, status, f"this upstream was told to fail with {status}")
            more = tuple((headers or {}).items())
            return Reply(status=status, json=told.json, headers=told.header_pairs + more)

        answer: Answer = Reply(reset=True) if reset else refuse
        self._rules.script(path, (answer,) * times)

    def play(self, exchange: Exchange, *, times: int | None = None, path: str | None = None) -> None:
        """Answer the next `times` requests on the exchange's path (or on `path`) with it, whatever they ask.

        None is every request from now on. A faulty version: `up.reply(e.path, replace(e.reply(), …))`.
        """
        if times is None:
            self._rules.stand(path or exchange.path, exchange.reply())
        else:
            self._rules.script(path or exchange.path, (exchange.reply(),) * times)

    @property
    def requests(self) -> list[Received]:
        """The requests that have arrived whole, in that order; a copy."""
        with self._journal.changed:
            return list(self._journal.requests)

    def count(self, path: str | None = None) -> int:
        """How many requests have arrived, on that path or on any."""
        return self._journal.count(path)

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._journal.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._journal.open_connections

    @property
    def in_flight(self) -> int:
        """How many requests have not had their whole answer yet."""
        return self._journal.in_flight

    @property
    def held(self) -> int:
        """How many replies are waiting at a gate now."""
        return self._journal.held

    @property
    def aborted(self) -> int:
        """How many clients went away before the last byte of their answer was written.

        What fits into the kernel's buffers counts as written: to be sure, hold the reply with a gate or `never_end`.
        """
        return self._journal.aborted

    @property
    def unanswered(self) -> int:
        """How many scripted replies nobody has asked for yet."""
        return self._rules.unanswered()

    def wait_until(self, condition: Callable[[Self], bool], timeout: float = 5.0) -> None:
        """Return as soon as it holds: `up.wait_until(lambda up: up.aborted == 1)`.

        Raises TimeoutError, with what is counted, after `timeout` seconds. It blocks: not on an event loop.
        """
        with self._journal.changed:
            if not self._journal.changed.wait_for(lambda: condition(self), timeout):
                raise self._too_late(timeout)

    def wait_for(self, count: int, timeout: float = 5.0, *, path: str | None = None) -> None:
        """Return as soon as `count` requests have arrived (on that path). Raises TimeoutError after `timeout` s."""
        self.wait_until(lambda upstream: upstream.count(path) >= count, timeout)

    async def await_until(self, condition: Callable[[Self], bool], timeout: float = 5.0) -> None:
        """`wait_until` for asyncio: other tasks of the loop go on meanwhile."""
        deadline = time.monotonic() + timeout
        while not condition(self):
            if time.monotonic() > deadline:
                raise self._too_late(timeout)
            await asyncio.sleep(_POLL_S)

    async def await_for(self, count: int, timeout: float = 5.0, *, path: str | None = None) -> None:
        """`wait_for` for asyncio."""
        await self.await_until(lambda upstream: upstream.count(path) >= count, timeout)

    def reset(self) -> None:
        """Forget requests, counts and scripts, as if newly started; what is open stays open and counted as such."""
        self._rules.clear()
        self._journal.reset()

    def reset_counts(self) -> None:
        """Forget requests and counts, but keep what was scripted."""
        self._journal.reset()

    def _too_late(self, timeout: float) -> TimeoutError:
        counted = ", ".join(
            f"{name}={getattr(self, name)}"
            for name in ("connections", "open_connections", "in_flight", "held", "aborted", "unanswered")
        )
        return TimeoutError(f"not so within {timeout} s: requests={self.count()}, {counted}.")
