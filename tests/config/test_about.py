"""Every setting is explained, and nothing else is."""

from llm_cache.config.about import ABOUT
from llm_cache.config.keys import KEYS


def test_every_setting_is_explained():
    assert list(ABOUT) == list(KEYS)
    assert all(text.endswith(".") for text in ABOUT.values())
