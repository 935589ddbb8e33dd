"""What each reason means that the account counts by, in a sentence, for the reference. It holds no code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MISSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "absent": "Nothing is stored for this request, in these words.",
        "expired": "What is stored is past its time, or older than the request allows (`max-age`).",
        "refresh": "A new answer was asked for: mode `refresh`, `no-cache`.",
        "offline": "Nothing is stored, and the mode forbids to call.",
        "broken_off": "An identical call was joined, and it broke off.",
    }
)
BYPASSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "off": "The mode is `off`.",
        "unknown_endpoint": "No call of a model that is known here: another path, method or kind of body.",
        "code_unreadable": "The code of a decorated function cannot be read; `version=` would stand in for it.",
        "conversation": "It belongs to a conversation that the provider keeps, so its answer depends on what is there.",
    }
)
DROPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "status_…": "The answer had this status, not 200.",
        "error": "An error event in a stream, or an error in the body of a 200.",
        "cut_off": "A stream ended without its provider's terminal event.",
        "broken_off": "The connection broke before the end.",
        "abandoned": "Its reader went away before its end, and nobody else read along.",
        "failed": "The provider says that the model was not let finish: failed, cancelled, aborted.",
        "unfinished": "It is queued or in progress.",
        "malformed": "It is not the JSON that this API sends.",
        "unreadable": "It could not be read at all; the call had it as it came.",
        "too_large": "It is over `max_entry_mb`.",
        "empty": "It has no content and no tool call.",
        "content_filter": "The provider's filter cut it.",
        "length": "It is cut at its length, and `dont_store` says so.",
        "refusal": "The model declined, and `dont_store` says so.",
        "not_to_be_stored": "It would have been kept, but for the mode or `no-store`.",
        "store_failed": "It would have been kept, but for the store.",
    }
)
FAILURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "get": "A lookup failed or took too long: a miss.",
        "put": "An answer could not be written in time: it is not kept.",
        "lease": "Who fetches what could not be agreed on with other processes: the call was made.",
        "encode": "An answer could not be made a record of: it is not kept.",
        "decode": "A record could not be read: a miss.",
        "damaged": "The store was found damaged, and a new one begun.",
    }
)
