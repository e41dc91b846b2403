"""Whether an output fits an input: no false yes, and a reason with a place for every no."""

from datetime import datetime
from typing import Any, Literal

import jsonschema_rs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
)

from streamapp.errors import RegistryError
from streamapp.registry.containment import Answer, ContainmentCheck, Fit, compare
from streamapp.registry.schemas import Schemas
from streamapp.serialisation import codec_for
from tests.unit.registry.json_values import JSON_TYPED, json_pairs
from tests.unit.registry.typed_values import TYPED, Typed, related


@settings(max_examples=300)
@given(st.one_of(related(), st.tuples(TYPED, TYPED)), st.data())
def test_what_fits_is_read(pair: tuple[Typed, Typed], data: st.DataObject) -> None:
    output, input_ = pair
    schemas = Schemas()
    fit = compare(schemas.of(output.type_), schemas.of(input_.type_))
    if fit.answer is not Answer.YES:
        assert fit.reason
        return
    written = as_written(output.type_, data.draw(output.values))
    codec_for(input_.type_).decode(written)


def as_written(type_: Any, value: Any) -> Any:
    """The value of a record: bytes, or none where the type has tombstones."""
    codec = codec_for(type_)
    return None if value is None and codec.tombstones else codec.encode(value)


@settings(max_examples=300)
@given(json_pairs(), st.data())
def test_what_fits_a_json_schema_is_valid(pair: tuple[Typed, Typed], data: st.DataObject) -> None:
    output, input_ = pair
    schemas = Schemas()
    fit = compare(schemas.of(output.type_), schemas.of(input_.type_))
    value = data.draw(output.values)
    assert jsonschema_rs.is_valid(output.type_, value)
    if fit.answer is Answer.YES:
        assert jsonschema_rs.is_valid(input_.type_, value)
    else:
        assert fit.reason


@settings(max_examples=200)
@given(JSON_TYPED, TYPED, st.data())
def test_types_and_json_schemas_that_fit_are_read_and_valid(
    json_typed: Typed, typed: Typed, data: st.DataObject
) -> None:
    schemas = Schemas()
    json_schema, type_ = schemas.of(json_typed.type_), schemas.of(typed.type_)
    if compare(json_schema, type_).is_fit:
        codec_for(typed.type_).decode(orjson.dumps(data.draw(json_typed.values)))
    if compare(type_, json_schema).is_fit:
        written = codec_for(typed.type_).encode(data.draw(typed.values))
        assert jsonschema_rs.is_valid(json_typed.type_, orjson.loads(written))


class Event(BaseModel):
    kind: Literal["start", "stop"]
    at: datetime


class Session(BaseModel):
    session_id: str
    events: list[Event]


class WideEvent(BaseModel):
    kind: Literal["start", "stop", "stall"]
    at: datetime


class WideSession(BaseModel):
    session_id: str
    events: list[WideEvent]


class MoreThanSession(Session):
    country: str = "de"


class Tree(BaseModel):
    size: int
    children: list["Tree"] = []


class NamedTree(BaseModel):
    size: int
    name: str
    children: list["NamedTree"] = []


def _fit(output: Any, input_: Any) -> Fit:
    schemas = Schemas()
    return compare(schemas.of(output), schemas.of(input_))


def test_the_same_type_fits_even_where_schemas_cannot_be_compared() -> None:
    assert _fit(Tree, Tree).is_fit
    assert _fit(Tree | None, Tree | None).is_fit


def test_what_has_more_fields_fits_and_the_answer_names_those_that_are_not_read() -> None:
    fit = _fit(MoreThanSession, Session)
    assert fit.is_fit
    assert fit.unread == ("country",)
    assert str(fit) == "fits; not read: country"


@pytest.mark.parametrize(
    ("output", "input_", "path", "reason"),
    [
        (WideSession, Session, "events[].kind", '"start" or "stop" or "stall", and has to be'),
        (Event, Session, "session_id", "is required, and is not written"),
        (dict[str, int], Session, "session_id", "is required, and may be left out"),
        (str, datetime, "", "may be string, and has to be string (date-time)"),
        (str | None, str, "", "tombstones are given, and not taken"),
        (dict[str, str | None], dict[str, str], "{}", "may be null, and has to be string"),
        (dict[str, int], dict[int, int], "", "is object on both sides"),
        (bytes, dict, "", "bytes and JSON are not the same"),
        (type(None), dict, "", "no outputs are given at all"),
        (float, int, "", "may be number, and has to be integer"),
        (datetime, AwareDatetime, "", "is string (date-time) on both sides"),
    ],
)
def test_what_does_not_fit_is_told_with_its_field(
    output: Any, input_: Any, path: str, reason: str
) -> None:
    fit = _fit(output, input_)
    assert not fit.is_fit
    assert (fit.path, fit.answer is Answer.YES) == (path, False)
    assert reason in fit.reason


def test_a_field_that_may_be_wrong_in_a_list_is_a_no_and_not_unknown() -> None:
    assert _fit(WideSession, Session).answer is Answer.NO


A_STRING = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "draft", ["http://json-schema.org/draft-07/schema#", "https://schemas.example/unknown"]
)
def test_schemas_of_different_drafts_are_unknown(draft: str) -> None:
    other = {"$schema": draft, **A_STRING}
    for pair in ((A_STRING, other), (other, A_STRING)):
        fit = _fit(*pair)
        assert fit.answer is Answer.UNKNOWN
        assert "$schema" in fit.reason


