"""Draws types with values of them, and plants a wrong value in one place of a right one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import field, is_dataclass, make_dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from functools import reduce
from operator import or_
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from streamapp.tombstones import takes_tombstones

T = TypeVar("T")
Path = tuple[Any, ...]


class Typed(NamedTuple):
    """A type, and values of it."""

    type_: Any
    values: st.SearchStrategy[Any]


class Kind(Enum):
    A = "a"
    B = 2


class Colour(StrEnum):
    RED = "r"


class Level(IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Other(BaseModel):
    a: int = 0


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
PLAIN = [
    Typed(str, TEXT),
    Typed(int, st.integers(-(2**70), 2**70)),
    Typed(float, st.floats(allow_nan=False, allow_infinity=False)),
    Typed(bool, st.booleans()),
    Typed(Literal["x", 1], st.sampled_from(["x", 1])),
    Typed(str | None, st.none() | TEXT),
    Typed(float | None, st.none() | st.just(0.5)),
    Typed(list[int], st.lists(st.integers(-9, 9), max_size=2)),
    Typed(list[float], st.lists(st.just(1.5), max_size=2)),
]
SCALARS = [
    *PLAIN,
    Typed(Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    Typed(datetime, st.datetimes(timezones=st.just(UTC))),
    Typed(date, st.dates()),
    Typed(time, st.times()),
    Typed(timedelta, st.timedeltas(timedelta(-1000), timedelta(1000))),
    Typed(UUID, st.uuids()),
    Typed(Kind, st.sampled_from(Kind)),
    Typed(Colour, st.sampled_from(Colour)),
    Typed(bytes, TEXT.map(str.encode)),
    Typed(float | str, st.just(0.5) | TEXT),
    Typed(int | float, st.integers(-9, 9) | st.just(0.5)),
]

WRONG = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2**53 + 1, 2**70, 2**2000, 0.0, 1.0, 1.5),
        *(float("nan"), float("inf"), Decimal("0.5"), Decimal("0.1"), Decimal("NaN")),
        *(Fraction(1, 2), Fraction(1, 3), "", "a", "1", "r", "x", Text("a"), b"a", bytearray(b"a")),
        *(Kind.A, Kind.B, Colour.RED, Level.LOW, date(2026, 1, 1), time(1), timedelta(1)),
        *(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1), UUID(int=1)),  # noqa: DTZ001
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=3))),
        time(1, tzinfo=timezone(timedelta(minutes=1, seconds=1))),
        *([], [None], [1], [2**53 + 1], ["a"], (), (1,), (None,), {1}, frozenset({1})),
        *({}, {"a": None}, {"a": 1}, {1: 1}, {None: 1}, {True: 1}, Other(), object(), range(2)),
    ]
)

KEYS = st.sampled_from(
    [
        *(None, True, 0, 1, 2**53 + 1, 2**70, 0.5, 1.0, float("nan"), float("inf"), "", "a", "x"),
        *("1", Text("a"), b"a", Colour.RED, Level.LOW, Kind.A, Kind.B, date(2026, 1, 1), (1,)),
        *(datetime(2026, 1, 1, tzinfo=UTC), Decimal("0.5"), Decimal("0.1"), frozenset({1})),
    ]
)


def plain_models() -> st.SearchStrategy[Typed]:
    """Models and dataclasses of plain fields only, for which there is a fast way."""
    return _one_of([_model, _frozen, _dataclass], _some(st.sampled_from(PLAIN)))


def roots() -> st.SearchStrategy[Typed]:
    """Types of records: `None` at the top is a tombstone there, and bytes are no JSON."""
    return types().filter(lambda one: one.type_ is not bytes and not takes_tombstones(one.type_))


def models() -> st.SearchStrategy[Typed]:
    """Models and TypedDicts of any types."""
    return _one_of([_model, _aliased, _frozen, _typed_dict], _some(types(2)))


def dictionaries() -> st.SearchStrategy[Typed]:
    """Dictionaries of any types, in a model or alone."""
    keys = st.sampled_from(
        [
            Typed(str, TEXT),
            Typed(int, st.integers(-9, 9)),
            Typed(float, st.just(0.5)),
            Typed(bool, st.booleans()),
            Typed(date, st.dates()),
            Typed(Colour, st.sampled_from(Colour)),
            Typed(Literal["x"], st.just("x")),
        ]
    )
    made = st.builds(_dict_by, keys, types(1))
    return made | made.map(lambda one: _model([one])) | made.map(_list)


def _some(parts: st.SearchStrategy[Typed]) -> st.SearchStrategy[list[Typed]]:
    return st.lists(parts, min_size=1, max_size=3)


def types(depth: int = 3) -> st.SearchStrategy[Typed]:
    """Models, dataclasses, TypedDicts, lists, dictionaries, tuples and unions, in each other."""
    scalars = st.sampled_from(SCALARS)
    if depth == 0:
        return scalars
    inner = types(depth - 1)
    with_fields = [_model, _aliased, _frozen, _dataclass, _slotted, _typed_dict]
    of_one = [_list, _dict, _dict_by_number, _optional, _tuple, _pair, _union]
    return scalars | _one_of(with_fields, _some(inner)) | _one_of(of_one, inner)


def _one_of(
    make: Sequence[Callable[[T], Typed]], parts: st.SearchStrategy[T]
) -> st.SearchStrategy[Typed]:
    return st.builds(lambda chosen, of: chosen(of), st.sampled_from(make), parts)


def _model(parts: list[Typed], config: ConfigDict | None = None) -> Typed:
    fields = _named(parts)
    declared: Any = {name: (part.type_, ...) for name, part in fields.items()}
    made = create_model("Model", __config__=config, **declared)
    return Typed(made, _built(made.model_construct, fields))


def _frozen(parts: list[Typed]) -> Typed:
    return _model(parts, ConfigDict(frozen=True))


def _aliased(parts: list[Typed]) -> Typed:
    fields = _named(parts)
    declared: Any = {
        name: (part.type_, Field(alias=f"{name}Alias", default=None))
        for name, part in fields.items()
    }
    made = create_model("Aliased", __config__=ConfigDict(populate_by_name=True), **declared)
    return Typed(made, _built(made.model_construct, fields))


def _dataclass(parts: list[Typed], *, slots: bool = False) -> Typed:
    fields = _named(parts)
    declared = [(name, part.type_, field()) for name, part in fields.items()]
    made = make_dataclass("Data", declared, slots=slots)
    return Typed(made, _built(made, fields))


def _slotted(parts: list[Typed]) -> Typed:
    return _dataclass(parts, slots=True)


def _typed_dict(parts: list[Typed]) -> Typed:
    fields = _named(parts)
    made: Any = TypedDict("Line", {name: part.type_ for name, part in fields.items()})  # type: ignore[misc]  # mypy wants a literal
    return Typed(made, _built(dict, fields))


def _named(parts: list[Typed]) -> dict[str, Typed]:
    return {f"f{i}": part for i, part in enumerate(parts)}


def _built(make: Any, fields: Mapping[str, Typed]) -> st.SearchStrategy[Any]:
    return st.builds(make, **{name: part.values for name, part in fields.items()})


def _list(inner: Typed) -> Typed:
    return Typed(list[inner.type_], st.lists(inner.values, max_size=2))  # type: ignore[name-defined]  # made here


def _dict(inner: Typed) -> Typed:
    return _dict_by(Typed(str, TEXT), inner, fewest=0)


def _dict_by_number(inner: Typed) -> Typed:
    return _dict_by(Typed(int, st.integers(-9, 9)), inner, fewest=0)


def _dict_by(key: Typed, inner: Typed, fewest: int = 1) -> Typed:
    made: Any = dict[key.type_, inner.type_]  # type: ignore[name-defined]  # made here
    values = st.dictionaries(key.values, inner.values, min_size=fewest, max_size=2)
    return Typed(made, values)


def _optional(inner: Typed) -> Typed:
    return Typed(inner.type_ | None, st.none() | inner.values)


def _tuple(inner: Typed) -> Typed:
    made: Any = tuple[inner.type_, ...]  # type: ignore[name-defined]  # made here
    return Typed(made, st.lists(inner.values, max_size=2).map(tuple))


def _pair(inner: Typed) -> Typed:
    return Typed(tuple[int, inner.type_], st.tuples(st.integers(0, 9), inner.values))  # type: ignore[name-defined]  # made here


def _union(inner: Typed) -> Typed:
    """A union whose choices JSON tells apart."""
    model = create_model("Choice", only_here=(inner.type_, ...))
    choices = [model, Other, bool]
    values = st.builds(model.model_construct, only_here=inner.values)
    return Typed(reduce(or_, choices), values | st.just(Other()) | st.booleans())


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of a value and of all its parts."""
    yield path
    for name, part in parts_of(value):
        yield from places(part, (*path, name))


