"""An error in one line, without what failed."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from streamapp.policies.describe import describe


def validation_error(kind: Any, value: object) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(kind).validate_python(value)
    return raised.value


class Unspeakable(Exception):  # noqa: N818 - not an error of ours
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("text", ["  first  \nsecond", "\n  first\nsecond", "\r\n\t\nfirst"])
def test_only_the_first_line_with_text_is_told(text: str) -> None:
    assert describe(ValueError(text)) == "first"


@pytest.mark.parametrize("error", [ValueError(), ValueError("   "), ValueError("\n \n")])
def test_an_error_without_words_is_told_by_its_class(error: ValueError) -> None:
    assert describe(error) == "ValueError"


def test_an_error_that_cannot_be_told_is_told_by_its_class() -> None:
    assert describe(Unspeakable()) == "Unspeakable"


def test_a_message_has_one_kibibyte_and_no_half_character() -> None:
    assert describe(RuntimeError("x" * 5000)) == "x" * 1024
    assert describe(RuntimeError("x" * 1023 + "ä")) == "x" * 1023


def test_text_that_is_not_unicode_is_told_with_marks_in_its_place() -> None:
    assert describe(RuntimeError("bad \ud800 text")) == "bad ? text"


def test_up_to_five_fields_are_named_and_the_others_counted() -> None:
    told = describe(validation_error(list[int], ["x"] * 5))
    assert [part.partition(":")[0] for part in told.split("; ")] == list("01234")
    told = describe(validation_error(list[int], ["x"] * 8))
    assert told.split("; ")[5:] == ["and 3 more"]


def test_a_fault_of_the_whole_value_is_called_value_and_one_inside_by_its_path() -> None:
    assert describe(validation_error(int, "x")).startswith("value: ")
    assert describe(validation_error(dict[str, list[int]], {"a": ["x"]})).startswith("a.0: ")
