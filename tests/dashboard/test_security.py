"""Who gets the dashboard, and what a page of another origin can do with it: nothing."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.dashboard.filling import keep, made
from tests.proxy.running import NO_PROXY, running

WRITES = {"content-type": "application/json", "x-llm-cache-dashboard": "1"}
PATHS = ("/dashboard", "/dashboard/", "/dashboard/api/entries", "/dashboard/static/main.js", "/dashboard/nothing")


def test_every_answer_is_strict(served):
    for path in PATHS:
        answer = served.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_with_and_without_a_slash_the_page_finds_its_files(served):
    assert 'src="dashboard/static/main.js"' in served.get("/dashboard").text
    assert 'src="static/main.js"' in served.get("/dashboard/").text


def test_only_the_packages_own_files_are_served(served):
    for name in ("../site.py", "%2e%2e/site.py", "/etc/passwd", "", "index", "__init__.py"):
        assert served.get(f"/dashboard/static/{name}").status_code == 404, name


def test_methods(served):
    assert served.get("/dashboard/api/purge").status_code == 405
    with httpx.Client(**NO_PROXY) as client:
        assert client.post(f"{served.url}/dashboard/").status_code == 405
        head = client.head(f"{served.url}/dashboard/")
        assert head.status_code == 200
        assert head.content == b""


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example.com"},  # a name bound anew to this machine
        {"origin": "https://evil.example.com"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"x-forwarded-for": "203.0.113.9"},  # somebody else, through a proxy on this machine
        {"forwarded": "for=203.0.113.9"},
        {"host": "203.0.113.9:80"},
    ],
)
def test_data_is_refused_to_others(served, headers):
    answer = served.get("/dashboard/api/entries", headers=headers)
    assert answer.status_code == 403
    assert "Question" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"x-llm-cache-dashboard": "1"},
        {"x-llm-cache-dashboard": "1", "content-type": "text/plain"},
        {**WRITES, "sec-fetch-site": "cross-site"},
        {**WRITES, "sec-fetch-site": "none"},
        {**WRITES, "origin": "https://evil.example.com"},
        {**WRITES, "origin": "null"},
    ],
)
def test_nothing_is_deleted_for_others(tmp_path, headers):
    with running(None, database_url=str(tmp_path / "db")) as proxy, httpx.Client(**NO_PROXY) as client:
        keep(proxy.engine, made("one"))
        body = b'{"everything": true, "confirm": true}'
        answer = client.post(f"{proxy.url}/dashboard/api/purge", content=body, headers=headers)
        assert answer.status_code == 403
        assert proxy.engine.store.summary().entries == 1


def test_its_own_page_may_delete(tmp_path):
    with running(None, database_url=str(tmp_path / "db")) as proxy, httpx.Client(**NO_PROXY) as client:
        keep(proxy.engine, made("one"))
        own = {**WRITES, "origin": proxy.url, "sec-fetch-site": "same-origin"}
        body = {"everything": True, "confirm": True}
        assert client.post(f"{proxy.url}/dashboard/api/purge", json=body, headers=own).json()["count"] == 1


def test_a_body_over_the_limit_is_refused(served):
    with httpx.Client(**NO_PROXY) as client:
        answer = client.post(f"{served.url}/dashboard/api/purge", content=b" " * 100_000, headers=WRITES)
    assert answer.status_code == 413


def test_another_machine_is_refused_without_tokens(tmp_path):
    """The peer's address decides, not what it says of itself."""
    own = _own_address()
    if own is None:
        pytest.skip("this machine has no address but loopback")
    with running(None, database_url=str(tmp_path / "db"), proxy_host="0.0.0.0") as proxy, httpx.Client(**NO_PROXY) as c:
        url = f"http://{own}:{proxy.port}"
        assert c.get(f"{url}/healthz").status_code == 200
        for path in PATHS:
            assert c.get(url + path, headers={"host": "localhost"}).status_code == 403


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which way it would go
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


TWO = {"admin": "a" * 32, "bob": "b" * 32}


@pytest.mark.parametrize(
    ("tokens", "token", "status"),
    [
        (TWO, "", 401),
        (TWO, "x" * 32, 401),
        (TWO, "b" * 32, 403),  # a tenant: entries do not say whose they are
        (TWO, "a" * 32, 200),
        ({"team": "t" * 32}, "t" * 32, 200),
        ({"team": "t" * 32}, "", 401),
    ],
)
def test_it_is_behind_the_operators_token(tmp_path, tokens, token, status):
    with running(None, database_url=str(tmp_path / "db"), proxy_tokens=tokens) as proxy:
        keep(proxy.engine, made("one"))
        for path in ("/dashboard", "/dashboard/", "/dashboard/api/entries", "/dashboard/static/main.js"):
            assert proxy.get(path, headers={"x-llm-cache-token": token} if token else {}).status_code == status
            # As a browser comes, which can send no header of its own with an address.
            answer = proxy.get(f"/~{token or 'none'}{path}")
            assert answer.status_code == status
            assert ("Question" in answer.text) == (status == 200 and "entries" in path)
            assert (token or "none") not in answer.text
