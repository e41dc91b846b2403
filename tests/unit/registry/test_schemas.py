"""Schemas by name: a name may be used before it is bound, and means one thing."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from streamapp.errors import RegistryError
from streamapp.registry.containment import Answer, compare
from streamapp.registry.prepared import MAX_DEPTH, MAX_PARTS, prepare
from streamapp.registry.schemas import Schemas

Json = dict[str, Any]


class Order(BaseModel):
    order_id: int


def _closed(**properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def test_a_name_and_its_type_are_one_schema() -> None:
    schemas = Schemas()
    assert schemas.bind("Order", Order) is schemas.of(Order) is schemas.of("Order")


def test_equal_json_schemas_are_one_schema_whatever_the_order_of_their_keys() -> None:
    schemas = Schemas()
    one = schemas.of({"type": "object", "required": ["a"]})
    assert schemas.of({"required": ["a"], "type": "object"}) is one


def test_a_name_that_was_used_before_means_what_it_is_bound_to() -> None:
    schemas = Schemas()
    before = schemas.of("Order")
    version = schemas.version
    schemas.bind("Order", Order)
    assert not before.is_bound
    assert schemas.of("Order").type_ is Order
    assert schemas.version > version


def test_a_name_cannot_be_bound_twice_unless_to_the_same() -> None:
    schemas = Schemas()
    schemas.bind("Order", Order)
    schemas.bind("Order", Order)
    with pytest.raises(RegistryError, match="'Order' is Order already; choose another name"):
        schemas.bind("Order", {"type": "object"})


def test_a_name_that_is_bound_anew_is_told_as_a_change_and_one_that_stays_is_not() -> None:
    schemas = Schemas()
    schemas.bind("Order", {"type": "object"})
    before = schemas.of("Order")
    version = schemas.version
    assert not schemas.rebind("Order", {"type": "object"})
    assert schemas.version == version
    assert schemas.rebind("Order", {"type": "string"})
    assert list(schemas.changed_since(version)) == ["Order"]
    assert schemas.of("Order") is not before
    assert schemas.of("Order").json_schema == {"type": "string"}


def test_a_name_that_is_let_go_may_be_bound_to_something_else() -> None:
    schemas = Schemas()
    schemas.bind("Order", {"type": "object"})
    assert schemas.of("Order").is_bound
    schemas.unbind("Order")
    assert not schemas.of("Order").is_bound
    schemas.bind("Order", Order)
    assert schemas.of("Order").type_ is Order
    with pytest.raises(RegistryError, match=r"the schema 'Odrer' is not bound; .*'Order'"):
        schemas.unbind("Odrer")


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    schemas = Schemas()
    schemas.bind("Order", Order)
    with pytest.raises(RegistryError, match="no schema 'Ordre'; did you mean 'Order'"):
        schemas.bound("Ordre")


@pytest.mark.parametrize("content", [3, None, object(), {"a": object()}])
def test_what_is_no_schema_is_refused(content: Any) -> None:
    with pytest.raises(RegistryError):
        Schemas().of(content)


def test_types_with_notes_that_cannot_be_hashed_are_schemas() -> None:
    schemas = Schemas()
    type_ = Annotated[int, Field(json_schema_extra={"examples": [1]})]
    assert schemas.of(type_) is schemas.of(type_)


def test_json_schemas_and_types_are_compared() -> None:
    schemas = Schemas()
    assert compare(schemas.of(Order), schemas.of(_closed(order_id={"type": "integer"}))).is_fit
    assert compare(schemas.of(_closed(order_id={"type": "integer"})), schemas.of(Order)).is_fit
    open_ = {"type": "object", "properties": {"order_id": {"type": "integer"}}}
    fit = compare(schemas.of(open_), schemas.of(Order))
    assert (fit.answer, fit.path) == (Answer.NO, "order_id")


def test_other_fields_of_a_json_schema_are_not_ruled_out_by_silence() -> None:
    optional = _closed(a={"type": "integer"}, b={"type": "integer"}) | {"required": ["a"]}
    open_ = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    schemas = Schemas()
    loose = {**optional, "additionalProperties": True}
    fit = compare(schemas.of(open_), schemas.of(loose))
    assert (fit.path, fit.reason) == ("b", "may be anything, since other fields are not ruled out")
    assert compare(schemas.of({**open_, "additionalProperties": False}), schemas.of(loose)).is_fit


@given(st.sampled_from(["date-time", "uuid", "email", "of-our-own", "base64"]), st.booleans())
def test_a_plain_text_never_fits_a_format(name: str, is_within: bool) -> None:
    text, formatted = {"type": "string"}, {"type": "string", "format": name}
    if is_within:
        text, formatted = _closed(a=text), _closed(a=formatted)
    schemas = Schemas()
    assert not compare(schemas.of(text), schemas.of(formatted)).is_fit
    assert compare(schemas.of(formatted), schemas.of(text)).is_fit
    assert compare(schemas.of(formatted), schemas.of(dict(formatted, title="other"))).is_fit


def test_a_format_says_nothing_on_the_length_of_a_text() -> None:
    schemas = Schemas()
    formatted = schemas.of({"type": "string", "format": "of-our-own"})
    for bound in ({"minLength": 1}, {"maxLength": 500}, {"enum": ["of-our-own"]}):
        assert not compare(formatted, schemas.of({"type": "string", **bound})).is_fit


def test_a_property_may_be_called_format() -> None:
    prepared = prepare(_closed(format={"type": "integer"}))
    assert isinstance(prepared.schema, dict)
    assert prepared.schema["properties"]["format"] == {"type": "integer"}


@pytest.mark.parametrize("keyword", ["not", "if", "contains"])
def test_a_format_that_is_turned_round_is_unknown(keyword: str) -> None:
    turned = {keyword: {"format": "date"}}
    schemas = Schemas()
    fit = compare(schemas.of({"const": "2020-01-01"}), schemas.of(turned))
    assert fit.answer is Answer.UNKNOWN
    assert "has a format within" in fit.reason


def test_nothing_is_fetched(tmp_path: Path) -> None:
    there = tmp_path / "schema.json"
    there.write_text("{}")
    schemas = Schemas()
    for place in ("http://127.0.0.1:1/schema.json", there.as_uri()):
        fit = compare(schemas.of(Order), schemas.of({"$ref": place}))
        assert fit.answer is Answer.UNKNOWN
        assert "Retrieval is disabled" in fit.reason


@pytest.mark.parametrize(
    "schema", [{"type": "strange"}, {"pattern": "("}, {"$ref": "#/nowhere"}, {"required": 3}]
)
def test_a_json_schema_that_is_wrong_is_unknown_with_the_reason(schema: Json) -> None:
    schemas = Schemas()
    fit = compare(schemas.of(schema), schemas.of(Order))
    assert fit.answer is Answer.UNKNOWN
    assert fit.reason.startswith("of the output, its JSON schema is not valid: ")


def test_bombs_are_unknown_and_soon() -> None:
    deep: Json = {"type": "string"}
    for _ in range(MAX_DEPTH + 1):
        deep = {"type": "array", "items": deep}
    assert f"deeper than {MAX_DEPTH} levels" in prepare(deep).unknown
    wide = {"anyOf": [{"const": number} for number in range(MAX_PARTS + 1)]}
    assert f"more than {MAX_PARTS} parts" in prepare(wide).unknown


def test_a_schema_that_is_within_itself_many_times_is_refused() -> None:
    doubled: Json = {"type": "string"}
    for _ in range(40):
        doubled = {"oneOf": [doubled, doubled]}
    endless: Json = {}
    endless["items"] = endless
    for bomb in (doubled, endless):
        with pytest.raises(RegistryError, match="more than 200,000 values; make it smaller"):
            Schemas().of(bomb)
