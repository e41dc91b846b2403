"""The audit trail of data: metadata, what the stages did, and what failed.

Between topics it travels with a record in one header, as JSON of at most 4 KiB. What does not fit
is cut, the oldest first, and counted. Metadata are never cut: they are the user's data.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any, NamedTuple

from pydantic_core import from_json

from streamapp.errors import DecodeError, EncodeError, RecordError, Transient
from streamapp.policies.describe import describe
from streamapp.record import CONTEXT_HEADER, Headers
from streamapp.serialisation import json_codec
from streamapp.structs import validation_error

MAX_HEADER_BYTES = 4096
"""Largest value of the header."""

MAX_ENTRIES = 1000
"""Largest number of entries of the history, and of the error log, that are kept in memory."""

MAX_ERROR_CHARACTERS = 200
"""Longest text of an error in the log; a dead letter has more of it in its own header."""

_VERSION = 1
_JSON = json_codec(dict)


class ErrorType(StrEnum):
    """What kind of error an entry of the error log is about."""

    DATA_DECODING = "data_decoding"  # its bytes are not what the schema says
    DATA_VALIDATION = "data_validation"  # a schema refused a value
    DATA_PROCESSING = "data_processing"  # the agent raised it
    DATA_OUTPUT = "data_output"  # an output cannot be written
    TIMEOUT = "timeout"  # the attempt took too long
    DEPENDENCY = "dependency"  # something that the agent calls


class StageEntry(NamedTuple):
    """What one stage did with the data.

    Attributes:
        stage_id: name of the stage.
        agent: name of its agent.
        version: version of streamapp.
        start: when its first attempt began, in UTC.
        duration_seconds: from then to the end of the last attempt, waits between them included.
        attempts: number of attempts.
        outcome: how it ended, such as `processed` or `dead_lettered`; the values of `Outcome`.
    """

    stage_id: str
    agent: str
    version: str
    start: datetime
    duration_seconds: float
    attempts: int
    outcome: str


class ErrorEntry(NamedTuple):
    """One failed attempt.

    Attributes:
        error: class and message of the error, without the payload.
        stage_id: name of the stage.
        timestamp: when the attempt failed, in UTC.
        error_type: what kind of error it was.
    """

    error: str
    stage_id: str
    timestamp: datetime
    error_type: ErrorType


class Trail:
    """Metadata, history and errors of what a context belongs to.

    Attributes:
        start: when the execution began, in UTC; without a header, when the trail was made.
        metadata: the user's own facts, JSON by name.
        history: what the stages did, the oldest first.
        errors: what failed, the oldest first.
        history_cut, errors_cut: how many entries before these were cut.
        origin: the record of which the stage that wrote the header made this data, as
            `topic:partition:offset`; empty if that is not known.
    """

    __slots__ = (
        "_received",
        "errors",
        "errors_cut",
        "history",
        "history_cut",
        "metadata",
        "origin",
        "start",
    )

    def __init__(self, start: datetime, metadata: dict[str, Any] | None = None) -> None:
        self.start = start
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.history: deque[StageEntry] = deque()
        self.errors: deque[ErrorEntry] = deque()
        self.history_cut = self.errors_cut = 0
        self.origin = ""
        self._received: bytes | None = None

    def copy(self) -> "Trail":
        """A trail of one attempt, which is forgotten if the attempt fails."""
        copied = Trail(self.start, deepcopy(self.metadata))
        copied.history, copied.errors = self.history.copy(), self.errors.copy()
        copied.history_cut, copied.errors_cut = self.history_cut, self.errors_cut
        copied.origin = self.origin
        copied._received = self._received
        return copied

    def add_stage(self, entry: StageEntry) -> None:
        """Add an entry to the history; beyond the bound the oldest is cut."""
        self.history.append(entry)
        if len(self.history) > MAX_ENTRIES:
            self.history.popleft()
            self.history_cut += 1

    def add_error(self, entry: ErrorEntry) -> None:
        """Add an entry to the error log; beyond the bound the oldest is cut."""
        self.errors.append(entry)
        if len(self.errors) > MAX_ENTRIES:
            self.errors.popleft()
            self.errors_cut += 1

    def to_header(self) -> bytes | None:
        """The value of the header; `None` if there is nothing to say.

        Raises:
            EncodeError: the metadata are no JSON, or do not fit even without history and errors.
        """
        history = [_stage_to_json(entry) for entry in self.history]
        errors = [_error_to_json(entry) for entry in self.errors]
        history_cut, errors_cut, origin = self.history_cut, self.errors_cut, self.origin
        if not (self.metadata or history or errors or history_cut or errors_cut):
            return None
        while True:
            content: dict[str, Any] = {"v": _VERSION, "start": _milliseconds(self.start)}
            content |= {"from": origin} if origin else {}
            content |= {"metadata": self.metadata} if self.metadata else {}
            content |= {"history": history} if history else {}
            content |= {"errors": errors} if errors else {}
            content |= {"cut": [history_cut, errors_cut]} if history_cut or errors_cut else {}
            encoded = self._encoded(content)
            if len(encoded) <= MAX_HEADER_BYTES:
                return encoded
            # Entries are about equal in size, so this goes round only a few times.
            share = (len(encoded) - MAX_HEADER_BYTES) / len(encoded)
            if history:
                cut = max(1, int(len(history) * share))
                del history[:cut]
                history_cut += cut
            elif errors:
                cut = max(1, int(len(errors) * share))
                del errors[:cut]
                errors_cut += cut
            elif origin:  # the metadata are the user's, so they come first
                origin = ""
            elif self._received is not None and self._is_as_received():
                return self._received
            else:
                raise EncodeError(
                    f"the metadata of the context take {len(encoded)} bytes as JSON; they travel in"
                    f" a header of at most {MAX_HEADER_BYTES}"
                )

    def _encoded(self, content: dict[str, Any]) -> bytes:
        try:
            return _JSON.encode(content)
        except Exception as error:
            failure = EncodeError(f"the metadata of the context are no JSON: {describe(error)}")
            raise failure from error

    def _is_as_received(self) -> bool:
        """Whether the metadata are those of the header, which another program may have written."""
        before = trail_from(self._received or b"")
        return before is not None and before.metadata == self.metadata

    @classmethod
    def read(cls, data: bytes) -> "Trail":
        """The trail in a header; raises whatever comes where it cannot be read."""
        if len(data) > MAX_HEADER_BYTES:
            raise ValueError("the header is too long")
        content = from_json(data, allow_inf_nan=False)
        if content["v"] != _VERSION or type(content.get("metadata", {})) is not dict:
            raise ValueError("the header has another form")
        _JSON.encode(content)  # a number as large as 1e400 is read as infinity, and cannot go on
        trail = cls(_time(content["start"]), content.get("metadata", {}))
        trail.history.extend(map(_stage_from_json, content.get("history", ())))
        trail.errors.extend(map(_error_from_json, content.get("errors", ())))
        trail.history_cut, trail.errors_cut = map(int, content.get("cut", (0, 0)))
        trail.origin = str(content.get("from", ""))
        trail._received = data
        return trail


def trail_from(data: bytes) -> Trail | None:
    """The trail in a header; `None` if it cannot be read."""
    try:
        return Trail.read(data)
    except Exception:  # noqa: BLE001 - anybody may have written it
        return None


def header_in(headers: Headers) -> bytes | None:
    """The header of the context among these; `None` if there is none."""
    for name, content in headers:
        if name == CONTEXT_HEADER:
            return content or b""
    return None


def with_header(headers: Headers, content: bytes | None) -> Headers:
    """Headers with this one of the context in place of any other."""
    if content is None:
        return headers
    others: Iterable[tuple[str, bytes]] = (one for one in headers if one[0] != CONTEXT_HEADER)
    return [*others, (CONTEXT_HEADER, content)]


def keep_header(own: Headers, headers: Headers) -> Headers:
    """The own headers of an output, with that of the context from the others.

    The context is not the user's header: who gives an output other headers does not end its trail.
    """
    return with_header(own, header_in(headers))


def error_type(error: BaseException) -> ErrorType:
    """What kind of error this is."""
    if isinstance(error, DecodeError):
        return ErrorType.DATA_DECODING
    if validation_error(error) is not None:
        return ErrorType.DATA_VALIDATION
    if isinstance(error, RecordError):
        return ErrorType.DATA_OUTPUT
    if isinstance(error, TimeoutError):
        return ErrorType.TIMEOUT
    return ErrorType.DEPENDENCY if isinstance(error, OSError | Transient) else _PROCESSING


_PROCESSING = ErrorType.DATA_PROCESSING


def error_entry(error: BaseException, stage_id: str, seconds: float) -> ErrorEntry:
    """An entry for an error at this time, in seconds since the epoch."""
    text = f"{type(error).__name__}: {describe(error)}"[:MAX_ERROR_CHARACTERS]
    return ErrorEntry(text, stage_id, utc(seconds), error_type(error))


def utc(seconds: float) -> datetime:
    """A time in seconds since the epoch, in UTC and to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), tz=UTC)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _time(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def _milliseconds(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND


def _stage_to_json(entry: StageEntry) -> list[Any]:
    duration = round(entry.duration_seconds, 6)
    start = _milliseconds(entry.start)
    return [
        entry.stage_id,
        entry.agent,
        entry.version,
        start,
        duration,
        entry.attempts,
        entry.outcome,
    ]


def _stage_from_json(fields: Sequence[Any]) -> StageEntry:
    stage_id, agent, version, start, duration, attempts, outcome = fields
    names = str(stage_id), str(agent), str(version)
    if not isfinite(float(duration)):
        raise ValueError("the duration is no number")
    return StageEntry(*names, _time(start), float(duration), int(attempts), str(outcome))


def _error_to_json(entry: ErrorEntry) -> list[Any]:
    return [entry.error, entry.stage_id, _milliseconds(entry.timestamp), str(entry.error_type)]


def _error_from_json(fields: Sequence[Any]) -> ErrorEntry:
    error, stage_id, timestamp, kind = fields
    return ErrorEntry(str(error), str(stage_id), _time(timestamp), ErrorType(kind))
