"""The settings: arguments over environment over file over defaults. It must open nothing but the settings' own file.

`load` is called at each construction, never at import, so that whoever changes the environment is heard.
"""

from llm_cache.config.file import config_path
from llm_cache.config.keys import KEYS
from llm_cache.config.load import get_config, load, unknown_variables
from llm_cache.config.settings import Settings

__all__ = ["KEYS", "Settings", "config_path", "get_config", "load", "unknown_variables"]
