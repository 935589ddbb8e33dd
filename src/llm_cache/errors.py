"""The error tree. It must hold nothing but exception classes.

    LLMCacheError
    ├── ConfigError          a setting is wrong: which one, where it came from, what is allowed
    ├── CacheMissError       a call that may not touch the network found no entry
    ├── StoreError           a store could not do what it was asked
    │   └── StoreBusy        … within its deadline; trying again may help
    ├── EntryError           a stored record cannot be used
    │   ├── FormatError      … its bytes are damaged, forged or from a newer version
    │   └── SealError        … it is encrypted and the key at hand does not open it
    └── UncacheableError     a call or a value cannot be cached

Only construction, administration and `offline` mode raise these: in a call that would have worked
without the cache they are told as events and counted, and the call goes on.
"""


class LLMCacheError(Exception):
    """Base of all errors that this package raises on its own account."""


class ConfigError(LLMCacheError):
    """A setting is missing, unknown or out of range. The message names it and its source."""


class CacheMissError(LLMCacheError):
    """Nothing is stored for a call that must be answered from the cache alone.

    Attributes:
        message: what is missing, in one sentence.
        key: the 64 hex digits that were looked for.
        explanation: the nearest stored request and what differs, as lines of text.
    """

    def __init__(self, message: str, *, key: str = "", explanation: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.explanation = explanation

    def __str__(self) -> str:
        """All of it: in a notebook the end of a traceback is what one reads."""
        return f"{self.message}\n{self.explanation}" if self.explanation else self.message


class StoreError(LLMCacheError):
    """A store is unreachable, damaged, full or not writable.

    Attributes:
        damaged: whether what is stored is beyond reading, so that only a new store would help.
    """

    damaged: bool = False


class StoreBusy(StoreError):
    """A store did not answer within its deadline, or another process held its lock."""


class EntryError(LLMCacheError):
    """A stored record cannot be turned back into an answer; it counts as a miss."""


class FormatError(EntryError):
    """A record's bytes are damaged, forged, oversized or of a version that is unknown here."""


class SealError(EntryError):
    """A record is encrypted and cannot be opened with the key at hand."""


class UncacheableError(LLMCacheError):
    """A request or a value cannot enter the cache; the message names what and why."""
