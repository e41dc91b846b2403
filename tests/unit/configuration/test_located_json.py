import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.configuration.json_fault import require_no_fault
from streamapp.configuration.located_json import JsonFaultError, LocatedJson, parse_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


def paths(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    parts = value.items() if isinstance(value, dict) else ()
    for part, one in enumerate(value) if isinstance(value, list) else parts:
        yield from paths(one, (*path, part))


def text_at(document: LocatedJson, path: tuple[str | int, ...]) -> str:
    line, column = document.place_of(path)
    lines = document.text.split("\n")
    return "\n".join([lines[line - 1][column - 1 :], *lines[line:]])


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_it_reads_what_json_writes_and_knows_where_each_value_stands(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    document = parse_json(text.encode())
    assert json.dumps(document.data) == json.dumps(value)
    for path, one in paths(value):
        member = bool(path) and isinstance(path[-1], str)
        found, _ = json.JSONDecoder().raw_decode(text_at(document, path))
        assert json.dumps(found) == json.dumps(path[-1] if member else one)


def outcome(content: bytes) -> LocatedJson | JsonFaultError:
    try:
        return parse_json(content)
    except JsonFaultError as fault:
        return fault


@given(st.text('{}[]",:\\u0 1eE+-.tfn\n', max_size=30))
def test_it_takes_no_text_that_the_standard_parser_refuses(text: str) -> None:
    found = outcome(text.encode())
    if isinstance(found, LocatedJson):
        assert found.data == json.loads(text)
        require_no_fault(text)
    else:
        assert str(found) != "this is not JSON"  # the second reading has found the fault
        assert 1 <= found.line <= text.count("\n") + 1
        assert found.column >= 1


@given(VALUES, st.data())
def test_both_readings_agree_on_a_text_with_one_character_changed(
    value: Any, data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    place = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from(["", *'{}[]",:\\0.e-NIdD8 \t', "\\ud800", '"a":', "[" * 70]))
    text = text[:place] + put + text[place + data.draw(st.integers(0, 1)) :]
    found = outcome(text.encode())
    if isinstance(found, LocatedJson):
        require_no_fault(text)
    else:
        assert str(found) != "this is not JSON"


@pytest.mark.parametrize(
    "text", ["1" * 301, "1." + "1" * 300, "1e999", "NaN", "-Infinity", '{"a": 1, "a": 2}', "[" * 65]
)
def test_what_the_standard_parser_takes_and_we_do_not_is_told(text: str) -> None:
    with pytest.raises(JsonFaultError) as fault:
        parse_json(text.encode())
    assert str(fault.value) != "this is not JSON"


@given(st.binary(max_size=40))
def test_no_bytes_end_in_another_error(content: bytes) -> None:
    assert isinstance(outcome(content), LocatedJson | JsonFaultError)


def test_columns_count_characters() -> None:
    with pytest.raises(JsonFaultError) as fault:
        parse_json('{"ä": "😀", }'.encode())
    assert (fault.value.line, fault.value.column) == (1, 10)


def test_a_missing_path_has_the_place_of_its_deepest_part() -> None:
    document = parse_json(b'{"a": 1,\n  "b": {"c": [1]}}')
    assert document.place_of(["b", "d", 3]) == (2, 3)
    assert document.place_of(["b", "c", 0]) == (2, 15)
    assert document.place_of(["x"]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "line", "column", "told"),
    [
        ("", 1, 1, "the file is empty"),
        (" \n ", 1, 1, "the file is empty"),
        ("[1] 2", 1, 5, "the document has ended"),
        ("[" * 65 + "]" * 65, 1, 65, "the nesting is deeper than 64 levels"),
        ('{"a": 1, b: 2}', 1, 10, "a name in double quotes is missing"),
        ('{"a" : 1, "b": 2, "a": 3}', 1, 19, "the key 'a' occurs twice"),
        ('{"a"\n 1}', 2, 2, "a colon is missing after the name"),
        ('{"a" : }', 1, 8, "a JSON value is missing here"),
        ("[1 , 2 3]", 1, 8, "a comma or the end of the array"),
        ('{"a": 1 "b": 2}', 1, 9, "a comma or the end of the object"),
        ("[1 , 2 , ]", 1, 8, "the last comma is one too many"),
        ("[[] , [1, 2], 3 4]", 1, 17, "a comma or the end of the array"),
        ("[" + "1" * 300 + ", " + "2" * 301 + "]", 1, 304, "more than 300 digits"),
        ("[1.5, 1e9, 1e999]", 1, 12, "this number is too large"),
        ("[10000, 1.0e999]", 1, 9, "this number is too large"),
        ('["\\ud800"]', 1, 2, "half of a surrogate pair"),
        ('["a\nb"]', 1, 4, "a control"),
        ("[01]", 1, 2, "a JSON value is missing here"),
    ],
)
def test_the_first_fault_is_told_with_its_place(
    text: str, line: int, column: int, told: str
) -> None:
    with pytest.raises(JsonFaultError, match=told) as fault:
        parse_json(text.encode())
    assert (fault.value.line, fault.value.column) == (line, column)


def test_places_are_found_beside_numbers_of_any_size() -> None:
    text = f'{{"a": [{"1" * 300}, 1.5e300, 2], "b": 3}}'
    assert parse_json(text.encode()).place_of(["b"]) == (1, text.index('"b"') + 1)
