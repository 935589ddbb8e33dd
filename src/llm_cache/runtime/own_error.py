"""One error object for each reader of a reply that broke off. It must not wrap: callers catch by type."""

from __future__ import annotations

import copy


def own_error(error: Exception) -> Exception:
    """A copy to be raised by another reader: one object raised in two threads would mix their tracebacks.

    Its cause is the original. An exception that cannot be copied is handed out as it is, since its
    class matters more.
    """
    try:
        twin = copy.copy(error)
    except Exception:
        return error
    if twin is error or type(twin) is not type(error):
        return error
    twin.__cause__ = error
    return twin
