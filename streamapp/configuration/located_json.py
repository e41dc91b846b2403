"""JSON with the place of every value, and with limits that no file of a person reaches.

The standard parser takes duplicate keys and NaN, and forgets where values stood.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Any

MOST_BYTES = 16 * 1024 * 1024
"""Largest size of a file."""

MOST_VALUES = 1_000_000
"""Most values in a file, those inside of others included."""

MOST_LEVELS = 64
"""Deepest nesting of objects and arrays."""

_MOST_DIGITS = 300
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<fraction>\.\d+)?(?P<exponent>[eE][-+]?\d+)?", re.ASCII)
_AFTER_NUMBER = re.compile(r"[\w.+-]")
_STRINGS = JSONDecoder()
_WORDS = {"true": True, "false": False, "null": None}
_ENCODINGS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\xef\xbb\xbf", "a mark first"))


class JsonFaultError(Exception):
    """The bytes are not a JSON document that is taken.

    Attributes:
        line, column: place of the fault, both counted from one; columns count characters.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(slots=True)
class Node:
    """Where a value stands.

    Attributes:
        start: its index in the text; of a member of an object, that of its key.
        parts: the members of an object by name, or the items of an array by number; `None` of what
            has none, as of most values.
    """

    start: int
    parts: dict[str | int, "Node"] | None = None


@dataclass(frozen=True, slots=True)
class LocatedJson:
    """A JSON document.

    Attributes:
        data: its value, of plain types; objects keep the order of their keys.
        text: its text.
        root: where its values stand.
    """

    data: Any
    text: str
    root: Node

    def place_of(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at a path, or of the deepest part of it that exists."""
        return _place(self.text, self.index_of(path))

    def index_of(self, path: Sequence[str | int]) -> int:
        """The same as an index in the text."""
        node = self.root
        for part in path:
            found = None if node.parts is None else node.parts.get(part)
            if found is None:
                break
            node = found
        return node.start


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
    try:
        return _Parser(text).document()
    except _FaultAtError as fault:
        raise JsonFaultError(str(fault), *_place(text, fault.index)) from None


def _decoded(content: bytes) -> str:
    for mark, name in _ENCODINGS:
        if content.startswith(mark):
            raise JsonFaultError(f"the file is written in {name}: save it as UTF-8 without a mark")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = _place(before, len(before))
        told = "this is not UTF-8: save the file as UTF-8"
        raise JsonFaultError(told, line, column) from None


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


class _FaultAtError(Exception):
    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class _Parser:
    """One walk over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values = 0
        self._end = 0

    def document(self) -> LocatedJson:
        self._skip_space()
        if self._end == len(self._text):
            raise _FaultAtError("the file is empty: write at least {}", 0)
        root = Node(self._end)
        data = self._value(root, 0)
        self._skip_space()
        if self._end < len(self._text):
            raise _FaultAtError("the document has ended, but more follows: remove it", self._end)
        return LocatedJson(data, self._text, root)

    def _value(self, node: Node, level: int) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _FaultAtError(f"the file has more than {MOST_VALUES:,} values", self._end)
        match self._peek():
            case "{":
                return self._object(node, self._deeper(level))
            case "[":
                return self._array(node, self._deeper(level))
            case '"':
                return self._string()
        return self._number_or_word()

    def _deeper(self, level: int) -> int:
        if level == MOST_LEVELS:
            raise _FaultAtError(f"the nesting is deeper than {MOST_LEVELS} levels", self._end)
        return level + 1

    def _object(self, node: Node, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._end += 1
        if self._ends_at_once("}"):
            return found
        parts = node.parts = {}
        while True:
            start = self._end
            if self._peek() != '"':
                raise _FaultAtError("a name in double quotes is missing here", start)
            key = self._string()
            if key in found:
                raise _FaultAtError(f"the key {key[:80]!r} occurs twice: remove one", start)
            self._skip_space()
            if self._peek() != ":":
                raise _FaultAtError("a colon is missing after the name", self._end)
            self._end += 1
            self._skip_space()
            parts[key] = part = Node(start)
            found[key] = self._value(part, level)
            if self._ends_after_value("}", "object"):
                return found

    def _array(self, node: Node, level: int) -> list[Any]:
        found: list[Any] = []
        self._end += 1
        if self._ends_at_once("]"):
            return found
        parts = node.parts = {}
        while True:
            parts[len(found)] = part = Node(self._end)
            found.append(self._value(part, level))
            if self._ends_after_value("]", "array"):
                return found

    def _ends_at_once(self, end: str) -> bool:
        self._skip_space()
        ends = self._peek() == end
        self._end += ends
        return ends

    def _ends_after_value(self, end: str, kind: str) -> bool:
        self._skip_space()
        found = self._peek()
        if found not in (",", end):
            raise _FaultAtError(f"a comma or the end of the {kind}, {end}, is missing", self._end)
        comma = self._end
        self._end += 1
        self._skip_space()
        if found == "," and self._peek() == end:
            raise _FaultAtError("the last comma is one too many: remove it", comma)
        self._end = self._end if found == "," else comma + 1
        return found == end

    def _string(self) -> str:
        start = self._end
        try:
            found, self._end = _STRINGS.raw_decode(self._text, start)
        except JSONDecodeError as error:
            raise _FaultAtError(_STRING_FAULTS.get(error.msg, _STRING_FAULT), error.pos) from None
        string = str(found)
        if not string.isascii():
            try:
                string.encode()
            except UnicodeEncodeError:
                told = "this string has half of a surrogate pair, which is no character"
                raise _FaultAtError(told, start) from None
        return string

    def _number_or_word(self) -> Any:
        start = self._end
        for word, value in _WORDS.items():
            if self._text.startswith(word, start):
                self._end += len(word)
                return value
        found = _NUMBER.match(self._text, start)
        if found is None or _AFTER_NUMBER.match(self._text, found.end()):
            raise _FaultAtError("a JSON value is missing here, or is not written as JSON", start)
        self._end = found.end()
        if self._end - start > _MOST_DIGITS:
            raise _FaultAtError(f"this number has more than {_MOST_DIGITS} digits", start)
        if found["fraction"] is None and found["exponent"] is None:
            return int(found[0])
        number = float(found[0])
        if not isfinite(number):
            raise _FaultAtError("this number is too large", start)
        return number

    def _peek(self) -> str:
        return self._text[self._end : self._end + 1]

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._end)
        if found is not None:  # it always is: no space matches too
            self._end = found.end()


_STRING_FAULT = "this string has a wrong escape"
_STRING_FAULTS = {
    "Unterminated string starting at": "the closing quote of this string is missing",
    "Invalid control character at": "a string goes over the end of a line, or has a control"
    " character: write it as \\n or \\u000a",
}
