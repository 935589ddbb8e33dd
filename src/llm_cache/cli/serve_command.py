"""`llm-cache serve`: turns options into settings and starts the proxy. It must not know how that works."""

from __future__ import annotations

import click


def _upstreams(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    made: dict[str, str] = {}
    for each in given:
        name, equals, url = each.partition("=")
        if not (name and equals and url):
            raise click.BadParameter(f"{each!r} is not NAME=URL")
        made[name] = url
    return made


def _tokens(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    made: dict[str, str] = {}
    for each in given:
        name, equals, secret = each.partition("=")
        if not (name and equals and secret):
            # What was given is not shown: without a name it is the secret.
            raise click.BadParameter("one of them is not NAME=SECRET")
        if name in made:
            raise click.BadParameter(f"two tokens are named {name}")
        made[name] = secret
    return made


@click.command(epilog="Example: llm-cache serve --port 8100 --upstream acme=https://llm.acme.example/v1")
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one [8100].")
@click.option(
    "--upstream", "upstreams", metavar="NAME=URL", multiple=True, callback=_upstreams, help="Add or move an upstream."
)
@click.option(
    "--token", "tokens", metavar="NAME=SECRET", multiple=True, callback=_tokens, help="Ask callers for a token."
)
@click.option("--scope", help="Who shares answers: credential or shared [credential].")
@click.option("--allow-host", "hosts", metavar="NAME", multiple=True, help="A further name that the proxy goes by.")
@click.option("--database-url", metavar="URL", help="Where to keep entries: a path, sqlite:///…, :memory:.")
@click.option("--backend", help="sqlite or memory.")
@click.option("--namespace", help="Namespace of calls that name none.")
@click.option("--mode", help="read-write, read-only, refresh, offline or off.")
@click.option("--workers", type=int, help="Processes that share the port and the store [1].")
@click.option("--replay-pace", help="instant, or recorded: streams as slow as they came [instant].")
@click.option("--log-file", metavar="FILE", help="Where to log instead of standard error.")
@click.option("--log-level", help="DEBUG, INFO, WARNING, ERROR or CRITICAL [INFO].")
def command(
    host: str | None,
    port: int | None,
    upstreams: dict[str, str],
    tokens: dict[str, str],
    scope: str | None,
    hosts: tuple[str, ...],
    database_url: str | None,
    backend: str | None,
    namespace: str | None,
    mode: str | None,
    workers: int | None,
    replay_pace: str | None,
    log_file: str | None,
    log_level: str | None,
) -> int:
    """Start the caching proxy, and stop it with Ctrl-C.

    Options win over the environment, the environment over the configuration file.
    """
    from llm_cache.config import load

    settings = load(
        {
            "proxy_host": host,
            "proxy_port": port,
            "upstreams": upstreams or None,
            "proxy_tokens": tokens or None,
            "proxy_scope": scope,
            "proxy_allowed_hosts": hosts or None,
            "database_url": database_url,
            "backend": backend,
            "namespace": namespace,
            "mode": mode,
            "workers": workers,
            "replay_pace": replay_pace,
            "log_file": log_file,
            "log_level": log_level,
        }
    )
    from llm_cache.proxy.serve import serve

    return serve(settings)
