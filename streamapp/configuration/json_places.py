"""Where the values of a JSON text stand."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import JSONDecoder

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = JSONDecoder(parse_int=str, parse_float=str)


@dataclass(slots=True)
class _Node:
    """A value.

    Attributes:
        start: its index in the text; of a member of an object, that of its key.
        value: the index of the value itself.
        parts: the members of an object by name, or the items of an array by number; `None` if they
            have not been looked for.
    """

    start: int
    value: int
    parts: dict[str | int, "_Node"] | None = None


class Places:
    """Where the values of a text stand; only the parts of what is asked for are looked at.

    Args:
        text: a JSON document.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        start = self._after_space(0)
        self._root = _Node(start, start)

    def index_of(self, path: Sequence[str | int]) -> int:
        """The index of the value at a path, or of the deepest part of it that exists."""
        node = self._root
        for part in path:
            if node.parts is None:
                node.parts = dict(self._parts(node.value))
            found = node.parts.get(part)
            if found is None:
                break
            node = found
        return node.start

    def _parts(self, start: int) -> Iterator[tuple[str | int, _Node]]:
        """The parts of the value that begins at an index; none of one without parts."""
        kind = self._text[start]
        if kind not in "{[":
            return
        end = self._after_space(start + 1)
        number = 0
        while self._text[end] not in "}]":
            begin, part = end, number
            name: str | int = part
            if kind == "{":
                name, end = self._skipped(begin)
                end = self._after_space(self._after_space(end) + 1)  # after the colon
            yield name, _Node(begin, end)
            _, end = self._skipped(end)
            end = self._after_space(end)
            if self._text[end] == ",":
                end = self._after_space(end + 1)
            number += 1

    def _skipped(self, start: int) -> tuple[str, int]:
        value, end = _DECODER.raw_decode(self._text, start)
        return value, end

    def _after_space(self, index: int) -> int:
        found = _SPACE.match(self._text, index)
        return index if found is None else found.end()  # it never is: no space matches too
