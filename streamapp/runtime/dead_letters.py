"""Dead letters: the original record with headers that say what happened to it."""

import hashlib
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from streamapp.errors import DecodeError
from streamapp.letters.sent_back import NEVER_SENT_BACK, SentBack
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.policies.describe import describe
from streamapp.policies.gravest import tells_its_class
from streamapp.record import (
    ERROR_HEADERS,
    Headers,
    Record,
    TopicPartition,
    event_timestamp,
    without_error_headers,
)
from streamapp.structs import validation_error
from streamapp.version import VERSION

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MAX_PLACE_BYTES = 256
_NO_BYTES = {"json_type": "there is none (a tombstone)"}
"""What pydantic says of what is no bytes at all, in our words."""

_MAX_CAUSES = 10  # a chain of causes can be a circle; ten tell enough of any failure


@dataclass(frozen=True, slots=True)
class Failure:
    """Why and when a record failed for good.

    Attributes:
        pipeline, stage: where it failed.
        error: the last error.
        reason: why it became a dead letter.
        attempts: number of attempts.
        first_failure_at, last_failure_at: seconds since the epoch.
        execution_id: id of the run of the worker.
        sent_back: how often, and in which replay, the record had been sent back to the stage.
    """

    pipeline: str
    stage: str
    error: Exception
    reason: DeadLetterReason
    attempts: int
    first_failure_at: float
    last_failure_at: float
    execution_id: str
    sent_back: SentBack = NEVER_SENT_BACK


def error_headers(
    headers: Headers, source: TopicPartition, record: Record, failure: Failure
) -> Headers:
    """Headers of a dead letter: those of the failed value, then new `streamapp.error.*`."""
    return [*without_error_headers(headers), *error_facts(source, record, failure)]


def error_facts(source: TopicPartition, record: Record, failure: Failure) -> Headers:
    """What is told of a failure.

    `topic`, `partition`, `offset` and event time are those of the record that was read. Times are
    milliseconds since the epoch. All header values are text.
    """
    facts = {
        "pipeline": failure.pipeline,
        "stage": failure.stage,
        "topic": source.topic,
        "partition": source.partition,
        "offset": record.offset,
        "timestamp": event_timestamp(record),
        "class": type(failure.error).__name__,
        "message": describe(failure.error),
        "place": fault_of(failure.error),
        "reason": failure.reason,
        "fingerprint": fingerprint(failure.stage, failure.error),
        "attempts": failure.attempts,
        "first_failure": int(failure.first_failure_at * 1000),
        "last_failure": int(failure.last_failure_at * 1000),
        "execution_id": failure.execution_id,
        "version": VERSION,
    }
    told = [(ERROR_HEADERS + name, str(value).encode()) for name, value in facts.items()]
    return [*told, *failure.sent_back.headers()]


def fingerprint(stage: str, error: Exception) -> str:
    """Twelve hex digits that are equal for failures of the same kind in the same place.

    They are a hash of the stage and, for the error and its causes, of the class and of what tells
    it from others of its class: the function that raised it, or which field has which fault.
    Messages are left out, since they contain values.
    """
    digest = hashlib.sha256(stage.encode())
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        digest.update(f"|{type(cause).__qualname__}{_kind_of(cause)}".encode())
        cause = cause.__cause__
    return digest.hexdigest()[:12]


def _kind_of(error: BaseException) -> str:
    """What tells it from other errors of its class."""
    if not tells_its_class(error):
        return ""
    if isinstance(error, DecodeError):  # made by us, whatever the bytes are
        return "" if error.__cause__ else str(error)
    if (invalid := validation_error(error)) is not None:
        return " ".join(f"{path}:{kind}" for path, kind in _faults(invalid))
    if isinstance(error, JSONDecodeError):
        return error.msg
    return f"@{place_of(error)}"


def fault_of(error: BaseException) -> str:
    """Where the fault is, without a value: a place in the code, or fields of a value.

    It is file and function that raised the error, such as `agents.py:price`, or for a value that
    does not fit its schema the fields, each with the kind of its fault. At most 256 bytes.
    """
    if isinstance(error, DecodeError) and error.__cause__ is not None:
        error = error.__cause__  # the code that reads the bytes is ours
    if (invalid := validation_error(error)) is not None:
        told = ((path or "value", kind.strip()) for path, kind in _faults(invalid))
        text = "; ".join(f"{path}: {_NO_BYTES.get(kind, kind)}" for path, kind in told)
    elif isinstance(error, DecodeError | JSONDecodeError):
        text = str(error) if isinstance(error, DecodeError) else error.msg
    else:
        text = place_of(error)
    return text.encode(errors="replace")[:_MAX_PLACE_BYTES].decode(errors="ignore")


def _faults(error: ValidationError) -> list[tuple[str, str]]:
    """Paths and kinds of the different faults of a value."""
    found = error.errors(include_url=False, include_input=False)
    return sorted(set(map(_fault, found)))


def _fault(fault: "ErrorDetails") -> tuple[str, str]:
    """Path and kind of one fault of a value; of an item of a list, whichever it is."""
    path = ".".join("*" if isinstance(part, int) else part for part in fault["loc"])
    why = str(fault.get("ctx", {}).get("error", "")) if fault["type"] == "json_invalid" else ""
    return path, f"{fault['type']} {why.partition(' at line ')[0]}"


def place_of(error: BaseException) -> str:
    """File and function that raised an error; empty if it was not raised.

    The module `traceback` is not used, because it reads source files.
    """
    raised_in = error.__traceback__
    if raised_in is None and error.__cause__ is not None:
        raised_in = error.__cause__.__traceback__  # the error was made here for a cause
    if raised_in is None:
        return ""
    while raised_in.tb_next is not None:
        raised_in = raised_in.tb_next
    code = raised_in.tb_frame.f_code
    return f"{PurePath(code.co_filename).name}:{code.co_name}"
