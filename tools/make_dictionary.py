"""Makes the zstd dictionary for small records from generated provider envelopes. It must not read anything recorded.

`python -m tools.make_dictionary` writes src/llm_cache/codec/small-1.dict and prints its digest; with `--check` it only
says whether the file is what `codec/zstd.py` expects. A dictionary that was released never changes: a better one gets
another number. Training depends on the version of libzstd, so the file is kept and checked, and not made anew.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zstandard
from tools import sample_envelopes
from tools.sample_text import HEX, OPENAI_MODELS, Maker

SIZE = 32 * 1024
SEED = 1
ROUNDS = 60
FILE = Path(__file__).resolve().parent.parent / "src" / "llm_cache" / "codec" / "small-1.dict"
USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)


Pairs = tuple[tuple[str, str], ...]


def headers(make: Maker, stream: bool) -> Pairs:
    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    request = (
        f"{make.ident(8, HEX)}-{make.ident(4, HEX)}-4{make.ident(3, HEX)}-{make.ident(4, HEX)}-{make.ident(12, HEX)}"
    )
    if make.chance.random() < 0.3:
        return (
            ("content-type", kind),
            ("request-id", f"req_011C{make.ident(20)}"),
            ("anthropic-organization-id", request),
        )
    return (
        ("content-type", kind),
        ("openai-organization", f"org-{make.ident(24)}"),
        ("openai-processing-ms", str(make.number(100, 9000))),
        ("openai-project", f"proj_{make.ident(24)}"),
        ("openai-version", "2020-10-01"),
        ("x-envoy-upstream-service-time", str(make.number(100, 9000))),
        ("x-request-id", f"req_{make.ident(32, HEX)}"),
    )


_CHAT, _ANTHROPIC = "https://api.openai.com/v1/chat/completions", "https://api.anthropic.com/v1/messages"
_RESPONSES = "https://api.openai.com/v1/responses"
KINDS = (
    (sample_envelopes.chat, 4, _CHAT),
    (sample_envelopes.chat_stream, 3, _CHAT),
    (sample_envelopes.compatible_stream, 2, "https://api.groq.com/openai/v1/chat/completions"),
    (sample_envelopes.responses, 2, _RESPONSES),
    (sample_envelopes.responses_stream, 1, _RESPONSES),
    (sample_envelopes.messages, 3, _ANTHROPIC),
    (sample_envelopes.messages_stream, 2, _ANTHROPIC),
    (
        sample_envelopes.gemini,
        1,
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
    ),
    (sample_envelopes.other, 3, "https://api.mistral.ai/v1/chat/completions"),
)


def samples(
    seed: int, rounds: int, make: Maker | None = None
) -> Iterator[tuple[str, str, Pairs, bytes, Pairs, list[bytes]]]:
    """Kind, URL, headers and body of a request, headers and chunks of its reply."""
    make = make or Maker(seed)
    for _ in range(rounds):
        for kind, count, url in KINDS:
            for _ in range(count):
                asked, chunks = kind(make)
                sent = (("anthropic-version", "2023-06-01"),) if "anthropic" in url else ()
                yield kind.__name__, url, sent, asked, headers(make, stream=len(chunks) > 1), chunks


def sections(seed: int, rounds: int) -> Iterator[bytes]:
    """What records of them hold, as the codec writes it."""
    chance = random.Random(seed)  # noqa: S311 - the same every time
    pack = msgspec.msgpack.Encoder().encode
    for _, url, sent, asked, kept, chunks in samples(seed, rounds):
        usage = {name: chance.choice((0, 12, 340)) for name in USAGE}
        waits = [chance.randint(3_000, 40_000) for _ in chunks]
        yield pack((kept, chunks, waits, usage, chance.choice(OPENAI_MODELS)))
        yield pack(("POST", url, sent, asked))


def main() -> int:
    """Make the dictionary, or check it."""
    if "--check" in sys.argv:
        from llm_cache.codec.zstd import DICTIONARIES

        wrong = [name for name, digest in DICTIONARIES.values() if _digest(FILE.with_name(name).read_bytes()) != digest]
        print("the dictionaries are what they were" if not wrong else f"changed: {', '.join(wrong)}")
        return bool(wrong)
    data = zstandard.train_dictionary(SIZE, list(sections(SEED, ROUNDS)), level=9).as_bytes()
    FILE.write_bytes(data)
    print(FILE.name, len(data), _digest(data))
    return 0


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
