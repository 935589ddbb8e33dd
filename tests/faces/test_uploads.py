"""Promises 1, 2 and 4 for forms and for replies that are no JSON: recordings go up, text and sound come back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.testing import FakeUpstream, Reply
from tests.proxy.running import NO_PROXY, running

SOUND = b"ID3" + bytes(range(256)) * 8
TEXT = Reply(json={"text": "Hello!", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3}})
PATH = "/v1/audio/transcriptions"


@pytest.fixture
def upstream():
    with FakeUpstream() as up:
        up.reply(PATH, TEXT)
        up.reply("/v1/audio/speech", Reply(body=SOUND, headers={"content-type": "audio/mpeg"}))
        yield up


def ask(client: httpx.Client, url: str, sound: bytes = SOUND, name: str = "a.mp3", **fields: str) -> httpx.Response:
    return client.post(url + PATH, files={"file": (name, sound)}, data={"model": "whisper-1", **fields})


def test_a_transcription_is_known_by_its_parts(upstream: FakeUpstream, database: str) -> None:
    with LLMCache(database_url=database) as cache, httpx.Client(**NO_PROXY) as client, wrap(client, cache):

        def status(**change) -> str:
            reply = ask(client, upstream.url, **change)
            assert reply.json()["text"] == "Hello!"
            return reply.extensions["llm_cache"].status

        assert status() == "miss"
        assert status() == "hit"  # under another boundary
        for change in ({"sound": SOUND + b"x"}, {"name": "b.wav"}, {"language": "de"}):
            assert status(**change) == "miss"
            assert status(**change) == "hit"
        (entry,) = [entry for entry in cache.entries() if entry.hits and b"a.mp3" in (entry.asked.body or b"")][:1]
        assert (entry.model, entry.input_tokens, entry.output_tokens) == ("whisper-1", 14, 3)
        assert cache.get(entry.key).text == "Hello!"
    assert upstream.count() == 4


def test_the_sdk_finds_what_plain_httpx_has_kept(upstream: FakeUpstream, database: str, tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    file = tmp_path / "a.mp3"
    file.write_bytes(SOUND)
    with LLMCache(database_url=database) as cache:
        client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none")
        with wrap(client, cache):
            for _ in range(2):
                assert client.audio.transcriptions.create(model="whisper-1", file=file).text == "Hello!"
                assert client.audio.speech.create(model="tts-1", voice="alloy", input="Hello!").content == SOUND
    assert upstream.count() == 2


def test_uploads_through_the_proxy(upstream: FakeUpstream, database: str) -> None:
    with running(upstream.url, database_url=database) as proxy, httpx.Client(**NO_PROXY) as client:
        seen = [ask(client, proxy.url).headers["x-llm-cache"] for _ in range(2)]
        assert seen == ["miss", "hit"]
        assert ask(client, proxy.url, b"other").headers["x-llm-cache"] == "miss"
        # A file for another endpoint goes through unread.
        upstream.reply("/v1/files", Reply(json={"id": "file-1"}))
        sent = client.post(f"{proxy.url}/v1/files", files={"file": ("a", b"x")}, data={"purpose": "batch"})
        assert sent.headers["x-llm-cache"] == "bypass"


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
def test_sound_is_kept_where_its_end_can_be_told(upstream: FakeUpstream, database: str, transfer) -> None:
    upstream.reply("/v1/audio/speech", Reply(body=SOUND, headers={"content-type": "audio/mpeg"}, transfer=transfer))
    with LLMCache(database_url=database) as cache, httpx.Client(**NO_PROXY) as client, wrap(client, cache):
        for _ in range(2):
            got = client.post(f"{upstream.url}/v1/audio/speech", json={"model": "m", "input": "Hi", "voice": "v"})
            assert got.content == SOUND
            assert got.headers["content-type"] == "audio/mpeg"
    # A body that the end of the connection ends may have been cut, and sound does not say.
    assert upstream.count() == (2 if transfer == "close" else 1)
