"""A form is its parts, whatever stands between them; what two readers could understand differently is none."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_cache.core.multipart import Part, parts_of
from llm_cache.core.signature import loads

KIND = "multipart/form-data; boundary=B"
TEXT = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
FILE = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n'
    b"Content-Type: audio/mpeg\r\n\r\n\x00\xff\r\n"
)
END = b"--B--\r\n"


def test_parts_come_in_order_with_all_that_they_say():
    assert parts_of(TEXT + FILE + END, KIND) == (
        Part("model", None, None, b"whisper-1"),
        Part("file", "a.mp3", "audio/mpeg", b"\x00\xff"),
    )


def test_a_form_shows_itself_as_an_object():
    body = loads(TEXT + FILE + TEXT + TEXT.replace(b"model", b"stream").replace(b"whisper-1", b"true") + END, KIND)
    assert isinstance(body.value, dict)
    assert body.value["model"] == ["whisper-1", "whisper-1"]
    assert body.value["stream"] is True
    assert body.value["file"]["size"] == 2
    assert body.exact


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TEXT + END, "multipart/form-data"),
        (TEXT + END, "multipart/form-data; boundary=C"),
        (TEXT + END, "multipart/form-data; boundary=B; charset=latin-1"),
        (TEXT + END, "multipart/mixed; boundary=B"),
        (TEXT + END, "application/json"),
        (TEXT, KIND),
        (TEXT + b"--B-", KIND),
        (TEXT + END + b"x", KIND),
        (b"x\r\n" + TEXT + END, KIND),
        (TEXT.replace(b"\r\n", b"\n") + END, KIND),
        (TEXT.replace(b"--B\r\n", b"--B \r\n") + END, KIND),
        (TEXT.replace(b"form-data", b"attachment") + END, KIND),
        (TEXT.replace(b'name="model"', b'name="a"; name="b"') + END, KIND),
        (TEXT.replace(b'name="model"', b'filename="b"') + END, KIND),
        (TEXT.replace(b'name="model"', b"name=\"a\"; filename*=UTF-8''b") + END, KIND),
        (TEXT.replace(b"model", b"\xff") + END, KIND),
        (TEXT.replace(b"model", b"a\nb") + END, KIND),
        (TEXT.replace(b"model", b"a" * 5000) + END, KIND),
        (TEXT.replace(b"Content-", b"X: y\r\nContent-") + END, KIND),
        (TEXT.replace(b"Content-", b"Content-Transfer-Encoding: base64\r\nContent-") + END, KIND),
        (TEXT * 1001 + END, KIND),
        (b"--", KIND),
        (b"", KIND),
    ],
)
def test_what_is_no_plain_form_is_none(body, kind):
    assert parts_of(body, kind) is None
    if body.startswith(b"--"):
        assert loads(body, kind).value is None


def test_without_a_content_type_the_first_line_tells_the_boundary():
    assert parts_of(TEXT + END, "") == (Part("model", None, None, b"whisper-1"),)


@given(body=st.binary(max_size=200), data=st.data())
def test_any_bytes_are_a_form_or_none(body, data):
    at = data.draw(st.integers(0, len(TEXT + FILE + END)))
    whole = TEXT + FILE + END
    for damaged in (body, whole[:at] + body + whole[at:], whole[:at]):
        parts_of(damaged, KIND)
        parts_of(damaged, "")
    assert parts_of(whole[: min(at, len(whole) - 3)], KIND) is None
