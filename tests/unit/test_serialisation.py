"""A value of another type than declared is refused, wherever the type has no class of its own."""

import warnings
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from streamapp.serialisation import codec_for

T = TypeVar("T")


class Play(BaseModel):
    title: str


class Stop(BaseModel):
    seconds: int


class Other(BaseModel):
    title: str
    seconds: int


class Line(TypedDict):
    title: str


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        (Play | Stop, Stop(seconds=1), b'{"seconds":1}'),
        (Play | Stop, Play(title="a"), b'{"title":"a"}'),
        (int | str, "a", b'"a"'),
        (Play | None, Play(title="a"), b'{"title":"a"}'),
        (list[int], [1, 2], b"[1,2]"),
        (list[Play], [Play(title="a")], b'[{"title":"a"}]'),
        (list[Play | Stop], [Stop(seconds=1)], b'[{"seconds":1}]'),
        (dict[str, int], {"a": 1}, b'{"a":1}'),
        (tuple[int, str], (1, "a"), b'[1,"a"]'),
        (Literal["a", "b"], "b", b'"b"'),
        (Line, {"title": "a"}, b'{"title":"a"}'),
    ],
    ids=str,
)
def test_a_value_of_the_declared_type_is_written_and_read_back(
    type_: Any, value: Any, written: bytes
) -> None:
    codec = codec_for(type_)
    assert isinstance(value, codec.instance_of)
    assert codec.encode(value) == written
    assert codec.decode(written) == value


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Play | Stop, {"title": "a"}),
        (Play | Stop, 5),
        (Play | Stop, Other(title="a", seconds=1)),
        (int | str, [1]),
        (Play | None, "a"),
        (list[int], ["a"]),
        (list[int], 5),
        (list[Play], [{"title": "a"}]),
        (list[Play | Stop], [Stop(seconds=1), 5]),
        (dict[str, int], {"a": "b"}),
        (tuple[int, str], (1, 2)),
        (Line, {"title": 5}),
    ],
    ids=str,
)
def test_a_wrong_type_in_a_union_or_a_list_is_refused_and_not_written_with_a_warning(
    type_: Any, value: Any
) -> None:
    codec = codec_for(type_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is written with a warning is written
        with pytest.raises(ValueError, match=r"(?i)expected"):
            codec.encode(value)


@dataclass
class Box(Generic[T]):
    content: T


@pytest.mark.parametrize(
    ("type_", "class_"),
    [
        (Any, object),
        (object, object),
        (dict, dict),
        (dict[str, Any], dict),
        (list, list),
        (Play, Play),
        (Play | None, Play),
        (int, int),
        (Box, Box),
        (Box[int], object),
        (Line, object),
        (Play | Stop, object),
        (bytes, bytes),
    ],
    ids=str,
)
def test_the_class_that_a_value_must_have_is_known_where_there_is_one(
    type_: Any, class_: type[Any]
) -> None:
    assert codec_for(type_).instance_of is class_


def test_bytes_are_left_as_they_are_and_missing_ones_told() -> None:
    codec = codec_for(bytes)
    assert codec.encode(b"\xff") == codec.decode(b"\xff") == b"\xff"
    missing: Any = None
    with pytest.raises(ValueError, match="no bytes"):
        codec.decode(missing)
