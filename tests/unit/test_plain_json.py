"""Where orjson writes a model, it writes what pydantic would."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from streamapp.plain_json import encoder_for
from streamapp.serialisation import codec_for


class Plain(BaseModel):
    text: str = Field(max_length=100)
    number: int = 0
    share: float = 0.0
    flag: bool | None = None
    kind: Literal["a", 1] = "a"
    list_of: list[int] = []
    alias: str = Field(default="", validation_alias="other")

    @field_validator("text")
    @classmethod
    def _stripped(cls, value: str) -> str:
        return value.strip()

    @model_validator(mode="after")
    def _fine(self) -> "Plain":
        return self

    @cached_property
    def length(self) -> int:
        return len(self.text)


def both(value: Any, type_: type[Any] | None = None) -> tuple[bytes, bytes]:
    """What we write, the first time and later, and what pydantic does."""
    codec = codec_for(type_ or type(value))
    first = codec.encode(value)
    assert codec.encode(value) == first
    return first, TypeAdapter(type_ or type(value)).serializer.to_json(value, by_alias=True)


def is_fast(type_: type[Any]) -> bool:
    adapter: TypeAdapter[Any] = TypeAdapter(type_)

    def checked(_value: Any) -> bytes:
        return b""

    return encoder_for(type_, adapter, checked).encode is not checked


@given(
    st.builds(
        Plain,
        text=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
        number=st.integers(),
        share=st.floats(allow_nan=False, allow_infinity=False),
        flag=st.sampled_from([None, True, False]),
        list_of=st.lists(st.integers()),
    )
)
def test_both_write_the_same_values(value: Plain) -> None:
    ours, pydantics = both(value)
    assert is_fast(Plain)
    assert ours == pydantics


def test_large_integers_are_written_whole() -> None:
    ours, pydantics = both(Plain(text="", number=2**70))
    assert ours == pydantics
    assert b"%d" % 2**70 in ours


def test_cached_properties_are_not_written() -> None:
    value = Plain(text="abc")
    assert value.length == 3
    ours, pydantics = both(value)
    assert ours == pydantics
    assert b"length" not in ours


def test_a_subclass_is_written_as_what_was_declared() -> None:
    class More(Plain):
        private: str = "p"

    ours, pydantics = both(More(text="x"), Plain)
    assert ours == pydantics
    assert b"private" not in ours


class Colour(StrEnum):
    RED = "r"


class Inner(BaseModel):
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


class Serialised(BaseModel):
    n: int = 1

    @field_serializer("n")
    def _as_text(self, n: int) -> str:
        return str(n)


class Whole(BaseModel):
    n: int = 1

    @model_serializer
    def _list(self) -> list[int]:
        return [self.n]


class Computed(BaseModel):
    n: int = 1

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know the stacking
    @property
    def twice(self) -> int:
        return 2 * self.n


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int = 1


class Annotations(BaseModel):
    n: Annotated[int, PlainSerializer(str)] = 1


class Excluded(BaseModel):
    n: int = Field(default=1, exclude=True)


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    n: int = Field(default=1, alias="m")


class Constant(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    n: float = float("nan")


class Ratio(Enum):
    HALF = 0.5


class Rated(BaseModel):
    ratio: Ratio = Ratio.HALF


class ByValue(BaseModel):
    model_config = ConfigDict(use_enum_values=True, validate_default=True)
    colour: Colour = Colour.RED


class Nested(BaseModel):
    inner: Inner = Inner()


class Rooted(RootModel[list[int]]):
    root: list[int] = [1]


@pytest.mark.parametrize(
    "type_",
    [
        Serialised,
        Whole,
        Computed,
        Extra,
        Annotations,
        Excluded,
        Aliased,
        Constant,
        Rated,
        ByValue,
        Nested,
        Rooted,
    ],
)
def test_what_declares_another_form_keeps_it(type_: type[BaseModel]) -> None:
    assert not is_fast(type_)
    ours, pydantics = both(type_())
    assert ours == pydantics


class Level(IntEnum):
    LOW = 1
    HIGH = 2**70


class Side(Enum):
    LEFT = 'le"ft'
    RIGHT = "right"


class Chosen(BaseModel):
    colour: Colour = Colour.RED
    level: Level | None = None
    side: Side = Side.LEFT
    text: str | None = None


@given(st.builds(Chosen))
def test_both_write_the_same_members_of_enums(value: Chosen) -> None:
    ours, pydantics = both(value)
    assert is_fast(Chosen)
    assert ours == pydantics


@pytest.mark.parametrize(
    "wrong",
    [{"colour": "r"}, {"colour": None}, {"level": 1}, {"side": Colour.RED}, {"side": "right"}],
)
def test_what_is_no_member_is_refused_whatever_was_written_before(wrong: dict[str, Any]) -> None:
    codec = codec_for(Chosen)
    value, other = Chosen(level=Level.LOW), Chosen().model_copy(update=wrong)
    codec.encode(value)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"^{next(iter(wrong))}: "):
            codec.encode(other)
    assert codec.encode(value) == TypeAdapter(Chosen).dump_json(value)


@dataclass
class Underscored:
    a: int = 1
    _b: int = 2


@dataclass
class Priced:
    price: Decimal = Decimal("1.5")
    inner: Inner = field(default_factory=Inner)


@pydantic_dataclass
class Declared:
    a: int = Field(default=1, exclude=True)
    b: int = 2

    @field_serializer("b")
    def _as_text(self, value: int) -> str:
        return str(value)


@pytest.mark.parametrize("type_", [Underscored, Priced, Declared])
def test_a_dataclass_is_written_as_pydantic_would(type_: type[Any]) -> None:
    value = type_()
    assert codec_for(type_).encode(value) == TypeAdapter(type_).dump_json(value)


class Loose(BaseModel):
    things: list  # type: ignore[type-arg]  # what it holds is left open


class Dated(BaseModel):
    text: str
    at: datetime


@pytest.mark.parametrize(
    "value",
    [
        Loose(things=[datetime(2026, 1, 2, tzinfo=UTC)]),
        Dated(text="a", at=datetime(2026, 1, 2, tzinfo=UTC)),
    ],
    ids=["a list of anything", "one field of several"],
)
def test_one_part_that_is_not_plain_is_enough_for_pydantic_to_write_it(value: BaseModel) -> None:
    assert not is_fast(type(value))
    ours, pydantics = both(value)
    assert ours == pydantics
