"""However a pipeline runs, the same bytes, failures and dead letters come out.

Plain agents take the fast way, async ones, lists and generators take others; stages are fused or
have a topic between them; a value has a type or is JSON without a schema.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, get_origin
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter
from streamapp.serialisation import codec_for
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
INT = st.integers(-(2**70), 2**70)
TIME = st.datetimes(timezones=st.just(UTC))
MONEY = st.decimals(allow_nan=False, allow_infinity=False)


class Kind(Enum):
    A = "a"
    B = "b"


class Flat(BaseModel):
    n: int = 0
    share: float | None = None
    text: str = ""
    tags: list[str] = []
    kind: Literal["x", "y"] = "x"


class Fixed(BaseModel, frozen=True):
    n: int = 0
    text: str | None = None


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    play_id: int = 0
    last_seen: datetime | None = None


class Nested(BaseModel):
    one: Flat = Flat()
    by_name: dict[str, Camel] = {}
    several: list[Flat | Camel] = []
    price: Decimal = Decimal(0)
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    span: timedelta = timedelta()
    kind: Kind = Kind.A
    anything: Any = None


@dataclass
class Pair:
    a: int = 0
    b: str | None = None


@pydantic_dataclass
class Checked:
    day: date = date(2026, 1, 1)
    _id: int = 1


@dataclass
class Tree:
    pair: Pair = field(default_factory=Pair)
    checked: Checked = field(default_factory=Checked)
    ids: tuple[UUID, ...] = ()


class Line(TypedDict):
    title: str
    price: Annotated[Decimal, Field(ge=-(10**40))]


FLAT = st.builds(Flat, n=INT, share=st.none() | FLOAT, text=TEXT, tags=st.lists(TEXT, max_size=2))
CAMEL = st.builds(Camel, play_id=INT, last_seen=st.none() | TIME)
JSON = st.recursive(
    st.none() | st.booleans() | INT | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
NESTED = st.builds(
    Nested,
    one=FLAT,
    by_name=st.dictionaries(TEXT, CAMEL, max_size=2),
    several=st.lists(FLAT, max_size=2),
    price=MONEY,
    at=TIME,
    span=st.timedeltas(timedelta(-1000), timedelta(1000)),
    kind=st.sampled_from(Kind),
    anything=JSON,
)
PAIR = st.builds(Pair, a=INT, b=st.none() | TEXT)
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Flat, FLAT),
    (Fixed, st.builds(Fixed, n=INT, text=st.none() | TEXT)),
    (Camel, CAMEL),
    (Nested, NESTED),
    (Pair, PAIR),
    (Tree, st.builds(Tree, pair=PAIR, ids=st.tuples(st.uuids()))),
    (Line, st.fixed_dictionaries({"title": TEXT, "price": st.decimals(-1000, 1000)})),
    (dict[str, list[int]], st.dictionaries(TEXT, st.lists(INT, max_size=2), max_size=2)),
    (Flat | Pair, FLAT | PAIR),
    (dict[str, object], st.dictionaries(TEXT, JSON, max_size=2)),
]
IDS = [str(getattr(type_, "__name__", type_)) for type_, _ in VALUES]
MANY = ("list", "generator", "async generator")
SHAPES = ("plain", "async", "waiting", *MANY)

Letter = tuple[bytes | None, str, str, str]
Outcome = tuple[list[bytes | None], list[list[Letter]]]


def shaped(change: Callable[[Any], Any], shape: str) -> Callable[..., Any]:
    def plain(value: Any) -> Any:
        return change(value)

    async def at_once(value: Any) -> Any:
        return change(value)

    async def waiting(value: Any) -> Any:
        await asyncio.sleep(0.001)
        return change(value)

    def as_list(value: Any) -> Any:
        return [change(value)]

    def generated(value: Any) -> Iterator[Any]:
        yield change(value)

    async def generated_later(value: Any) -> AsyncIterator[Any]:
        yield change(value)

    made = (plain, at_once, waiting, as_list, generated, generated_later)
    return dict(zip(SHAPES, made, strict=True))[shape]


def outcome(
    type_: Any, shape: str, data: list[bytes], change: Callable[[Any], Any], *, fused: bool
) -> Outcome:
    """What two stages of this shape write, and the dead letters of each."""
    found: list[Outcome] = []

    def step(name: str, work: Callable[[Any], Any]) -> Agent[Any, Any]:
        made = agent(name=name, input_type=type_, output_type=type_)
        return made(shaped(work, shape))

    async def run() -> None:
        broker = await broker_with("in", "out", "p.one", "p.one.dlq", "p.two.dlq")
        await broker.write("in", *((b"k", value) for value in data))
        pipeline = Pipeline("p", source=Topic("in", type_)).stage(
            step("one", change), on_error=dead_letter()
        )
        pipeline = pipeline.stage(step("two", lambda v: v), fused=fused, on_error=dead_letter())
        await service(broker, build(pipeline.sink("out"))).run(until_end=True)
        letters = [
            [
                (letter.value, facts["class"], facts["reason"], facts["message"])
                for letter in broker.records(f"p.{name}.dlq")
                if (facts := error_headers(letter))
            ]
            for name in ("one", "two")
        ]
        found.append((broker.values("out"), letters))

    test: Callable[[], Coroutine[Any, Any, None]] = run
    in_virtual_time(test)()
    return found[0]


WAYS = [(shape, fused) for shape in SHAPES for fused in (False, True)]


def same(value: Any) -> Any:
    return value


@pytest.mark.parametrize(("type_", "values"), VALUES, ids=IDS)
def test_what_was_read_is_written_byte_for_byte_on_every_way(
    type_: Any, values: st.SearchStrategy[Any]
) -> None:
    codec = codec_for(type_)

    @settings(max_examples=3, deadline=None)
    @given(st.lists(values, min_size=4, max_size=12))
    def hold(drawn: list[Any]) -> None:
        # Keys of a drawn dictionary are in any order, of one that was read in that of its type.
        data = [codec.encode(codec.decode(codec.encode(value))) for value in drawn]
        for shape, fused in WAYS:
            assert outcome(type_, shape, data, same, fused=fused) == (data, [[], []])
        assert outcome(Any, "async", data, same, fused=True) == (data, [[], []])
        assert outcome(dict, "plain", data, same, fused=False) == (data, [[], []])

    hold()


class Other(BaseModel):
    n: int = 0


def setting(name: str, value: Any) -> Callable[[Any], Any]:
    """Sets a field to a value without validation, in every second record."""

    def change(given: Any) -> Any:
        if given.n % 2:
            setattr(given, name, value)
        return given

    return change


class Both(Flat):
    inner: Flat | None = None
    items: dict[str, list[Flat]] = {}
    loose: Any = None


NO_NUMBER: dict[str, Any] = {"n": None}

SPOILERS: list[tuple[Any, Callable[[Any], Any], str]] = [
    (Flat, setting("share", math.nan), "share: nan is no number in JSON"),
    (Flat, setting("text", 5), "text: expected str, got int"),
    (Flat, setting("tags", ["a", b"b"]), "tags.1: expected str, got bytes"),
    (Flat, setting("n", "text"), "n: expected int, got str"),
    (Flat, setting("n", None), "n: expected int, got NoneType"),
    (Flat, setting("share", 2**53 + 1), "share: an integer that no float is equal to"),
    (Flat, setting("tags", ["a", None]), "tags.1: expected str, got NoneType"),
    (Flat, setting("kind", "z"), "kind: is none of the values that its type has"),
    (Both, setting("items", {"a": [None]}), "items.a.0: expected Flat, got NoneType"),
    (
        Both,
        setting("inner", Flat.model_construct(**NO_NUMBER)),
        "inner.n: expected int, got NoneType",
    ),
    (Both, setting("inner", Other()), "inner: expected Flat, got Other"),
    (Both, setting("items", {"a": [Other()]}), "items.a.0: expected Flat, got Other"),
    (Both, setting("loose", [math.inf]), "loose.0: inf is no number in JSON"),
    (Both, setting("loose", object()), "Unable to serialize unknown type"),
    (Flat, lambda value: Other() if value.n % 2 else value, "gave a value of type Other"),
    (Flat, lambda value: {"n": 1} if value.n % 2 else value, "gave a value of type dict"),
]


@pytest.mark.parametrize(
    ("type_", "change", "told"), SPOILERS, ids=[told for _, _, told in SPOILERS]
)
def test_what_cannot_be_written_fails_alike_on_every_way(
    type_: Any, change: Callable[[Any], Any], told: str
) -> None:
    encode = codec_for(type_).encode
    data = [encode(type_(n=n)) for n in range(4)]
    for shape, fused in WAYS:
        written, [first, second] = outcome(type_, shape, data, change, fused=fused)
        assert written == [data[0], data[2]], (shape, fused)
        assert [letter[:3] for letter in first] == [
            (data[1], "EncodeError", "output"),
            (data[3], "EncodeError", "output"),
        ], (shape, fused)
        assert all(told in letter[3] for letter in first), (shape, fused, first)
        assert second == []


@pytest.mark.parametrize(
    ("type_", "bad"),
    [
        (Flat, b'{"share":NaN}'),
        (Flat, b'{"n":"text"}'),
        (dict, b"null"),
        (dict, b"[1]"),
        (dict[str, Any], b'[{"a":1}]'),
        (Pair, b'{"a":'),
        (Nested, b'{"several":[5]}'),
    ],
    ids=str,
)
def test_what_does_not_decode_fails_alike_on_every_way(type_: Any, bad: bytes) -> None:
    good = b'{"n":1}' if type_ in (dict, dict[str, Any]) else codec_for(type_).encode(type_())
    found = [outcome(type_, shape, [good, bad, good], same, fused=fused) for shape, fused in WAYS]
    for written, [first, second] in found:
        assert written == [good, good]
        assert [letter[:3] for letter in first] == [(bad, "DecodeError", "decode")]
        assert second == []
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("type_", [float, Any], ids=str)
def test_an_integer_in_the_place_of_a_float_is_the_same_on_every_way(type_: Any) -> None:
    def odd_are_integers(value: float) -> float:
        return int(value) if value % 2 else value

    data = [b"1.0", b"2.0", b"3.5"]
    for shape, fused in WAYS:
        written, letters = outcome(type_, shape, data, odd_are_integers, fused=fused)
        expected = [b"1.0", b"2.0", b"3.0"] if type_ is float else [b"1", b"2.0", b"3"]
        assert (written, letters) == (expected, [[], []]), (shape, fused)


def test_an_integer_that_no_float_is_equal_to_fails_alike_on_every_way() -> None:
    def with_digits(value: float) -> float:
        return 2**53 + 1 if value == 2 else value

    for shape, fused in WAYS:
        written, [first, second] = outcome(float, shape, [b"1.0", b"2.0"], with_digits, fused=fused)
        assert (written, second) == ([b"1.0"], []), (shape, fused)
        assert [letter[:3] for letter in first] == [(b"2.0", "EncodeError", "output")]
        assert "that no float is equal to" in first[0][3]


@pytest.mark.parametrize(
    ("type_", "wrong", "told"),
    [
        (list[int], [1, None], "1: expected int, got NoneType"),
        (list[float], [2**53 + 1], "0: an integer that no float is equal to"),
        (dict[str, list[int]], {"a": [None]}, "a.0: expected int, got NoneType"),
        (list[Pair], [Pair(None)], "0.a: expected int, got NoneType"),  # type: ignore[arg-type]  # a user's slip
    ],
    ids=str,
)
def test_a_wrong_part_fails_alike_on_every_way_with_its_path(
    type_: Any, wrong: Any, told: str
) -> None:
    good = codec_for(type_).encode(get_origin(type_)())
    for shape, fused in WAYS:
        if isinstance(wrong, list) and shape not in MANY:
            continue  # there, a list is several outputs
        written, [first, second] = outcome(type_, shape, [good], lambda _: wrong, fused=fused)
        assert (written, second) == ([], []), (shape, fused)
        assert [letter[:3] for letter in first] == [(good, "EncodeError", "output")]
        assert told in first[0][3]


@pytest.mark.parametrize("type_", [int | str, list[int], Line], ids=str)
def test_none_in_the_place_of_a_value_fails_alike_on_every_way(type_: Any) -> None:
    data = [b'"a"', b"[1]", b'{"title":"a","price":"1"}']
    [good] = [one for one in data if _decodes(type_, one)]
    for shape, fused in WAYS:
        if shape in MANY:  # elsewhere None is filtered
            written, [first, second] = outcome(type_, shape, [good], _none, fused=fused)
            assert (written, second) == ([], []), (shape, fused)
            assert [letter[:3] for letter in first] == [(good, "EncodeError", "output")]


def _none(_value: Any) -> None:
    return None


def _decodes(type_: Any, data: bytes) -> bool:
    try:
        codec_for(type_).decode(data)
    except ValueError:
        return False
    return True
