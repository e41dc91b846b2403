"""A dead letter as plain values, for JSON."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from streamapp.cli.found_letters import Found
from streamapp.letters.ledger import LedgerEntry, LetterState

_BASE64 = "base64:"


def as_json(found: Found, *, show_payload: bool) -> dict[str, Any]:
    """A letter as plain values.

    What may quote a record is only there if it is asked for: key, value, contents of headers, and
    the message of the error.
    """
    letter, told = found.letter, found.letter.told
    data: dict[str, Any] = {
        "topic": letter.place.topic,
        "partition": letter.place.partition,
        "offset": letter.offset,
        "timestamp": iso_time(letter.timestamp_ms),
        "dialect": told.dialect.value,
        "pipeline": told.pipeline,
        "stage": told.stage,
        "reason": told.reason,
        "error": told.error,
        "place": told.place,
        "fingerprint": told.fingerprint,
        "attempts": told.attempts,
        "first_failure": iso_time(told.first_failure_ms),
        "last_failure": iso_time(told.last_failure_ms),
        "original": {
            "topic": told.topic,
            "partition": told.partition,
            "offset": told.offset,
            "timestamp": iso_time(told.timestamp_ms),
        },
        "replays": found.replays,
        "state": found.entry.state.value,
    }
    if found.entry.state is not LetterState.OPEN:
        data["done"] = _done(found.entry)
    if show_payload:
        data["message"] = told.message
        data["key"] = content_text(letter.key)
        data["value"] = content_text(letter.value)
        data["headers"] = [[name, content_text(content)] for name, content in letter.headers]
    else:
        data["headers"] = [name for name, _ in letter.original_headers]
        data["value_bytes"] = None if letter.value is None else len(letter.value)
    return data


def content_text(content: bytes | None) -> str | None:
    """Bytes as text that says all of them, as `--key` takes them: UTF-8, else `base64:BYTES`."""
    if content is None:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return _BASE64 + b64encode(content).decode() if text.startswith(_BASE64) else text


def iso_time(milliseconds: int | None) -> str | None:
    """A time in UTC as `--since` takes it, such as `2026-11-28T10:00:00.250Z`."""
    if milliseconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):  # not written by us
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def _done(entry: LedgerEntry) -> dict[str, Any]:
    done: dict[str, Any] = {"at": iso_time(entry.at_ms)}
    if entry.state is LetterState.REPLAYED:
        done["sent_to"] = entry.why
    else:
        done["why"] = entry.why
    return done | ({"replay": entry.replay} if entry.replay else {})
