"""Finds the first fault of a text that is not taken as JSON, and says what to do about it."""

import re
from json import JSONDecodeError, JSONDecoder
from math import isfinite

MOST_LEVELS = 64
"""Deepest nesting of objects and arrays."""

MOST_DIGITS = 300
"""Longest number, in characters."""

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<fraction>\.\d+)?(?P<exponent>[eE][-+]?\d+)?", re.ASCII)
_AFTER_NUMBER = re.compile(r"[\w.+-]")
_STRINGS = JSONDecoder()
_WORDS = ("true", "false", "null")


class FaultAtError(Exception):
    """There is a fault.

    Attributes:
        index: where, in the text.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def require_no_fault(text: str) -> None:
    """Walk over a text.

    Raises:
        FaultAtError: it is not JSON, or has something that is not taken.
    """
    _Walk(text).document()


class _Walk:
    """One walk over a text; it keeps nothing but its place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0

    def document(self) -> None:
        self._skip_space()
        if self._end == len(self._text):
            raise FaultAtError("the file is empty: write at least {}", 0)
        self._value(0)
        self._skip_space()
        if self._end < len(self._text):
            raise FaultAtError("the document has ended, but more follows: remove it", self._end)

    def _value(self, level: int) -> None:
        match self._peek():
            case "{":
                self._object(self._deeper(level))
            case "[":
                self._array(self._deeper(level))
            case '"':
                self._string()
            case _:
                self._number_or_word()

    def _deeper(self, level: int) -> int:
        if level == MOST_LEVELS:
            raise FaultAtError(f"the nesting is deeper than {MOST_LEVELS} levels", self._end)
        return level + 1

    def _object(self, level: int) -> None:
        found: set[str] = set()
        self._end += 1
        if self._ends_at_once("}"):
            return
        while True:
            start = self._end
            if self._peek() != '"':
                raise FaultAtError("a name in double quotes is missing here", start)
            key = self._string()
            if key in found:
                raise FaultAtError(f"the key {key[:80]!r} occurs twice: remove one", start)
            found.add(key)
            self._skip_space()
            if self._peek() != ":":
                raise FaultAtError("a colon is missing after the name", self._end)
            self._end += 1
            self._skip_space()
            self._value(level)
            if self._ends_after_value("}", "object"):
                return

    def _array(self, level: int) -> None:
        self._end += 1
        if self._ends_at_once("]"):
            return
        while True:
            self._value(level)
            if self._ends_after_value("]", "array"):
                return

    def _ends_at_once(self, end: str) -> bool:
        self._skip_space()
        ends = self._peek() == end
        self._end += ends
        return ends

    def _ends_after_value(self, end: str, kind: str) -> bool:
        self._skip_space()
        found = self._peek()
        if found not in (",", end):
            raise FaultAtError(f"a comma or the end of the {kind}, {end}, is missing", self._end)
        comma = self._end
        self._end += 1
        self._skip_space()
        if found == "," and self._peek() == end:
            raise FaultAtError("the last comma is one too many: remove it", comma)
        self._end = self._end if found == "," else comma + 1
        return found == end

    def _string(self) -> str:
        start = self._end
        try:
            found, self._end = _STRINGS.raw_decode(self._text, start)
        except JSONDecodeError as error:
            raise FaultAtError(_STRING_FAULTS.get(error.msg, _STRING_FAULT), error.pos) from None
        string = str(found)
        if not string.isascii():
            try:
                string.encode()
            except UnicodeEncodeError:
                told = "this string has half of a surrogate pair, which is no character"
                raise FaultAtError(told, start) from None
        return string

    def _number_or_word(self) -> None:
        start = self._end
        for word in _WORDS:
            if self._text.startswith(word, start):
                self._end += len(word)
                return
        found = _NUMBER.match(self._text, start)
        if found is None or _AFTER_NUMBER.match(self._text, found.end()):
            raise FaultAtError("a JSON value is missing here, or is not written as JSON", start)
        self._end = found.end()
        if self._end - start > MOST_DIGITS:
            raise FaultAtError(f"this number has more than {MOST_DIGITS} digits", start)
        has_point = found["fraction"] is not None or found["exponent"] is not None
        if has_point and not isfinite(float(found[0])):
            raise FaultAtError("this number is too large", start)

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
