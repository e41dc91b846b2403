"""JSON with the place of every value, and with limits that no file of a person reaches.

The standard parser takes duplicate keys and NaN, and forgets where values stood. What it is told to
refuse here is read once more, to find the first fault; places are looked for when they are asked
for. So a large file without faults costs little more than the standard parser takes.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from streamapp.configuration.json_fault import (
    MOST_DIGITS,
    MOST_LEVELS,
    FaultAtError,
    require_no_fault,
)
from streamapp.configuration.json_places import Places

MOST_BYTES = 128 * 1024 * 1024
"""Largest size of a file."""

MOST_VALUES = 4_000_000
"""Most values in a file, those inside of others included."""

_MARK = "UTF-8 with a byte order mark (BOM), three bytes before the text"
_ENCODINGS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\xef\xbb\xbf", _MARK))
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_EMPTY = re.compile(r"\[[ \t\n\r]*\]|\{[ \t\n\r]*\}")


class JsonFaultError(Exception):
    """The bytes are not a JSON document that is taken.

    Attributes:
        line, column: place of the fault, both counted from one; columns count characters.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(frozen=True)
class LocatedJson:
    """A JSON document.

    Attributes:
        data: its value, of plain types; objects keep the order of their keys.
        text: its text.
    """

    data: Any
    text: str

    def place_of(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at a path, or of the deepest part of it that exists."""
        return _place(self.text, self.index_of(path))

    def index_of(self, path: Sequence[str | int]) -> int:
        """The same as an index in the text."""
        return self._places.index_of(path)

    @cached_property
    def _places(self) -> Places:
        return Places(self.text)


def parse_json(content: bytes) -> LocatedJson:
    """Parse one document.

    Args:
        content: UTF-8 without a byte order mark.

    Raises:
        JsonFaultError: it is not UTF-8 or not JSON, has a key twice, a number that cannot be kept,
            or is beyond a limit. The message never shows a value.
    """
    if len(content) > MOST_BYTES:
        raise JsonFaultError(
            f"the file is larger than {MOST_BYTES // 1024**2} MiB: make it smaller"
        )
    text = _decoded(content)
    if _has_too_many(text):
        raise JsonFaultError(f"the file has more than {MOST_VALUES:,} values: make it smaller")
    try:
        data = _read(text)
    except (ValueError, RecursionError):
        data = _find_fault(text)
    return LocatedJson(data, text)


def _has_too_many(text: str) -> bool:
    """Whether there are too many values, without reading them."""
    if _most_values(text) <= MOST_VALUES:
        return False
    bare = _STRING.sub("0", text)  # commas in strings part no values
    return _most_values(bare) - len(_EMPTY.findall(bare)) > MOST_VALUES


def _most_values(text: str) -> int:
    return 1 + text.count(",") + text.count("[") + text.count("{")


def _read(text: str) -> Any:
    """The value of a text.

    Raises:
        ValueError, RecursionError: it is not taken; where and why is still to be found.
    """
    data = json.loads(
        text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=_constant,
    )
    _require_flat(data)
    if _SURROGATE.search(text):
        json.dumps(data, ensure_ascii=False).encode()  # fails on half a pair
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError("too many digits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if len(text) > MOST_DIGITS or not isfinite(number):
        raise ValueError("no number that can be kept")
    return number


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _require_flat(data: Any) -> None:
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError("the nesting is too deep")


def _find_fault(text: str) -> Any:
    try:
        require_no_fault(text)
    except FaultAtError as fault:
        raise JsonFaultError(str(fault), *_place(text, fault.index)) from None
    raise JsonFaultError("this is not JSON")  # never, unless the two readers differ


def _decoded(content: bytes) -> str:
    for mark, name in _ENCODINGS:
        if content.startswith(mark):
            raise JsonFaultError(
                f"the file is written in {name}: save it as UTF-8 without a byte order mark"
            )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = _place(before, len(before))
        told = "this is not UTF-8: save the file as UTF-8"
        raise JsonFaultError(told, line, column) from None


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
