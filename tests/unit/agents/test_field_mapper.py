"""The field mapper: fields chosen, renamed, moved and cast, and none lost without a word."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agents.built import built, faults, refused

EVENT: dict[str, Any] = {
    "session_id": "s1",
    "title": {"id": "42", "tags": [{"name": "a"}, {"name": "b"}]},
    "stall_ms": None,
}


def _mapped(configuration: dict[str, Any], value: dict[str, Any] = EVENT) -> Any:
    before = deepcopy(value)
    result = built("FieldMapper", configuration)(value)
    assert value == before, "the input was changed"
    return result


def test_fields_are_taken_by_their_paths() -> None:
    fields = {"title": "title.id", "tags": "title.tags[*].name", "stall": "stall_ms"}
    assert _mapped({"fields": fields, "others": "drop"}) == {
        "title": "42",
        "tags": ["a", "b"],
        "stall": None,
    }


def test_other_fields_are_kept_unless_they_are_to_be_dropped() -> None:
    assert _mapped({"fields": {"session": "session_id"}}) == {**EVENT, "session": "s1"}
    assert _mapped({"remove": ["title", "nothing"]}) == {"session_id": "s1", "stall_ms": None}


def test_fields_are_renamed() -> None:
    rename = {"session_id": "session", "stall_ms": "session_id"}
    assert _mapped({"rename": rename}) == {
        "session": "s1",
        "session_id": None,
        "title": EVENT["title"],
    }


def test_a_field_can_be_put_into_an_object_beside_what_is_there() -> None:
    fields = {"title.first_tag": "title.tags[0].name", "/a.b/c": {"value": [1]}}
    result = _mapped({"fields": fields})
    assert result["title"] == {**EVENT["title"], "first_tag": "a"}
    assert result["a.b"] == {"c": [1]}


def test_a_value_is_cast_in_its_place() -> None:
    fields = {"title.id": {"from": "title.id", "cast": "integer"}}
    assert _mapped({"fields": fields})["title"]["id"] == 42


def test_what_is_missing_has_a_default_or_is_left_out_or_is_the_records_fault() -> None:
    fields: dict[str, Any] = {"region": {"from": "region", "default": None}}
    assert _mapped({"fields": fields, "others": "drop"}) == {"region": None}
    fields = {"region": {"from": "region", "optional": True}}
    assert _mapped({"fields": fields, "others": "drop"}) == {}
    agent = built("FieldMapper", {"fields": {"region": "user.region"}})
    assert refused(agent, EVENT) == "user.region: it is missing, and region has no default"


def test_a_default_is_for_what_is_missing_and_not_for_null() -> None:
    fields = {"stall": {"from": "stall_ms", "default": 0}}
    assert _mapped({"fields": fields, "others": "drop"}) == {"stall": None}


def test_outputs_share_no_value() -> None:
    agent = built(
        "FieldMapper", {"fields": {"a": {"value": []}, "b": {"from": "x", "default": {}}}}
    )
    first = agent({})
    first["a"].append(1)
    first["b"]["c"] = 1
    assert agent({}) == {"a": [], "b": {}}


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        (
            {"fields": {"stall": {"from": "stall_ms", "cast": "integer"}}},
            "stall_ms: null is no integer, as stall has to be",
        ),
        (
            {"fields": {"tags": {"from": "title.tags[*].name", "cast": "number"}}},
            "title.tags[*].name: the text is no number, as tags has to be",
        ),
        ({"rename": {"region": "place"}}, "region: the field is missing and cannot be renamed"),
        (
            {"rename": {"session_id": "title"}},
            "session_id: its new name 'title' is the name of another field",
        ),
        (
            {"fields": {"session_id.text": "stall_ms"}},
            "session_id.text cannot be set: session_id is a text",
        ),
    ],
)
def test_a_record_that_does_not_fit_is_told_with_its_path(
    configuration: dict[str, Any], why: str
) -> None:
    assert refused(built("FieldMapper", configuration), EVENT) == why


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        ({}, "nothing is to be done; give 'fields', 'rename' or 'remove'"),
        ({"fields": {"a": "b c"}}, "fields.a.from: 'b c' is no path"),
        ({"fields": {"a": {}}}, "fields.a: give either a path as 'from', or a 'value'"),
        ({"fields": {"a": {"from": "b", "value": 1}}}, "fields.a: give either a path"),
        ({"fields": {"a": {"value": 1, "cast": "string"}}}, "fields.a: a 'value' needs no other"),
        (
            {"fields": {"a": {"from": "b", "default": 1, "optional": True}}},
            "fields.a: a field with a default is never left out",
        ),
        ({"fields": {"a": {"from": "b", "cast": "int"}}}, "fields.a.cast: should be 'integer',"),
        ({"fields": {"a.": "b"}}, "fields.a.: 'a.' is no place of a field"),
        ({"fields": {"a": "b", "a.c": "d"}}, "'a.c' would overwrite 'a'"),
        ({"fields": {"a": "b"}, "rename": {"c": "a"}}, "'a' would overwrite 'a'"),
        ({"rename": {"a": "b"}, "remove": ["a"]}, "'a' is both renamed and removed"),
        ({"field": {"a": "b"}}, "field: there is no such field; did you mean 'fields'?"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(configuration: dict[str, Any], why: str) -> None:
    found = "\n".join(faults("FieldMapper", configuration))
    assert why in found


NAMES = st.sampled_from("abcdef")


@given(st.dictionaries(NAMES, st.integers()), st.permutations("abcdef"))
def test_renaming_loses_no_value(value: dict[str, int], names: list[str]) -> None:
    turned = {old: new for old, new in zip("abcdef", names, strict=True) if old in value}
    if not turned:
        return
    agent = built("FieldMapper", {"rename": turned})
    assert sorted(agent(value).values()) == sorted(value.values())
    assert agent(value) == {turned[name]: one for name, one in value.items()}
