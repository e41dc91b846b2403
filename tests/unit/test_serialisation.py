"""A value of another type than declared is refused, wherever the type has no class of its own."""

import warnings
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from streamapp.serialisation import codec_for


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
        (Play | None, None, b"null"),
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
        with pytest.raises(ValueError, match="Expected"):
            codec.encode(value)
