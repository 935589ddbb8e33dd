"""The digest of a function: its code, the data it reads from outside, and its module's helpers. It calls none of them.

What counts, and what does not:

- the syntax tree of the function, as `syntax` has it, the same in every Python version; without source, the code object
  and the Python version;
- data that it closes over or reads from its module, through imported modules (`prompts.SYSTEM`) and through attributes
  of classes and objects, with the value that it has when the call is made;
- by their source, the functions and classes of the same module that it names, that these name, and so on; for a
  method also what it takes from `self` or `cls` in its class;
- not: what it assigns itself or only adds to, objects that are no data (clients, loggers), functions of other modules.

Standard library only.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from llm_cache.clients.data import innermost
from llm_cache.clients.reach import Plan

__all__ = ["FunctionDigest", "digest"]
_MOST_OWNERS = 256
_TRIES = 10


class FunctionDigest:
    """The digest of one function, cheap to ask for at every call: the source is walked once."""

    def __init__(self, function: Any) -> None:
        self._function = function
        core = innermost(function)
        qualname = getattr(core, "__qualname__", "")
        outer = qualname.rpartition(".")[0]
        self.of_method = isinstance(core, FunctionType) and bool(outer) and not outer.endswith("<locals>")
        """Whether it is defined in a class, so that what it takes from `self` counts."""
        self._plan: Plan | None = None
        self._plans: dict[type, Plan] = {}

    def hex(self, owner: type | None = None) -> str:
        """64 hex digits for the function as it stands now.

        Args:
            owner: the class that a method is called on.

        Raises:
            Exception: whatever somebody's objects raise; there is no digest then.
        """
        plan = self._plan if owner is None else self._plans.get(owner)
        found = plan.hex() if plan is not None else None
        if found is not None:
            return found
        for _ in range(_TRIES):
            # Something that it names is another object by now, or became one while we looked.
            plan = Plan(self._function, owner)
            found = plan.hex()
            if found is not None:
                self._keep(plan, owner)
                return found
        raise RuntimeError("what it uses changes faster than it can be read")

    def _keep(self, plan: Plan, owner: type | None) -> None:
        if owner is None:
            self._plan = plan
            return
        if len(self._plans) >= _MOST_OWNERS:
            self._plans.clear()
        self._plans[owner] = plan


def digest(function: Any, owner: type | None = None) -> str:
    """The digest of a function, 64 hex digits."""
    return FunctionDigest(function).hex(owner)
