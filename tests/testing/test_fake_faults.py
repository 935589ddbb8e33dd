"""Faults, seen from raw sockets: what goes over the wire is exactly what was asked for."""

import gc
import gzip
import itertools
import threading
import time
import zlib
from dataclasses import replace

import httpx
import pytest

from llm_cache.testing import FakeUpstream, Reply, openai_chat_stream

ASK = b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"
CLOSING = ASK.replace(b"host: h", b"connection: close")


def read_all(line):
    """Until FIN; a reset raises ConnectionResetError."""
    data = b""
    while piece := line.recv(65536):
        data += piece
    return data


def read_until(line, mark):
    data = b""
    while mark not in data:
        piece = line.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def split_head(data):
    head, _, body = data.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return status, dict(field.split(": ", 1) for field in fields), body


def exchange(connect, up, reply, ask=CLOSING):
    up.reply("/x", reply)
    line = connect(up)
    line.sendall(ask)
    return split_head(read_all(line))


def test_plain_json_has_a_length(up, connect):
    status, fields, body = exchange(connect, up, Reply(json={"a": 1}))
    assert status == "HTTP/1.1 200 OK"
    assert fields["content-type"] == "application/json"
    assert fields["content-length"] == "7"
    assert body == b'{"a":1}'


def test_each_chunk_is_a_chunk(up, connect):
    _, fields, body = exchange(connect, up, Reply(chunks=["ab", b"", b"c"]))
    assert fields["transfer-encoding"] == "chunked"
    assert fields["content-type"] == "text/event-stream; charset=utf-8"
    assert body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


def test_a_body_may_end_with_the_connection(up, connect):
    _, fields, body = exchange(connect, up, Reply(body="abc", transfer="close"), ask=ASK)
    assert "content-length" not in fields
    assert "transfer-encoding" not in fields
    assert fields["connection"] == "close"
    assert body == b"abc"


