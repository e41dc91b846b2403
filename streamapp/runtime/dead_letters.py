"""Dead letters: the original record with headers that say what happened to it."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.policies.describe import describe
from streamapp.record import Headers, Record, TopicPartition
from streamapp.version import VERSION

PREFIX: Final = "streamapp.error."

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
    """

    pipeline: str
    stage: str
    error: Exception
    reason: DeadLetterReason
    attempts: int
    first_failure_at: float
    last_failure_at: float
    execution_id: str


def error_headers(
    headers: Headers, source: TopicPartition, record: Record, failure: Failure
) -> Headers:
    """Headers of a dead letter: those of the failed value, then `streamapp.error.*`.

    `topic`, `partition`, `offset` and `timestamp` are those of the record that was read. Times are
    milliseconds since the epoch. All header values are text.
    """
    facts = {
        "pipeline": failure.pipeline,
        "stage": failure.stage,
        "topic": source.topic,
        "partition": source.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "class": type(failure.error).__name__,
        "message": describe(failure.error),
        "reason": failure.reason,
        "fingerprint": fingerprint(failure.stage, failure.error),
        "attempts": failure.attempts,
        "first_failure": int(failure.first_failure_at * 1000),
        "last_failure": int(failure.last_failure_at * 1000),
        "execution_id": failure.execution_id,
        "version": VERSION,
    }
    return [*headers, *[(PREFIX + name, str(value).encode()) for name, value in facts.items()]]


def fingerprint(stage: str, error: Exception) -> str:
    """Twelve hex digits that are equal for failures of the same kind in the same place.

    They are a hash of the stage, the classes of the error and its causes, and the functions that
    raised these. Messages are left out, since they contain values.
    """
    digest = hashlib.sha256(stage.encode())
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        digest.update(f"|{type(cause).__qualname__}@{place_of(cause)}".encode())
        cause = cause.__cause__
    return digest.hexdigest()[:12]


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
