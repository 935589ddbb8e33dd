"""One spelling for everything that means the same, and a different one for everything else."""

from __future__ import annotations

import sys

import pytest

from llm_cache.core.canonical import MAX_DEPTH, NotCanonical, number, parse, write


def canonical(text: str | bytes) -> str:
    return write(parse(text if isinstance(text, bytes) else text.encode())).decode()


NUMBERS = [
    # integers
    ("0", "0"),
    ("-0", "0"),
    ("1", "1"),
    ("-1", "-1"),
    ("9007199254740993", "9007199254740993"),  # 2**53 + 1, which binary floating point does not have
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    ("1" + "0" * 39, "1" + "0" * 39),
    ("1" + "0" * 40, "1e40"),
    ("-1" + "0" * 39, "-1" + "0" * 39),
    ("-1" + "0" * 40, "-1e40"),
    ("12" + "0" * 39, "1.2e40"),
    ("9" * 40, "9" * 40),
    ("9" * 41, "9." + "9" * 40 + "e40"),
    # the same number in other words
    ("1.0", "1"),
    ("1e0", "1"),
    ("1E0", "1"),
    ("1e+0", "1"),
    ("10e-1", "1"),
    ("0.1e1", "1"),
    ("100.000", "100"),
    ("1e2", "100"),
    ("1e39", "1" + "0" * 39),
    ("1e40", "1e40"),
    ("1.5e1", "15"),
    ("0.0", "0"),
    ("-0.0", "0"),
    ("0e99", "0"),
    ("0.000e-5", "0"),
    # fractions
    ("0.7", "0.7"),
    ("0.70", "0.7"),
    ("7e-1", "0.7"),
    ("-0.25", "-0.25"),
    ("12e-1", "1.2"),
    ("0.1", "0.1"),
    ("0.10000000000000001", "0.10000000000000001"),  # the same binary double as 0.1, another number
    ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
    ("12345678901234567.5", "12345678901234567.5"),
    ("0.0001", "0.0001"),
    ("0.00012", "0.00012"),
    ("0.00001", "1e-5"),
    ("0.000012", "1.2e-5"),
    ("1e-5", "1e-5"),
    ("1e-05", "1e-5"),
    ("-1.50E-7", "-1.5e-7"),
    # beyond what a double can hold
    ("1e400", "1e400"),
    ("-1e400", "-1e400"),
    ("1.50e400", "1.5e400"),
    ("1e-400", "1e-400"),
    ("1e999999999", "1e999999999"),
]


@pytest.mark.parametrize(("literal", "spelling"), NUMBERS)
def test_a_number_has_one_spelling(literal, spelling):
    assert number(literal) == spelling
    assert canonical(literal) == spelling
    assert canonical(f'{{"a": [{literal}]}}') == f'{{"a":[{spelling}]}}'


@pytest.mark.parametrize(("literal", "spelling"), NUMBERS)
def test_the_spelling_of_a_number_is_its_own_spelling(literal, spelling):
    assert number(spelling) == spelling
    assert canonical(spelling) == spelling


@pytest.mark.parametrize("literal", ["", "a", "1.", ".5", "0x1", "1e", "1 ", "+1", "١", "1e9999999999999"])
def test_what_is_no_number_has_no_spelling(literal):
    with pytest.raises(NotCanonical):
        number(literal)


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ('{"b":1,"a":2}', '{"a":2,"b":1}'),
        (' {\n"a" :\t[ 1 , 2 ]\r}', '{"a":[1,2]}'),
        ('{"a":{"z":1,"y":{}},"A":[]}', '{"A":[],"a":{"y":{},"z":1}}'),
        ("[true,false,null]", "[true,false,null]"),
        (r'"\u0041\/\u00e9"', '"A/é"'),
        (r'"\ud83d\ude00"', '"😀"'),
        (r'"\u0000\u001f\u007f\u2028\b\t\n\f\r\"\\"', '"\\u0000\\u001f\x7f\u2028\\b\\t\\n\\f\\r\\"\\\\"'),
        ('{"\\u0062":1,"a":1e-7}', '{"a":1e-7,"b":1}'),
        ('{"😀":1,"\uffff":2}', '{"\uffff":2,"😀":1}'),  # by code point, not by UTF-16 unit
    ],
)
def test_order_white_space_and_escapes_are_one_spelling(text, spelling):
    assert canonical(text) == spelling


def test_what_means_something_else_is_spelled_otherwise():
    texts = [
        "1",
        '"1"',
        "true",
        "null",
        "[]",
        "{}",
        "[1]",
        '{"a":null}',
        "{}",
        '""',
        '"true"',
        "0",
        "false",
        '"é"',
        '"e\u0301"',
    ]
    assert len({canonical(text) for text in texts}) == len(set(texts))


def test_text_is_not_normalised():
    assert canonical('"é"') != canonical('"e\u0301"')


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense",
        b"{",
        b'{"a":1,}',
        b"[1,]",
        b"01",
        b"{'a':1}",
        b'"\x01"',
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'[{"a":1,"b":2,"a":3}]',
        b'{"a":1,"\\u0061":2}',
        b'"\\ud800"',
        b'"\\uDEAD and more"',
        b'"\\ude00\\ud83d"',
        b'{"\\udc00":1}',
        b'{"a":["\\ud83d\\ude00\\ud83d",1e-7]}',
        b'"\xff"',
        b'"\xed\xa0\x80"',  # half a surrogate pair as UTF-8
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1} {"b":2}',
        b"1e9999999999999",
    ],
)
def test_what_readers_may_understand_differently_has_no_canonical_form(text):
    with pytest.raises(NotCanonical):
        parse(text)


@pytest.mark.parametrize("brackets", [b"[]", b'{"a":}'])
def test_depth_is_bounded_alike_on_every_machine(brackets):
    opening, closing = brackets[:-1], brackets[-1:]
    deepest = opening * (MAX_DEPTH - 1) + b"[]" + closing * (MAX_DEPTH - 1)
    assert write(parse(deepest)) == deepest
    with pytest.raises(NotCanonical):
        parse(opening * MAX_DEPTH + b"[]" + closing * MAX_DEPTH)
    with pytest.raises(NotCanonical):
        parse(opening * 100_000 + b"[]" + closing * 100_000)


def test_many_brackets_side_by_side_are_not_deep():
    wide = b"[" + b",".join([b"[]"] * 1000) + b"]"
    assert write(parse(wide)) == wide


def test_an_integer_of_any_length_is_read_in_reasonable_time():
    """Python refuses to read integers of more than 4300 digits, and would need quadratic time."""
    assert canonical("7" * 100_000) == f"7.{'7' * 99_999}e99999"


def test_a_stack_that_is_nearly_full_is_no_canonical_form_and_no_crash():
    def deeper(left: int) -> object:
        return deeper(left - 1) if left else attempt()

    def attempt() -> bytes | None:
        try:
            return write(parse(b"[" * 190 + b"1e-7" + b"]" * 190))
        except NotCanonical:
            return None

    frames = sys.getrecursionlimit() - 150
    assert deeper(frames - len_of_stack()) is None


def len_of_stack() -> int:
    frame, length = sys._getframe(), 0
    while frame is not None:
        frame, length = frame.f_back, length + 1
    return length


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, ["\ud800"]])
def test_a_value_that_json_does_not_have_is_not_written(value):
    with pytest.raises(NotCanonical):
        write(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", [parse(b"1e-7"), object()], {1: parse(b"1e-7")}])
def test_a_type_that_json_does_not_have_is_a_type_error(value):
    with pytest.raises(TypeError):
        write(value)