def test_a_field_that_another_keyword_requires_is_not_said_to_be_missing() -> None:
    tree = {"type": "object", "properties": {"inner": {"$ref": "#/$defs/tree"}}}
    written = {
        "type": "object",
        "allOf": [{"required": ["a"]}],
        "properties": {"b": {"$ref": "#/$defs/tree"}},
        "$defs": {"tree": tree},
    }
    read = {"type": "object", "required": ["a"], "properties": {"b": {"pattern": "^(?=a)b"}}}
    assert _fit(written, read).answer is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ({"const": "2026-11-28"}, Answer.UNKNOWN),
        ({"enum": ["2026-11-28", None]}, Answer.UNKNOWN),
        ({"type": "string", "pattern": "^2026-11-2[0-8]$"}, Answer.UNKNOWN),
        (
            {"anyOf": [{"const": "2026-11-28"}, {"type": "string", "format": "date"}]},
            Answer.UNKNOWN,
        ),
        ({"type": "string", "format": "date"}, Answer.YES),
        ({"type": "string"}, Answer.NO),
        ({"type": "string", "minLength": 10, "maxLength": 10}, Answer.NO),
        ({"const": 5}, Answer.NO),
        ({"type": "integer"}, Answer.NO),
        ({"type": ["string", "null"]}, Answer.NO),
    ],
)
def test_a_text_that_may_have_a_format_is_no_proof_against_it(written: Any, answer: Answer) -> None:
    date = {"type": "string", "format": "date"}
    for one, other in (
        (written, date),
        (
            {"type": "object", "properties": {"at": written}, "required": ["at"]},
            {"type": "object", "properties": {"at": date}, "required": ["at"]},
        ),
    ):
        assert _fit(one, other).answer is answer, one


def test_trees_of_other_types_are_unknown() -> None:
    fit = _fit(NamedTree, Tree)
    assert fit.answer is Answer.UNKNOWN
    assert fit.path == "children[]"
    assert "neither be proven nor ruled out" in fit.reason


class Checked(BaseModel):
    size: int

    @field_validator("size")
    @classmethod
    def _is_even(cls, size: int) -> int:
        if size % 2:
            raise ValueError("odd")
        return size


class Sized(BaseModel):
    size: int


def test_validators_in_python_are_named_beside_a_yes() -> None:
    fit = _fit(Sized, Checked)
    assert fit.is_fit
    assert fit.unseen == ("the validator Checked._is_even",)
    assert "not seen: the validator Checked._is_even" in str(fit)


class Serialised(BaseModel):
    size: int

    @field_serializer("size")
    def _as_text(self, size: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the point
        return str(size)


def test_what_a_serialiser_without_a_type_writes_is_unknown() -> None:
    fit = _fit(Serialised, Sized)
    assert fit.answer is Answer.UNKNOWN
    assert "Serialised._as_text has no return type" in fit.reason


class Renamed(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    size: int = Field(default=0, validation_alias="grösse")


class TextSize(BaseModel):
    size: str


class ByPath(BaseModel):
    size: int = Field(default=0, validation_alias=AliasChoices("a", AliasPath("b", "c")))


def test_a_field_is_looked_at_under_every_name_by_which_it_is_read() -> None:
    assert _fit(TextSize, Renamed).path == "size"
    assert _fit(TextSize, ByPath).answer is Answer.UNKNOWN


def test_the_same_type_does_not_fit_if_it_cannot_read_what_it_writes() -> None:
    class Split(BaseModel):
        size: int = Field(serialization_alias="written", validation_alias="read")

    assert (
        "written under" in _fit(Split, Split).reason or "is required" in _fit(Split, Split).reason
    )
    assert _fit(Split, Split).answer is Answer.NO


def test_a_model_that_sets_what_its_schema_is_for_is_compared_all_the_same() -> None:
    class Overridden(BaseModel):
        model_config = ConfigDict(json_schema_mode_override="validation")

        size: int = 3

    assert _fit(Overridden, Sized).is_fit  # the default is written


def test_unknown_names_fit_only_themselves() -> None:
    schemas = Schemas()
    check = ContainmentCheck()
    assert check.fits(schemas.of("a"), schemas.of("a"))
    fit = check.explain(schemas.of("a"), schemas.of("b"))
    assert fit.answer is Answer.UNKNOWN
    assert "nothing is known of the schema 'a' and 'b'" in fit.reason


def test_a_declaration_overrides_the_answer_and_is_shown() -> None:
    schemas = Schemas()
    check = ContainmentCheck()
    wide, narrow = schemas.of(WideSession), schemas.of(Session)
    assert not check.fits(wide, narrow)
    check.declare(wide, narrow, "stalls are filtered before")
    assert check.fits(wide, narrow)
    fit = check.explain(wide, narrow)
    assert (fit.is_fit, fit.answer) == (True, Answer.NO)
    assert str(fit).endswith("declared to fit: stalls are filtered before")


def test_a_declaration_needs_a_reason() -> None:
    schemas = Schemas()
    with pytest.raises(RegistryError, match="without a reason"):
        ContainmentCheck().declare(schemas.of(int), schemas.of(str), "  ")


def test_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = Schemas()
    check = ContainmentCheck()
    pair = schemas.of(MoreThanSession), schemas.of(Session)
    first = check.fits(*pair), check.explain(*pair)

    def fail(*_: object) -> None:
        raise AssertionError("compared again")

    monkeypatch.setattr("streamapp.registry.containment._decide", fail)
    assert (check.fits(*pair), check.explain(*pair)) == first


def test_declarations_outlast_answers_that_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamapp.registry.containment.MAX_KEPT_ANSWERS", 1)
    schemas = Schemas()
    check = ContainmentCheck()
    check.declare(schemas.of(str), schemas.of(int), "only digits are given")
    assert not check.fits(schemas.of(Event), schemas.of(Session))
    assert not check.fits(schemas.of(WideSession), schemas.of(Session))
    assert check.fits(schemas.of(str), schemas.of(int))
