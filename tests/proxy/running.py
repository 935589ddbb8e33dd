"""A proxy that runs for a test, in a thread or in a process of its own. It must not know what is tested."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from llm_cache.config import load
from llm_cache.proxy.app import Proxy, create_app
from llm_cache.proxy.serve import bind
from llm_cache.proxy.server import Server, url_of

NO_PROXY = {"trust_env": False, "timeout": 20.0}


class Running:
    """One proxy in a thread, on a free port."""

    def __init__(self, upstream: str | None, settings: dict[str, Any]) -> None:
        names = ("openai", "anthropic", "azure", "groq", "acme")
        given: dict[str, Any] = {
            "proxy_port": 0,
            "upstreams": dict.fromkeys(names, upstream) if upstream else {},
            **settings,
        }
        # Whatever is configured on this machine is none of the tests'.
        self.settings = load(given, {"XDG_CONFIG_HOME": "/nowhere"})
        self.sockets = bind(self.settings.proxy_host, self.settings.proxy_port)
        self.url = url_of(self.sockets[0])
        self.port = self.sockets[0].getsockname()[1]
        self.app: Proxy = create_app(self.settings)
        self.engine = self.app._engine
        self.server = Server(self.app, self.settings)
        self.failed: BaseException | None = None
        # One for all calls, since making one takes longer than a call; but a connection each, and no cookie kept.
        self._client = httpx.Client(**NO_PROXY, limits=httpx.Limits(max_keepalive_connections=0))
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy-under-test", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            serving = asyncio.ensure_future(self.server.serve(sockets=self.sockets))
            while not self.server.started and not serving.done():  # noqa: ASYNC110 - uvicorn sets no event
                await asyncio.sleep(0.001)
            self._ready.set()
            try:
                await serving
            finally:
                await self.app.close()

        try:
            import uvloop

            uvloop.run(main())
        except BaseException as error:
            self.failed = error
            self._ready.set()

    def stop(self) -> None:
        self._client.close()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        for each in self.sockets:
            each.close()
        if self.failed is not None:
            raise self.failed

    def ask(self, path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:
        """POST one small chat call."""
        headers = {"authorization": "Bearer sk-test", **options.pop("headers", {})}
        json = options.pop("json", ASK)
        return self._client.post(self.url + path, json=json, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._client.get(self.url + path, **options)


ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}
STREAM = {**ASK, "stream": True}


@contextmanager
def running(upstream: str | None, **settings: Any) -> Iterator[Running]:
    """A proxy whose named upstreams are all at one address."""
    proxy = Running(upstream, settings)
    try:
        yield proxy
    finally:
        proxy.stop()


class Process:
    """`serve` in a process of its own; its standard error is read into `log`."""

    def __init__(self, arguments: dict[str, Any], environ: dict[str, str] | None = None, *, before: str = "") -> None:
        code = (
            f"{before}\nimport sys; from llm_cache.config import load; from llm_cache.proxy.serve import serve;"
            f"sys.exit(serve(load({arguments!r})))"
        )
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        self.log: list[str] = []
        self._line = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._line:
                self.log.append(line)
                self._line.notify_all()
        with self._line:
            self._line.notify_all()

    def url(self) -> str:
        """Where it serves, as it says itself."""
        with self._line:
            assert self._line.wait_for(lambda: any("serves on" in line for line in self.log), 20), self.log
            line = next(line for line in self.log if "serves on" in line)
        found = re.search(r"http://\S+", line)
        assert found
        return found[0]

    def send(self, sig: signal.Signals) -> None:
        self.popen.send_signal(sig)

    def end(self, timeout: float = 20) -> int:
        status = self.popen.wait(timeout)
        self._reader.join(5)
        for pipe in (self.popen.stdout, self.popen.stderr):
            assert pipe is not None
            pipe.close()
        return status

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_details: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.end()


def folder(path: Path) -> str:
    """A path for a database at which there is a folder, so that no store works."""
    path.mkdir()
    return str(path)
