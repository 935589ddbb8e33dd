"""Readers of one broken reply get an error each, of the class that the upstream raised."""

from __future__ import annotations

import httpx
import pytest

from llm_cache.runtime.own_error import own_error


class Coded(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


REQUEST = httpx.Request("POST", "https://api.acme.example")


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "reset"),
        ValueError("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        httpx.ReadError("reset", request=REQUEST),
        httpx.ReadTimeout("late"),
    ],
)
def test_a_copy_is_like_its_original_and_names_it(error):
    twin = own_error(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.__dict__ == error.__dict__
    assert twin.__cause__ is error


def test_a_copy_has_no_traceback_of_its_original():
    with pytest.raises(ValueError) as caught:
        int("x")
    assert caught.value.__traceback__ is not None
    assert own_error(caught.value).__traceback__ is None


def test_what_cannot_be_copied_is_handed_out_as_it_is():
    class Changeling(Exception):
        def __copy__(self):
            return ValueError("another")

    for error in (Coded("x", 7), Changeling("x"), httpx.HTTPStatusError("x", request=REQUEST, response=None)):
        assert own_error(error) is error
