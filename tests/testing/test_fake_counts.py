"""Counting, waiting and many clients at once."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from llm_cache.testing import FakeUpstream, Reply


def test_requests_are_kept_as_they_came(up):
    up.reply("*", Reply(json={}))
    before = time.time()
    httpx.post(up.url + "/v1/x%20y?b=%41&a", json={"q": 1}, headers=[("X-Twice", "1"), ("X-Twice", "2")])
    (request,) = up.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/x%20y", "b=%41&a")
    assert request.target == "/v1/x%20y?b=%41&a"
    assert [value for name, value in request.headers if name == "x-twice"] == ["1", "2"]
    assert request.header("Content-Type") == "application/json"
    assert request.json() == {"q": 1}
    assert before <= request.received_at <= time.time()


def test_an_uploaded_stream_arrives_whole(up):
    up.reply("*", lambda received: Reply(json=len(received.body)))
    assert httpx.post(up.url + "/x", content=(b"x" * 1000 for _ in range(500))).json() == 500_000


def test_counts_by_path(up):
    up.reply("*", Reply(json={}))
    for path in ("/v1/a", "/a?x=1", "/v1/b"):
        httpx.get(up.url + path)
    assert up.count() == 3
    assert up.count("/v1/a") == 2
    assert up.count("/v1/c") == 0


def test_connections_are_kept_alive_and_counted(up):
    up.reply("*", Reply(json={}))
    with httpx.Client() as client:
        for _ in range(3):
            client.get(up.url)
        assert (up.connections, up.open_connections) == (1, 1)
    assert {request.connection for request in up.requests} == {1}
    httpx.get(up.url)
    assert up.connections == 2
    up.wait_until(lambda up: up.open_connections == 0)


def test_a_client_that_goes_away_is_counted(up):
    up.reply("/x", Reply(chunks=["a", "b"], gates={1: threading.Event()}))
    with httpx.stream("GET", up.url + "/x") as answer:
        # Kept: httpx closes the response when this iterator is collected.
        body = answer.iter_raw()
        assert next(body) == b"a"
        up.wait_until(lambda up: up.held == 1)
        assert (up.in_flight, up.aborted) == (1, 0)
    up.wait_until(lambda up: up.aborted == 1)
    assert (up.in_flight, up.held) == (0, 0)


def test_a_client_that_leaves_in_the_middle_of_one_large_piece_is_counted(up):
    up.reply("/x", Reply(body=b"x" * 30_000_000, split="whole"))
    with httpx.stream("GET", up.url + "/x") as answer:
        body = answer.iter_raw()
        assert next(body)
        assert up.in_flight == 1
    up.wait_until(lambda up: up.aborted == 1)
    assert len(httpx.get(up.url + "/x").content) == 30_000_000
    assert up.in_flight == 0


def test_a_client_that_gives_up_before_the_head_is_counted(up):
    up.reply("/x", Reply(hang=True))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(up.url + "/x", timeout=0.1)
    up.wait_until(lambda up: up.aborted == 1)


def test_a_client_that_leaves_after_the_last_byte_broke_nothing_off(up):
    """As SDKs do at `[DONE]`."""
    up.reply("/x", Reply(chunks=["a"], never_end=True))
    with httpx.stream("GET", up.url + "/x") as answer:
        assert next(answer.iter_raw()) == b"a"
    up.wait_until(lambda up: up.in_flight == 0)
    assert up.aborted == 0


def test_whoever_has_the_whole_answer_finds_nothing_in_flight(up):
    up.reply("/json", Reply(json={}))
    up.reply("/stream", Reply(chunks=["a"] * 20))
    with httpx.Client() as client:
        for path in ("/json", "/stream") * 50:
            client.get(up.url + path)
            assert up.in_flight == 0


def test_waiting_fails_with_what_was_counted(up):
    with pytest.raises(TimeoutError, match=r"requests=0, connections=0"):
        up.wait_for(1, timeout=0.01)


async def test_waiting_on_a_loop_lets_it_go_on(up):
    up.reply("*", Reply(json={}, delay_s=0.05))
    async with httpx.AsyncClient() as client:
        task = asyncio.ensure_future(client.get(up.url + "/x"))
        await up.await_for(1, path="/x")
        await up.await_until(lambda up: up.in_flight == 0)
        assert (await task).json() == {}
    with pytest.raises(TimeoutError):
        await up.await_for(2, timeout=0.01)


async def test_it_is_an_async_context_manager():
    async with FakeUpstream() as up, httpx.AsyncClient() as client:
        up.reply("*", Reply(json={}))
        assert (await client.get(up.url)).status_code == 200


def test_reset_forgets_all(up):
    up.reply("*", Reply(json={}))
    up.script("*", Reply(json=1), Reply(json=2))
    assert httpx.get(up.url).json() == 1
    assert up.unanswered == 1
    up.reset_counts()
    assert (up.count(), up.connections, up.unanswered) == (0, 0, 1)
    assert httpx.get(up.url).json() == 2
    assert httpx.get(up.url).json() == {}
    up.reset()
    assert up.requests == []
    assert httpx.get(up.url).status_code == 404


def test_an_answer_that_began_before_a_reset_spoils_no_count(up):
    up.reply("/x", Reply(hang=True))
    with socket.create_connection((up.host, up.port)) as line:
        line.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        up.wait_for(1)
        up.reset()
        assert (up.in_flight, up.open_connections) == (1, 1)
    up.wait_until(lambda up: up.open_connections == 0)
    assert (up.in_flight, up.aborted) == (0, 0)


def test_three_hundred_at_once(up):
    gate = threading.Event()
    up.reply("*", Reply(chunks=["a", "b"], gates={"head": gate}))

    async def all_of_them():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            tasks = [asyncio.ensure_future(client.get(f"{up.url}/{number}")) for number in range(300)]
            await up.await_until(lambda up: up.held == 300, timeout=30)
            gate.set()
            return [answer.text for answer in await asyncio.gather(*tasks)]

    assert asyncio.run(all_of_them()) == ["ab"] * 300
    assert up.count() == up.connections == 300
    assert up.in_flight == up.aborted == 0


def test_it_serves_threads():
    with FakeUpstream() as up, ThreadPoolExecutor(20) as pool, httpx.Client() as client:
        up.reply("*", Reply(json=[1, 2, 3]))
        answers = list(pool.map(lambda _: client.post(up.url, json={}).json(), range(200)))
        assert answers == [[1, 2, 3]] * 200
        assert up.count() == 200


def test_it_starts_and_ends_in_milliseconds():
    took = []
    for _ in range(5):
        started = time.perf_counter()
        with FakeUpstream():
            pass
        took.append(time.perf_counter() - started)
    assert min(took) < 0.1


def test_it_comes_back_on_its_port(up):
    up.reply("*", Reply(json={}))
    url = up.url
    up.stop()
    up.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    up.start()
    assert up.url == url
    assert httpx.get(url).json() == {}
    with pytest.raises(RuntimeError, match="already"):
        up.start()


def test_a_port_that_is_taken_is_an_error_at_once(up):
    with pytest.raises(OSError, match="in use"):
        FakeUpstream(port=up.port).start()


def test_there_is_no_address_before_the_start():
    with pytest.raises(RuntimeError, match="started"):
        _ = FakeUpstream().url


def test_dropped_connections_are_noticed_and_replaced(up):
    up.reply("*", Reply(json={}))
    with socket.create_connection((up.host, up.port)) as line:
        up.wait_until(lambda up: up.open_connections == 1)
        up.drop_connections()
        assert line.recv(1) == b""
    assert httpx.get(up.url).json() == {}
    assert up.aborted == 0