def test_http_10_gets_no_chunks(up, connect):
    _, fields, body = exchange(connect, up, Reply(chunks=["a", "b"]), ask=ASK.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert "transfer-encoding" not in fields
    assert body == b"ab"


def test_head_and_204_have_no_body(up, connect):
    _, fields, body = exchange(connect, up, Reply(json=1), ask=CLOSING.replace(b"POST", b"HEAD"))
    assert (fields["content-length"], body) == ("1", b"")
    assert exchange(connect, up, Reply(status=204))[2] == b""


@pytest.mark.parametrize(("size", "expected"), [(0, b""), (3, b"abc"), (4, b"abcd"), (6, b"abcdef"), (99, b"abcdef")])
def test_break_after_bytes(up, connect, size, expected):
    reply = Reply(chunks=[b"abc", b"def"], break_after_bytes=size, transfer="length")
    _, fields, body = exchange(connect, up, reply, ask=ASK)
    assert fields["content-length"] == "6"
    assert body == expected


@pytest.mark.parametrize(("count", "expected"), [(0, b""), (1, b"1\r\na\r\n"), (2, b"1\r\na\r\n1\r\nb\r\n")])
def test_break_after_chunks_leaves_out_the_end(up, connect, count, expected):
    assert exchange(connect, up, Reply(chunks=["a", "b"], break_after_chunks=count), ask=ASK)[2] == expected


def test_a_break_in_the_middle_is_an_error_to_clients(up):
    up.reply("/x", Reply(chunks=["a", "b"], break_after_chunks=1))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(up.url + "/x")
    up.wait_until(lambda up: up.open_connections == 0)
    assert (up.in_flight, up.aborted) == (0, 0)


def test_reset_before_the_head(up, connect):
    up.reply("/x", Reply(reset=True))
    line = connect(up)
    line.sendall(ASK)
    with pytest.raises(ConnectionResetError):
        line.recv(1)


def test_a_client_that_leaves_opens_no_gate(up, connect):
    gate = threading.Event()
    up.reply("/x", Reply(body="x", gates={"head": gate}))
    one, other = connect(up), connect(up)
    for line in (one, other):
        line.sendall(CLOSING)
    up.wait_until(lambda up: up.held == 2)
    one.close()
    up.wait_until(lambda up: up.held == 1)
    gate.set()
    assert read_all(other).endswith(b"\r\n\r\nx")
    assert up.aborted == 1


def test_endless_chunks_can_break(up, connect):
    body = exchange(connect, up, Reply(chunks=itertools.repeat(b"abc"), break_after_bytes=7))[2]
    assert body == b"3\r\nabc\r\n3\r\nabc\r\n1\r\na\r\n"


def test_reset_after_bytes_have_arrived(up, connect):
    up.reply("/x", Reply(chunks=["abc"], break_after_bytes=2, reset=True))
    line = connect(up)
    line.sendall(ASK)
    assert read_until(line, b"ab\r\n").endswith(b"2\r\nab\r\n")
    with pytest.raises(ConnectionResetError):
        line.recv(1)


def test_no_head_is_a_clean_end(up, connect):
    up.reply("/x", Reply(no_head=True))
    line = connect(up)
    line.sendall(ASK)
    assert line.recv(1) == b""


def test_hang_answers_nothing(up, connect):
    up.reply("/x", Reply(hang=True))
    line = connect(up)
    line.sendall(ASK)
    up.wait_for(1)
    line.settimeout(0.05)
    with pytest.raises(TimeoutError):
        line.recv(1)
    assert up.in_flight == 1


def test_never_end_sends_all_but_the_end(up, connect):
    up.reply("/x", Reply(chunks=["a"], never_end=True))
    line = connect(up)
    line.sendall(ASK)
    assert read_until(line, b"a\r\n").endswith(b"1\r\na\r\n")
    line.settimeout(0.05)
    with pytest.raises(TimeoutError):
        line.recv(1)


@pytest.mark.parametrize("declared", [2, 5])
def test_a_wrong_length_closes_the_connection(up, connect, declared):
    _, fields, body = exchange(connect, up, Reply(body="abc", declared_length=declared), ask=ASK)
    assert fields["content-length"] == str(declared)
    assert body == b"abc"


def test_a_length_too_long_is_an_error_to_clients(up):
    up.reply("/x", Reply(body="abc", declared_length=5))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(up.url + "/x")


@pytest.mark.parametrize("split", ["random", "bytes", "events", "whole"])
def test_gzip(up, split):
    text = "data: grüße\n\n" * 50
    up.reply("/x", Reply(body=text, gzip=True, split=split, headers={"content-type": "text/event-stream"}))
    answer = httpx.get(up.url + "/x")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == text


def test_gzip_flushes_each_chunk(up, connect):
    gate = threading.Event()
    up.reply("/x", Reply(chunks=["first", "second"], gzip=True, transfer="close", gates={1: gate}))
    line = connect(up)
    line.sendall(ASK)
    data = read_until(line, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
    unpacker = zlib.decompressobj(wbits=31)
    text = unpacker.decompress(data)
    while text != b"first":
        piece = line.recv(65536)
        data += piece
        text += unpacker.decompress(piece)
    gate.set()
    assert gzip.decompress(data + read_all(line)) == b"firstsecond"


def test_delays(up):
    up.reply("/x", Reply(chunks=["a", "b", "c"], delay_s=0.05, chunk_delay_s=0.05))
    started = time.monotonic()
    with httpx.stream("GET", up.url + "/x") as answer:
        to_head = time.monotonic() - started
        assert list(answer.iter_raw()) == [b"a", b"b", b"c"]
    assert to_head >= 0.05
    assert time.monotonic() - started - to_head >= 0.09


def test_gates_hold_head_pieces_and_end(up, connect):
    gates = {"head": threading.Event(), 1: threading.Event(), "end": threading.Event()}
    up.reply("/x", Reply(chunks=["a", "b"], gates=gates))
    line = connect(up)
    line.sendall(ASK)
    seen = []
    for point, mark in (("head", b"a\r\n"), (1, b"b\r\n"), ("end", b"0\r\n\r\n")):
        up.wait_until(lambda up: up.held == 1)
        line.setblocking(False)
        with pytest.raises(BlockingIOError):
            line.recv(1)
        line.settimeout(10)
        gates[point].set()
        seen.append(read_until(line, mark))
    assert [piece.rpartition(b"\r\n\r\n1")[2] for piece in seen] == [b"\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"]
    assert up.held == 0


def test_an_error_event_in_the_middle_of_a_stream(up):
    up.reply("/x", openai_chat_stream(["a", "b"], error_after=1))
    events = httpx.get(up.url + "/x").text.split("\n\n")
    assert '"content":"a"' in events[1]
    assert events[2].startswith('data: {"error"')
    assert events[3:] == [""]


def test_an_endless_stream_waits_for_its_reader(up):
    taken = itertools.count()

    def endless():
        while True:
            next(taken)
            yield b"x" * 65536

    up.reply("/x", Reply(chunks=endless()))
    with httpx.stream("GET", up.url + "/x") as answer:
        body = answer.iter_raw()
        assert next(body)
        time.sleep(0.1)
        assert up.aborted == 0
    up.wait_until(lambda up: up.aborted == 1)
    assert next(taken) < 1000


def test_what_is_not_http_gets_a_400(up, connect):
    line = connect(up)
    line.sendall(b"nonsense\r\n\r\n")
    assert read_all(line).startswith(b"HTTP/1.1 400 ")
    assert up.count() == 0


def test_requests_in_one_piece_are_answered_in_order(up, connect):
    up.script("/x", Reply(body="one"), Reply(body="two"))
    line = connect(up)
    line.sendall(ASK + CLOSING)
    data = read_all(line)
    assert data.index(b"one") < data.index(b"two")


def test_continue_is_sent_to_those_who_wait_for_it(up, connect):
    up.reply("/x", Reply(body="done"))
    line = connect(up)
    line.sendall(ASK.replace(b"host: h", b"expect: 100-continue")[:-2])
    assert read_until(line, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(b"{}")
    assert read_until(line, b"done")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"json": 1, "body": b""}, "one body"),
        ({"break_after_bytes": 1, "break_after_chunks": 1}, "breaks once"),
        ({"declared_length": 1, "transfer": "chunked"}, "transfer='length'"),
        ({"headers": {"Content-Length": "3"}}, "content-length"),
    ],
)
def test_a_reply_that_contradicts_itself_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        Reply(**fields)


