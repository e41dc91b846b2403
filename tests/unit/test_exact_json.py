"""What was decoded is encoded as it was, or is refused with the path of the value."""

import math
import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from types import BuiltinMethodType
from typing import Annotated, Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter, WrapValidator
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from streamapp.serialisation import codec_for

UNTYPED = [Any, object, dict, dict[str, Any], dict[str, object]]


class Anything(BaseModel):
    id: Any = None


@pytest.mark.parametrize("type_", [*UNTYPED, dict[str, int], Anything], ids=str)
@given(st.integers(-(10**60), 10**60))
def test_an_integer_stays_one_whatever_its_size(type_: Any, number: int) -> None:
    codec = codec_for(type_)
    data = b'{"id":%d}' % number
    assert codec.encode(codec.decode(data)) == data


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (dict, b"null"),
        (dict, b'[{"a":1},{"a":2}]'),
        (dict, b"5"),
        (dict[str, Any], b"null"),
        (dict[str, Any], b"[]"),
        (list, b'{"a":1}'),
        (list, b"null"),
    ],
    ids=str,
)
def test_json_of_another_shape_than_declared_does_not_decode(type_: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match="valid"):
        codec_for(type_).decode(data)


class Colour(StrEnum):
    RED = "r"


class Plain(Enum):
    A = "p"


@pytest.mark.parametrize("type_", UNTYPED, ids=str)
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": Decimal("1.50")}, b'{"a":"1.50"}'),
        ({"a": timedelta(seconds=1)}, b'{"a":"PT1S"}'),
        ({"a": {1}}, b'{"a":[1]}'),
        ({Colour.RED: 1}, b'{"r":1}'),
        ({"a": Colour.RED}, b'{"a":"r"}'),
        ({"a": Colour.RED, "b": None, "c": 1.5}, b'{"a":"r","b":null,"c":1.5}'),
        ({"a": [Plain.A, None]}, b'{"a":["p",null]}'),
        ({"a": (1, None)}, b'{"a":[1,null]}'),
        ({"a": 2**70, "b": "NaN", "c": None}, b'{"a":%d,"b":"NaN","c":null}' % 2**70),
    ],
    ids=str,
)
def test_the_same_values_are_written_under_any_and_under_object(
    type_: Any, value: Any, written: bytes
) -> None:
    assert codec_for(type_).encode(value) == written


class Share(BaseModel):
    share: float = 0.0
    other: int | None = None


class Shares(BaseModel):
    of: dict[str, Share] = {}
    all: list[float] = []


@dataclass
class Part:
    share: float = 0.0


class Line(TypedDict):
    share: float


class Declared(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    share: float


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
@pytest.mark.parametrize("type_", [Share, Part, Line, dict[str, float], Share | Part], ids=str)
def test_a_float_that_json_does_not_have_does_not_decode(type_: Any, number: bytes) -> None:
    with pytest.raises(ValueError, match="finite number"):
        codec_for(type_).decode(b'{"share":%s}' % number)


@pytest.mark.parametrize(
    ("data", "path"), [(b'{"of":{"a":{"share":1e999}}}', "of.a.share"), (b'{"all":[NaN]}', "all.0")]
)
def test_neither_does_one_deep_inside_and_its_path_is_told(data: bytes, path: str) -> None:
    with pytest.raises(ValueError, match="finite number") as raised:
        codec_for(Shares).decode(data)
    [fault] = raised.value.errors()  # type: ignore[attr-defined]  # of pydantic's ValidationError
    assert ".".join(map(str, fault["loc"])) == path


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("type_", "make", "path"),
    [
        (Share, lambda n: Share(share=n), "share"),
        (Part, Part, "share"),
        (Line, lambda n: {"share": n}, "share"),
        (Shares, lambda n: Shares(of={"a": Share(share=n)}), r"of\.a\.share"),
        (Shares, lambda n: Shares(all=[1.0, n]), r"all\.1"),
        (Anything, lambda n: Anything(id=[n]), r"id\.0"),
        (Anything, lambda n: Anything(id=Share(share=n)), r"id\.share"),
        (dict, lambda n: {"a": [n]}, r"a\.0"),
        (Any, lambda n: n, "value"),
        (float, lambda n: n, "value"),
        (dict[str, float], lambda n: {"a": n}, "a"),
    ],
)
def test_a_float_that_json_does_not_have_is_refused_with_its_path_and_not_written_as_null(
    type_: Any, make: Any, path: str, number: float
) -> None:
    codec = codec_for(type_)
    assert codec.encode(make(1.5))  # later ones take another way
    with pytest.raises(ValueError, match=f"^{path}: .* is no number in JSON"):
        codec.encode(make(number))


