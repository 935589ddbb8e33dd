"""Fixtures of the configuration's tests. It must not hold tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llm_cache.config import Settings, load
from llm_cache.errors import ConfigError

Loading = Callable[..., Settings]


@pytest.fixture
def loaded(tmp_path: Path) -> Loading:
    """Loads settings from arguments, the text of a file, and variables without their prefix."""

    def loading(file: str | None = None, /, *, arguments: dict | None = None, **variables: str) -> Settings:
        environ = {"HOME": str(tmp_path), **{f"LLMCACHE_{name}": value for name, value in variables.items()}}
        if file is not None:
            folder = tmp_path / ".config" / "llm-cache"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.toml").write_text(file, encoding="utf-8")
        return load(arguments, environ)

    return loading


@pytest.fixture
def refused(loaded: Loading) -> Callable[..., str]:
    """The message with which such settings are refused; one sentence, or the test fails."""

    def refusing(file: str | None = None, /, **given: object) -> str:
        with pytest.raises(ConfigError) as caught:
            loaded(file, **given)
        message = str(caught.value)
        assert "\n" not in message
        return message

    return refusing
