"""Gathers the settings from where they were given, the nearest first. It must not remember anything between calls."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from llm_cache.config import file as config_file
from llm_cache.config.given import Given, upstream, upstreams
from llm_cache.config.keys import KEYS, VARIABLES, Key
from llm_cache.config.place import place
from llm_cache.config.settings import Settings
from llm_cache.core.policy import Mode
from llm_cache.errors import ConfigError

PREFIX = "LLMCACHE_"
UPSTREAM = "LLMCACHE_UPSTREAMS__"
_OTHERS = frozenset({config_file.VARIABLE, "LLMCACHE_TEST_TRAFFIC"})
"""Variables of ours that are no settings."""
_ARGUMENT, _ENVIRONMENT, _FILE = 3, 2, 1
_warned: set[str] = set()
"""Unknown variables that were warned of: once in a process is enough."""


def get_config() -> Settings:
    """The settings that environment, file and defaults make now."""
    return load()


def load(arguments: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings: arguments over environment over file over defaults, all of them checked.

    Args:
        arguments: values by key; None is "not given".
        environ: the environment, by default this process's as it is now. An empty variable is "not given".

    Raises:
        ConfigError: something is wrong, also where something nearer overrides it. The message is one sentence that
            names the key and the file and line, or the variable, and what is allowed.
    """
    environ = os.environ if environ is None else environ
    path = config_file.config_path(environ)
    found = config_file.read(path, needed=bool(environ.get(config_file.VARIABLE)))
    content, text = found if found is not None else ({}, "")

    given: dict[str, list[Given]] = {name: [] for name in KEYS}
    for source in (_from_arguments(arguments or {}), _from_environment(environ), _from_file(content, text, path)):
        for key, each in source:
            given[key.name].append(each)

    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, key in KEYS.items():
        if name in {"backend", "database_url"}:
            continue
        checked = [key.check(each) for each in given[name]]
        values[name] = checked[0] if checked else key.default
        if checked:
            origins[name] = given[name][0].origin
    if values["enable_encryption"] and not values["encryption_key"]:
        raise ConfigError(
            f"{given['enable_encryption'][0].source} turns encryption on, but there is no key: give encryption_key, or"
            " set LLMCACHE_ENCRYPTION_KEY"
        )
    _merge_upstreams(values, origins, given["upstreams"], environ)
    backend, url, kind_from, url_from = place(given["backend"], given["database_url"], environ)
    for name, source_of in (("backend", kind_from), ("database_url", url_from)):
        if source_of is not None:
            origins[name] = source_of.origin
    return Settings(
        **cast("dict[str, Any]", values),  # each by its own check, in KEYS
        backend=backend,
        database_url=url,
        ceiling=_ceiling(given["mode"]),
        file=path if found is not None else None,
        origins=MappingProxyType(origins),
    )


def _ceiling(modes: Iterable[Given]) -> Mode | None:
    """`offline` set by the environment is a limit that no code can lift; other modes there are only defaults."""
    for given in modes:
        if given.rank == _ENVIRONMENT and KEYS["mode"].check(given) is Mode.OFFLINE:
            return Mode.OFFLINE
    return None


def _from_arguments(arguments: Mapping[str, object]) -> Iterable[tuple[Key, Given]]:
    for name, value in arguments.items():
        if name not in KEYS:
            raise ConfigError(f"{name!r} is no setting{_nearest(name)}")
        if value is not None:
            key = KEYS[name]
            yield key, Given(value, _ARGUMENT, "argument", name, secret=key.secret)


def _from_environment(environ: Mapping[str, str]) -> Iterable[tuple[Key, Given]]:
    for variable, value in environ.items():
        key = VARIABLES.get(variable)
        if not _is_known(variable):
            _warn(variable)
        elif key is not None and value.strip():
            yield key, Given(value, _ENVIRONMENT, variable, variable, text=True, secret=key.secret)


def _from_file(content: Mapping[str, object], text: str, path: Path) -> Iterable[tuple[Key, Given]]:
    def named(*keys: str) -> str:
        line = config_file.line_of(text, keys)
        return f"{'.'.join(keys[:1])} ({path}{f' line {line}' if line else ''})"

    for name, value in content.items():
        key = KEYS.get(name)
        if key is None:
            raise ConfigError(f"{named(name)} is no setting{_nearest(name)}")
        line = config_file.line_of(text, (name,))
        origin = f"{path.name} line {line}" if line else path.name
        where = lambda inner, name=name: named(name, *inner)  # noqa: E731 - bound to this key
        yield key, Given(value, _FILE, origin, named(name), secret=key.secret, where=where)


def _merge_upstreams(
    values: dict[str, object], origins: dict[str, str], given: Iterable[Given], environ: Mapping[str, str]
) -> None:
    """Upstreams add up, name by name: one on the command line does not make those in the file unknown."""
    merged: dict[str, str] = {}
    origin: dict[str, str] = {}

    def add(name: str, url: str, source: str) -> None:
        if name not in merged:
            merged[name], origin[f"upstreams.{name}"] = url, source

    ranked = {each.rank: each for each in given}
    for rank in (_ARGUMENT, _ENVIRONMENT, _FILE):
        if rank == _ENVIRONMENT:
            for variable, url in sorted(environ.items()):
                if variable.startswith(UPSTREAM) and _is_known(variable) and url.strip():
                    name, base = upstream(variable[len(UPSTREAM) :], url.strip(), variable)
                    add(name, base, variable)
        elif rank in ranked:
            for name, base in upstreams(ranked[rank]).items():
                add(name, base, ranked[rank].origin)
    values["upstreams"] = MappingProxyType(merged)
    origins |= origin
    if merged:
        origins["upstreams"] = ", ".join(dict.fromkeys(origin.values()))


def _nearest(name: str) -> str:
    """Which setting was probably meant, as the rest of a sentence."""
    import difflib

    known = {key.name: key.name for key in KEYS.values()}
    # Who knows the variable may write it into the file: `ttl` is near no key by its letters.
    known |= {key.variable.removeprefix(PREFIX).lower(): key.name for key in KEYS.values() if key.variable}
    near = difflib.get_close_matches(name.lower(), known, 1)
    return f": did you mean {known[near[0]]}?" if near else f": settings are {', '.join(KEYS)}"


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """One sentence for each variable of our prefix that means nothing."""
    return [_unknown(name) for name in sorted(environ) if not _is_known(name)]


def _is_known(variable: str) -> bool:
    return (
        not variable.startswith(PREFIX)
        or variable in VARIABLES
        or variable in _OTHERS
        or (variable.startswith(UPSTREAM) and len(variable) > len(UPSTREAM))
    )


def _unknown(variable: str) -> str:
    import difflib

    known = {name: name for name in (*VARIABLES, *_OTHERS, f"{UPSTREAM}NAME")}
    known |= {PREFIX + key.name.upper(): key.variable for key in KEYS.values() if key.variable}
    near = difflib.get_close_matches(variable.upper(), known, 1)
    hint = f": did you mean {known[near[0]]}?" if near else ""
    return f"the environment variable {variable} is not known{hint}"


def _warn(variable: str) -> None:
    if variable not in _warned:
        _warned.add(variable)
        import logging

        logging.getLogger("llm_cache").warning("%s", _unknown(variable))
