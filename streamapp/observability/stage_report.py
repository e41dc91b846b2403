"""What is known of stages at one moment, as data: what `/status` serves and runs keep.

Its fields are a contract: others read what one version has written. What is not known is `None`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from streamapp.observability.figures_report import (
    Data,
    ErrorReport,
    KindReport,
    LatelyReport,
    MemberReport,
    OccurrenceReport,
    OpenLettersReport,
    PartitionReport,
    PartReport,
)
from streamapp.observability.findings_report import FindingReport
from streamapp.observability.pipeline_report import PipelineReport

VERSION: Literal[1] = 1
"""Version of the document; it rises when a field changes its meaning or goes."""

HELD = "held"
"""The state of a stage that runs and holds its records."""


class StageReport(Data):
    """A stage, in one worker or in several together.

    Attributes:
        pipeline, stage: what it is called.
        state: state of the stage, or `held`; of an execution, its status.
        since: since when it has this state, in seconds since the epoch.
        ok: whether it does its work; `None` if that is not known.
        reason: why, in one clause.
        level: how it does: well, attention, unknown or failing; `None` where nobody has judged.
        findings: what is wrong, the gravest first.
        source: the topics that it reads; of a fused stage, those of the first one.
        fused_to: the first stage of its segment; `None` for a first stage.
        lately: what it did within the last minute; `None` until that is known.
        kinds: its dead letters by fingerprint, of this run, the latest kinds first.
        assigned: the partitions that it reads, no more than a thousand.
        last_commit_at: when a commit last succeeded, in seconds since the epoch.
        lag_seconds: age of the oldest record that is not finished.
        waiting: records of the lag that are not due yet, since they wait for a retry.
        waits_for: what topics the stage waits for, in a few words.
        in_flight_bytes: size of what was taken and is not finished.
        most_in_flight: most records that may be in flight; more than half of it is backpressure.
        running_attempts, most_attempts: attempts that run, and most that may run side by side.
        mean_batch_records: mean number of records of one call of a batch agent.
        written: records that Kafka has acknowledged, by topic; retries and dead letters are among
            them.
        members: the members of its pools.
        parts: the parts of its agent.
        occurrences: what has happened to it lately, the last one last.
        worker: the worker that it is of, where there are several.
        shares: what each of several workers says of it; none of one worker.
        records_in: records taken, redelivered ones included.
        outcomes: records finished, by outcome.
        dead_letters: dead letters, by reason.
        open_letters: those in its topic that were neither replayed nor discarded; `None` while that
            is not known.
        retries, timeouts: attempts after the first, and attempts that took too long.
        finished_per_second: records a second that were finished and acknowledged, lately.
        attempts: attempts that were measured.
        attempt_seconds: how long these took together.
        p99_seconds: upper bound of the 99th percentile of their durations.
        in_flight: records taken and not finished.
        partitions: assigned partitions.
        lag: records between the frontier and the end of the topics.
        breaker: what the breaker lets through.
        held_since, held_reason, next_probe_at: since when records are held, why, and the next try.
        left_out: members of pools whose breaker is open.
        errors: the latest failures, the last one last.
    """

    pipeline: str
    stage: str
    state: str
    since: float | None = None
    ok: bool | None = None
    reason: str = ""
    records_in: int = 0
    outcomes: Mapping[str, int] = Field(default_factory=dict)
    dead_letters: Mapping[str, int] = Field(default_factory=dict)
    retries: int = 0
    timeouts: int | None = None
    finished_per_second: float | None = None
    attempts: int = 0
    attempt_seconds: float = 0.0
    p99_seconds: float | None = None
    in_flight: int | None = None
    partitions: int | None = None
    lag: int | None = None
    breaker: str | None = None
    held_since: float | None = None
    held_reason: str | None = None
    next_probe_at: float | None = None
    left_out: tuple[str, ...] = ()
    errors: tuple[ErrorReport, ...] = ()
    level: str | None = None
    findings: tuple[FindingReport, ...] = ()
    source: str = ""
    fused_to: str | None = None
    lately: LatelyReport | None = None
    kinds: tuple[KindReport, ...] = ()
    open_letters: OpenLettersReport | None = None
    assigned: tuple[PartitionReport, ...] = ()
    last_commit_at: float | None = None
    lag_seconds: float | None = None
    waiting: int = 0
    waits_for: str | None = None
    in_flight_bytes: int | None = None
    most_in_flight: int | None = None
    running_attempts: int | None = None
    most_attempts: int | None = None
    mean_batch_records: float | None = None
    written: Mapping[str, int] = Field(default_factory=dict)
    members: tuple[MemberReport, ...] = ()
    parts: tuple[PartReport, ...] = ()
    occurrences: tuple[OccurrenceReport, ...] = ()
    worker: str | None = None
    shares: "tuple[StageReport, ...]" = ()

    @property
    def mean_seconds(self) -> float | None:
        """Mean duration of an attempt."""
        return self.attempt_seconds / self.attempts if self.attempts else None

    @property
    def trouble(self) -> str | None:
        """Why it does not do its work, or why that is not known; `None` if it does."""
        return (self.reason if self.ok is not True else None) or self.held_reason

    @property
    def finished(self) -> int:
        """Records finished, in whatever way."""
        return sum(self.outcomes.values())

    def of_worker(self, worker: str) -> "StageReport":
        """The same, with the name of the worker at it and at all that is told of it alone."""
        named = {"worker": worker}
        return self.model_copy(
            update={
                "worker": worker,
                "assigned": tuple(one.model_copy(update=named) for one in self.assigned),
                "members": tuple(one.model_copy(update=named) for one in self.members),
                "occurrences": tuple(one.model_copy(update=named) for one in self.occurrences),
            }
        )


class WorkerReport(Data):
    """A worker of a supervisor.

    Attributes:
        worker: what it is called.
        state: state of its process, in one word.
        ok: whether it works; `None` if that is not known.
        reason: why, in one clause.
        restarts: how often it was started again.
        process: id of its process; `None` without one.
    """

    worker: str
    state: str
    ok: bool | None
    reason: str
    restarts: int = 0
    process: int | None = None


class StatusReport(Data):
    """What `/status` serves.

    Attributes:
        version: of this document.
        at: when it was made, in seconds since the epoch.
        workers: how many workers are in it.
        silent_workers: how many others did not answer.
        findings: what is wrong with the workers, the gravest first.
        stages: the stages.
        pipelines: what the pipelines of these stages are; none where that is not known.
        crew: the workers of a supervisor; none of a worker without one.
        streamapp: version of streamapp.
        leaves: whether native leaves run or their twins in Python, and why; of several workers,
            each answer once.
        chains: the agents of assembled pipelines with their scores, and who has replaced whom.
    """

    version: Literal[1] = VERSION
    at: float
    workers: int = 1
    silent_workers: int = 0
    findings: tuple[FindingReport, ...] = ()
    stages: tuple[StageReport, ...] = ()
    pipelines: tuple[PipelineReport, ...] = ()
    crew: tuple[WorkerReport, ...] = ()
    streamapp: str | None = None
    leaves: str | None = None
    chains: tuple[dict[str, Any], ...] = ()

    def of_worker(self, worker: str) -> "StatusReport":
        """The same, with the name of the worker at each of its stages."""
        stages = tuple(one.of_worker(worker) for one in self.stages)
        return self.model_copy(update={"stages": stages})
