"""What one stage counts while it runs: plain numbers, read by Prometheus at scrape time.

Hot path: these are attributes, not labelled metrics; an increment is one bytecode or two. They
are touched from the event loop only.
"""

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

from streamapp.observability.histogram import Histogram
from streamapp.record import TopicPartition


class Outcome(StrEnum):
    """How a record ended at a stage: the closed set of the label `outcome`."""

    PROCESSED = "processed"  # outputs were made
    FILTERED = "filtered"  # the agent returned nothing, on purpose
    SKIPPED = "skipped"  # failed, and went on unchanged
    DROPPED = "dropped"  # failed, and was dropped on purpose
    DEAD_LETTERED = "dead_lettered"  # failed, and went to the dead-letter topic


class DeadLetterReason(StrEnum):
    """Why a record became a dead letter: the closed set of the label `reason`."""

    DECODE = "decode"  # bytes that are not what the schema says
    PERMANENT = "permanent"  # the agent said that the record is at fault
    EXHAUSTED = "exhausted"  # every attempt failed
    FAILED = "failed"  # failed once, and the policy gives no other attempt
    TIMEOUT = "timeout"  # the last attempt took too long
    BACKLOG = "backlog"  # too many records waited behind one of its key that kept failing
    OUTPUT = "output"  # an output does not fit: too many, too large, wrong type


class StageState(StrEnum):
    """What a stage is doing: the closed set of the label `state`."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"  # ended as asked: drained, or up to the end
    FAILED = "failed"  # ended by a failure, or by the policy `stop`


@dataclass(slots=True)
class PartitionMetrics:
    """State of one assigned partition; removed when the partition is revoked.

    Attributes:
        lag_records: records between the commit frontier and the end offset; `None` until known.
        oldest_timestamp_seconds: timestamp of the first unfinished record, in seconds since the
            epoch; `None` without lag.
        blocked: whether the partition takes no more records just now.
        last_progress_at: monotonic seconds when a record of it last finished or lag appeared;
            written through `progress.ProgressWatch`; `None` before it.
    """

    lag_records: int | None = None
    oldest_timestamp_seconds: float | None = None
    blocked: bool = False
    last_progress_at: float | None = None


class StageMetrics:
    """Counters of one stage.

    Attributes:
        pipeline, stage: the labels.
        source: topic that the stage, or the one that it is fused to, reads.
        fused_to: the stage that reads, holds partitions and commits for this one; `None` for a
            stage that does so itself.
        records_in: records taken from the broker, redelivered ones included.
        bytes_in: bytes of their values.
        processed, filtered, skipped, dropped, dead_lettered: records finished, by outcome.
        records_out: output records, acknowledged by the broker, by topic.
        attempt_duration: one attempt of the agent, in microseconds.
        age: time of processing less the record's timestamp, in milliseconds.
        retries: attempts after the first.
        timeouts: attempts that ran into their deadline.
        dead_letters: acknowledged dead letters by reason.
        in_flight_records, in_flight_bytes: taken and not finished.
        busy_lanes: attempts that run now.
        stuck_attempts: attempts that go on although they were cancelled a while ago.
        commits, commit_failures: commits of offsets.
        last_commit_at: monotonic seconds of the last commit that succeeded; `None` before it.
        last_progress_at: monotonic seconds when records last finished or lag appeared; written
            through `progress.ProgressWatch`; `None` before it.
        rebalances: assignments received.
        cut_off_since: monotonic seconds since when the stage is out of its group, or Kafka does not
            answer; `None` while it takes part.
        assignments_given_up: times the group was joined anew because commits kept failing.
        position_resets: times a position was no longer in the log and reading went on elsewhere.
        passed_over_offsets: offsets that these passed over.
        producer_replacements: times the producer was replaced after a failed batch.
        partitions: the assigned partitions.
        state: what the stage does now, one of the closed set of the label `state`.
    """

    def __init__(
        self, pipeline: str, stage: str, source: str, *, fused_to: str | None = None
    ) -> None:
        self.pipeline = pipeline
        self.stage = stage
        self.source = source
        self.fused_to = fused_to
        self.records_in = 0
        self.bytes_in = 0
        self.processed = 0
        self.filtered = 0
        self.skipped = 0
        self.dropped = 0
        self.dead_lettered = 0
        self.records_out: defaultdict[str, int] = defaultdict(int)
        self.attempt_duration = Histogram(unit_seconds=1e-6, buckets=32)
        self.age = Histogram(unit_seconds=1e-3, buckets=34)
        self.retries = 0
        self.timeouts = 0
        self.dead_letters: dict[DeadLetterReason, int] = dict.fromkeys(DeadLetterReason, 0)
        self.in_flight_records = 0
        self.in_flight_bytes = 0
        self.busy_lanes = 0
        self.stuck_attempts = 0
        self.commits = 0
        self.commit_failures = 0
        self.last_commit_at: float | None = None
        self.last_progress_at: float | None = None
        self.rebalances = 0
        self.cut_off_since: float | None = None
        self.assignments_given_up = 0
        self.position_resets = 0
        self.passed_over_offsets = 0
        self.producer_replacements = 0
        self.partitions: dict[TopicPartition, PartitionMetrics] = {}
        self.state = StageState.STARTING

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Records finished, by outcome."""
        return {
            Outcome.PROCESSED: self.processed,
            Outcome.FILTERED: self.filtered,
            Outcome.SKIPPED: self.skipped,
            Outcome.DROPPED: self.dropped,
            Outcome.DEAD_LETTERED: self.dead_lettered,
        }
