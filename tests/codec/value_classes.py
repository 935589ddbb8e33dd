"""Classes whose objects are kept, and classes that would do harm if a record could make them run."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic

T = TypeVar("T")
ran: list[str] = []
"""What code of these classes has run."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    AZURE = "blue"  # noqa: PIE796 - another name of one member


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    YES = "yes"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclass
class Point:
    x: Any
    y: Any = None
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ran.append("Point.__post_init__")

    def __setstate__(self, state: object) -> None:
        ran.append("Point.__setstate__")

    @property
    def armed(self) -> object:
        return None

    @armed.setter
    def armed(self, value: object) -> None:
        ran.append("Point.armed")


@dataclass(frozen=True)
class Frozen:
    name: str
    more: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Slotted:
    a: Any
    b: Any = 2


@dataclass
class WithSlotBase(Point):
    __slots__ = ("extra",)
    z: int = 0


@dataclass
class HubOutput(dict):  # as huggingface_hub's: a dataclass that is a dict as well
    text: str
    score: float | None = None

    def __post_init__(self) -> None:
        self.update(text=self.text, score=self.score)


@dataclass
class Lone(Exception):
    """It has state where we cannot see it."""

    why: str


class Outer:
    @dataclass
    class Inner:
        n: int


class Model(pydantic.BaseModel):
    name: str
    number: int = 0
    inner: Model | None = None
    things: list[Any] = []
    _private: int = pydantic.PrivateAttr(default=5)

    @pydantic.field_validator("name")
    @classmethod
    def _validated(cls, value: str) -> str:
        ran.append("Model validator")
        return value

    def model_post_init(self, context: object) -> None:
        ran.append("Model.model_post_init")

    @functools.cached_property
    def shout(self) -> str:
        return self.name.upper()


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    id: str = "x"


class FrozenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    n: int


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class Boxes(pydantic.RootModel[list[Box[int]]]):
    pass


class SlotModel(pydantic.BaseModel):
    __slots__ = ("hidden",)
    n: int = 1


@pydantic.dataclasses.dataclass
class Checked:
    n: int


class NotKept:
    def __init__(self) -> None:
        ran.append("NotKept")


class StrChild(str):
    __slots__ = ()


class DictChild(dict):
    pass


def local_class() -> type:
    @dataclass
    class Local:
        n: int = 1

    return Local
