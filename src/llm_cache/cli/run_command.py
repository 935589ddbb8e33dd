"""`llm-cache run`: a program behind a proxy of its own. It must not say anything on standard output."""

from __future__ import annotations

import os
from decimal import Context, Decimal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from llm_cache.ledger.report import Stats


@click.command(
    epilog="Example: llm-cache run -- python agent.py",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--offline", is_flag=True, help="Answer from the cache only; no key is needed.")
@click.option("--refresh", is_flag=True, help="Call always, and replace what is stored.")
@click.option("--namespace", help="Keep these calls apart under a name.")
@click.option("--report", metavar="FILE", help="Write what became of the calls to a file, as JSON.")
@click.option("--database-url", metavar="URL", help="Where to keep entries.")
@click.argument("program", metavar="COMMAND [ARGUMENT]...", nargs=-1, type=click.UNPROCESSED, required=True)
def command(
    *,
    offline: bool,
    refresh: bool,
    namespace: str | None,
    report: str | None,
    database_url: str | None,
    program: tuple[str, ...],
) -> int:
    """Run a program, and answer its calls of language models from the cache. Nothing in it has to be changed.

    The program finds the proxy by the variables that its SDKs read (OPENAI_BASE_URL, ANTHROPIC_BASE_URL, …). Its exit
    status is ours. Write -- before a command whose options look like ours.
    """
    if offline and refresh:
        raise click.UsageError("--offline and --refresh contradict each other")
    if report is not None:
        _check_writable(report)
    from llm_cache.proxy.launch import NOT_FOUND, NOT_STARTED, launch

    mode = "offline" if offline else "refresh" if refresh else None
    options = {"mode": mode, "namespace": namespace, "database_url": database_url}
    try:
        status, stats, took_s = launch(program, options, os.environ)
    except FileNotFoundError:
        click.echo(f"llm-cache: there is no program {program[0]}", err=True)
        return NOT_FOUND
    except PermissionError:
        click.echo(f"llm-cache: {program[0]} cannot be run", err=True)
        return NOT_STARTED
    click.echo(_line(stats), err=True)
    if report is not None:
        _write(report, _report(stats, status, took_s))
    return status


def _line(stats: Stats) -> str:
    calls = stats.hits + stats.misses + stats.bypasses
    unpriced = stats.total.unpriced_saved
    unknown = f" ({unpriced} of unknown price)" if unpriced else ""
    saved = f"${_dollars(stats.cost_saved_usd)} saved{unknown}"
    return (
        f"llm-cache: {calls} {_noun(calls, 'call')}, {stats.hits} {_noun(stats.hits, 'hit')}, {saved},"
        f" {stats.time_saved_s:,.1f} s saved"
    )


def _dollars(usd: Decimal) -> str:
    """To the hundredth of a cent, or with two digits where that would be nothing."""
    exact = Decimal("0.0001") <= usd or not usd
    return f"{usd:,.4f}" if exact else format(usd.normalize(Context(prec=2)), "f")


def _noun(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _report(stats: Stats, status: int, took_s: float) -> dict[str, object]:
    from llm_cache.ledger.report import money

    told = stats.as_json()
    for name in ("entries", "size_bytes", "providers", "models"):
        # Of the store, which this is not about.
        told.pop(name, None)
    return {
        "exit_status": status,
        "duration_s": round(took_s, 3),
        "calls": stats.hits + stats.misses + stats.bypasses,
        **told,
        "unpriced_spent": stats.total.unpriced_spent,
        "unpriced_saved": stats.total.unpriced_saved,
        "by_model": [
            {
                "provider": line.provider,
                "model": line.model,
                "hits": line.hits,
                "misses": line.misses,
                "bypasses": line.bypasses,
                "cost_spent_usd": money(line.cost_spent_usd),
                "cost_saved_usd": money(line.cost_saved_usd),
            }
            for line in stats.lines
        ],
    }


def _check_writable(path: str) -> None:
    folder = os.path.dirname(path) or "."  # noqa: PTH120 - as the user wrote it
    if os.path.isdir(path) or not os.access(folder, os.W_OK):  # noqa: PTH112 - as the user wrote it
        raise click.UsageError(f"--report {path}: a file there cannot be written")


def _write(path: str, told: dict[str, object]) -> None:
    """A file appears whole or not at all."""
    import json
    from pathlib import Path

    made = Path(f"{path}.{os.getpid()}.tmp")
    try:
        made.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        made.replace(path)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise click.ClickException(f"the report {path} cannot be written: {error.strerror}") from None