def test_a_built_reply_can_be_made_faulty(up):
    up.reply("/x", replace(openai_chat_stream(["a"]), break_after_chunks=2))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(up.url + "/x")


def test_it_ends_whatever_is_going_on(connect):
    with FakeUpstream() as up:
        up.reply("/hang", Reply(hang=True))
        up.reply("/gate", Reply(chunks=["a"], gates={0: threading.Event()}))
        up.reply("/slow", Reply(body="x", delay_s=60))
        up.reply("/endless", Reply(chunks=itertools.repeat(b"x" * 65536)))
        up.reply("/handler", lambda received: threading.Event().wait(60) or Reply())
        for path in (b"/hang", b"/gate", b"/slow", b"/endless", b"/handler"):
            connect(up).sendall(ASK.replace(b"/x", path))
        up.wait_for(5)
        connect(up).sendall(b"POST /half HT")
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert up.in_flight == up.open_connections == up.held == 0
    assert up.aborted == 0


def test_it_ends_while_connections_are_still_being_accepted(connect):
    """Sockets that were lost on the way would be warnings, which are errors here."""
    for _ in range(30):
        with FakeUpstream() as up:
            up.reply("/x", Reply(body="x", delay_s=60))
            for _ in range(8):
                connect(up).sendall(ASK)
        assert up.open_connections == up.in_flight == 0
    gc.collect()


def test_chunks_that_raise_are_told_to_the_test(connect):
    def chunks():
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), FakeUpstream() as up:
        up.reply("/x", Reply(chunks=chunks()))
        line = connect(up)
        line.sendall(ASK)
        assert not read_all(line).endswith(b"0\r\n\r\n")
