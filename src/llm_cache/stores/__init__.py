"""Keep rows by key. Stores know nothing of LLMs, policies or codecs."""
