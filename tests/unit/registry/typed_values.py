"""Types with a strategy for their values: what the containment check is held against."""

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AwareDatetime,
    ConfigDict,
    Field,
    NaiveDatetime,
    StringConstraints,
    create_model,
)


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Typed:
    """A type and a strategy for its values."""

    type_: Any
    values: st.SearchStrategy[Any]


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_SMALL = st.integers(-(2**40), 2**40)
_TEXT = st.text(max_size=6)
_NAIVE = st.datetimes()
_AWARE = st.datetimes(timezones=st.just(UTC))
_DATES = st.dates()
_DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, places=2, min_value=-99, max_value=99
)
_BOUNDARY = date(2020, 1, 1)


def _at_least(bound: int) -> Typed:
    return Typed(Annotated[int, Field(ge=bound)], st.integers(bound, bound + 50))


def _at_most(bound: int) -> Typed:
    return Typed(Annotated[int, Field(le=bound)], st.integers(bound - 50, bound))


def _text_from(least: int) -> Typed:
    return Typed(
        Annotated[str, Field(min_length=least)], st.text(min_size=least, max_size=least + 3)
    )


def _text_to(most: int) -> Typed:
    return Typed(Annotated[str, Field(max_length=most)], st.text(max_size=most))


def _literal(values: list[Any]) -> Typed:
    return Typed(Literal[tuple(values)], st.sampled_from(values))


def _stripped(least: int) -> Typed:
    texts = st.text(min_size=least, max_size=least + 3).filter(lambda text: text == text.strip())
    return Typed(Annotated[str, StringConstraints(strip_whitespace=True, min_length=least)], texts)


SCALARS: st.SearchStrategy[Typed] = st.one_of(
    st.sampled_from(
        [
            Typed(int, _SMALL),
            Typed(bool, st.booleans()),
            Typed(float, _FLOATS),
            Typed(str, _TEXT),
            Typed(bytes, st.text(max_size=4).map(str.encode)),
            Typed(type(None), st.none()),
            Typed(Colour, st.sampled_from(Colour)),
            Typed(Level, st.sampled_from(Level)),
            Typed(datetime, _NAIVE | _AWARE),
            Typed(AwareDatetime, _AWARE),
            Typed(NaiveDatetime, _NAIVE),
            Typed(date, _DATES),
            Typed(Annotated[date, Field(ge=_BOUNDARY)], st.dates(min_value=_BOUNDARY)),
            Typed(time, st.times()),
            Typed(timedelta, st.timedeltas(timedelta(0), timedelta(days=9))),
            Typed(UUID, st.uuids()),
            Typed(UUID4, st.uuids(version=4)),
            Typed(Decimal, _DECIMALS),
            Typed(
                Annotated[Decimal, Field(ge=0, max_digits=6)],
                st.decimals(
                    allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=99
                ),
            ),
            Typed(Path, st.just(Path("a/b"))),
            Typed(Annotated[bytes, Field(max_length=2)], st.binary(max_size=0) | st.just(b"ab")),
            Typed(
                Annotated[float, Field(multiple_of=0.5)], st.integers(-9, 9).map(lambda n: n / 2)
            ),
            Typed(Annotated[int, Field(multiple_of=3)], st.integers(-9, 9).map(lambda n: n * 3)),
            Typed(Annotated[str, Field(pattern="^a+$")], st.sampled_from(["a", "aa"])),
            Typed(Annotated[str, Field(pattern="^[ab]*$")], st.sampled_from(["", "ab"])),
        ]
    ),
    st.integers(-3, 3).map(_at_least),
    st.integers(-3, 3).map(_at_most),
    st.integers(0, 3).map(_text_from),
    st.integers(0, 3).map(_text_to),
    st.integers(0, 2).map(_stripped),
    st.lists(st.sampled_from(["a", "b", "", "red", 1, 2]), min_size=1, max_size=3, unique=True).map(
        _literal
    ),
)

_KEYS: st.SearchStrategy[Typed] = st.sampled_from(
    [
        Typed(str, _TEXT),
        Typed(int, _SMALL),
        Typed(date, _DATES),
        Typed(Colour, st.sampled_from(Colour)),
        Typed(Level, st.sampled_from(Level)),
        Typed(Literal["a", "b"], st.sampled_from(["a", "b"])),
        Typed(Annotated[str, Field(pattern="^a+$")], st.sampled_from(["a", "aa"])),
        Typed(Annotated[str, Field(min_length=2)], st.text(min_size=2, max_size=3)),
    ]
)


def _lists(inner: Typed) -> Typed:
    return Typed(list[inner.type_], st.lists(inner.values, max_size=3))  # type: ignore[name-defined]  # made at run time


def _bounded_lists(inner: Typed) -> Typed:
    type_ = Annotated[list[inner.type_], Field(min_length=1, max_length=2)]  # type: ignore[name-defined]  # the same
    return Typed(type_, st.lists(inner.values, min_size=1, max_size=2))


def _pairs(inner: tuple[Typed, Typed]) -> Typed:
    one, other = inner
    return Typed(tuple[one.type_, other.type_], st.tuples(one.values, other.values))  # type: ignore[name-defined]  # the same


def _mappings(inner: tuple[Typed, Typed]) -> Typed:
    keys, values = inner
    type_ = dict[keys.type_, values.type_]  # type: ignore[name-defined]  # the same
    return Typed(type_, st.dictionaries(keys.values, values.values, max_size=2))


def _unions(inner: list[Typed]) -> Typed:
    return Typed(
        reduce(or_, [one.type_ for one in inner]), st.one_of([one.values for one in inner])
    )


@st.composite
def models(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    """A model of up to three fields; values of fields with a default may be left out."""
    declared: dict[str, Any] = {}
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name in draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True)):
        typed = draw(inner)
        alias = draw(st.sampled_from([None, None, f"{name}_"]))
        if draw(st.booleans()):
            default = draw(typed.values)
            declared[name] = (typed.type_, Field(default=default, alias=alias))
            optional[name] = typed.values
        else:
            declared[name] = (typed.type_, Field(alias=alias))
            required[name] = typed.values
    config = ConfigDict(
        extra=draw(st.sampled_from(["ignore", "forbid", "allow"])),
        populate_by_name=True,
    )
    model: Any = create_model("Made", __config__=config, **declared)
    values = st.fixed_dictionaries(required, optional=optional)
    return Typed(model, values.map(lambda given: model(**given)))


def _compound(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(_lists),
        inner.map(_bounded_lists),
        st.tuples(inner, inner).map(_pairs),
        st.tuples(_KEYS, inner).map(_mappings),
        st.lists(inner, min_size=2, max_size=3).map(_unions),
        models(inner),
    )


TYPED: st.SearchStrategy[Typed] = st.recursive(SCALARS, _compound, max_leaves=6)
"""Types of any kind that records are made of."""


@st.composite
def related(draw: st.DrawFn) -> tuple[Typed, Typed]:
    """Two types that are likely to fit: wrapped alike, or a model and one with fewer fields."""
    one, other = draw(TYPED), draw(TYPED)
    if draw(st.booleans()):
        other = draw(st.sampled_from([one, _unions([one, other]), _unions([other, one])]))
    wraps: list[Any] = [lambda typed: typed, _lists, lambda typed: _mappings((_TEXTS, typed))]
    wrap = draw(st.sampled_from(wraps))
    return wrap(one), wrap(other)


_TEXTS = Typed(str, _TEXT)