@pytest.mark.parametrize("data", [b'{"share":NaN}', b'{"share":Infinity}'])
def test_a_model_that_declares_how_such_floats_are_written_keeps_them(data: bytes) -> None:
    codec = codec_for(Declared)
    assert codec.encode(codec.decode(data)) == data


def or_nothing(value: Any, handler: Any) -> Any:
    try:
        return handler(value)
    except ValueError:
        return None


class Tree(BaseModel):
    share: float = 0.0
    under: "list[Tree | int]" = []


class Guarded(BaseModel):
    share: Annotated[float | None, WrapValidator(or_nothing)] = None


class Bounded(BaseModel):
    share: float = Field(lt=1e17)


INEXACT = [2**53 + 1, -(2**53) - 1, 2**63 + 1, 10**40 + 1, 10**310]
EXACT = [2**53, -(2**53), 2**60, 10**22, 2**53 - 1, 0]


@pytest.mark.parametrize("number", INEXACT, ids="abcde")
@pytest.mark.parametrize(
    ("type_", "data", "path"),
    [
        (float, b"%d", ()),
        (float | None, b"%d", ()),
        (list[float], b"[1, %d]", (1,)),
        (dict[str, float], b'{"a": %d}', ("a",)),
        (Share, b'{"share": %d}', ("share",)),
        (Declared, b'{"share": %d}', ("share",)),
        (Part, b'{"share": %d}', ("share",)),
        (Line, b'{"share": %d}', ("share",)),
        (Shares, b'{"of": {"a": {"share": %d}}}', ("of", "a", "share")),
        (Shares, b'{"all": [1.5, %d]}', ("all", 1)),
        (float | str, b"%d", ()),
        (Tree, b'{"under": [{"share": %d}]}', ("under", 0)),
    ],
    ids=str,
)
def test_an_integer_that_no_float_equals_is_refused_with_its_path_where_a_float_is_declared(
    type_: Any, data: bytes, path: tuple[str | int, ...], number: int
) -> None:
    with pytest.raises(ValueError, match="no float equals this integer") as raised:
        codec_for(type_).decode(data % number)
    fault = next(e for e in raised.value.errors() if "no float" in e["msg"])  # type: ignore[attr-defined]  # of pydantic's ValidationError
    assert fault["loc"][: len(path)] == path


@pytest.mark.parametrize("number", [*EXACT, 1e300, -1e300, 6.02214076e23, 0.1])
@pytest.mark.parametrize("type_", [Share, Declared, Part, Tree, Guarded, Bounded], ids=str)
def test_every_other_number_is_the_float_that_equals_it(type_: Any, number: float) -> None:
    if type_ is Bounded and number >= 1e17:
        return
    data = b'{"share": %s}' % repr(number).encode()
    share = codec_for(type_).decode(data).share
    assert (type(share), share) == (float, number)


@given(st.integers(-(10**40), 10**40))
def test_no_integer_becomes_another_number(number: int) -> None:
    try:
        found = codec_for(Share).decode(b'{"share": %d}' % number).share
    except ValueError:
        assert int(float(number)) != number
    else:
        assert found == number


