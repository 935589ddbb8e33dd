"""Fixtures of the dashboard's tests: a proxy with entries, and a real browser. It must not hold tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from llm_cache.core.events import About, Bypassed
from tests.dashboard import filling
from tests.proxy.running import NO_PROXY, Running, running

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A proxy whose store has entries of every kind; the tests of a file share it."""
    path = tmp_path_factory.mktemp("served") / "cache.db"
    with running(None, database_url=str(path)) as proxy:
        made, now = filling.made, proxy.engine.clock()
        filling.keep(
            proxy.engine,
            made("plain", created_at=now - 10),
            made("stream", chunks=filling.STREAM, created_at=now - 20),
            made(
                "talk",
                request=filling.TALK,
                response=filling.SAID,
                path="/v1/messages",
                provider="anthropic",
                model="claude-sonnet-4-5",
                namespace="agents",
                created_at=now - 30,
            ),
            made("old", created_at=now - 90_000, expires_at=now - 5),
            made("long", response=filling.chat(filling.LONG), created_at=now - 40),
            made(
                "hostile",
                request={"messages": [{"role": "user", "content": text} for text in filling.HOSTILE.values()]},
                response=filling.chat("\n".join(filling.HOSTILE.values())),
                model=filling.HOSTILE["image"],
                namespace=filling.HOSTILE["turned"],
                provider=filling.HOSTILE["script"],
                created_at=now - 50,
            ),
            *(replace(made(f"many {n}"), model="gpt-4o-mini", created_at=now - 100 - n) for n in range(120)),
        )
        filling.month(proxy.engine)
        proxy.engine.ledger(Bypassed(About("openai", "gpt-4o", "/v1/files", "default"), "not_cacheable"))
        yield proxy


@pytest.fixture
def ask(served: Running):
    """GETs data of the dashboard as its own page does."""
    with httpx.Client(**NO_PROXY, base_url=f"{served.url}/dashboard/api/") as client:

        def asking(path: str, status: int = 200, **query: str):
            answer = client.get(path, params=query)
            assert answer.status_code == status, answer.text
            return answer.json()

        yield asking


@pytest.fixture(scope="package")
def browser():
    """Headless Chromium. Of this folder and no longer: while it is there no event loop can run in this thread."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine (CONTRIBUTING.md says how to get one)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield made
        made.close()


class Watched:
    """A page that remembers what must never happen: errors, violations of its policy, requests to elsewhere."""

    def __init__(self, page, home: str) -> None:
        self.page = page
        self.home = home
        self.wrong: list[str] = []
        page.set_default_timeout(10_000)
        page.on("console", lambda message: message.type in {"error", "warning"} and self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._sent)
        page.add_init_script(
            "window.violations = []; document.addEventListener('securitypolicyviolation',"
            " (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));"
        )

    def _sent(self, request) -> None:
        if not request.url.startswith((self.home, "data:image/png")):
            self.wrong.append(f"a request to {request.url}")

    def open(self, view: str = "") -> None:
        if self.page.url.startswith(self.home):
            self.page.evaluate("view => { location.hash = '#/' + view }", view)
        else:
            self.page.goto(f"{self.home}#/{view}")
        self.settle()

    def settle(self) -> None:
        """Until the view that the address names is shown."""
        self.page.wait_for_timeout(30)
        self.page.wait_for_selector("main:not([aria-busy]) h1")

    def until(self, expression: str, argument: object = None) -> None:
        """Until it holds. Not with the driver's own way of waiting, which evaluates text in the page: the policy."""
        for _ in range(400):
            if self.page.evaluate(expression, argument):
                return
            self.page.wait_for_timeout(15)
        raise AssertionError(f"it never came to this: {expression}")

    def check(self) -> None:
        assert self.wrong == []
        assert self.page.evaluate("window.violations") == []
        assert self.page.evaluate("window.hacked") is None


@pytest.fixture
def visit(browser, served):
    """Opens pages; each is checked at the end."""
    contexts, watched = [], []

    def opening(view: str = "", *, width: int = 1280, scheme: str = "light", home: str | None = None) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
        contexts.append(context)
        made = Watched(context.new_page(), home or f"{served.url}/dashboard/")
        watched.append(made)
        made.open(view)
        return made

    yield opening
    for each in watched:
        each.check()
    for each in contexts:
        each.close()
