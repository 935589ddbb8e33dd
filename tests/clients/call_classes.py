"""Classes whose objects are arguments and results of decorated functions. It must not hold tests."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pydantic

ran: list[str] = []


class Tone(enum.Enum):
    WARM = "warm"
    COLD = "cold"


class Word(str, enum.Enum):
    WARM = "warm"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclass
class Point:
    x: Any
    y: Any = None

    def __post_init__(self) -> None:
        ran.append("Point")


@dataclass(frozen=True, slots=True)
class Slotted:
    a: Any = 1
    more: list[Any] = field(default_factory=list)


class Model(pydantic.BaseModel):
    name: str
    n: int = 0
    _secret: int = pydantic.PrivateAttr(default=1)


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class Pair(NamedTuple):
    a: Any
    b: Any


class Odd:
    pass


class Text(str):
    __slots__ = ()
