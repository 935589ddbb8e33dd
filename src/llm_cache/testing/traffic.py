"""Recorded exchanges with real providers, read from a folder. It must not serve them or choose among them."""

from __future__ import annotations

import base64
import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llm_cache.testing.noise import noise_headers
from llm_cache.testing.reply import Reply
from llm_cache.testing.split import is_stream_type

if TYPE_CHECKING:
    from llm_cache.testing.reply import Headers

VARIABLE: Final = "LLMCACHE_TEST_TRAFFIC"
_BESIDE: Final = Path("shared", "traffic")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what a provider answered, content-decoded. Header names are in lower case."""

    id: str
    provider: str
    host: str
    path: str
    """With the query, percent-encoded as it was sent."""
    status: int
    kind: str
    """`plain/ok`, `plain/error`, `stream/ok` …"""
    request_headers: Headers = field(repr=False)
    response_headers: Headers = field(repr=False)
    request: bytes = field(repr=False)
    response: bytes = field(repr=False)
    source: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Short and unique: for test identifiers and messages."""
        return f"{self.provider}-{self.kind.replace('/', '-')}-{self.id}"

    @property
    def stream(self) -> bool:
        """Was it streamed?"""
        return self.kind.startswith("stream")

    @property
    def ok(self) -> bool:
        """Was it a success, in the judgement of whoever recorded it?"""
        return self.kind.endswith("/ok")

    @property
    def content_type(self) -> str | None:
        """Of the response; None when the provider sent none."""
        return next((value for name, value in self.response_headers if name == "content-type"), None)

    def request_json(self) -> object:
        """The request body, parsed. Raises ValueError if it is not JSON."""
        parsed: object = json.loads(self.request)
        return parsed

    def reply(self, *, noise: bool = True) -> Reply:
        """This answer as the fake upstream gives it; `dataclasses.replace` makes it go wrong.

        With `noise` it has the headers that every real answer has and that were not recorded (cookies, rate limits,
        identifiers), so that a cache which keeps what it must not is found out.
        """
        added = noise_headers(self.provider, present=self.response_headers) if noise else ()
        return Reply(
            status=self.status,
            body=self.response,
            headers=self.response_headers + added,
            # Some providers stream with a type that does not say so.
            transfer="chunked" if self.stream and not is_stream_type(self.content_type) else None,
        )


def traffic_folder() -> Path | None:
    """The folder of recorded traffic, or None where there is none (tests that need it skip then).

    It is what LLMCACHE_TEST_TRAFFIC names, or else `../shared/traffic` as seen from the root of the repository: of this
    file's, or, when an installed package is tested, of the working directory's.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
        return folder if folder.is_dir() else None
    working = Path.cwd()
    for root in (Path(__file__).resolve().parents[3], working, *working.parents):
        if (root / "pyproject.toml").is_file() and (root.parent / _BESIDE).is_dir():
            return root.parent / _BESIDE
    return None


def load_traffic(folder: str | os.PathLike[str] | None = None) -> tuple[Exchange, ...]:
    """All exchanges of all `*.jsonl` in a folder, in the order of file names and lines; read once per process.

    Without a folder it is `traffic_folder()`. Raises FileNotFoundError if there is none, and ValueError, which names
    file and line, for a line that is no exchange.
    """
    found = Path(folder) if folder is not None else traffic_folder()
    if found is None or not found.is_dir():
        where = str(found) if found is not None else f"{VARIABLE} names none, and none is beside the repository"
        raise FileNotFoundError(f"no folder of recorded traffic: {where}.")
    return _read_folder(found.resolve())


@functools.lru_cache(maxsize=4)
def _read_folder(folder: Path) -> tuple[Exchange, ...]:
    return tuple(exchange for file in sorted(folder.glob("*.jsonl")) for exchange in _read_file(file))


def _read_file(file: Path) -> list[Exchange]:
    exchanges = []
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            exchanges.append(_exchange(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}:{number}: not a recorded exchange ({error!r}).") from error
    return exchanges


def _exchange(record: Mapping[str, object]) -> Exchange:
    return Exchange(
        id=str(record["id"]),
        provider=str(record["provider"]),
        host=str(record["host"]),
        path=str(record["path"]),
        status=int(str(record["status"])),
        kind=str(record["kind"]),
        request_headers=_headers(record["request_headers"]),
        response_headers=_headers(record["response_headers"]),
        request=_body(record["request"]),
        response=_body(record["response"]),
        source=str(record.get("source", "")),
    )


def _headers(fields: object) -> Headers:
    if not isinstance(fields, Mapping):
        raise TypeError("headers are not an object")
    return tuple((str(name).lower(), str(value)) for name, value in fields.items())


def _body(body: object) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, Mapping):
        raise TypeError("a body is neither null nor an object")
    if "base64" in body:
        return base64.b64decode(str(body["base64"]), validate=True)
    return str(body["text"]).encode()
