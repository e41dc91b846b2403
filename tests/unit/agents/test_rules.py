"""Rules: each operator, what cannot be compared, and faults of their settings."""

from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.rules import Check, Rule
from streamapp.errors import Permanent
from tests.unit.agents.built import faults

VALUE: dict[str, Any] = {"kind": "stall", "ms": 250, "live": True, "region": None, "tags": ["a"]}


def _check(path: str, operator: str, *value: Any) -> Check:
    given = {"value": value[0]} if value else {}
    return Check(Rule.model_validate({"path": path, "operator": operator, **given}))


@pytest.mark.parametrize(
    ("path", "operator", "value", "holds"),
    [
        ("kind", "equals", "stall", True),
        ("ms", "equals", 250.0, True),
        ("live", "equals", 1, False),
        ("tags", "equals", ["a"], True),
        ("nothing", "equals", None, False),
        ("region", "equals", None, True),
        ("kind", "not_equals", "stall", False),
        ("nothing", "not_equals", "stall", True),
        ("ms", "less_than", 250, False),
        ("ms", "at_most", 250, True),
        ("ms", "more_than", 249.5, True),
        ("ms", "at_least", 251, False),
        ("kind", "at_least", "start", False),
        ("kind", "one_of", ["start", "stall"], True),
        ("live", "one_of", [1, "true"], False),
        ("kind", "none_of", ["start"], True),
        ("kind", "none_of", ["start", "stall"], False),
        ("nothing", "none_of", ["start"], True),
        ("kind", "matches", "^st", True),
        ("kind", "matches", "^all", False),
    ],
)
def test_rules_compare(path: str, operator: str, value: Any, holds: bool) -> None:
    assert _check(path, operator, value).holds(VALUE) is holds


@pytest.mark.parametrize(
    ("path", "is_there"), [("kind", True), ("region", True), ("nothing", False)]
)
def test_null_is_there(path: str, is_there: bool) -> None:
    assert _check(path, "exists").holds(VALUE) is is_there
    assert _check(path, "absent").holds(VALUE) is not is_there


@pytest.mark.parametrize(
    ("path", "operator", "value", "why"),
    [
        ("kind", "at_least", 3, "kind is a text, not a number"),
        ("ms", "less_than", "3", "ms is a number, not a text"),
        ("live", "at_most", 1, "live is a boolean, not a number"),
        ("nothing", "more_than", 1, "nothing is missing, not a number"),
        ("region", "matches", "x", "region is null, not a text"),
    ],
)
def test_what_cannot_be_compared_is_the_records_fault(
    path: str, operator: str, value: Any, why: str
) -> None:
    check = _check(path, operator, value)
    with pytest.raises(Permanent, match=f"^{why}$"):
        check.holds(VALUE)
    broken = check.broken(VALUE)
    assert broken is not None
    assert broken.is_unfit


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(JSON, JSON)
def test_opposite_rules_never_agree(found: Any, wanted: Any) -> None:
    value = {"x": found}
    equals = _check("x", "equals", wanted).holds(value)
    assert _check("x", "not_equals", wanted).holds(value) is not equals
    assert _check("x", "one_of", [wanted]).holds(value) is equals
    assert _check("x", "none_of", [wanted]).holds(value) is not equals
    assert _check("x", "equals", found).holds(value)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def test_a_list_is_not_its_beginning() -> None:
    assert not _check("x", "equals", [1]).holds({"x": [1, 2]})
    assert not _check("x", "equals", {"a": 1}).holds({"x": {"a": 1, "b": 2}})


@given(NUMBERS, NUMBERS)
def test_the_four_orders_are_those_of_numbers(found: float, bound: float) -> None:
    value = {"x": found}
    assert _check("x", "less_than", bound).holds(value) is (found < bound)
    assert _check("x", "at_most", bound).holds(value) is (found <= bound)
    assert _check("x", "more_than", bound).holds(value) is (found > bound)
    assert _check("x", "at_least", bound).holds(value) is (found >= bound)


def test_a_pattern_cannot_be_made_to_take_for_ever() -> None:
    started = perf_counter()
    assert not _check("kind", "matches", "^(a+)+$").holds({"kind": "a" * 50_000 + "b"})
    # A matcher that goes back would need more than the age of the universe.
    assert perf_counter() - started < 60


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"path": "a", "operator": "is", "value": 1}, "operator: should be 'equals',"),
        ({"path": "a[*]", "operator": "exists"}, "path: 'a[*]' may find several values"),
        ({"path": "a", "operator": "exists", "value": 1}, "'exists' takes no value; drop it"),
        ({"path": "a", "operator": "equals"}, "'equals' compares with a value; add it"),
        ({"path": "a", "operator": "one_of", "value": 1}, "takes a list of values, not a number"),
        (
            {"path": "a", "operator": "at_most", "value": True},
            "takes a number or a text, not a boo",
        ),
        ({"path": "a", "operator": "matches", "value": 1}, "takes a regular expression, not a num"),
        ({"path": "a", "operator": "matches", "value": "("}, "'(' is no regular expression that"),
        ({"path": "a", "operator": "matches", "value": r"(a)\1"}, "is no regular expression that"),
    ],
)
def test_a_wrong_rule_is_told_with_its_place(rule: dict[str, Any], why: str) -> None:
    found = faults("Filter", {"rules": [rule]})
    assert found[0].startswith("rules[0]")
    assert why in found[0]
