"""Promise 7 for functions: credentials among the arguments count, and are not stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cache import cached_call
from llm_cache.clients.redaction import redacted

SECRET = "sk-proj-abcdefghijklmnop1234567890"


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": "hunter2"}, {"prompt": SECRET}, {"headers": {"Authorization": "Bearer hunter2"}},
        {"client": {"apiKey": "hunter2", "nested": [{"X-API-Key": "hunter2"}]}}, {"token": "hunter2"},
        {"password": "hunter2"}, {"config": [("x", {"client_secret": "hunter2"})]}, {"prompt": f"Bearer {SECRET}"},
    ],
)  # fmt: skip
def test_credentials_count_and_are_not_stored(cache, database, arguments):
    @cached_call(cache=cache)
    def ask(**more):
        return 1

    assert ask.cache_key(**arguments) != ask.cache_key() != ask.cache_key(api_key="other")
    assert ask(**arguments) == ask(**arguments) == 1
    (entry,) = cache.entries()
    assert "[redacted]" in str(entry.request)
    cache.close()
    stored = b"".join(file.read_bytes() for file in Path(database).parent.iterdir())
    assert b"hunter2" not in entry.asked.body + stored
    assert SECRET.encode() not in entry.asked.body + stored


@pytest.mark.parametrize(
    "body",
    [
        b'{"arguments":{"max_tokens":5,"prompt":"the api_key is a secret token"},"code":"x","model":""}',
        b'{"arguments":{"tokens":["a"],"tokenizer":"b","key":"k","skeleton":"sk"},"code":"x","model":""}',
    ],
)
def test_what_only_sounds_like_a_credential_is_stored(body):
    assert redacted(body) == body
