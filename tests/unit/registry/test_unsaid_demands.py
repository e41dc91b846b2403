"""What types demand and pydantic's own JSON schema does not say, each with a value to show it."""

import enum
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import pytest
from pydantic import (
    UUID4,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    NaiveDatetime,
    PastDate,
    PlainSerializer,
    SerializeAsAny,
    StringConstraints,
    TypeAdapter,
)
from typing_extensions import TypedDict

from streamapp.registry.containment import compare
from streamapp.registry.schemas import Schemas
from streamapp.serialisation import codec_for


class Shade(enum.IntEnum):
    DARK = 1


class Partial(TypedDict):
    size: NotRequired[int]


class Whole(BaseModel):
    size: int


class TextWhole(BaseModel):
    model_config = ConfigDict(extra="allow")

    other: int = 0


class Optional(BaseModel):
    size: int = 0


class Lenient(BaseModel):
    size: int | None = Field(default=None, exclude_if=lambda size: size is None)


class Short(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1)]


class Named(BaseModel):
    name: Annotated[str, Field(min_length=1)]


class Derived(Whole):
    name: str = "x"


class Holder(BaseModel):
    held: SerializeAsAny[Whole]


class StrictWhole(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int


class StrictHolder(BaseModel):
    held: StrictWhole


@dataclass
class Data:
    size: int | None


UPPER = Annotated[str, StringConstraints(to_upper=True, pattern="^[a-z]*$")]
_NEARLY = Annotated[float, Field(multiple_of=1)]
Text = Annotated[int, PlainSerializer(lambda value: f"<{value}>", return_type=str)]

DEMANDS: list[tuple[Any, Any, Any]] = [
    (str, date, "x"),
    (str, UUID, "x"),
    (str, Decimal, "x"),
    (str, complex, "x"),
    (str, timedelta, "x"),
    (str, AnyUrl, "x"),
    (str, Json[list[int]], "x"),
    (date, Annotated[date, Field(ge=date(2020, 1, 1))], date(2019, 1, 1)),
    (date, PastDate, date(2999, 1, 1)),
    (time, Annotated[time, Field(lt=time(12))], time(13)),
    (timedelta, Annotated[timedelta, Field(le=timedelta(1))], timedelta(2)),
    (datetime, AwareDatetime, datetime(2020, 1, 1)),  # noqa: DTZ001 - the point
    (datetime, NaiveDatetime, datetime(2020, 1, 1, tzinfo=UTC)),
    (UUID, UUID4, UUID(int=1)),
    (AnyUrl, HttpUrl, AnyUrl("ftp://a.b")),
    (Decimal, Annotated[Decimal, Field(gt=3)], Decimal(2)),
    (Decimal, Annotated[Decimal, Field(max_digits=2)], Decimal("1.23")),
    (float, Annotated[Decimal, Field(decimal_places=1)], 1.25),
    (str, Annotated[bytes, Field(max_length=2)], "äää"),
    (bytes | int, Annotated[str, Field(min_length=2)] | int, b"\xc3\xa4"),
    (
        Annotated[bytes, Field(min_length=2)] | int,
        Annotated[str, Field(min_length=2)] | int,
        b"\xc3\xa4",
    ),
    (Named, Short, Named(name=" ")),
    (str, Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], " "),
    (UPPER, Annotated[str, Field(pattern="^[a-z]*$")], "a"),
    (dict[str, int], dict[int, int], {"a": 1}),
    (dict[str, int], dict[bool, int], {"a": 1}),
    (dict[str, int], dict[Shade, int], {"a": 1}),
    (dict[str, int], dict[Literal[1], int], {"a": 1}),
    (dict[str, int], dict[date, int], {"a": 1}),
    (dict[str, int], dict[Annotated[str, Field(pattern="^a")], int], {"b": 1}),
    (dict[Shade, int], dict[str, str], {Shade.DARK: 1}),
    (dict[str, int], Counter[int], {"a": 1}),
    (_NEARLY, int, 1 + 1e-12),
    (Text, int, 3),
    (Partial, Whole, {}),
    (Lenient, Annotated[Whole, "other"], Lenient()),
    (TextWhole, Optional, TextWhole(size="x")),
    (Holder, StrictHolder, Holder(held=Derived(size=1))),
    (Data, Whole, Data(None)),
]


@pytest.mark.parametrize(("output", "input_", "value"), DEMANDS)
def test_a_demand_that_json_schema_cannot_say_is_not_overlooked(
    output: Any, input_: Any, value: Any
) -> None:
    valid = TypeAdapter(output).validate_python(value)
    written = codec_for(output).encode(valid)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever pydantic says
        codec_for(input_).decode(written)
    schemas = Schemas()
    assert not compare(schemas.of(output), schemas.of(input_)).is_fit


_READ_OTHERWISE: tuple[Any, ...] = (UPPER, Text, Holder, Json[list[int]], _NEARLY)
"""Types whose values are not what is read as them, or of which it cannot be known."""

FIT_THEMSELVES = [
    one
    for one in {id(one): one for pair in DEMANDS for one in pair[:2]}.values()
    if one not in _READ_OTHERWISE
]


@pytest.mark.parametrize("type_", FIT_THEMSELVES)
def test_such_types_fit_themselves_within_another(type_: Any) -> None:
    schemas = Schemas()
    fit = compare(schemas.of(list[type_]), schemas.of(list[type_ | Whole]))
    assert fit.is_fit, fit
