"""What an entry is made of: the bytes as they came, headers from an allow-list, and nothing that is secret."""

from __future__ import annotations

import pytest

from llm_cache.core.effects import Sent
from llm_cache.core.model import Entry, Frame, Head, Reading, Request, Step
from llm_cache.core.policy import Policy
from llm_cache.core.recorder import Recorder, Refused, asked, kept_headers, public_url, shared_head
from tests.core.making import KEY, NOW, OK, USAGE, WHOM, endpoint, request

KEPT = {
    "content-type": "text/event-stream",
    "x-request-id": "r1",
    "request-id": "r2",
    "openai-processing-ms": "12",
    "openai-version": "2020-10-01",
    "openai-model": "gpt-4o",
    "anthropic-organization-id": "o",
    "x-processing-time": "3",
    "x-envoy-upstream-service-time": "3",
    "server-timing": "x",
}
LEFT = {
    "set-cookie": "__cf_bm=secret",
    "cookie": "a=b",
    "authorization": "Bearer secret",
    "x-api-key": "secret",
    "www-authenticate": "x",
    "x-ratelimit-remaining-requests": "1",
    "x-ratelimit-limit-tokens": "1",
    "anthropic-ratelimit-requests-remaining": "1",
    "anthropic-ratelimit-unified-5h-status": "allowed",
    "anthropic-priority-input-tokens-remaining": "1",
    "anthropic-priority-output-tokens-limit": "1",
    "anthropic-priority-output-tokens-reset": "1",
    "openai-ratelimit-x": "1",
    "retry-after": "1",
    "content-encoding": "gzip",
    "content-length": "3",
    "transfer-encoding": "chunked",
    "connection": "close",
    "date": "now",
    "server": "cloudflare",
    "cf-ray": "x",
    "x-anything-else": "x",
    "x-openai-like": "x",
}


def test_headers_are_kept_from_an_allow_list():
    headers = tuple({**KEPT, **LEFT}.items())
    assert dict(kept_headers(headers)) == KEPT


def test_headers_are_kept_in_order_and_as_often_as_they_came():
    headers = (("openai-b", "1"), ("x", "2"), ("openai-a", "3"), ("openai-b", "4"))
    assert kept_headers(headers) == (("openai-b", "1"), ("openai-a", "3"), ("openai-b", "4"))


def test_what_others_see_of_a_head_is_what_would_be_kept():
    assert shared_head(Head(200, (("set-cookie", "a"), ("request-id", "r")))) == Head(200, (("request-id", "r"),))


CREDENTIALS = (
    ("authorization", "Bearer secret"),
    ("x-api-key", "secret"),
    ("api-key", "secret"),
    ("x-goog-api-key", "secret"),
    ("cookie", "session=secret"),
    ("proxy-authorization", "Basic secret"),
    ("x-llm-cache-token", "secret"),
    ("openai-organization", "org-1"),
    ("anthropic-version", "2023-06-01"),
)


def test_a_request_is_kept_without_credentials():
    """An allow-list again: of the headers, the query and the URL, only what counts in the key."""
    sent = request(
        b'{"prompt":"hi"}',
        url="https://user:secret@api.acme.example:8443/v1/say?key=secret&api-version=2024&sig=secret#secret",
        headers=CREDENTIALS,
    )
    kept = asked(sent, endpoint(query=(("api-version", "2024"), ("q", "a b&c"))), Policy())
    assert kept == Request(
        "POST",
        "https://api.acme.example:8443/v1/say?api-version=2024&q=a+b%26c",
        (("openai-organization", "org-1"), ("anthropic-version", "2023-06-01")),
        b'{"prompt":"hi"}',
    )
    assert b"secret" not in repr(kept).encode()


