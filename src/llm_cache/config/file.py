"""Reads the configuration file and finds the line of a key in it. It must not judge what stands there."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_cache.config.place import home
from llm_cache.errors import ConfigError

VARIABLE = "LLMCACHE_CONFIG"
MOST_BYTES = 1024 * 1024
_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_DOTTED = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER = re.compile(rf"\s*\[\[?\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_PARTS = re.compile(_PART)


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the configuration file is, or would be."""
    named = environ.get(VARIABLE, "")
    if named.startswith("~/"):
        return Path(environ.get("HOME") or Path.home(), named[2:])
    if named:
        return Path(named)
    return home("XDG_CONFIG_HOME", ".config", environ) / "llm-cache" / "config.toml"


def read(path: Path, *, needed: bool) -> tuple[dict[str, Any], str] | None:
    """What the file says, floats as exact decimals, and its text; None if it is not there.

    Raises:
        ConfigError: it cannot be read, is no TOML, or is `needed` and not there.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        if needed:
            raise ConfigError(f"{VARIABLE} names {path}, which does not exist") from None
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path} is larger than any configuration file: is it another file?")
    # Here, because most runs have no file and need no parser.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        text = raw.decode("utf-8-sig")
        return toml.loads(text, parse_float=Decimal), text
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except (toml.TOMLDecodeError, RecursionError) as error:
        hint = ""
        if "immutable namespace" in str(error):
            hint = '; a name with a dot must be quoted where a shorter one is there too, as in openai."gpt-4.1"'
        raise ConfigError(f"{path} is not TOML: {str(error) or 'nested too deep'}{hint}") from None


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line of a key, given by its path; the line of the nearest thing around it if that is all there is."""
    header: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quote:  # inside a text of several lines nothing is a key
            quote = "" if quote in line else quote
            continue
        if match := _HEADER.match(line):
            header = full = _split(match[1])
        elif match := _DOTTED.match(line):
            full = header + _split(match[1])
            rest = line[match.end() :].lstrip()
            quote = next((mark for mark in ('"""', "'''") if rest.startswith(mark) and rest.count(mark) == 1), "")
        else:
            continue
        shared = min(len(full), len(path))
        if full[:shared] == path[:shared] and (best is None or shared > best[0]):
            best = shared, number
    return best[1] if best else None


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PARTS.findall(dotted))
