"""Only what never changes, and is read back equal, is said to be immutable."""

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field, field_validator

from streamapp.serialisation import codec_for


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Plain(Frozen):
    number: int = Field(default=1, ge=0)
    text: str | None = None
    flags: tuple[bool, ...] = ()
    kind: Literal["a", 1] = 1


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Mixed(Enum):
    TEXT = "1"
    NUMBER = 1


class WithEnums(Frozen):
    colour: Colour = Colour.RED
    size: Size | None = Size.LARGE


class WithMixedEnum(Frozen):
    mixed: Mixed = Mixed.TEXT


class Changeable(BaseModel):
    number: int = 1


class WithList(Frozen):
    numbers: list[int] = []


class WithModel(Frozen):
    inner: Changeable = Changeable()


class WithFloat(Frozen):
    share: float = 1.0


class WithAnything(Frozen):
    anything: Any = None


class WithPrivate(Frozen):
    _seen: list[int] = PrivateAttr(default_factory=list)


class WithCache(Frozen):
    @cached_property
    def found(self) -> list[int]:
        return []


class WithComputed(Frozen):
    @computed_field  # type: ignore[prop-decorator]  # mypy does not know the stacking
    @property
    def twice(self) -> int:
        return 2


class WithExcluded(Frozen):
    number: int = Field(default=1, exclude=True)


class WithAlias(Frozen):
    number: int = Field(default=1, alias="n")


class WithValidator(Frozen):
    number: int = 1

    @field_validator("number")
    @classmethod
    def _more(cls, number: int) -> int:
        return number + 1


class WithStrippedText(Frozen):
    model_config = ConfigDict(str_strip_whitespace=True)
    text: str = ""


class WithExtra(Frozen):
    model_config = ConfigDict(extra="allow")


class MadeLater(Frozen):
    number: int = 1

    def model_post_init(self, _context: Any) -> None:
        object.__setattr__(self, "number", self.number + 1)


@dataclass(frozen=True)
class NeverValidated:
    number: int = 1


@pytest.mark.parametrize("type_", [bytes, Frozen, Plain, Plain | None, WithEnums], ids=str)
def test_what_never_changes_is_found(type_: Any) -> None:
    assert codec_for(type_).immutable


@pytest.mark.parametrize(
    "type_",
    [
        Any,
        dict,
        list[int],
        str,
        Changeable,
        WithList,
        WithModel,
        WithFloat,
        WithMixedEnum,
        WithAnything,
        WithPrivate,
        WithCache,
        WithComputed,
        WithExcluded,
        WithAlias,
        WithValidator,
        WithStrippedText,
        WithExtra,
        MadeLater,
        NeverValidated,
    ],
    ids=str,
)
def test_everything_else_is_taken_for_what_may_change(type_: Any) -> None:
    assert not codec_for(type_).immutable
