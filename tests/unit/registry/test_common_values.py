"""Values that are valid for two schemas at once: what is said of them is true of every value."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.registry.common_values import Conflict, conflict, narrowed
from streamapp.registry.schemas import Schema, Schemas
from tests.unit.registry.json_values import JSON_TYPED, json_pairs
from tests.unit.registry.typed_values import Typed

OWN = ["$schema", "$id", "$anchor"]


def schema(content: dict[str, Any]) -> Schema:
    return Schema("it", json_schema=content)


@settings(max_examples=300)
@given(st.one_of(json_pairs(), st.tuples(JSON_TYPED, JSON_TYPED)), st.data())
def test_where_two_are_in_conflict_no_value_is_valid_for_both(
    pair: tuple[Typed, Typed], data: st.DataObject
) -> None:
    one, other = pair
    if conflict(schema(one.type_), schema(other.type_)) is not None:
        assert not jsonschema_rs.is_valid(other.type_, data.draw(one.values))
        assert not jsonschema_rs.is_valid(one.type_, data.draw(other.values))


@settings(max_examples=300)
@given(JSON_TYPED, JSON_TYPED, st.data())
def test_what_is_narrowed_has_the_values_that_are_valid_for_both(
    whole: Typed, asked: Typed, data: st.DataObject
) -> None:
    left = narrowed(schema(whole.type_), [asked.type_])
    if left is None:
        return
    for value in (data.draw(whole.values), data.draw(asked.values)):
        valid = [jsonschema_rs.is_valid(one.type_, value) for one in (whole, asked)]
        assert left.json_schema is not None
        assert jsonschema_rs.is_valid(dict(left.json_schema), value) is all(valid)


def test_a_conflict_is_told_with_its_field() -> None:
    inner = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    one = {"type": "object", "properties": {"in": {"$ref": "#/$defs/in"}}, "required": ["in"]}
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    other = {"type": "object", "properties": {"in": closed}}
    found = conflict(schema({**one, "$defs": {"in": inner}}), schema(other))
    assert found == Conflict("in.x", "string", "left out")
    optional = {"type": "object", "properties": {"in": inner}}
    assert conflict(schema(optional), schema(other)) is None


@pytest.mark.parametrize("keyword", OWN)
def test_of_a_schema_with_an_address_or_draft_of_its_own_nothing_is_said(keyword: str) -> None:
    own = {"$schema": "https://json-schema.org/draft/2020-12/schema"}.get(keyword, "schema")
    text, number = schema({"type": "string", keyword: own}), schema({"type": "integer"})
    assert conflict(text, number) is None
    assert conflict(number, text) is None
    assert narrowed(text, [{"const": "a"}]) is None


def test_formats_are_in_no_conflict_with_what_may_have_them() -> None:
    date = {"type": "string", "format": "date"}
    assert conflict(schema(date), schema({"const": "2026-11-28"})) is None
    assert conflict(schema(date), schema({"type": "string", "pattern": "^[0-9-]+$"})) is None


def test_of_types_nothing_is_said() -> None:
    schemas = Schemas()
    assert conflict(schemas.of(int), schemas.of(str)) is None
    assert conflict(schemas.of("only a name"), schemas.of({"type": "string"})) is None
