"""What a Redis URL means: where the servers are, and how to speak to them. It connects to nothing.

The forms are those of redis-py, and `redis+cluster://one:6379,two:6379` for a cluster, of which any number of nodes may
be named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from llm_cache.errors import ConfigError

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
PORT = 6379
_MOST_PORTS = 65_535
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(?::([^:]*))?")
_FILES = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"})
_REQUIREMENTS = ("required", "optional", "none")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_OPTIONS = "db, username, password, ssl_ca_certs, ssl_ca_path, ssl_certfile, ssl_keyfile, ssl_keyfile_password,"
_OPTIONS += " ssl_cert_reqs, ssl_check_hostname"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is.

    Attributes:
        hosts: one (host, port), several for a cluster, none for a socket.
        path: the socket of a `unix://` URL.
        options: what redis-py is given beside that: `db`, `username`, `password`, `ssl_…`.
        shown: the URL as it may be logged, without user, password and options.
    """

    hosts: tuple[tuple[str, int], ...]
    path: str | None
    cluster: bool
    tls: bool
    options: dict[str, object] = field(repr=False)
    shown: str


def address_of(url: str) -> Address:
    """The address that a URL means.

    Raises:
        ConfigError: it means none; the message holds no password.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ConfigError(f"a Redis URL begins with one of {', '.join(f'{name}://' for name in SCHEMES)}")
    # An authority with commas is more than one, which urlsplit leaves as it is.
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigError(f"a {scheme}:// URL cannot be read: {error}") from None
    if parts.fragment:
        raise _wrong(scheme, "has a part after #; a # in a password is written %23")
    user, _, location = parts.netloc.rpartition("@")
    options: dict[str, object] = {}
    name, colon, password = user.partition(":")
    if name:
        options["username"] = unquote(name)
    if colon and password:
        options["password"] = unquote(password)
    if scheme == "unix":
        return _socket(location + parts.path, options | _options(scheme, given), given)
    if parts.path.strip("/"):
        given.setdefault("db", parts.path.strip("/"))
    options |= _options(scheme, given)
    cluster, tls = scheme.endswith("+cluster"), scheme.startswith("rediss")
    if cluster and options.pop("db", 0):
        raise _wrong(scheme, "names a database; a cluster has only 0")
    hosts = tuple(_host(scheme, text) for text in location.split(","))
    if len(hosts) > 1 and not cluster:
        raise _wrong(scheme, "names several hosts, which is for redis+cluster://")
    if not tls and any(option.startswith("ssl_") for option in options):
        raise _wrong(scheme, "has options of TLS; the scheme for that is rediss://")
    named = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in hosts)
    shown = f"{scheme}://{named}" + ("" if cluster else f"/{options.get('db', 0)}")
    return Address(hosts, None, cluster, tls, options, shown)


def _socket(path: str, options: dict[str, object], given: dict[str, str]) -> Address:
    if not path.startswith("/"):
        raise _wrong("unix", "names no absolute path: unix:///run/redis.sock")
    if any(option.startswith("ssl_") for option in given):
        raise _wrong("unix", "has options of TLS; a socket has none")
    place = unquote(path)
    database = f"?db={options['db']}" if options.get("db") else ""
    return Address((), place, cluster=False, tls=False, options=options, shown=f"unix://{place}{database}")


def _host(scheme: str, text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise _wrong(scheme, "names a host that cannot be read; an IPv6 address stands in brackets")
    port = found[2]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _MOST_PORTS):
        raise _wrong(scheme, "has a port that is no number from 1 to 65535")
    return unquote(found[1].strip("[]")) or "localhost", int(port) if port else PORT


def _options(scheme: str, given: dict[str, str]) -> dict[str, object]:
    options: dict[str, object] = {}
    for name, text in given.items():
        if name == "db":
            if not (text.isascii() and text.isdigit()):
                raise _wrong(scheme, "has a database that is no number")
            options[name] = int(text)
        elif name in _FILES:
            if not Path(text).exists():
                raise _wrong(scheme, f"has an option {name} that names no file: {text}")
            options[name] = text
        elif name == "ssl_cert_reqs":
            if text not in _REQUIREMENTS:
                raise _wrong(scheme, f"has an option {name} that is not one of {', '.join(_REQUIREMENTS)}")
            options[name] = text
        elif name == "ssl_check_hostname":
            if text.lower() not in _BOOLEANS:
                raise _wrong(scheme, f"has an option {name} that is not true or false")
            options[name] = _BOOLEANS[text.lower()]
        elif name in {"username", "password", "ssl_keyfile_password"}:
            options["ssl_password" if name == "ssl_keyfile_password" else name] = text
        else:
            raise _wrong(scheme, f"has an option that is not known; there are {_OPTIONS}")
    return options


def _wrong(scheme: str, what: str) -> ConfigError:
    return ConfigError(f"the {scheme}:// URL {what}")
