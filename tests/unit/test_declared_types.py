"""What is not of its declared type is refused with its path, and what is of it is written."""

import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from functools import cached_property
from math import nan
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    computed_field,
)
from typing_extensions import TypedDict

from streamapp.serialisation import codec_for


class Line(BaseModel):
    n: int = 0
    share: float = 0.5
    note: str | None = None


class Needy(BaseModel):
    n: int


class Order(BaseModel):
    first: Line = Line()
    lines: list[Line] = []
    by_name: dict[str, list[Line]] = {}


class Node(BaseModel):
    n: int = 0
    below: "list[Node] | None" = None


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int] = Field(init=False)


class Root(RootModel[list[int]]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


@dataclass
class Pair:
    a: int = 0
    b: float = 0.0


@dataclass(slots=True)
class Slotted:
    a: int = 0


@dataclass
class Wider(Slotted):
    b: int = 0


class Keys(TypedDict):
    a: int
    b: NotRequired[float]


class Point(NamedTuple):
    x: int
    y: float = 0.0


def wrong(type_: type[BaseModel], **values: Any) -> Any:
    return type_.model_construct(**values)


EAST = timezone(timedelta(hours=1, seconds=7))

WRONG: list[tuple[Any, Any, str]] = [
    (list[int], [1, None], "1: expected int, got NoneType"),
    (list[float], [1.5, None], "1: expected float, got NoneType"),
    (dict[str, int], {"a": None}, "a: expected int, got NoneType"),
    (Line, wrong(Line, n=None), "n: expected int, got NoneType"),
    (Order, wrong(Order, first=None), "first: expected Line, got NoneType"),
    (Order, wrong(Order, lines=[Line(), wrong(Line, n=None)]), "lines.1.n: expected int"),
    (Order, wrong(Order, by_name={"a": [wrong(Line, n=None)]}), "by_name.a.0.n: expected int"),
    (Node, Node(below=[wrong(Node, n=None)]), "below.0.n: expected int, got NoneType"),
    (Extra, wrong(Extra, a=None), "a: expected int, got NoneType"),
    (Root, wrong(Root, root=[None]), "0: expected int, got NoneType"),
    (Cat | Dog, wrong(Dog, lives=None), "lives: expected int, got NoneType"),
    (Pet, wrong(Dog, lives=None), "lives: expected int, got NoneType"),
    (list[Pet], [wrong(Dog, kind="cat")], "0.kind: is none of the values"),
    (list[int] | list[str], [None], "0: expected int, got NoneType"),
    (Pair, Pair(None), "a: expected int, got NoneType"),  # type: ignore[arg-type]  # a user's slip
    (Slotted, Slotted(None), "a: expected int, got NoneType"),  # type: ignore[arg-type]  # the same
    (Wider, Wider(None), "a: expected int, got NoneType"),  # type: ignore[arg-type]  # the same
    (Keys, {"a": None}, "a: expected int, got NoneType"),
    (Keys, {}, "a: it is missing"),
    (Point, Point(1, None), "1: expected float, got NoneType"),  # type: ignore[arg-type]  # the same
    (tuple[int, str], (1, None), "1: expected str, got NoneType"),
    (tuple[int, str], (1,), "value: expected 2 items, got 1"),
    (Sequence[int], [1, None], "1: expected int, got NoneType"),
    (Mapping[str, int], {"a": None}, "a: expected int, got NoneType"),
    (deque[int], deque([None]), "0: expected int, got NoneType"),
    (Needy, wrong(Needy), "n: it is missing"),
    (list[Literal["a", 1]], ["a", "b"], "1: is none of the values"),
    (list[Literal[1]], [Decimal(1)], "0: is none of the values"),
    (list[float], [2**53 + 1], "0: an integer that no float is equal to"),
    (list[float], [2**2000], "0: an integer that no float is equal to"),
    (list[float], [Decimal("0.1")], "0: expected float, got Decimal"),
    (list[float], [Fraction(1, 3)], "0: expected float, got Fraction"),
    (dict[str, float], {"a": 2**53 + 1}, "a: an integer that no float"),
    (Order, wrong(Order, first=wrong(Line, share=2**53 + 1)), "first.share: an integer that no"),
    (Line, wrong(Line, share=2**53 + 1), "share: an integer that no float is equal to"),
    (Pair, Pair(b=2**53 + 1), "b: an integer that no float is equal to"),
    (Pair | Slotted, Pair(b=2**53 + 1), "b: an integer that no float is equal to"),
    (list[float | str], ["a", 1], "1: expected float, got int"),
    (list[Decimal], [Decimal("NaN")], "0: Decimal('NaN') is no number in JSON"),
    (list[datetime], [datetime(2026, 1, 1, tzinfo=EAST)], "0: its offset from UTC is no whole"),
    (list[time], [time(1, tzinfo=EAST)], "0: its offset from UTC is no whole number of minutes"),
    (dict[str, int], {None: 1}, "None: None is no key of this type in JSON"),
    (dict[int, int], {True: 1}, "True: True is no key of this type in JSON"),
    (dict[float, int], {nan: 1}, "nan: nan is no number in JSON"),
    (dict[float, int], {2**53 + 1: 1}, "9007199254740993: an integer that no float"),
    (dict[str, list[int]], {"": [None]}, "''.0: expected int, got NoneType"),
]


@pytest.mark.parametrize(("type_", "value", "told"), WRONG, ids=[told for _, _, told in WRONG])
def test_a_wrong_value_is_refused_with_its_path(type_: Any, value: Any, told: str) -> None:
    encode = codec_for(type_).encode
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
            encode(value)


@pytest.mark.parametrize("type_", [list[int | bool], list[AnyUrl], list[AnyUrl | Line]], ids=str)
def test_the_value_itself_is_not_told(type_: Any) -> None:
    with pytest.raises(ValueError, match="str") as raised:
        codec_for(type_).encode(["hidden"])
    assert "hidden" not in str(raised.value)


class Colour(StrEnum):
    RED = "r"


class Kind(Enum):
    A = "a"
    NOTHING = None


class Values(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    kind: Kind
    one: Literal[Kind.A]
    none: int | None = None


class Constants(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    share: float = nan
    shares: list[float] = [nan]
    none: None = None


class Cached(BaseModel):
    n: int = 0
    none: None = None

    @cached_property
    def twice(self) -> int:
        return 2 * self.n


class Computed(BaseModel):
    n: int = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know the stacking
    @property
    def none(self) -> int | None:
        return None


@dataclass
class Initial:
    given: InitVar[int] = 0
    a: int = 0
    b: int = field(init=False, default=3)


class Excluded(BaseModel):
    n: int | None = None
    hidden: int = Field(default=0, exclude=True)


def cached() -> Cached:
    made = Cached(n=2)
    assert made.twice == 4
    return made


RIGHT: list[tuple[Any, Any, bytes]] = [
    (list[int | None], [None, 1], b"[null,1]"),
    (Line, Line(), b'{"n":0,"share":0.5,"note":null}'),
    (list[str], ["null", Colour.RED], b'["null","r"]'),
    (
        list[float],
        [1, True, 2**60, Decimal("0.5"), 0.5],
        b"[1.0,1.0,1.152921504606847e+18,0.5,0.5]",
    ),
    (Pair | Slotted, Pair(b=1), b'{"a":0,"b":1.0}'),
    (list[int], [True, 2**70], b"[1,1180591620717411303424]"),
    (list[Any], [None, {"a": None}], b'[null,{"a":null}]'),
    (list[Kind | None], [Kind.A, Kind.NOTHING, None], b'["a",null,null]'),
    (Values, Values(kind=Kind.A, one=Kind.A), b'{"kind":"a","one":"a","none":null}'),
    (Constants, Constants(), b'{"share":NaN,"shares":[NaN],"none":null}'),
    (Cached, cached(), b'{"n":2,"none":null}'),
    (Computed, Computed(), b'{"n":0,"none":null}'),
    (Excluded, wrong(Excluded, n=None, hidden=None), b'{"n":null}'),
    (list[Excluded], [wrong(Excluded, n=None)], b'[{"n":null}]'),
    (Initial, Initial(), b'{"a":0,"b":3}'),
    (Node, Node(below=[Node()]), b'{"n":0,"below":[{"n":0,"below":null}]}'),
    (Extra, Extra(a=1), b'{"a":1}'),
    (Root, Root([1]), b"[1]"),
    (list[Pet | None], [Dog(), None], b'[{"kind":"dog","lives":1},null]'),
    (Wider, Wider(1, 2), b'{"a":1,"b":2}'),
    (Keys, {"a": 1}, b'{"a":1}'),
    (Keys, {"b": 1, "a": 1, "more": None}, b'{"b":1.0,"a":1}'),
    (Point, Point(1, 2), b"[1,2.0]"),
    (tuple[()], (), b"[]"),
    (Sequence[int | None], [1, None], b"[1,null]"),
    (Sequence[float], (1, 2.5), b"[1.0,2.5]"),
    (deque[float], deque([1.5]), b"[1.5]"),
    (OrderedDict[str, int | None], OrderedDict(a=None), b'{"a":null}'),
    (dict[bool, float], {True: 1}, b'{"true":1.0}'),
    (dict[Colour | int, float], {Colour.RED: 1, 1: 1}, b'{"r":1.0,"1":1.0}'),
    (list[Literal["a", Colour.RED]], ["a", Colour.RED], b'["a","r"]'),
    (list[datetime], [datetime(2026, 1, 1, tzinfo=UTC)], b'["2026-01-01T00:00:00Z"]'),
    (list[Annotated[int, PlainSerializer(lambda n: n or None)]], [0, 1], b"[null,1]"),
    (list[Annotated[int | None, BeforeValidator(int)]], [None], b"[null]"),
    (list[Annotated[int | None, AfterValidator(lambda n: n or None)]], [None], b"[null]"),
    (list[InstanceOf[Line]], [Line()], b'[{"n":0,"share":0.5,"note":null}]'),
    (list[Annotated[Decimal, Field(allow_inf_nan=True)]], [Decimal("NaN")], b'["NaN"]'),
]


@pytest.mark.parametrize(
    ("type_", "value", "written"), RIGHT, ids=[written.decode() for _, _, written in RIGHT]
)
def test_a_right_value_is_written_as_pydantic_would(type_: Any, value: Any, written: bytes) -> None:
    encode = codec_for(type_).encode
    assert [encode(value), encode(value)] == [written, written]
    assert TypeAdapter(type_).serializer.to_json(value, by_alias=True) == written


class Costs(BaseModel):
    n: int | None = None

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know the stacking
    @property
    def share(self) -> float:
        return nan


def test_a_float_that_json_does_not_have_is_seen_in_what_a_model_computes() -> None:
    with pytest.raises(ValueError, match=r"^share: nan is no number in JSON"):
        codec_for(Costs).encode(Costs())
