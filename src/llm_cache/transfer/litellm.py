"""LiteLLM's disk cache as entries. It must not make objects of what is stored: plain data is read by hand.

LiteLLM keeps an answer under a digest of the request and not the request, so nobody can tell which call an answer is
for. These entries are found under LiteLLM's own key, `cache.get_or_set(key=litellm.cache.get_cache_key(...), ...)`.

The folder is diskcache's: an SQLite file of keys and values, and files for large ones. LiteLLM's values are pickled
dictionaries of texts and numbers; the few instructions that these take are carried out here, and any other is refused.
"""

from __future__ import annotations

import json
import re
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_cache.clients.values import VALUE_HEAD, Described, value_endpoint
from llm_cache.codec.values import encode_value
from llm_cache.core.effects import Sent
from llm_cache.core.events import About
from llm_cache.core.recorder import Recorder, Refused
from llm_cache.core.signature import sign_named
from llm_cache.errors import FormatError
from llm_cache.transfer.vcr import Skipped

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry

PROVIDER = "litellm"
_ENDPOINT = "/v1/chat/completions"
_RAW, _TEXT, _PICKLED = 1, 3, 4
"""How diskcache has a value: as it is, in a file of text, pickled."""
_FILE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{1,64}\.val")
_LARGEST = 64 * 1024 * 1024
_MARK = object()
_PASSED_OVER = {0x80: 1, 0x95: 8}
"""The number of the protocol, and the size of a frame."""
_SIZED = {0x8C: 1, 0x58: 4, 0x8D: 8}
"""Texts, by the size of their length."""
_NUMBERS = {0x4B: "<B", 0x4D: "<H", 0x4A: "<i", 0x47: ">d"}
_CONSTANTS = {0x4E: None, 0x88: True, 0x89: False}


def entries(engine: Engine, folder: Path, skipped: dict[str, int]) -> Iterator[Entry]:
    """The entries of a disk cache of LiteLLM's; `skipped` counts, by reason, what makes none.

    Raises:
        FormatError: the folder holds no such cache, or it is damaged.
    """
    file = folder / "cache.db"
    if not file.is_file():
        raise FormatError(f"{folder} is no disk cache of LiteLLM's: there is no cache.db in it")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT key, store_time, mode, filename, value FROM Cache ORDER BY rowid")
            for key, at, mode, filename, value in rows:
                try:
                    yield _entry(engine, key, float(at), _value(folder, mode, filename, value))
                except Skipped as reason:
                    skipped[str(reason)] = skipped.get(str(reason), 0) + 1
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    skipped["it is not as LiteLLM writes it"] = skipped.get("it is not as LiteLLM writes it", 0) + 1
    except sqlite3.Error as error:
        raise FormatError(f"{file} is no cache of diskcache's, or is damaged: {error}") from error


def _value(folder: Path, mode: int, filename: str | None, value: Any) -> Any:
    """What LiteLLM stored: a dictionary with the answer as JSON in it."""
    if filename is not None:
        # Only files that diskcache itself would name so: not whatever a database says.
        place = folder / filename
        if not _FILE.fullmatch(filename) or not place.is_file() or place.stat().st_size > _LARGEST:
            raise Skipped("its file is not there, or is none of the cache's")
        value = place.read_bytes()
    if mode == _PICKLED:
        return plain(bytes(value))
    if mode in {_RAW, _TEXT}:
        return json.loads(value)
    raise Skipped("it is no text")


def plain(data: bytes) -> Any:
    """A pickled value of texts, numbers, lists and dictionaries. Nothing is looked up or called.

    Raises:
        Skipped: there is anything else in it.
    """
    stack: list[Any] = []
    memo: list[Any] = []
    at = 0
    try:
        while True:
            code = data[at]
            at += 1
            if code in _PASSED_OVER:
                at += _PASSED_OVER[code]
            elif code == 0x94:  # MEMOIZE
                memo.append(stack[-1])
            elif code == 0x28:  # MARK
                stack.append(_MARK)
            elif code in _SIZED:
                size = _SIZED[code]
                length = int.from_bytes(data[at : at + size], "little")
                at += size + length
                if at > len(data):
                    raise Skipped("it is cut off")
                stack.append(data[at - length : at].decode("utf-8", "surrogatepass"))
            elif code in _NUMBERS:
                (number,) = struct.unpack_from(_NUMBERS[code], data, at)
                at += struct.calcsize(_NUMBERS[code])
                stack.append(number)
            elif code in _CONSTANTS:
                stack.append(_CONSTANTS[code])
            elif code in {0x7D, 0x5D}:  # EMPTY_DICT, EMPTY_LIST
                stack.append({} if code == 0x7D else [])
            elif code == 0x68:  # BINGET
                stack.append(memo[data[at]])
                at += 1
            elif code in {0x75, 0x73, 0x65, 0x61}:  # SETITEMS, SETITEM, APPENDS, APPEND
                _put(stack, code)
            elif code == 0x2E:  # STOP
                return stack.pop()
            else:
                raise Skipped("it holds an object, and objects are not made of what is stored")
    except (IndexError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise Skipped("it is damaged") from error


def _put(stack: list[Any], code: int) -> None:
    if code in {0x75, 0x65}:
        start = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[start + 1 :]
        del stack[start:]
    else:
        count = 2 if code == 0x73 else 1
        items = stack[-count:]
        del stack[-count:]
    if code in {0x75, 0x73}:
        stack[-1].update(zip(items[::2], items[1::2], strict=True))
    else:
        stack[-1].extend(items)


def _entry(engine: Engine, key: Any, at: float, value: Any) -> Entry:
    answer = value["response"] if isinstance(value, dict) and "response" in value else value
    if isinstance(answer, str):
        answer = json.loads(answer)
    if not isinstance(answer, dict) or not isinstance(key, str):
        raise Skipped("it is no answer of a model")
    model = str(answer.get("model") or "")
    policy = engine.policy_for()
    endpoint = value_endpoint(PROVIDER, model, _ENDPOINT, False)
    about = About(PROVIDER, model, _ENDPOINT, policy.namespace, sign_named(key, policy).key)
    request = Described(PROVIDER, _ENDPOINT, {"litellm_key": key})
    recorder = Recorder(request, endpoint, policy, about, Sent(VALUE_HEAD, at, at), "value")
    recorder.feed(encode_value(answer), at)
    entry = recorder.finish(at)
    if isinstance(entry, Refused):
        raise Skipped(f"its answer is not kept: {entry.reason}")
    lifetime = None if policy.ttl_s is None else engine.clock() + policy.ttl_s
    return replace(entry, expires_at=lifetime)