def test_a_request_over_the_limit_is_left_out():
    assert asked(request(b"x" * 11), endpoint(), Policy(max_entry_bytes=10)) is None
    assert asked(request(b"x" * 10), endpoint(), Policy(max_entry_bytes=10)) is not None


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://h/p?q=1", "https://h/p"),
        ("https://a:b@h:1/p#f", "https://h:1/p"),
        ("https://a@b@h/p", "https://h/p"),
        ("value://acme/v1/say", "value://acme/v1/say"),
        ("http://[::1", ""),
    ],
)
def test_a_url_for_people_has_no_secrets_and_is_never_an_error(url, public):
    assert public_url(url) == public


# --- recording ------------------------------------------------------------------------------------

SENT = Sent(Head(200, (*OK.headers, ("set-cookie", "secret"))), NOW, NOW + 0.5)


def recorder(policy=None, where=None, what=None, sent=SENT, kind="http") -> Recorder:
    return Recorder(what or request(), where or endpoint(), policy or Policy(), WHOM, sent, kind)


def test_an_entry_holds_the_chunks_as_they_came_with_their_times():
    recording = recorder(Policy(ttl_s=10))
    assert recording.feed(b"usage\n", NOW + 0.5) is Step.MORE
    assert recording.feed(b"EN", NOW + 0.75) is Step.MORE
    assert recording.feed(b"D\n", NOW + 1) is Step.COMPLETE
    entry = recording.finish(NOW + 2)
    assert entry == Entry(
        key=KEY,
        kind="http",
        provider="acme",
        model="acme-1",
        answered_model="acme-1-2024",
        endpoint="/v1/say",
        namespace="default",
        head=OK,
        frames=(Frame(b"usage\n", 0), Frame(b"EN", 250_000), Frame(b"D\n", 500_000)),
        stream=True,
        created_at=NOW + 2,
        expires_at=NOW + 12,
        asked=request(),
        usage=USAGE,
        latency_ms=2000.0,
    )
    assert entry.body == b"usage\nEND\n"


def test_times_never_go_back_with_the_clock():
    recording = recorder()
    recording.feed(b"END\n", NOW - 60)
    entry = recording.finish(NOW - 60)
    assert (entry.frames[0].at_us, entry.latency_ms) == (0, 0.0)


def test_an_entry_that_never_expires_and_a_model_that_the_reply_does_not_name():
    class Silent:
        def feed(self, data):
            return Step.MORE

        def finish(self):
            return Reading()

    entry = recorder(Policy(ttl_s=None), endpoint(reader=lambda _: Silent())).finish(NOW)
    assert (entry.expires_at, entry.model, entry.usage) == (None, "acme-1", None)


def test_what_was_asked_as_a_stream_and_answered_as_json_is_no_stream():
    json = Sent(Head(200, (("content-type", "application/json; charset=utf-8"),)), NOW, NOW)
    assert not recorder(sent=json, where=endpoint(reader=lambda _: Always())).finish(NOW).stream
    assert recorder(where=endpoint(reader=lambda _: Always())).finish(NOW).stream


class Always:
    """A reader that is content with anything."""

    def feed(self, data):
        return Step.MORE

    def finish(self):
        return Reading()


def test_past_the_limit_nothing_is_kept_in_memory_and_nothing_is_read():
    fed = []

    class Counts(Always):
        def feed(self, data):
            fed.append(data)
            return Step.MORE

    recording = recorder(Policy(max_entry_bytes=4), endpoint(reader=lambda _: Counts()))
    for data in (b"abcd", b"e", b"f"):
        recording.feed(data, NOW)
    assert fed == [b"abcd"]
    assert recording._frames == []
    assert recording.finish(NOW + 1) == Refused("too_large", None, 1000.0)


def test_a_reply_of_just_the_limit_is_kept():
    recording = recorder(Policy(max_entry_bytes=4), endpoint(stream=False))
    recording.feed(b"abcd", NOW)
    assert recording.finish(NOW).body == b"abcd"


def test_a_longer_recording_can_be_finished_again():
    recording = recorder()
    recording.feed(b"END\n", NOW)
    assert recording.finish(NOW).body == b"END\n"
    recording.feed(b"tail", NOW)
    assert recording.finish(NOW).body == b"END\ntail"
