"""Makes the zstd dictionary for small records from generated provider envelopes. It must not read anything recorded.

`python -m tools.make_dictionary` writes src/llm_cache/codec/small-2.dict and prints its digest; with `--check` it only
says whether the files are what `codec/zstd.py` expects. A dictionary that was released never changes: a better one gets
another number. What comes out depends on the version of libzstd, so the file is kept and checked, and not made anew.

Its content is words, then whole records with little text, chosen one by one: the one of several that shortens others
most for its own length. zstd's own choice, of pieces that are frequent, makes records a tenth longer. libzstd then adds
the tables for its entropy coder, by a function that Python's binding leaves out.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zstandard
from tools import sample_envelopes
from tools.sample_text import HEX, OPENAI_MODELS, PROSE, Maker
from tools.sample_words import TURNS, WORDS

from llm_cache.codec.columns import parted
from llm_cache.codec.idents import slimmed

SIZE = 64 * 1024
SEED = 1
ROUNDS = 60
_CHOICES = 10
_LITTLE = "Hello! How can I assist you today."
_LEAST_GAIN = 0.02
FILE = Path(__file__).resolve().parent.parent / "src" / "llm_cache" / "codec" / "small-2.dict"
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


def sections(seed: int, rounds: int, prose: str = PROSE) -> Iterator[tuple[str, bytes]]:
    """Kind, and what records of it hold, as the codec writes it."""
    chance = random.Random(seed)  # noqa: S311 - the same every time
    pack = msgspec.msgpack.Encoder().encode
    for kind, url, sent, asked, kept, chunks in samples(seed, rounds, Maker(seed, prose)):
        usage = {name: chance.choice((0, 12, 340)) for name in USAGE}
        parts, cuts, _ = parted(chunks)
        ticks = bytes(chance.choices(range(72, 112), k=len(chunks)))
        model = chance.choice(OPENAI_MODELS)
        yield kind, slimmed(pack((kept, parts, cuts, ticks, usage, model, "POST", url, sent, asked)))[0]


def content() -> bytes:
    """Words, then the records that are of most use."""
    by_kind: dict[str, list[bytes]] = {}
    for kind, section in sections(SEED, ROUNDS):
        by_kind.setdefault(kind, []).append(section)
    judged = [section for found in by_kind.values() for section in found[:8]]
    offered = [section for _, section in sections(SEED + 1, 40, _LITTLE)]
    words = " ".join((*WORDS.split(), *TURNS.split(), *PROSE.split())).encode()
    chance = random.Random(SEED)  # noqa: S311 - as above
    chosen, cost, idle = b"", _cost(words, judged), 0
    while len(words) + len(chosen) < SIZE and idle < 40:
        tried = []
        for section in chance.sample(offered, _CHOICES):
            after = _cost(words + section + chosen, judged)
            tried.append(((cost - after) / len(section), after, section))
        gain, after, section = max(tried)
        idle = idle + 1 if gain < _LEAST_GAIN else 0
        if not idle:
            chosen, cost = section + chosen, after
    return words + chosen


def _cost(dictionary: bytes, judged: list[bytes]) -> int:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, write_content_size=0, write_dict_id=0)
    made = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    compress = zstandard.ZstdCompressor(dict_data=made, compression_params=parameters).compress
    return sum(len(compress(section)) for section in judged)


class _Parameters(ctypes.Structure):
    """ZDICT_params_t of zdict.h."""

    _fields_ = (("level", ctypes.c_int), ("notifications", ctypes.c_uint), ("number", ctypes.c_uint))


def finished(chosen: bytes, trained_on: list[bytes]) -> bytes:
    """A dictionary of that content, with tables for the entropy of these."""
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    finalize = library.ZDICT_finalizeDictionary
    finalize.restype = ctypes.c_size_t
    sizes = (ctypes.c_size_t * len(trained_on))(*map(len, trained_on))
    room = ctypes.create_string_buffer(len(chosen) + 4096)
    size = finalize(
        room,
        ctypes.c_size_t(len(room)),
        chosen,
        ctypes.c_size_t(len(chosen)),
        b"".join(trained_on),
        sizes,
        ctypes.c_uint(len(trained_on)),
        _Parameters(9, 0, 0),
    )
    if library.ZDICT_isError(ctypes.c_size_t(size)):
        raise SystemExit("libzstd could not make a dictionary of this")
    return room.raw[:size]


def main() -> int:
    """Make the dictionary, or check all of them."""
    if "--check" in sys.argv:
        from llm_cache.codec.zstd import DICTIONARIES

        wrong = [name for name, digest in DICTIONARIES.values() if _digest(FILE.with_name(name).read_bytes()) != digest]
        print("the dictionaries are what they were" if not wrong else f"changed: {', '.join(wrong)}")
        return bool(wrong)
    data = finished(content(), [section for _, section in sections(SEED, ROUNDS)])
    FILE.write_bytes(data)
    print(FILE.name, len(data), _digest(data))
    return 0


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
