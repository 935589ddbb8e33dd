"""Requests for the tests of the key: one form for both implementations, and bodies that are hard to read. No tests."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from llm_cache.core.model import Endpoint, Request
from llm_cache.core.policy import Policy
from llm_cache.core.signature import Signature, loads, sign
from llm_cache.providers.registry import recognise
from llm_cache.testing.traffic import Exchange, load_traffic
from tests.property.spellings import spelled
from tests.providers.provider_samples import OURS, needs_traffic, request_of

__all__ = [
    "CHAT",
    "OURS",
    "Exchange",
    "adversarial",
    "described",
    "endpoint_at",
    "key_of",
    "load_traffic",
    "needs_traffic",
    "request_of",
    "signature_of",
]
CHAT = "https://api.openai.com/v1/chat/completions"
_SHAPED = {
    "messages": [],
    "input": "",
    "prompt": "",
    "max_tokens": 1,
    "max_tokens_to_sample": 1,
    "model": "m",
    **dict.fromkeys(("message", "query", "documents", "texts", "inputs", "text", "tokens"), ""),
    **dict.fromkeys(("contents", "content", "requests", "instances", "file", "image", "document"), ""),
}


def endpoint_at(url: str) -> Endpoint:
    """The endpoint at a URL, whatever the body will be: the shape is no part of the key."""
    endpoint = recognise(Request("POST", url), _SHAPED)
    assert endpoint is not None, url
    return endpoint


def signature_of(request: Request, policy: Policy | None = None) -> Signature:
    """The signature that the cache makes of a request."""
    return sign(
        request, loads(request.body, request.header("content-type") or ""), endpoint_at(request.url), policy or Policy()
    )


def key_of(request: Request, policy: Policy | None = None) -> str:
    return signature_of(request, policy).key


def described(request: Request) -> dict[str, Any]:
    """A request as `spec.mjs` reads it."""
    body = base64.b64encode(request.body).decode()
    return {
        "kind": "http",
        "url": request.url,
        "headers": [list(pair) for pair in request.headers],
        "body_base64": body,
    }


# --- bodies that are hard to read ----------------------------------------------------------------

_NUMBERS = (
    *("0", "-0", "0.0", "-0.0", "0e0", "0E-5", "1", "-1", "1.0", "1.00", "1e0", "1E0", "1e+0", "1e-0", "10e-1"),
    *("0.1e1", "0.7", "0.70", "7e-1", "1e-4", "1e-5", "0.0001", "0.00001", "12.5", "1.25e1", "1e15", "1e16"),
    *("1e21", "1e22", "1e39", "1e40", "1e41", "123456789012345678", "9007199254740993", "0.1"),
    *("0.10000000000000001", "1.7976931348623157e308", "1e309", "5e-324", "1e-400", "1e99999999999"),
    *("-1e-9999999999", "1e999999999999", "1e-99999999999", "1e-999999999999", "0e9999999999999"),
    *("1e0000000000001", "3.0e-0000000000"),
)
_WRONG_NUMBERS = (
    *("01", "-01", "1.", ".5", "+1", "1e", "1e+", "-", "--", "0x10", "1_0", "NaN", "Infinity", "-Infinity"),
    *("nan", "1.e1", "1e1.0", "\u0661", "1\uff11", "00", "-.5", "1e--1"),
)
_BIG = (
    *("9" * size for size in (39, 40, 41, 400, 5000)),
    *("1" + "0" * size for size in (38, 39, 40, 41, 4999)),
    "0." + "3" * 5000,
)
_TEXTS = (
    '""',
    r'"\u0000\u001f\u007f\b\f\n\r\t\/\\\""',
    '"\x7f\x80\u2028\u2029\ufeff\ufffe\uffff\U0001f600\U0010ffff"',
    r'"\ud83d\ude00"',
    r'"\uD83D\uDE00\u00e9"',
    r'"\\ud83d"',
    r'"\\\ud83d"',
    r'"\ud83d"',
    r'"\ude00"',
    r'"\ude00\ud83d"',
    r'"\ud83d\ud83d\ude00"',
    r'"\ud83dx\ude00"',
    '"\t"',
    '"\n"',
    '"\x00"',
    '"\x1f"',
    r'"\x41"',
    r'"\u12"',
    r'"\u 123"',
    r'"\u+123"',
    r'"\u00G0"',
    r'"\U00e9"',
    r'"\a"',
    r'"\'"',
    "'a'",
    '"',
    '"\\"',
    "é",
    '"e\u0301"',
    '"\u00e9"',
)
_WHOLE = (
    "",
    " ",
    "{}",
    "[]",
    "null",
    "true",
    "1",
    '"x"',
    "tru",
    "True",
    "nulll",
    "{} {}",
    "{},",
    "[1,]",
    "[,1]",
    '{"a":1,}',
    '{,"a":1}',
    '{"a"}',
    '{"a":}',
    "{a:1}",
    '{"a" 1}',
    "[1 2]",
    "//c\n{}",
    "{}//c",
    '{"a":1}\x00',
    '\x00{"a":1}',
    '\xa0{"a":1}',
    '\x0c{"a":1}',
    '\ufeff{"a":1}',
    '{"a":1}\ufeff',
    ' \t\r\n{ \t\r\n"a" \t\r\n: \t\r\n1 \t\r\n} \t\r\n',
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"":1,"":2}',
    '{"x":{"b":1,"b":2}}',
    '[{"b":1,"b":1}]',
    '{"a":1,"A":2}',
    '{"\u00e9":1,"e\u0301":2}',
    '{"\\ud83d\\ude00":1,"\U0001f600":2}',
    '{"\uffff":1,"\U0001f600":2,"\ue000":3,"a":4,"":5,"aa":6,"\x7f":7,"Z":8}',
    '{"user":"\\ud800"}',
    '{"stream":false}',
    '{"stream":true}',
    '{"stream":null}',
    '{"stream":0}',
    '{"stream":"false"}',
    '{"\\u0073tream":false}',
    '{"user":1,"metadata":2,"x":{"user":1,"stream":false}}',
    '{"__proto__":1,"constructor":2,"toString":3}',
    '{"1":1,"0":2,"10":3,"2":4}',
)
_DEPTHS = (1, 2, 199, 200, 201, 202, 400, 3000)
_CHARACTERS = string.ascii_letters + ' _-"\\/{}[]:,\t\n' + "\x7f\u00e9\u0301\ue000\uffff\U00010000\U0001f600"
_PIECES = (b",", b'"', b"\\", b"\\u", b"e", b"-", b".", b"0", b"\xff", b"\xed\xa0\x80", b"NaN")


def adversarial(count: int, seed: int = 1) -> Iterator[bytes]:
    """Bodies on which readers differ, then `count` made at random: valid ones in odd spellings, and damaged ones."""
    yield from (body.encode() for body in _WHOLE)
    for literal in (*_NUMBERS, *_WRONG_NUMBERS, *_BIG, *_TEXTS):
        yield f'{{"x":{literal}}}'.encode()
        yield f'[-1,{{"y":[{literal} ]}}]'.encode()
    yield from (f"{{{text}:1}}".encode() for text in _TEXTS)
    for depth in _DEPTHS:
        yield b"[" * depth + b"]" * depth
        yield b'{"a":' * depth + b"1" + b"}" * depth
        yield b'{"a":' + b"[" * (depth - 1) + b'"[[["' + b"]" * (depth - 1) + b"}"
        yield b"[" * depth
    yield from (b'{"x":1,\xff:2}', b'{"x":"\xed\xa0\xbd"}', b'{"x":"\xc0\x80"}', b'{"x":"\xf4\x90\x80\x80"}')
    yield from (
        '{"a":1}'.encode(name) for name in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")
    )
    chance = random.Random(seed)
    for _ in range(count // 2):
        yield spelled(_value(chance, 4, top=True), chance).encode()
    for _ in range(count - count // 2):
        yield _damaged(spelled(_value(chance, 3, top=True), chance).encode(), chance)


def _value(chance: random.Random, depth: int, *, top: bool = False) -> Any:
    kind = chance.random()
    if top or (depth and kind < 0.3):
        fields = ["stream", "user", "metadata", "cache_control", "content", "messages", "model"]
        names = chance.sample([*fields, *(_text(chance) for _ in range(9))], chance.randint(0, 6))
        return {name: _value(chance, depth - 1) for name in names}
    if depth and kind < 0.5:
        return [_value(chance, depth - 1) for _ in range(chance.randint(0, 4))]
    if kind < 0.7:
        return _text(chance)
    if kind < 0.85:
        return chance.choice([True, False, None])
    digits = "".join(chance.choices(string.digits, k=chance.choice([1, 2, 5, 17, 39, 40, 41])))
    return Decimal(f"{chance.choice(['', '-'])}{digits}e{chance.choice([0, 0, 0, 1, -1, -2, -5, -20, 20, 300, -300])}")


def _text(chance: random.Random) -> str:
    return "".join(chance.choices(_CHARACTERS, k=chance.choice([0, 1, 2, 3, 8])))


def _damaged(body: bytes, chance: random.Random) -> bytes:
    """The body with a few bytes flipped, dropped, doubled or put in."""
    found = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(found) + 1)
        what = chance.random()
        if what < 0.3 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif what < 0.5:
            del found[at : at + chance.randint(1, 3)]
        elif what < 0.7:
            found[at:at] = found[at : at + chance.randint(1, 6)]
        else:
            found[at:at] = chance.choice(_PIECES)
    return bytes(found)


def lines(requests: list[dict[str, Any]]) -> bytes:
    """Requests as `spec.mjs` reads them, one a line."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in requests)
