"""The dashboard: pages about the cache for a browser, and the data behind them. It must not have a part in any call."""
