"""A store that nobody can read without its key: on disk, in a backup, on a shared Redis.

python examples/encrypted_store.py
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import os
import secrets
import tempfile
from pathlib import Path

import openai

from llm_cache import ConfigError, LLMCache, wrap_openai

PROMPT = "Patient 4711 has a rare disease."


def main() -> None:
    # Yours comes from a vault. It is never written down by the cache, and cannot be recovered.
    os.environ["LLMCACHE_ENCRYPTION_KEY"] = secrets.token_urlsafe(32)
    file = Path(tempfile.mkdtemp()) / "sealed.db"

    with LLMCache(database_url=file, enable_encryption=True) as cache, wrap_openai(openai.OpenAI(), cache) as client:
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": PROMPT}])
        (entry,) = cache.entries()
        stats = cache.stats()
        print(f"{stats.misses} call paid for, {stats.hits} from the cache; it holds: {entry.text}")

    written = b"".join(each.read_bytes() for each in file.parent.iterdir())
    print(f"the prompt can be read in the file: {b'rare disease' in written}")
    print(f"the model's name can be read in it: {b'gpt-4o' in written}")

    try:
        LLMCache(database_url=file, enable_encryption=True, encryption_key="a guess")
    except ConfigError as error:
        print(f"with another key: {error}")


if __name__ == "__main__":
    main()
