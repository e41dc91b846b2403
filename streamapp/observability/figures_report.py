"""Figures of stages as data: what `StageReport` is made of.

Its fields are a contract: others read what one version has written. What is not known is `None`.
"""

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Values that do not change; fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True)


class ErrorReport(Data):
    """A failure: when it was, in seconds since the epoch, its class and its fingerprint."""

    at: float
    error: str
    fingerprint: str


class KindReport(Data):
    """Dead letters of one fingerprint; times are in seconds since the epoch.

    `expires_at` is when retention may delete the oldest of them; `None` if never, or unknown.
    """

    fingerprint: str
    error: str
    reason: str
    count: int
    first_at: float
    last_at: float
    expires_at: float | None = None


class OpenLettersReport(Data):
    """Dead letters that were neither replayed nor discarded.

    Attributes:
        topic: the topic that they are in.
        count: how many there are.
        oldest_at: timestamp of the one that retention will delete first, in seconds since the
            epoch; `None` without any, or if it has none.
        expires_at: when it may be deleted; `None` if never, or unknown.
    """

    topic: str
    count: int
    oldest_at: float | None = None
    expires_at: float | None = None


class PartitionReport(Data):
    """A partition that the stage reads.

    Attributes:
        topic, partition: what it is called.
        lag: records not finished; `None` while unknown.
        lag_seconds: age of the first of them.
        is_paused: whether no more records of it are taken for now.
        progress_at: when records of it last finished or lag appeared, in seconds since the epoch.
        worker: the worker that has it, where there are several.
        pause: why no more records of it are taken; `None` while they are, or if that is not known.
        committed_offset: the offset that was last committed.
        committed_at: when that was, in seconds since the epoch.
    """

    topic: str
    partition: int
    lag: int | None
    lag_seconds: float | None
    is_paused: bool = False
    progress_at: float | None = None
    worker: str | None = None
    pause: str | None = None
    committed_offset: int | None = None
    committed_at: float | None = None


class LatelyReport(Data):
    """What a stage did within the last so many seconds.

    Attributes:
        seconds: how long that is.
        received: records taken from the broker, redelivered ones included.
        outcomes: attempts that ended a record.
        failed: those that ended in a dead letter, were dropped, or passed on unchanged.
        p50_seconds, p99_seconds: upper bounds of quantiles of the durations of attempts.
        lag_per_second: how fast the lag grows, in records a second.
        rebalances, commits, commit_failures: how often.
    """

    seconds: float
    received: int
    outcomes: int
    failed: int
    p50_seconds: float | None
    p99_seconds: float | None
    lag_per_second: float | None
    rebalances: int
    commits: int
    commit_failures: int


class MemberReport(Data):
    """A member of a pool.

    Attributes:
        pool, member: what they are called.
        breaker: what its breaker lets through.
        active, capacity: calls that run, and most that may.
        calls, failures: calls that have begun, and that have raised.
        worker: the worker that it is in, where there are several.
    """

    pool: str
    member: str
    breaker: str
    active: int
    capacity: int
    calls: int
    failures: int
    worker: str | None = None


class PartReport(Data):
    """A part of the agent of a stage.

    Attributes:
        part: its name.
        calls, failures: calls that have begun, and that have raised.
        seconds: how long all its calls took together.
    """

    part: str
    calls: int
    failures: int
    seconds: float


class OccurrenceReport(Data):
    """Something that has happened: when, in seconds since the epoch, what, and in which worker.

    `times` says how often in a row; `at` is then the last time.
    """

    at: float
    kind: str
    told: str
    worker: str | None = None
    times: int = 1