@pytest.mark.parametrize(
    ("type_", "data", "value"),
    [
        (int | float, b"%d" % (2**53 + 1), 2**53 + 1),
        (float | int, b"%d" % (2**53 + 1), 2**53 + 1),
        (float | Decimal, b"%d" % (2**53 + 1), Decimal(2**53 + 1)),
        (int | float, b"1e20", 1e20),
        (int | str | float, b"1e20", 1e20),
    ],
    ids=str,
)
def test_in_a_union_a_number_is_what_it_was(type_: Any, data: bytes, value: Any) -> None:
    found = codec_for(type_).decode(data)
    assert (type(found), found) == (type(value), value)


def test_what_is_wrong_with_a_large_number_is_told_as_it_was_declared() -> None:
    with pytest.raises(
        ValueError, match=r"share\n  Input should be less than 1e\+?17|100000000000"
    ):
        codec_for(Bounded).decode(b'{"share": 1e18}')
    with pytest.raises(ValueError, match="valid number"):
        codec_for(Bounded).decode(b'{"share": "x"}')


def test_floats_of_usual_size_are_read_in_compiled_code_alone() -> None:
    for type_ in (Share, Shares, Part, Line):
        quick = codec_for(type_).quick
        assert quick is not None
        assert isinstance(quick.decode, BuiltinMethodType)
    assert codec_for(Item).quick is None
    assert isinstance(codec_for(Item).decode, BuiltinMethodType)


class Price(BaseModel):
    price: Decimal
    share: float = 0.0
    note: str = ""


class Prices(BaseModel):
    prices: list[Price]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
def test_a_decimal_has_all_digits_of_the_number_it_was_read_from(number: Decimal) -> None:
    data = b'{"price":%s}' % str(number).replace("E+", "e").replace("E", "e").encode()
    assert codec_for(Price).decode(data).price == number


def test_a_decimal_of_many_digits_stays_what_it_was_beside_other_numbers() -> None:
    data = (
        b'{"prices":[{"price":1.000000000000000000000000001,"share":0.30000000000000004,'
        b'"note":"1.000000000000000000000000002 \\" 1.5"},{"price":1e400},{"price":"1.10"},'
        b'{"price":1.5},{"price":%d}]}' % 10**30
    )
    codec = codec_for(Prices)
    decoded = codec.decode(data)
    assert [str(one.price) for one in decoded.prices] == [
        "1.000000000000000000000000001",
        "1E+400",
        "1.10",
        "1.5",
        str(10**30),
    ]
    assert decoded.prices[0].share == 0.30000000000000004
    assert codec.decode(codec.encode(decoded)) == decoded


def test_decimals_that_cannot_be_told_from_one_another_are_refused_with_their_path() -> None:
    data = b'{"prices":[{"price":1.0},{"price":1.000000000000000000000000001}]}'
    with pytest.raises(ValueError, match=r"(?s)prices\.0\.price.*more digits than can be told"):
        codec_for(Prices).decode(data)


@dataclass
class Inner:
    _id: int = 1
    hidden: Annotated[str, Field(exclude=True)] = "hidden"
    n: Annotated[int, PlainSerializer(str)] = 2


@pydantic_dataclass
class Validated:
    n: int = Field(default=1, exclude=True)
    m: int = 3


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    validated: Validated = field(default_factory=Validated)
    hidden: Annotated[str, Field(exclude=True)] = "hidden"
    _id: int = 4

    def __post_init__(self) -> None:
        self.cache = "not a field"


@dataclass
class Flat:
    a: int = 1
    b: str | None = None

    def __post_init__(self) -> None:
        self.cache = "not a field"


@dataclass(slots=True)
class Slotted:
    a: int = 1
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (
            Outer(),
            b'{"inner":{"_id":1,"n":"2"},"validated":{"m":3},"_id":4}',
        ),
        (Flat(), b'{"a":1,"b":null}'),
        (Slotted(), b'{"a":1,"inner":{"_id":1,"n":"2"}}'),
    ],
    ids=["nested", "flat", "slots"],
)
def test_a_dataclass_is_written_as_it_declares_itself(value: Any, written: bytes) -> None:
    codec = codec_for(type(value))
    assert [codec.encode(value), codec.encode(value)] == [written, written]


class Item(BaseModel):
    name: str = ""


class Other(BaseModel):
    name: str = ""
    hidden: str = "hidden"


