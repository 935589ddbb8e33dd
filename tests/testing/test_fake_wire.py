"""The request parser: whole requests from bytes cut anywhere."""

import pytest

from llm_cache.testing.wire import BadRequestError, RequestParser, chunk, has_body, head_bytes

PLAIN = b"POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /v1/y HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
)
CHUNKED_BARE = b"POST /v1/z HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
EMPTY = b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_requests_come_out_whole_however_they_are_cut(step):
    wire = PLAIN + CHUNKED + CHUNKED_BARE + EMPTY + PLAIN
    parser = RequestParser()
    messages = [message for at in range(0, len(wire), step) for message in parser.feed(wire[at : at + step])]
    assert [message.body for message in messages] == [b"hello", b"hello", b"hello", b"", b"hello"]
    assert [message.method for message in messages] == ["POST", "POST", "POST", "GET", "POST"]
    assert messages[0].path_and_query == ("/v1/x", "a=b")
    assert messages[0].headers == (("host", "h"), ("content-length", "5"))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_it_knows_whether_the_connection_stays(head, expected):
    assert RequestParser().feed(head)[0].keeps_alive is expected


def test_a_forward_proxys_target_loses_its_host():
    message = RequestParser().feed(b"GET http://api.example/v1/models?x=%20 HTTP/1.1\r\n\r\n")[0]
    assert message.path_and_query == ("/v1/models", "x=%20")


def test_continue_is_due_once_and_only_while_the_body_is_awaited():
    parser = RequestParser()
    head, body = PLAIN.replace(b"Host: h", b"Expect: 100-continue")[:-5], b"hello"
    assert parser.feed(head) == []
    assert parser.take_continue()
    assert not parser.take_continue()
    assert len(parser.feed(body)) == 1
    assert len(parser.feed(head + body)) == 1
    assert not parser.take_continue()


@pytest.mark.parametrize(
    "wire",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * (1 << 21),
    ],
)
def test_what_is_not_http_is_refused(wire):
    with pytest.raises(BadRequestError):
        RequestParser().feed(wire)


def test_heads_and_chunks():
    assert head_bytes(200, (("a", "b"),)) == b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"
    assert head_bytes(529, ()).startswith(b"HTTP/1.1 529 ")
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert has_body("POST", 200)
    assert not has_body("HEAD", 200)
    assert not has_body("GET", 204)
