"""The dashboard as a part of an ASGI application: from a path to a page or to data. It must decide nothing else.

Everything that waits for the store runs in threads, beside the event loop that serves calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from llm_cache.errors import StoreError
from llm_cache.proxy.client import Client, Gone, Receive, Send, TooLarge
from llm_cache.proxy.dashboard import assets
from llm_cache.proxy.dashboard.access import same_site
from llm_cache.proxy.dashboard.answers import TEXT, Answer, Problem, data
from llm_cache.proxy.dashboard.difference import differs
from llm_cache.proxy.dashboard.entries import Entries
from llm_cache.proxy.dashboard.entry import frames_of, row_of, shown
from llm_cache.proxy.dashboard.figures import figures
from llm_cache.proxy.dashboard.health import check, health
from llm_cache.proxy.dashboard.misses import misses
from llm_cache.proxy.dashboard.purge import purge
from llm_cache.proxy.dashboard.texts import Texts, pieces

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine

_log = logging.getLogger("llm_cache")
ROOT = "/dashboard"
_READ = frozenset({"GET", "HEAD"})
_LATEST = 50
_MOST_BODY = 64 * 1024
_LONGEST_QUERY = 4096

Query = Mapping[str, str]


class Dashboard:
    """The dashboard of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries = Entries(engine)
        self._data: dict[str, Callable[[Query], object]] = {
            "overview": self._overview,
            "calls": self._calls,
            "names": self._names,
            "entries": self._entries.page,
            "misses": lambda query: misses(engine, query),
            "health": lambda _: health(engine),
            "check": lambda _: check(engine),
        }

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is the dashboard's."""
        return path == ROOT or path.startswith(f"{ROOT}/")

    async def serve(
        self,
        scope: Mapping[str, Any],
        path: str,
        receive: Receive,
        send: Send,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        """Answer one request.

        Args:
            scope: of ASGI.
            path: the request's, without what stood before `/dashboard`.
            receive: of ASGI.
            send: of ASGI.
            admit: raises a `Problem` for those who may not see the dashboard.
        """
        method: str = scope["method"]
        try:
            admit()
            answer = await self._answer(scope, method, path, receive)
        except Problem as problem:
            answer = problem.answer()
        except Gone:
            return
        except StoreError as error:
            answer = Problem(503, f"The store fails: {error}").answer()
        except Exception:
            _log.exception("a page of the dashboard could not be made")
            answer = Problem(500, "This could not be shown; the log says why.").answer()
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.head()})
        if method != "HEAD":
            for piece in answer.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Mapping[str, Any], method: str, path: str, receive: Receive) -> Answer:
        where = path.removeprefix(ROOT)
        if where == "/api/purge":
            if method != "POST":
                raise Problem(405, "Deleting is a POST.", ((b"allow", b"POST"),))
            same_site(scope["headers"], writes=True)
            body = await _body(receive)
            return data(await asyncio.to_thread(self._purge, body))
        if method not in _READ:
            raise Problem(405, "This can only be read.", ((b"allow", b"GET, HEAD"),))
        if where in {"", "/"}:
            return assets.page("" if where else "dashboard/")
        kind, _, name = where[1:].partition("/")
        if kind == "static":
            return assets.file(name)
        if kind != "api":
            raise Problem(404, "The dashboard has no such page.")
        same_site(scope["headers"], writes=False)
        query = _query(scope["query_string"])
        if name.startswith("entries/"):
            return await asyncio.to_thread(self._entry, name.split("/")[1:], query)
        if name not in self._data:
            raise Problem(404, "The dashboard has no such data.")
        return data(await asyncio.to_thread(self._data[name], query))

    def _overview(self, query: Query) -> object:
        engine = self._engine
        told = figures(engine.ledger.account(lenient=True), engine.clock(), query)
        try:
            held = self._entries.names()
        except StoreError as error:
            return {**told, "entries": None, "size_bytes": None, "problem": str(error)}
        return {**told, "entries": held.entries, "size_bytes": held.size_bytes, "problem": None}

    def _calls(self, _: Query) -> object:
        return {"calls": [asdict(call) for call in self._engine.ledger.recent(_LATEST)]}

    def _names(self, _: Query) -> object:
        held = self._entries.names()
        sums = self._engine.ledger.account(lenient=True)
        namespaces = {label[4] for label in sums if len(label) == 5}
        return {"providers": held.providers, "models": held.models, "namespaces": sorted(namespaces)}

    def _entry(self, path: list[str], query: Query) -> Answer:
        row = row_of(self._engine, path[0])
        if len(path) == 1:
            return data(shown(self._engine, row, Texts()))
        if path[1:] == ["frames"]:
            first = query.get("first") or "0"
            return data(frames_of(self._engine, row, int(first) if first.isascii() and first.isdigit() else 0))
        if path[1:] == ["why"]:
            return data(differs(self._engine, row))
        if len(path) == 3 and path[1] == "texts" and path[2].isascii() and path[2].isdigit():
            texts = Texts(int(path[2][:9]))
            shown(self._engine, row, texts)
            if texts.whole is not None:
                return Answer(200, TEXT, pieces(texts.whole))
        raise Problem(404, "The entry has no such part.")

    def _purge(self, body: bytes) -> object:
        told = purge(self._engine, body)
        self._entries.forget()
        return told


def _query(raw: bytes) -> dict[str, str]:
    if len(raw) > _LONGEST_QUERY:
        raise Problem(414, "The query is too long.")
    return dict(parse_qsl(raw.decode("latin-1"), encoding="utf-8", errors="replace"))


async def _body(receive: Receive) -> bytes:
    try:
        return await Client(receive).read(_MOST_BODY, None)
    except TooLarge:
        raise Problem(413, "What to delete is said in fewer words.") from None
