"""Build and mypy agree on which value can be passed where."""

from itertools import product
from pathlib import Path
from typing import Any

from mypy import api

from streamapp.pipeline.fits import fits

HERE = Path(__file__).parent

PREAMBLE = """\
import datetime
import decimal
import enum
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar, Union

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

T = TypeVar("T")
Title = NewType("Title", str)
class A(BaseModel):
    a: int
class B(BaseModel):
    b: int
class A2(A):
    pass
class Color(enum.Enum):
    RED = "red"
class Region(enum.StrEnum):
    NORTH = "north"
class Line(TypedDict):
    title: str
class LineWithPrice(TypedDict):
    title: str
    price: float
class LineWithNumber(TypedDict):
    title: int
class Page(BaseModel, Generic[T]):
    items: list[T]
@dataclass
class Box(Generic[T]):
    content: T
class IntBox(Box[int]):
    pass
AB = Annotated[Union[A, B], Field()]
"""

TYPES = """
A | A2 | B | AB | Union[A, B] | Union[A2, B] | Optional[A] | Union[A, B, None] | None
Annotated[A, "a"] | Annotated[int, Field(gt=0)]
int | bool | float | complex | str | bytes | Title | decimal.Decimal | datetime.date
datetime.datetime | Color | Region | Union[int, str] | Optional[int]
Literal["a"] | Literal["a", "b"] | Literal[1] | Literal[1, "a"]
dict | dict[str, Any] | dict[str, int] | dict[str, float] | dict[str, object] | dict[int, int]
Mapping[str, int] | Mapping[str, object] | Mapping[str, Any] | MutableMapping[str, int]
list | list[int] | list[bool] | list[float] | list[A] | list[A2] | list[Any]
Sequence[int] | Sequence[float] | Sequence[A] | Sequence[str] | Iterable[int] | Iterable[str]
Collection[str] | set[int] | frozenset[int] | frozenset[float]
tuple[int, str] | tuple[float, str] | tuple[int, ...] | tuple[float, ...] | tuple[int, int]
Line | LineWithPrice | LineWithNumber | Page[int] | Page[bool] | Page[A]
Box[int] | Box[bool] | IntBox | Box[Any] | object | Any
"""


def types() -> list[str]:
    return [one.strip() for line in TYPES.strip().splitlines() for one in line.split(" | ")]


def accepted_by_mypy(folder: Path) -> set[tuple[str, str]]:
    """Pairs of types of which mypy takes a value of the first for the second."""
    pairs = list(product(types(), types()))
    program = folder / "program.py"
    functions = [
        f"def f{i}(value: {given}) -> {taken}: return value"
        for i, (given, taken) in enumerate(pairs)
    ]
    program.write_text(PREAMBLE + "\n".join(functions) + "\n")
    config = str(HERE.parents[1] / "pyproject.toml")
    # Bare `dict` and `list`, and what is given as `Any`, are refused by strictness, not by type.
    options = ["--allow-any-generics", "--no-warn-return-any", "--no-error-summary"]
    out, err, _ = api.run([str(program), "--config-file", config, *options])
    assert not err
    lines = {int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line}
    first = len(PREAMBLE.splitlines()) + 1
    assert not [line for line in lines if line < first], out
    return {pair for i, pair in enumerate(pairs) if first + i not in lines}


def test_build_and_mypy_agree_on_every_pair_of_types(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": __name__}
    exec(PREAMBLE, names)  # noqa: S102 - a text of this file
    resolved = {text: eval(text, names) for text in types()}  # noqa: S307 - the same
    found = {
        (given, taken)
        for given, taken in product(resolved, resolved)
        if fits(resolved[given], resolved[taken])
    }
    expected = accepted_by_mypy(tmp_path)
    assert sorted(found - expected) == []
    assert sorted(expected - found) == []
