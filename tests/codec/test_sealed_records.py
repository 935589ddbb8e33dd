"""Promise 7: what is sealed tells nothing without its key, and is no answer once a bit of it has changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given

from llm_cache.codec import ring
from llm_cache.codec.codec import Codec, outside, sealed_with
from llm_cache.codec.seal import Keys, new_secret
from llm_cache.core.model import Entry, Frame, Request
from llm_cache.errors import EntryError, FormatError, SealError, UncacheableError
from tests.codec.codec_samples import PLAIN, SAMPLES, as_kept, entries

KEYS = Keys([(7, bytes(range(32)))])
SEALED = Codec(keys=lambda: KEYS)
CANARY = "correct-horse-battery-staple-9f2c"
ASKED = Request("POST", "https://api.openai.com/v1/chat/completions", (), b'{"q": "%b"}' % CANARY.encode())
SECRET = replace(PLAIN, frames=(Frame(b'{"a": "%b"}' % CANARY.encode(), 1),), asked=ASKED)


@given(entries)
def test_every_entry_comes_back(entry: Entry) -> None:
    for codec in (SEALED, Codec(keys=lambda: KEYS, compress=False)):
        row = codec.encode(entry)
        found = codec.decode(row)
        assert found == replace(as_kept(entry), key=row.key.hex(), asked=None, size_bytes=len(row.value))
        assert found.origin == entry.key
        assert codec.asked(row) == entry.asked
        assert codec.whole(row) == row._replace(kind=entry.kind, stream=entry.stream)


def test_nothing_of_it_can_be_read_or_guessed() -> None:
    row = SEALED.encode(SECRET)
    seen = b"|".join(str(part).encode() if not isinstance(part, bytes) else part for part in row)
    plain = Codec().encode(SECRET)
    for secret in (
        CANARY.encode(),
        plain.key,
        plain.key.hex().encode(),
        *(hashlib.sha256(part).digest()[:8] for part in (ASKED.body, SECRET.body, CANARY.encode())),
    ):
        assert secret not in seen
    assert (row.kind, row.stream) == ("", False)
    assert (row.provider, row.model, row.created_at, row.input_tokens) == (
        SECRET.provider,
        SECRET.model,
        SECRET.created_at,
        12,
    )
    assert SEALED.encode(SECRET).value != row.value


@pytest.mark.parametrize("name", SAMPLES)
def test_any_flipped_bit_is_a_miss(name: str) -> None:
    row = SEALED.encode(SAMPLES[name])
    for place in range(len(row.value)):
        value = bytearray(row.value)
        value[place] ^= 1 << place % 8
        with pytest.raises(EntryError):
            SEALED.decode(row._replace(value=bytes(value)))
    for length in range(len(row.value)):
        with pytest.raises(EntryError):
            SEALED.decode(row._replace(value=row.value[:length]))
    with pytest.raises(EntryError):
        SEALED.decode(row._replace(value=row.value + b"\0"))


@pytest.mark.parametrize(
    "changes",
    [{"key": bytes(32)}, {"model": "gpt-4"}, {"namespace": "n"}, {"status": 201}, {"expires_at": None}],
    ids=repr,
)
def test_a_sealed_record_under_other_columns_is_no_answer(changes) -> None:
    with pytest.raises(SealError):
        SEALED.decode(SEALED.encode(PLAIN)._replace(**changes))


def test_without_its_key_it_is_no_answer() -> None:
    row = SEALED.encode(PLAIN)
    for codec in (Codec(), Codec(keys=lambda: Keys([new_secret()])), Codec(keys=lambda: Keys([(7, bytes(32))]))):
        with pytest.raises(SealError):
            codec.decode(row)
        with pytest.raises(SealError):
            codec.asked(row)
    told = outside(row)
    assert (told.key, told.model, told.input_tokens, told.frames) == (row.key.hex(), PLAIN.model, 12, ())


def test_nothing_is_written_plainly_for_want_of_keys() -> None:
    def none() -> Keys:
        raise SealError("no keys")

    with pytest.raises(SealError):
        Codec(keys=none).encode(PLAIN)
    with pytest.raises(UncacheableError):
        SEALED.encode(replace(PLAIN, kind="other"))


def test_rows_of_before_are_told_apart() -> None:
    assert sealed_with(Codec().encode(PLAIN)) is None
    assert sealed_with(SEALED.encode(PLAIN)) == 7
    assert SEALED.decode(Codec().encode(PLAIN)).body == PLAIN.body


def test_names_depend_on_the_key_and_know_the_ones_before() -> None:
    one, two = new_secret(), new_secret()
    origin = bytes(32)
    changing = Keys([two, one], unsealed=True)
    assert changing.names(origin) == [Keys([two]).name(origin), Keys([one]).name(origin), origin]
    assert Keys([one]).name(origin) != Keys([two]).name(origin)
    assert Keys([one]).names(origin) == [Keys([one]).name(origin)]


def test_a_ring_opens_for_its_passphrases_only() -> None:
    made = ring.made("old", unsealed=True)
    assert ring.read(made.document) == made
    keys, wrap = ring.opened(made, "old") or pytest.fail("closed")
    assert keys.unsealed
    assert ring.opened(made, "other") is None
    both = ring.with_keys(keys.secrets, [wrap, ring.new_wrap("new")], unsealed=False)
    for passphrase in ("old", "new"):
        opened = ring.opened(both, passphrase)
        assert opened is not None
        assert opened[0].secrets == keys.secrets
    assert keys.secrets[0][1] not in both.document


def test_any_flipped_bit_of_a_ring_is_seen() -> None:
    made = ring.made("old", unsealed=False)
    keys, wrap = ring.opened(made, "old") or pytest.fail("closed")
    document = made.document
    for place in range(len(document)):
        changed = bytearray(document)
        changed[place] ^= 1 << place % 8
        try:
            found = ring.read(bytes(changed))
        except FormatError:
            continue
        # With the salt that is known: a ring must not cost a tenth of a second for each bit here.
        opened = ring.opened_by(found, wrap)
        assert opened is None or opened.secrets == keys.secrets


def test_a_ring_cannot_ask_for_gigabytes() -> None:
    slot = ring.made("x", unsealed=False).slots[0]
    for log2_n, r, p in ((31, 8, 1), (15, 2**20, 1), (15, 8, 2**20), (0, 8, 1)):
        greedy = ring.Ring(1, (ring.Slot(slot.salt, log2_n, r, p, slot.box),), (1,), False)
        with pytest.raises(FormatError):
            ring.read(greedy.document)
