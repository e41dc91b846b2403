"""Paths: they find what is there, tell null from missing, and run nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.kinds import MISSING
from streamapp.agents.paths import JsonPath
from streamapp.errors import Permanent

VALUE: dict[str, Any] = {
    "user": {"name": "ann", "first-name": "Ann", "age": None},
    "items": [{"price": 3}, {"price": 4}],
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$", VALUE),
        ("user.name", "ann"),
        ("$.user.name", "ann"),
        ("$.user['first-name']", "Ann"),
        ("items[1].price", 4),
        ("items[-1].price", 4),
        ("user.age", None),
        ("user.mail", MISSING),
        ("user.name.length", MISSING),
        ("items.price", MISSING),
        ("items[7]", MISSING),
    ],
)
def test_a_path_finds_one_value_or_nothing(text: str, found: Any) -> None:
    path = JsonPath(text)
    assert path.is_singular
    assert path.get(VALUE) == found


@pytest.mark.parametrize("text", ["items[*].price", "$..price", "items[?@.price > 2].price"])
def test_a_path_to_several_finds_all(text: str) -> None:
    path = JsonPath(text)
    assert not path.is_singular
    assert path.all(VALUE) == [3, 4]


# The library reads no control characters, though the standard has them.
NAMES = st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1)


@given(st.lists(NAMES, min_size=1, max_size=4), st.integers())
def test_any_name_can_be_written_in_brackets(names: list[str], leaf: int) -> None:
    value: Any = leaf
    for name in reversed(names):
        value = {name: value}
    text = "".join(f"[{_quoted(name)}]" for name in names)
    assert JsonPath(f"${text}").get(value) == leaf


VALUES = st.recursive(
    st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3)
    ),
    max_leaves=8,
)
STEPS = st.lists(st.sampled_from(["['a']", "['b']", "['0']", "[0]", "[1]", "[-1]", "[-4]"]))


@given(VALUES, STEPS)
def test_a_path_to_one_value_finds_what_the_library_finds(value: Any, steps: list[str]) -> None:
    path = JsonPath("$" + "".join(steps))
    assert path.is_singular
    found = path.all(value)
    assert ([] if path.get(value) is MISSING else [path.get(value)]) == found


def _quoted(name: str) -> str:
    escaped = "".join(f"\\{c}" if c in "'\\" else c for c in name)
    return f"'{escaped}'"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user..",
        "user name",
        "$.a | $.b",
        "items[?match(@.price, '(a+)+$')]",
        "items[?search(@.price, '(a+)+$')]",
        "__import__('os').system('true')",
        "$" + "[?@" * 200,
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        JsonPath(text)


def test_a_value_that_is_nested_too_deeply_is_the_records_fault() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(Permanent, match="nested too deeply"):
        JsonPath("$..b").all(deep)
