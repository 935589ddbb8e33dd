"""Calls that have a short way, for the tests of it. It holds no tests."""

from __future__ import annotations

import pytest

from .sdks import major

NEEDED = pytest.mark.skipif(major("openai") < 2, reason="the first major of openai has no short way")
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"


def ask(client, **more):
    return client.chat.completions.create(model="gpt-4", messages=MESSAGES, **more)


def settled(client, ask=ask):
    """A miss, a hit that makes the method a short one, and those that teach it."""
    for _ in range(5):
        value = ask(client)
    return value
