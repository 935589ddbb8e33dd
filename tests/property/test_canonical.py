"""Equal canonical texts exactly for equal values, however they are written."""

from __future__ import annotations

import json
from decimal import Context, Decimal

from hypothesis import example, given, strategies as st

from llm_cache.core.canonical import parse, write
from llm_cache.core.policy import Policy
from llm_cache.core.signature import loads, sign, sign_value
from tests.core.making import endpoint, request
from tests.property.spellings import NUMBERS, TEXTS, VALUES, meaning, spelled

CHANCE = st.randoms(use_true_random=False)
PROGRAM_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def canonical(text: str) -> bytes:
    return write(parse(text.encode()))


@given(VALUES, CHANCE, CHANCE)
def test_every_spelling_of_a_value_has_one_canonical_text(value, one, other):
    texts = spelled(value, one), spelled(value, other)
    assert meaning(texts[0]) == meaning(texts[1])  # else this test's own writer is wrong
    assert canonical(texts[0]) == canonical(texts[1])


@given(VALUES, CHANCE)
def test_the_canonical_text_means_the_same_and_is_its_own_canonical_text(value, chance):
    text = spelled(value, chance)
    once = canonical(text)
    assert meaning(once.decode()) == meaning(text)
    assert write(parse(once)) == once


@given(VALUES, VALUES, CHANCE)
@example(1, True, None)
@example(0, False, None)
@example("1", 1, None)
@example([], {}, None)
@example(None, "null", None)
def test_two_texts_are_one_exactly_if_they_mean_the_same(one, other, chance):
    texts = [json.dumps(value, default=str) if chance is None else spelled(value, chance) for value in (one, other)]
    assert (canonical(texts[0]) == canonical(texts[1])) == (meaning(texts[0]) == meaning(texts[1]))


@given(NUMBERS, st.integers(-2, 2), st.integers(0, 60), CHANCE)
def test_neighbours_of_a_number_are_other_numbers(number, step, digits, chance):
    """The last of many digits counts, where binary floating point would have lost it."""
    exact = Context(prec=2000, Emax=10**9, Emin=-(10**9))
    neighbour = exact.add(Decimal(number), Decimal(step).scaleb(-digits))
    if abs(Decimal(number).adjusted()) > 500:
        return
    texts = spelled(number, chance), spelled(neighbour, chance)
    assert (canonical(texts[0]) == canonical(texts[1])) == (step == 0)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), CHANCE, CHANCE)
def test_every_spelling_of_a_body_has_one_key(body, one, other):
    def key(text: str) -> str:
        return sign(request(text.encode()), loads(text.encode()), endpoint(), Policy()).key

    assert key(spelled(body, one)) == key(spelled(body, other))


@given(PROGRAM_VALUES, CHANCE)
def test_a_program_and_the_wire_write_one_value_alike(value, chance):
    """A program's floats are the decimal numbers that Python shows; the wire may spell those in any way."""
    ours = sign_value(endpoint(), "m", value, Policy())
    counted = canonical(spelled({"model": "m", "request": _exact(value)}, chance))
    assert ours.document.startswith(b'{"body":%b,"endpoint":' % counted)


def _exact(value):
    if isinstance(value, dict):
        return {name: _exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))))
@example(b'{"a":\xff}')
@example(b"[" * 5000)
@example(b"1" * 5000)
@example(b'{"a":1e-7,"\\ud800":2}')
def test_any_bytes_at_all_have_a_key(body):
    signature = sign(request(body), loads(body), endpoint(), Policy())
    assert len(signature.digest) == 32
    assert json.loads(signature.document)["kind"] == "http"
