"""The ASGI application: from a request to its call. It must not touch a socket, and needs no framework."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llm_cache.clients.cache import LLMCache
from llm_cache.clients.engine import MEGABYTE, Engine
from llm_cache.clients.options import Layer, current_layer
from llm_cache.config import Settings
from llm_cache.core.events import Event
from llm_cache.core.model import Request
from llm_cache.core.plan import Ask
from llm_cache.core.policy import Policy
from llm_cache.providers.registry import readable
from llm_cache.proxy.admin import Admin
from llm_cache.proxy.board import Board
from llm_cache.proxy.call import Call, refused
from llm_cache.proxy.client import Client, Gone, Receive, Send, TooLarge
from llm_cache.proxy.dashboard.access import is_here
from llm_cache.proxy.dashboard.site import Dashboard
from llm_cache.proxy.guard import Guard
from llm_cache.proxy.incoming import Incoming, head_of, size_of
from llm_cache.proxy.memo import Memo
from llm_cache.proxy.refusal import Refusal, style_of
from llm_cache.proxy.routes import Route, Routes
from llm_cache.proxy.scope import Scopes
from llm_cache.proxy.shortcut import WHOLE, Shortcut
from llm_cache.proxy.siblings import Siblings
from llm_cache.proxy.steering import steer
from llm_cache.proxy.tokens import ADMIN, Tokens
from llm_cache.proxy.upstream import Outbound

_log = logging.getLogger("llm_cache")


@dataclass(frozen=True, eq=False)
class _Known:
    """What follows from the head of a request, whatever its body is. Compared by identity."""

    incoming: Incoming
    route: Route
    policy: Policy
    steered: bool


class Proxy:
    """An ASGI 3 application, for `llm-cache serve` or for mounting in another.

    Args:
        engine: the cache behind it.
        owned: whether the engine is closed when the application shuts down.
        listener: told what happens to each call, beside the account.
        siblings: the other workers, where there are several.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        owned: bool,
        listener: Callable[[Event], None] | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        settings = engine.settings
        self._engine = engine
        self._owned = owned
        self._world = replace(engine.world, explain=one_at_a_time(engine.world.explain))
        self._listener = listener
        self._paced = settings.replay_pace == "recorded"
        self._most_body = int(settings.proxy_max_body_mb * MEGABYTE)
        self._routes = Routes(settings.upstreams)
        self._guard = Guard(settings.proxy_host, settings.proxy_allowed_hosts)
        self._tokens = Tokens(settings.proxy_tokens)
        self._scopes = Scopes(
            lambda: engine.store.secret("scope"), shared=settings.proxy_scope == "shared", named=bool(self._tokens)
        )
        board = siblings.board if siblings is not None else Board()
        self._row = board.row(siblings.index if siblings is not None else 0)
        self._admin = Admin(engine, _version(), board, siblings)
        self._dashboard = Dashboard(engine)
        self._heads: Memo[_Known] = Memo(4 * MEGABYTE)
        self._asks: Memo[Ask] = Memo(32 * MEGABYTE)
        listeners = (engine.ledger,) if listener is None else (engine.ledger, listener)
        self.shortcut = Shortcut(engine, self._row, *listeners)
        self._outbound = Outbound(
            connect_s=settings.proxy_connect_timeout_s,
            idle_s=settings.proxy_idle_timeout_s,
            total_s=settings.proxy_total_timeout_s,
            most=settings.proxy_max_upstream_calls,
            board=board,
            row=self._row,
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            # Before it was accepted: the server answers 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "this proxy carries no WebSockets"})

    async def start(self) -> None:
        """Have at hand what the first call needs."""
        await self._scopes.begin()

    def flush(self) -> Callable[[], bool]:
        """Count what has been answered so far; what is returned brings that into the store, and may wait for it."""
        self.shortcut.flush()
        return self._engine.ledger.flush

    async def close(self) -> None:
        """Let go of upstream connections, and of the engine if it is the application's own."""
        await self._outbound.close()
        self.shortcut.flush()
        if self._owned:
            self._engine.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        incoming: Incoming | None = None
        route: Route | None = None
        try:
            # What follows from the head alone is worked out once: most clients send the same one again and again.
            layer = current_layer()
            key = (head_of(scope), layer)
            known = self._heads.get(key)
            if known is None:
                incoming = Incoming(scope)
                if incoming.path == "/healthz":
                    # A health check comes from a supervisor that knows an address, no name and no token.
                    await self._page(incoming, send)
                    return
                caller = self._admitted(incoming)
                if self._dashboard.has(incoming.path):
                    self._check_administers(scope, caller)
                    await self._dashboard.serve(scope, incoming.path, receive, send)
                    return
                if self._admin.has(incoming.method, incoming.path):
                    await self._page(incoming, send)
                    return
                route = self._routes.find(incoming)
                known = await self._known(incoming, route, caller)
                # Without the store's secret it is only for now: with it, this caller's scope is another.
                if route.endpoint and incoming.method == "POST" and self._scopes.ready:
                    self._heads.put(key, known, size_of(key[0]))
            incoming, route = known.incoming, known.route
            ask = await self._proxied(known, receive, send)
            whole = scope.get(WHOLE)
            if ask is not None and whole is not None and not layer and self._may_be_short(ask):
                self.shortcut.learn(whole, ask)
        except Refusal as refusal:
            assert incoming is not None  # noqa: S101 - nothing is refused before it has been looked at
            self._row.count("failed" if refusal.forwarded else "refused")
            refused(incoming, refusal)
            headers, body = refusal.reply(style_of(incoming, route.name if route else None))
            await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _may_be_short(self, ask: Ask) -> bool:
        """Whether the same bytes may take the short way the next time, which knows no pace, no log and no span."""
        slowly = self._paced and ask.endpoint is not None and ask.endpoint.stream
        return not (slowly or _log.isEnabledFor(logging.DEBUG) or self._engine.ledger.spans.active)

    def _admitted(self, incoming: Incoming) -> str:
        """The name of the caller's token, "" if none is needed; whoever may not come in is refused."""
        caller = self._tokens.take(incoming)
        self._guard.check(incoming, known=bool(caller))
        return caller

    def _check_administers(self, scope: MutableMapping[str, Any], caller: str) -> None:
        """Let those only who may see everybody's entries, which do not say whose they are."""
        if not (self._tokens.administers(caller) if self._tokens else self._guard.private and is_here(scope)):
            raise Refusal(
                403,
                "admin_only",
                "This page shows everybody's entries: it is only served to the token named"
                f' "{ADMIN}", or the only one; without tokens, on this machine by a proxy that no other reaches.',
            )

    async def _page(self, incoming: Incoming, send: Send) -> None:
        """Answer what is asked of the proxy itself."""
        self.shortcut.flush()
        status, headers, body = await self._admin.page(incoming.method, incoming.path)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _known(self, incoming: Incoming, route: Route, caller: str) -> _Known:
        engine = self._engine
        if not self._scopes.ready:
            await self._scopes.prepare()
        steering: Layer = steer(incoming.steering, engine.policy) if incoming.steering else ()
        policy = engine.policy_for((("scope", self._scopes.of(incoming, caller)),), steering)
        return _Known(incoming, route, policy, not (policy.reads or policy.writes) and bool(steering))

    async def _proxied(self, known: _Known, receive: Receive, send: Send) -> Ask | None:
        """Serve the call; what was asked if it was a fresh hit."""
        incoming, route, client = known.incoming, known.route, Client(receive)
        body: bytes | None = None
        if route.endpoint and incoming.method == "POST" and readable(incoming.content_type, route.url):
            try:
                body = await self._read(incoming, client)
            except Gone:
                return None
        ask = self._asks.get((known, body))
        if ask is None:
            ask = self._ask(incoming, route, known.policy, body)
            if body is not None:
                self._asks.put((known, body), ask, 2 * len(body) + 1024)
        call = Call(
            self._engine,
            self._world,
            self._outbound,
            incoming,
            route,
            ask,
            body,
            client,
            send,
            drain=self._engine.settings.drain_on_disconnect,
            steered=known.steered,
            paced=self._paced,
            listener=self._listener,
        )
        await call.serve()
        return ask if call.hit else None

    async def _read(self, incoming: Incoming, client: Client) -> bytes:
        try:
            return await client.read(self._most_body, incoming.length)
        except TooLarge:
            raise Refusal(
                413,
                "body_too_large",
                f"The request's body is over {self._engine.settings.proxy_max_body_mb:g} MB, which proxy_max_body_mb"
                " (LLMCACHE_PROXY_MAX_BODY_MB) allows.",
            ) from None

    def _ask(self, incoming: Incoming, route: Route, policy: Policy, body: bytes | None) -> Ask:
        """What is known of the call. To the core it goes straight to its upstream, as a library's call does."""
        if body is not None:
            request = Request(incoming.method, route.url, incoming.headers, body)
            try:
                return self._engine.ask(request, policy, route.name)
            except Exception:
                # Whatever is wrong with it, the upstream shall say.
                _log.exception("a request could not be looked at; it passes through")
        return Ask(Request(incoming.method, route.url), policy, None, None)


def one_at_a_time(explain: Callable[[Ask], str]) -> Callable[[Ask], str]:
    """Explains a miss, unless it is explaining another: that reads thousands of rows, and callers choose how often."""
    free = threading.Lock()

    def explain_or_not(ask: Ask) -> str:
        if not free.acquire(blocking=False):
            return ""
        try:
            return explain(ask)
        finally:
            free.release()

    return explain_or_not


def _version() -> str:
    try:
        return version("llm-cache")
    except PackageNotFoundError:  # it runs from a copy that nobody installed
        return "unknown"


def create_app(
    source: Settings | Engine | LLMCache,
    listener: Callable[[Event], None] | None = None,
    siblings: Siblings | None = None,
) -> Proxy:
    """The application, to be served or mounted; it shuts down with its lifespan.

    Args:
        source: settings, whose cache is then the application's own, or a cache that somebody else closes.
        listener: told what happens to each call.
        siblings: the other workers, where this is one of several.

    Raises:
        ConfigError: the settings ask for what there is not.
    """
    if isinstance(source, LLMCache):
        return Proxy(source.engine, owned=False, listener=listener, siblings=siblings)
    if isinstance(source, Engine):
        return Proxy(source, owned=False, listener=listener, siblings=siblings)
    return Proxy(Engine(source), owned=True, listener=listener, siblings=siblings)
