"""A pipeline in which a stage cannot read what the one before it writes is refused when built."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.topics.topic import Topic


def built(type_: Any, *, fused: bool = False) -> Topology:
    """Two stages with this type between them."""

    def same(value: Any) -> Any:
        return value

    give = agent(name="give", input_type=Any, output_type=type_)(same)
    take = agent(name="take", input_type=type_, output_type=Any)(same)
    pipeline = Pipeline("p", source=Topic("in")).stage(give).stage(take, fused=fused)
    return build(pipeline.sink("out"))


class ReadByAlias(BaseModel):
    title: str = Field(validation_alias="name")


class WrittenByAlias(BaseModel):
    title: str = Field(serialization_alias="name")


class LostByAlias(BaseModel):
    title: str = Field(default="", validation_alias="name")


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = Field(gt=5)

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know the stacking
    @property
    def twice(self) -> int:
        return 2 * self.n


class Excluded(BaseModel):
    n: int
    hidden: str = Field(exclude=True)


class Nested(BaseModel):
    at: datetime
    parts: dict[str, list[Excluded]]


@dataclass
class Record:
    n: int
    hidden: Annotated[str, Field(exclude=True)]


class Stop(BaseModel):
    seconds: int


class Good(BaseModel):
    n: int = Field(ge=3)
    kind: Literal["a"] = "a"


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize(
    ("type_", "told"),
    [
        (ReadByAlias, "'name' is required, but not written under this name"),
        (WrittenByAlias, "'title' is required, but not written under this name"),
        (LostByAlias, "'title' is written under another name than it is read by"),
        (Computed, "'twice' is written, but not read, and other fields are forbidden"),
        (Excluded, "'hidden' is required, but not written"),
        (Record, "'hidden' is required, but not written"),
        (Nested, r"'parts\.x\.0\.hidden' is required, but not written"),
        (list[Excluded], r"'0\.hidden' is required, but not written"),
        (Stop | Excluded, r"hidden' is required, but not written"),
        (Excluded | None, "'hidden' is required, but not written"),
    ],
    ids=str,
)
def test_what_the_next_stage_cannot_read_is_refused_with_field_and_remedy(
    type_: Any, told: str, *, fused: bool
) -> None:
    with pytest.raises(
        PipelineError, match="stage 'take' cannot read what stage 'give' writes: "
    ) as why:
        built(type_, fused=fused)
    assert why.match(told)
    assert "; " in str(why.value)


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")
    play_id: int
    play_name: str = ""


class Choices(BaseModel):
    title: str = Field(validation_alias=AliasChoices("name", "title"))


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    title: str = Field(validation_alias="name")


class Renamed(BaseModel):
    title: str = Field(validation_alias="name")

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {"name": value.get("title") or value["name"]}


class OwnForm(BaseModel):
    title: str

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"title": self.title}


class Default(BaseModel):
    hidden: str = Field(default="", exclude=True)


class Refusing(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _never_a_sample(cls, n: int) -> int:
        raise ValueError(n)


class Kind(Enum):
    A = "a"


class Tree(BaseModel):
    left: Optional["Tree"] = None
    others: list["Tree"] = []


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")
    day: date
    span: timedelta
    price: Decimal = Field(gt=0, decimal_places=2)
    kind: Kind
    id: UUID
    pair: tuple[int, str]
    code: str = Field(pattern=r"^[A-Z]{3}$")
    several: list[Good] = Field(min_length=2)
    as_text: Annotated[int, PlainSerializer(str)] = 1
    tree: Tree


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Line(TypedDict):
    title: str


@dataclass
class Plain:
    n: int
    _id: int = 1
    several: list[int] = field(default_factory=list)


@pytest.mark.parametrize(
    "type_",
    [
        Any,
        dict,
        bytes,
        int,
        list[int],
        dict[str, Camel],
        Camel,
        Choices,
        ByName,
        Renamed,
        OwnForm,
        Default,
        Refusing,
        Everything,
        Tree,
        Good,
        Line,
        Plain,
        Good | Camel | None,
        Annotated[Cat | Dog, Field(discriminator="kind")],
    ],
    ids=str,
)
def test_everything_else_is_built(type_: Any) -> None:
    assert len(built(type_).segments) == 2


class Base(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int


class More(Base):
    m: int = 1


def test_a_subclass_with_more_fields_is_refused_where_they_are_forbidden() -> None:
    @agent
    def give(_: bytes) -> More:
        return More(n=1)

    @agent
    def take(value: Base) -> bytes:
        return b"%d" % value.n

    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(give).stage(take).sink("out")
    with pytest.raises(PipelineError, match="'m' is written, but not read"):
        build(pipeline)
