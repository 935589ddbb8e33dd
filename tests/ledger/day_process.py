"""One process of the scripted day: makes the calls that it is told, and ends as it is told. It holds no test."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from llm_cache import LLMCache, options


def main() -> None:
    told = json.load(sys.stdin)
    # On a busy machine a lookup that takes too long counts as a miss, as it should; here that would be chance.
    patience = {"read_timeout_ms": 60_000, "write_timeout_ms": 60_000}
    cache = LLMCache(database_url=told["url"], pricing_table=told["prices"], **patience)
    for call in told["calls"]:
        with options(namespace=call["namespace"], mode=call["mode"]):
            cache.get_or_set(
                None,
                lambda reply=call["reply"]: reply,
                call["provider"],
                call["model"],
                call["endpoint"],
                call["request"],
            )
    if told["end"] == "close":
        cache.close()
    elif told["end"] == "kill":
        # A crash loses at most the last second of counters.
        time.sleep(told["patience_s"])
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
