"""The schemas of conditions take exactly the values for which the conditions hold."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.rules import Condition, Conditions
from streamapp.configuration.condition_schemas import asked
from streamapp.errors import Permanent
from streamapp.registry.schemas import Schema

LEAVES = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, "a", "b", "", [], [1], {"x": 1}])
OBJECTS = st.fixed_dictionaries({}, optional={"a": LEAVES, "b": LEAVES})
VALUES = st.one_of(
    st.fixed_dictionaries({}, optional={"a": LEAVES, "b": LEAVES, "in": st.one_of(LEAVES, OBJECTS)})
)
PATHS = st.sampled_from(["a", "b", "in.a", "in.b", "$['in']['a']"])
ANYTHING = Schema("anything", json_schema={})


def rule(operator: str, value: st.SearchStrategy[Any] | None) -> st.SearchStrategy[dict[str, Any]]:
    fixed = {"path": PATHS, "operator": st.just(operator)}
    return st.fixed_dictionaries(fixed if value is None else {**fixed, "value": value})


NUMBERS = st.sampled_from([0, 1, 1.5, 2])
RULES = st.one_of(
    *(rule(one, LEAVES) for one in ("equals", "not_equals")),
    *(rule(one, st.lists(LEAVES, max_size=3)) for one in ("one_of", "none_of")),
    *(
        rule(one, st.one_of(NUMBERS, st.just("a")))
        for one in ("less_than", "at_most", "more_than", "at_least")
    ),
    *(rule(one, None) for one in ("exists", "absent")),
    rule("matches", st.just("^a")),
)
CONDITIONS = st.builds(
    lambda rules, match: Condition.model_validate({"rules": rules, "match": match}),
    st.lists(RULES, min_size=1, max_size=3),
    st.sampled_from(["all", "any"]),
)


@given(condition=CONDITIONS, value=VALUES)
def test_a_value_is_valid_where_the_condition_holds(condition: Condition, value: Any) -> None:
    for wanted in (True, False):
        (schema,), is_exact = asked(ANYTHING, [(condition, wanted)])
        is_valid = jsonschema_rs.is_valid(schema, value)
        try:
            comes = Conditions(condition).hold(value) is wanted
        except Permanent:  # the record fails, and no case is chosen
            comes = False
        assert is_valid or not comes
        if is_exact:
            assert comes or not is_valid


@pytest.mark.parametrize("index", ["items[0]", "$[0]"])
def test_nothing_is_said_of_a_path_with_an_index(index: str) -> None:
    rules = {"rules": [{"path": index, "operator": "equals", "value": 1}]}
    assert asked(ANYTHING, [(Condition.model_validate(rules), True)]) == ([{"allOf": [{}]}], False)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"at": {"format": "date"}}},
        {"anyOf": [{"properties": {"at": {"type": "string", "format": "date"}}}]},
        {"properties": {"at": {"$ref": "#/$defs/at"}}, "$defs": {"at": {"format": "date"}}},
        {"$ref": "#/$defs/self", "$defs": {"self": {"anyOf": [{"$ref": "#/$defs/self"}]}}},
        {"patternProperties": {"^a": {"format": "date"}}},
    ],
)
def test_nothing_certain_is_said_of_a_field_that_may_have_a_format(schema: Any) -> None:
    rules = {"rules": [{"path": "at", "operator": "equals", "value": "2026-01-01"}]}
    given_ = Schema("dates", json_schema={"type": "object", **schema})
    schemas, is_exact = asked(given_, [(Condition.model_validate(rules), True)])
    assert not is_exact
    assert jsonschema_rs.is_valid(schemas[0], {"at": "2026-01-01"})
