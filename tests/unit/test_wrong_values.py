"""A wrong value anywhere in an output is refused with its path, or is read back as it was."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from streamapp.serialisation import codec_for
from tests.unit.planted_values import (
    KEYS,
    WRONG,
    Path,
    Typed,
    dictionaries,
    models,
    part_at,
    parts_of,
    places,
    plain_models,
    roots,
    with_key,
    with_part,
    without_part,
)


def hold(type_: Any, right: Any, wrong: Any, path: Path) -> None:
    """Encode a wrong value before a right one, after it, and again: it is always the same."""
    codec = codec_for(type_)
    found = [written_or_refused(codec.encode, wrong)]
    assert codec.decode(codec.encode(right)) == right
    found += [written_or_refused(codec.encode, wrong) for _ in range(2)]
    assert found[1:] == found[:1] * 2
    if isinstance(found[0], bytes):
        event("written")
        assert codec.decode(found[0]) == wrong, found[0]
    else:
        event("refused")
        place = ".".join(str(part) or repr(part) for part in path)
        assert found[0].startswith((f"{place}: ", f"{place}.") if path else ""), found[0]


def written_or_refused(encode: Callable[[Any], bytes], value: Any) -> bytes | str:
    try:
        return encode(value)
    except (ValueError, TypeError) as error:
        return str(error)


ANY_TYPE = pytest.mark.parametrize("drawn", [roots(), plain_models()], ids=["any", "plain"])
WITH_FIELDS = pytest.mark.parametrize("drawn", [models(), plain_models()], ids=["any", "plain"])


@ANY_TYPE
def test_a_wrong_value_is_refused_with_its_path_or_read_back(
    drawn: st.SearchStrategy[Typed],
) -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def hold_one(data: st.DataObject) -> None:
        typed = data.draw(drawn)
        right = data.draw(typed.values)
        path = data.draw(st.sampled_from(list(places(right))))
        hold(typed.type_, right, with_part(right, path, data.draw(WRONG)), path)

    hold_one()


@WITH_FIELDS
def test_a_field_that_is_missing_is_refused_with_its_path(
    drawn: st.SearchStrategy[Typed],
) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def hold_one(data: st.DataObject) -> None:
        typed = data.draw(drawn)
        right = data.draw(typed.values)
        name = data.draw(st.sampled_from([name for name, _ in parts_of(right)]))
        hold(typed.type_, right, without_part(right, name), (name,))

    hold_one()


@settings(max_examples=200, deadline=None)
@given(dictionaries(), KEYS, st.data())
def test_a_wrong_key_is_refused_with_its_path_or_read_back(
    typed: Typed, key: Any, data: st.DataObject
) -> None:
    right = data.draw(typed.values)
    path = next((path for path in places(right) if isinstance(part_at(right, path), dict)), None)
    assume(path is not None)
    assert path is not None
    hold(typed.type_, right, with_key(right, path, key), (*path, key))
