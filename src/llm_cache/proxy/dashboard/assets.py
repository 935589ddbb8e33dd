"""The dashboard's own files: one page, its scripts and its styles, all from the package. It must serve nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from llm_cache.proxy.dashboard.answers import Answer, Problem, bytes_of

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def _all() -> dict[str, bytes]:
    """Every file by its name; read once, so that no request chooses a path."""
    folder = files("llm_cache.proxy.dashboard") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def page(base: str) -> Answer:
    """The one page.

    Args:
        base: where the other files are as seen from its address, `dashboard/` or nothing.
    """
    return bytes_of(_all()["index.html"].replace(b"{base}", base.encode()), _TYPES[".html"])


def file(name: str) -> Answer:
    """One of the files.

    Raises:
        Problem: there is none of that name.
    """
    kind = _TYPES.get("." + name.rpartition(".")[2])
    found = _all().get(name)
    if found is None or kind is None:
        raise Problem(404, "The dashboard has no such file.")
    return bytes_of(found, kind)
