"""`serve`: its options become settings; what is wrong is said before anything listens."""

from __future__ import annotations

import socket

import pytest

from llm_cache.cli import main


@pytest.fixture
def served(monkeypatch):
    """The settings that the proxy would have been started with."""
    seen = []
    monkeypatch.setattr("llm_cache.proxy.serve.serve", lambda settings: seen.append(settings) or 0)
    return seen


def test_without_options_it_is_the_configuration(served, monkeypatch):
    monkeypatch.setenv("LLMCACHE_PROXY_PORT", "8123")
    assert main.run(["serve"]) == 0
    assert (served[0].proxy_host, served[0].proxy_port) == ("127.0.0.1", 8123)


def test_every_option_becomes_a_setting(served):
    arguments = ["--host", "0.0.0.0", "--port", "8200", "--namespace", "team", "--mode", "read-only"]
    arguments += ["--upstream", "acme=https://llm.acme.example/v1", "--upstream", "beta=http://localhost:9/?"]
    assert main.run(["serve", *arguments]) == 2  # a query in an upstream
    arguments[-1] = "beta=http://localhost:9"
    assert main.run(["serve", *arguments, "--database-url", ":memory:", "--log-level", "debug"]) == 0
    settings = served[0]
    assert (settings.proxy_host, settings.proxy_port) == ("0.0.0.0", 8200)
    assert (settings.namespace, settings.mode.value, settings.backend) == ("team", "read-only", "memory")
    assert dict(settings.upstreams) == {"acme": "https://llm.acme.example/v1", "beta": "http://localhost:9"}
    assert settings.log_level == "DEBUG"
    assert settings.origin("proxy_port") == "argument"


def test_its_status_is_the_commands(monkeypatch):
    monkeypatch.setattr("llm_cache.proxy.serve.serve", lambda settings: 1)
    assert main.run(["serve"]) == 1


def test_a_port_that_is_taken_is_one_sentence(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = run("serve", "--port", str(port), status=2)
    assert str(port) in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""
