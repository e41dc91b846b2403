"""Parts of an agent get copies of a value: what one does to its own, no other sees."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from streamapp.pipeline.combinators.copies import copier_for


class Colour(Enum):
    RED = "r"


class Constant(BaseModel):
    text: str = "t"
    number: int | None = 1
    share: float = 0.5
    at: datetime = datetime(2026, 1, 2, tzinfo=UTC)
    price: Decimal = Decimal("1.50")
    colour: Colour | None = Colour.RED

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    text: str = "t"


class Private(BaseModel):
    text: str = "t"
    _seen: list[int] = PrivateAttr(default_factory=list)


class Own(BaseModel):
    text: str = "t"
    copies: int = 0

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "Own":
        return Own(text=self.text, copies=self.copies + 1)


def test_a_copy_is_equal_and_another_object() -> None:
    value = Constant(text="a")
    copy = copier_for(Constant)(value)
    assert copy == value
    assert copy is not value
    assert copy.model_fields_set == {"text"}
    copy.text = "b"
    copy.number = 2
    assert value.text == "a"
    assert value.model_fields_set == {"text"}


def _with_list_in_place_of_text() -> Constant:
    return Constant().model_copy(update={"text": ["a"]})


def _with_cached_words() -> Constant:
    value = Constant()
    assert value.words
    return value


@pytest.mark.parametrize(
    ("value", "mutable"),
    [
        (_with_list_in_place_of_text(), lambda value: value.text),
        (_with_cached_words(), lambda value: value.words),
        (Open(more=["a"]), lambda value: value.more),
        (Private(), lambda value: value._seen),
    ],
    ids=["a wrong type", "a cached property", "an extra field", "a private attribute"],
)
def test_what_can_be_changed_within_a_value_is_copied_too(value: Any, mutable: Any) -> None:
    copy = copier_for(type(value))(value)
    mutable(copy).append("changed")
    assert "changed" not in mutable(value)


def test_a_model_that_copies_itself_does_so() -> None:
    assert copier_for(Own)(Own()).copies == 1


def test_a_subclass_that_copies_itself_does_so() -> None:
    class Counted(Constant):
        def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "Counted":
            return Counted(number=(self.number or 0) + 1)

    assert copier_for(Constant)(Counted(number=1)).number == 2
