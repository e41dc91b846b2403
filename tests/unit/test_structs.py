"""Structs of msgspec's are read and written with the promises that models of pydantic's have."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType, field
from pydantic import BaseModel, ConfigDict, ValidationError

from streamapp.errors import DecodeError, TopicError
from streamapp.observability.exception_text import sentence_of
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.combinators.copies import copier_for
from streamapp.pipeline.handover import undecodable
from streamapp.pipeline.readable import why_unreadable
from streamapp.policies.decision import final_decision
from streamapp.policies.describe import describe
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.policy import dead_letter
from streamapp.registry.containment import compare
from streamapp.registry.schemas import Schemas
from streamapp.runtime.dead_letters import fault_of, fingerprint
from streamapp.serialisation import codec_for
from streamapp.structs import has_structs
from streamapp.topics.topic import Topic


class Kind(Enum):
    START = "start"
    STOP = "stop"


class Part(Struct):
    count: int


class Event(Struct):
    name: str
    count: int
    share: float = 0.0
    kind: Kind = Kind.START
    mode: Literal["live", "vod"] = "live"
    parts: list[Part] = []
    tags: list[str] = []
    shares: dict[str, float] = {}
    note: str | None = None
    extra: Any = None
    total: int | UnsetType = UNSET
    at: datetime | None = None
    price: Decimal | None = None
    session: UUID | None = None
    first_name: str = field(default="", name="firstName")


EVENT = codec_for(Event)
PLAIN = Event("a", 1)


def with_fields(**fields: Any) -> Event:
    return msgspec.structs.replace(PLAIN, **fields)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": 5}, "name"),
        ({"name": None}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": UNSET}, "name"),
        ({"count": True}, "count"),
        ({"count": 1.0}, "count"),
        ({"share": float("nan")}, "share"),
        ({"share": 2**53 + 1}, "share"),
        ({"share": True}, "share"),
        ({"share": Decimal(1)}, "share"),
        ({"shares": {"x": False}}, "shares.x"),
        ({"kind": "start"}, "kind"),
        ({"mode": "other"}, "mode"),
        ({"parts": [Part(1), Part("x")]}, "parts.1.count"),  # type: ignore[arg-type]  # nobody checks it
        ({"parts": [{"count": 1}]}, "parts.0"),
        ({"parts": (Part(1),)}, "parts"),
        ({"tags": ["a", 1]}, "tags.1"),
        ({"tags": ["\ud800"]}, "tags.0"),
        ({"shares": {"x": float("inf")}}, "shares.x"),
        ({"shares": {1: 1.0}}, "shares.1"),
        ({"extra": {"deep": [float("nan")]}}, "extra"),
        ({"extra": UNSET}, "extra"),
        ({"total": "1"}, "total"),
        ({"at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=30)))}, "at"),
        ({"price": 1.5}, "price"),
        ({"session": "12345678-1234-4678-9234-567812345678"}, "session"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused_with_its_path_whatever_was_written_before(
    fields: dict[str, Any], path: str
) -> None:
    for value in (with_fields(**fields), PLAIN, with_fields(**fields)):
        if value is PLAIN:
            EVENT.encode(value)
            continue
        with pytest.raises(ValueError, match=rf"^{path}[.:]"):
            EVENT.encode(value)


def test_a_struct_of_a_subclass_is_not_written_with_its_further_fields() -> None:
    class More(Event):
        further: str = "s"

    with pytest.raises(ValueError, match="expected Event, got More"):
        EVENT.encode(More("a", 1))


def test_names_in_json_are_kept_and_what_is_unset_is_not_written() -> None:
    written = EVENT.encode(PLAIN)
    assert b'"firstName":""' in written
    assert b"total" not in written
    assert EVENT.decode(written) == PLAIN


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"name":1,"count":1}', "name: expected_str_got_int"),
        (b'{"name":"a","count":"secret"}', "count: expected_int_got_str"),
        (b'{"name":"a","count":1.0}', "count: expected_int_got_float"),
        (b'{"name":"a"}', "count: missing"),
        (b'{"name":"a","count":1,"parts":[{"count":1},{"count":"secret"}]}',
         "parts.*.count: expected_int_got_str"),
        (b'{"name":"a","count":1,"mode":"secret"}', "mode: invalid_enum_value"),
        (b'{"name":"a","count":1,"share":9007199254740993}', "share: inexact_float"),
        (b'{"name":"a","count":1,"shares":{"x":123456789012345678901}}', "shares.x: inexact_float"),
        (b'{"name":"a","count":1,"share":NaN}', "value: json_invalid JSON is malformed"),
        (b'{"name":"a","count":1', "value: json_invalid Input data was truncated"),
        (b"[]", "value: expected_object_got_array"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_type_is_the_records_fault_with_its_path_and_without_its_value(
    content: bytes, fault: str
) -> None:
    assert EVENT.quick is not None
    for decode in (EVENT.decode, EVENT.quick.otherwise):
        with pytest.raises(ValidationError) as caught:
            decode(content)
        failure = undecodable(content, caught.value)
        assert isinstance(failure, DecodeError)
        assert fault_of(failure).startswith(fault)
        assert "secret" not in describe(failure) + sentence_of(failure)
        assert final_decision(dead_letter(), failure).reason is DeadLetterReason.DECODE


def test_integers_keep_their_digits_and_floats_are_what_equals_them() -> None:
    content = b'{"name":"a","count":123456789012345678901234567890,"share":9007199254740994}'
    value = EVENT.decode(content)
    assert (value.count, value.share) == (123456789012345678901234567890, 2.0**53 + 2)
    assert EVENT.decode(EVENT.encode(value)) == value


def test_the_quick_way_leaves_long_integers_to_the_careful_one() -> None:
    assert EVENT.quick is not None
    with pytest.raises(ValidationError):
        EVENT.quick.decode(b'{"name":"a","count":1,"share":9007199254740993}')


class Checked(Struct):
    count: int
    made: int = 0

    def __post_init__(self) -> None:
        self.made += 1
        if self.count < 0:
            raise ValueError(f"secret {self.count}")


def test_what_an_own_check_says_is_told_to_whom_it_is_told_of_models() -> None:
    class Model(BaseModel):
        count: int

        def model_post_init(self, _context: object) -> None:
            if self.count < 0:
                raise ValueError(f"secret {self.count}")

    told = []
    for type_ in (Checked, Model):
        with pytest.raises(ValidationError) as caught:
            codec_for(type_).decode(b'{"count":-1}')
        told.append((describe(caught.value), sentence_of(caught.value), fault_of(caught.value)))
    assert told[0] == told[1]


def test_an_error_of_msgspecs_that_an_agent_raises_is_the_records_fault() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"count": "secret"}, Part)
    error = caught.value
    assert whose_fault(error) is Fault.RECORD
    assert final_decision(dead_letter(), error).reason is DeadLetterReason.PERMANENT
    assert fault_of(error) == "count: expected_int_got_str"
    assert "secret" not in sentence_of(error)


def test_the_same_fault_has_one_fingerprint_whatever_the_values_are() -> None:
    def print_of(content: bytes) -> str:
        with pytest.raises(ValidationError) as caught:
            EVENT.decode(content)
        return fingerprint("stage", undecodable(content, caught.value))

    assert print_of(b'{"name":"a","count":"x"}') == print_of(b'{"name":"bb","count":"yy"}')
    assert print_of(b'{"name":') == print_of(b'{"name":"abc",')
    assert print_of(b'{"name":"a","count":"x"}') != print_of(b'{"name":1,"count":1}')


def test_a_type_that_cannot_be_checked_is_refused_when_the_topic_is_declared() -> None:
    class Own:
        pass

    class Holder(Struct):
        own: Own

    class RawHolder(Struct):
        raw: msgspec.Raw

    for type_ in (Holder, RawHolder, Part | Checked):
        with pytest.raises(TopicError, match="cannot be read from JSON"):
            Topic("t", type_)


def test_structs_are_found_within_lists_and_unions_and_written_so() -> None:
    class A(Struct, tag=True):
        n: int

    class B(Struct, tag=True):
        n: int

    codec = codec_for(list[A | B])
    written = codec.encode([A(1), B(2)])
    assert codec.decode(written) == [A(1), B(2)]
    with pytest.raises(ValueError, match=r"^1\.n: expected int"):
        codec.encode([A(1), B("x")])  # type: ignore[arg-type]  # nobody checks it
    tombstones = codec_for(Part | None)
    assert tombstones.decode(None) is None  # type: ignore[arg-type]  # a record without a value
    assert tombstones.decode(b'{"count":1}') == Part(1)


def test_a_copy_shares_nothing_and_runs_no_check_again() -> None:
    value = with_fields(parts=[Part(1)], tags=["a"], extra=[Checked(1)])
    copied = copier_for(Event)(value)
    assert copied == value
    copied.parts[0].count = 2
    copied.tags.append("b")
    copied.extra[0].count = 5
    assert (value.parts[0].count, value.tags, value.extra[0].count) == (1, ["a"], 1)
    assert copied.extra[0].made == value.extra[0].made == 1


def test_what_is_written_is_read_by_the_same_type_and_a_missing_field_is_told_when_built() -> None:
    assert why_unreadable(Event, Event) is None
    assert "'count' is required" in (why_unreadable(Checked, Event) or "").replace(
        "'name'", "'count'"
    )


class Both(Struct, forbid_unknown_fields=True):
    name: str
    count: int


class Model(BaseModel):
    name: str
    count: int


class Fewer(Struct):
    name: str


class Timed(Struct):
    at: datetime


class TimedModel(BaseModel):
    at: datetime


@pytest.mark.parametrize(
    ("output", "taken", "is_fit"),
    [
        (Event, Event, True),
        (Both, Fewer, True),
        (Fewer, Both, False),
        (Both, Model, True),
        (Model, Both, True),
        (Event, Both, False),
        (Timed, Timed, True),
        (TimedModel, Timed, False),  # both say date-time, and do not mean the same texts
    ],
)
def test_what_fits_is_answered_for_structs_and_models(
    output: Any, taken: Any, *, is_fit: bool
) -> None:
    schemas = Schemas()
    assert compare(schemas.of(output), schemas.of(taken)).is_fit is is_fit


def test_a_struct_that_says_in_its_schema_what_it_does_not_check_fits_nothing() -> None:
    class Loose(Struct):
        n: Annotated[int, Meta(extra_json_schema={"maximum": 3})]

    class Small(Struct):
        n: Annotated[int, Meta(le=3)]

    schemas = Schemas()
    assert not compare(schemas.of(Loose), schemas.of(Small)).is_fit


class OracleStruct(Struct):
    name: str
    count: int
    share: float
    flag: bool
    note: str | None
    tags: list[str]
    shares: dict[str, float]


class Oracle(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    count: int
    share: float
    flag: bool
    note: str | None
    tags: list[str]
    shares: dict[str, float]


NAMES = ("name", "count", "share", "flag", "note", "tags", "shares")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(2**53 + 1)
RIGHT = st.fixed_dictionaries(
    {
        "name": st.text(),
        "count": st.integers(),
        "share": st.floats() | st.integers(),
        "flag": st.booleans(),
        "note": st.none() | st.text(),
        "tags": st.lists(st.text(), max_size=2),
        "shares": st.dictionaries(st.text(), st.floats() | st.integers(), max_size=2),
    }
)
CHANGES = st.dictionaries(
    st.sampled_from(NAMES),
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(), SCALARS, max_size=2),
    max_size=2,
)


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except ValueError:
        return None


def has_boolean_as_number(fields: dict[str, Any]) -> bool:
    shares = fields["shares"].values() if isinstance(fields["shares"], dict) else ()
    return any(type(one) is bool for one in (fields["count"], fields["share"], *shares))


@given(RIGHT, CHANGES)
def test_a_struct_is_written_if_a_model_of_the_same_fields_is_and_means_the_same(
    right: dict[str, Any], changes: dict[str, Any]
) -> None:
    fields = right | changes
    by_model = outcome(lambda: codec_for(Oracle).encode(Oracle.model_construct(**fields)))
    by_struct = outcome(lambda: STRUCTS.encode(OracleStruct(**fields)))
    if not has_boolean_as_number(fields):  # which models write, and strict readers refuse
        assert (by_struct is None) == (by_model is None)
    if by_struct is not None:
        assert msgspec.json.decode(by_struct) == msgspec.json.decode(by_model)
        assert STRUCTS.decode(by_struct) == OracleStruct(**fields)


@given(RIGHT, CHANGES, st.sets(st.sampled_from(NAMES), max_size=1))
def test_bytes_are_read_as_a_struct_if_they_are_as_a_strict_model_and_give_the_same(
    right: dict[str, Any], changes: dict[str, Any], missing: set[str]
) -> None:
    fields = {name: one for name, one in (right | changes).items() if name not in missing}
    content = outcome(lambda: msgspec.json.encode(fields))
    if content is None:  # text that UTF-8 does not have
        return
    model = outcome(lambda: MODELS.decode(content))
    struct = outcome(lambda: STRUCTS.decode(content))
    assert (struct is None) == (model is None)
    if struct is not None:
        assert msgspec.structs.asdict(struct) == model.__dict__


STRUCTS, MODELS = codec_for(OracleStruct), codec_for(Oracle)


def test_msgspec_is_not_asked_for_where_nobody_has_imported_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "msgspec")
    assert not has_structs(dict[str, int])
    assert whose_fault(ValueError("x")) is Fault.UNKNOWN
    assert "msgspec" not in sys.modules
