"""Plays a plan by a script: the effects that it must ask for, and what it is answered. It performs none of them."""

from __future__ import annotations

import reprlib
from collections.abc import Generator
from typing import Any, Final

from llm_cache.core.effects import Effect

_ANYTHING: Final = object()


class _Short(reprlib.Repr):
    """Representations that fit a line each; keys and entries are long."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 300


_short = _Short().repr


def play(
    plan: Generator[Effect, Any, Any],
    *script: object,
    returns: object = _ANYTHING,
    raises: BaseException | type[BaseException] | None = None,
    goes_on: bool = False,
) -> Any:
    """Run a plan through a script and hand back what it returned or raised.

        play(
            answer(ask, now),
            (Lookup(key), None),
            (Claim(key), Claimed.LEAD),
            (Lookup(key), entry),
            Tell,
            returns=Replay(entry),
        )

    Args:
        plan: a generator of effects that has not begun.
        script: for each effect that is expected, in order, `(expected, answer)`, or `expected` alone
            where the answer is None. What is expected is an effect that it must equal, a class that it
            must be of, or a function that must be true of it. An answer that is an exception is thrown.
        returns: what the plan must return after the last effect: a value that it must equal, a class
            that it must be of, or a function that must be true of it; anything, if not given.
        raises: the exception that it must raise instead: that very one, or one of that class.
        goes_on: the script is only a beginning; what the plan asks for after it is handed back.

    Raises:
        AssertionError: it did otherwise; the message is the transcript of what came before.
    """
    scenes = [scene if isinstance(scene, tuple) else (scene, None) for scene in script]
    lines: list[str] = []
    answer: object = None
    for expected, next_answer in scenes:
        try:
            effect = _advance(plan, answer)
        except StopIteration as stop:
            raise _wrong(lines, _shown(expected), f"it returned {_short(stop.value)}") from None
        except BaseException as error:
            raise _wrong(lines, _shown(expected), f"it raised {error!r}") from error
        if not _fits(expected, effect):
            raise _wrong(lines, _shown(expected), _short(effect))
        verb = "throw " if isinstance(next_answer, BaseException) else ""
        lines.append(f"{_short(effect)}  <-  {verb}{_short(next_answer)}")
        answer = next_answer
    if raises is not None:
        ending = f"it raises {_shown(raises)}"
    elif goes_on:
        ending = "it goes on"
    else:
        ending = f"it returns {'anything' if returns is _ANYTHING else _shown(returns)}"
    try:
        effect = _advance(plan, answer)
    except StopIteration as stop:
        outcome = stop.value
        if goes_on or raises is not None or (returns is not _ANYTHING and not _fits(returns, outcome)):
            raise _wrong(lines, ending, f"it returned {_short(outcome)}") from None
        return outcome
    except BaseException as error:
        if raises is not None and (error is raises or (isinstance(raises, type) and isinstance(error, raises))):
            return error
        raise _wrong(lines, ending, f"it raised {error!r}") from error
    if goes_on:
        return effect
    raise _wrong(lines, ending, _short(effect))


def _advance(plan: Generator[Effect, Any, Any], answer: object) -> Effect:
    return plan.throw(answer) if isinstance(answer, BaseException) else plan.send(answer)


def _fits(expected: object, given: object) -> bool:
    if isinstance(expected, type):
        return isinstance(given, expected)
    if callable(expected):
        return bool(expected(given))
    return expected == given


def _shown(expected: object) -> str:
    name = getattr(expected, "__name__", None)
    return name if isinstance(name, str) else _short(expected)


def _wrong(lines: list[str], expected: str, came: str) -> AssertionError:
    numbered = [f"{number:>3}. {line}" for number, line in enumerate(lines, 1)]
    end = [f"{len(lines) + 1:>3}. expected: {expected}", f"     but came: {came}"]
    return AssertionError("\n".join(["the plan did", *numbered, *end]))
