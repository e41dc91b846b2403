"""A dead letter as text, for people."""

import json
from collections.abc import Iterator

from streamapp.cli.found_letters import Found
from streamapp.cli.letter_json import content_text, iso_time
from streamapp.configuration.printable import printable
from streamapp.letters.ledger import LetterState
from streamapp.letters.letter import Letter

UNKNOWN = "-"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WIDTH = 13
_SEPARATORS = ((",", ":"), (", ", ": "))
"""Of JSON that is written on one line."""


def time_text(milliseconds: int | None) -> str:
    """A time in UTC, such as `2026-11-28T10:00:00Z`: one word, which no table breaks."""
    found = iso_time(milliseconds)
    return UNKNOWN if found is None else f"{found[:-5]}Z"


def left_text(seconds: float | None) -> str:
    """How long something is kept, such as `6.5d`: one word."""
    if seconds is None:
        return "forever"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f}min"
    return f"{seconds / _HOUR:.1f}h" if seconds < _DAY else f"{seconds / _DAY:.1f}d"


def stage_text(letter: Letter) -> str:
    """Pipeline and stage of a letter, or who wrote it."""
    told = letter.told
    return ".".join(filter(None, (told.pipeline, told.stage))) or told.dialect.value


def payload_text(content: bytes | None) -> str:
    """Bytes as text that a terminal can only show."""
    text = content_text(content)
    return UNKNOWN if text is None else printable(text, longest=len(text))


def letter_lines(found: Found, *, show_payload: bool) -> Iterator[str]:
    """All that is known of a letter, a fact in a line.

    Args:
        found: the letter.
        show_payload: also what may quote the record.
    """
    for name, text in _facts(found):
        if text:
            yield f"{name:{_WIDTH}}{printable(text, longest=len(text))}"
    letter = found.letter
    if not show_payload:
        names = ", ".join(name for name, _ in letter.original_headers) or UNKNOWN
        yield f"{'headers':{_WIDTH}}{printable(names, longest=len(names))}"
        size = UNKNOWN if letter.value is None else f"{len(letter.value):,} bytes"
        yield f"{'value':{_WIDTH}}{size}; --show-payload shows it, with key, headers and message"
        return
    yield f"{'message':{_WIDTH}}{printable(letter.told.message or UNKNOWN, longest=2048)}"
    yield f"{'key':{_WIDTH}}{payload_text(letter.key)}"
    for name, content in letter.original_headers:
        yield f"{'header':{_WIDTH}}{printable(name)} = {payload_text(content)}"
    yield "value"
    for line in _value_lines(letter.value):
        yield f"  {line}"


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    letter, told = found.letter, found.letter.told
    yield "letter", letter.address
    yield "state", _state(found)
    yield "stage", stage_text(letter)
    yield "failed", time_text(letter.failed_ms)
    first = told.first_failure_ms
    if first is not None and first != letter.failed_ms:
        yield "first failed", time_text(first)
    yield "reason", told.reason
    yield "error", told.error
    yield "place", told.place
    yield "fingerprint", told.fingerprint
    yield "attempts", "" if told.attempts is None else f"{told.attempts}"
    if told.topic and told.offset is not None:
        at = time_text(told.timestamp_ms)
        yield "original", f"{told.topic}:{told.partition}:{told.offset}, of {at}"
    yield "replays", f"{found.replays}"


def _state(found: Found) -> str:
    entry = found.entry
    if entry.state is LetterState.OPEN:
        return entry.state.value
    told = f"{entry.state.value} {time_text(entry.at_ms)}"
    if entry.state is LetterState.REPLAYED:
        return f"{told}, to {entry.why}"
    return f"{told}: {entry.why}"


def _value_lines(value: bytes | None) -> Iterator[str]:
    """A value, an indented one if it is JSON."""
    text = content_text(value)
    if text is None:
        yield UNKNOWN
        return
    for line in _indented(text).splitlines():
        yield printable(line, longest=len(line))


def _indented(text: str) -> str:
    """JSON on several lines if that changes nothing else; other text as it is."""
    try:
        found = json.loads(text)
        same = (json.dumps(found, ensure_ascii=False, separators=one) for one in _SEPARATORS)
        if isinstance(found, dict | list) and text in same:
            return json.dumps(found, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        pass
    return text