def parts_of(value: Any) -> list[tuple[Any, Any]]:
    """The parts of a value with the names that a path has for them."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, BaseModel):
        return list(value.__dict__.items())
    if is_dataclass(value):
        return [(name, getattr(value, name)) for name in value.__dataclass_fields__]
    return []


def with_part(value: Any, path: Path, wrong: Any) -> Any:
    """A copy of a value in which the part with this path is another; nothing is validated."""
    if not path:
        return wrong
    name, *rest = path
    parts = dict(parts_of(value))
    parts[name] = with_part(parts[name], tuple(rest), wrong)
    return _rebuilt(value, parts)


def part_at(value: Any, path: Path) -> Any:
    """The part of a value with this path."""
    for name in path:
        value = dict(parts_of(value))[name]
    return value


def without_part(value: Any, name: str) -> Any:
    """A copy of a value that lacks one field."""
    made = copy(value)
    fields = made if isinstance(made, dict) else made.__dict__
    del fields[name]
    return made


def with_key(value: Any, path: Path, key: Any) -> Any:
    """A copy of a value whose dictionary at a path has one more key, with a right value."""
    owner = part_at(value, path)
    return with_part(value, path, {**owner, key: next(iter(owner.values()))})


def _rebuilt(value: Any, parts: dict[Any, Any]) -> Any:
    if isinstance(value, BaseModel):
        return type(value).model_construct(**parts)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **parts)
    return dict(parts) if isinstance(value, dict) else type(value)(parts.values())