class Special(Item):
    extra: int = 1


def unvalidated(type_: type[BaseModel], **values: Any) -> Any:
    return type_.model_construct(**values)


class Basket(BaseModel):
    one: Item = Item()
    maybe: Item | None = None
    either: Item | Slotted = Item()
    several: list[Item] = []
    by_name: dict[str, list[Item]] = {}
    pair: tuple[int, Item] = (1, Item())
    tail: Optional["Basket"] = None


@dataclass
class Bag:
    several: list[Item] = field(default_factory=list)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (unvalidated(Basket, one=Other()), "one"),
        (unvalidated(Basket, maybe=Other()), "maybe"),
        (unvalidated(Basket, either=Other()), "either"),
        (unvalidated(Basket, several=[Item(), Other()]), "several.1"),
        (unvalidated(Basket, by_name={"a": [Other()]}), "by_name.a.0"),
        (unvalidated(Basket, pair=(1, Other())), "pair.1"),
        (unvalidated(Basket, tail=unvalidated(Basket, one=Other())), "tail.one"),
        (Bag([Item(), Other()]), "several.1"),  # type: ignore[list-item]  # a user's slip
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_model_of_another_class_is_refused_with_its_path_wherever_it_is(
    value: Any, path: str
) -> None:
    codec = codec_for(type(value))
    codec.encode(type(value)())
    with pytest.raises(ValueError, match=f"^{path}: expected Item, got Other$"):
        codec.encode(value)


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        (list[Item], [Item(), Other()], "1"),
        (dict[str, Item], {"a": Other()}, "a"),
        (list[Item | None], [None, Other()], "1"),
    ],
    ids=str,
)
def test_so_it_is_where_the_type_is_no_class(type_: Any, value: Any, path: str) -> None:
    with pytest.raises(ValueError, match=f"^{path}: expected Item, got Other$"):
        codec_for(type_).encode(value)


def test_a_value_of_a_subclass_is_written_with_the_declared_fields() -> None:
    codec = codec_for(Basket)
    assert codec.encode(Basket(several=[Special(name="a")])) == codec.encode(
        Basket(several=[Item(name="a")])
    )


class Numbers(BaseModel):
    n: int = 0
    of: dict[str, list[int]] = {}


class Kinds(BaseModel):
    n: int = 0
    text: str | None = None
    tags: list[str] = []


@dataclass
class Pair:
    n: int = 0
    text: str = ""


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (unvalidated(Numbers, n="hidden"), "n"),
        (unvalidated(Numbers, of={"a": [1, "hidden"]}), r"of\.a\.1"),
        (unvalidated(Kinds, n="hidden"), "n"),
        (unvalidated(Kinds, text=b"hidden"), "text"),
        (unvalidated(Kinds, tags=["a", 5]), r"tags\.1"),
        (Pair("hidden"), "n"),  # type: ignore[arg-type]  # a user's slip
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_its_path_and_without_itself(
    value: Any, path: str
) -> None:
    codec = codec_for(type(value))
    codec.encode(type(value)())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is written with a warning is written
        with pytest.raises(ValueError, match=f"^{path}: expected") as raised:
            codec.encode(value)
    assert "hidden" not in str(raised.value)


class Aliased(BaseModel):
    play_id: int = Field(alias="playId")


def test_a_field_is_written_by_the_alias_that_it_is_read_by() -> None:
    codec = codec_for(Aliased)
    assert codec.encode(codec.decode(b'{"playId":1}')) == b'{"playId":1}'
    many = codec_for(dict[str, Aliased])
    assert many.encode(many.decode(b'{"a":{"playId":1}}')) == b'{"a":{"playId":1}}'


def test_pydantics_own_way_has_these_faults() -> None:
    """If one of these fails, the work that this module tests may be dropped."""
    decimal = TypeAdapter(Decimal).validator.validate_json(b"1.000000000000000000000000001")
    assert decimal == 1
    assert TypeAdapter(float).validator.validate_json(b"1e999") == math.inf
    assert TypeAdapter(list[Item]).serializer.to_json([Other()], warnings="error")
