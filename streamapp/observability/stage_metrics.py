"""Counters of a stage: plain numbers that Prometheus reads at each scrape.

Hot path: these are plain attributes and not labelled metrics, because an increment is then cheap.
Only the event loop reads and writes them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from streamapp.observability.histogram import Histogram
from streamapp.observability.lane_time import LaneTime
from streamapp.observability.last_errors import LastErrors
from streamapp.observability.letter_kinds import LetterKinds
from streamapp.observability.loop_blocks import LoopBlocks
from streamapp.observability.model_usage import ModelUsage
from streamapp.observability.noticed import Noticed
from streamapp.observability.occurrences import Occurrences
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.recent import Recent
from streamapp.record import TopicPartition


class Outcome(StrEnum):
    """How a record ended at a stage; the values of the label `outcome`."""

    PROCESSED = "processed"  # the agent returned outputs
    FILTERED = "filtered"  # the agent returned no output
    SKIPPED = "skipped"  # failed, and was passed on unchanged
    DROPPED = "dropped"  # failed, and the policy dropped it
    DEAD_LETTERED = "dead_lettered"  # failed, and went to the dead-letter topic
    RETRIED_LATER = (
        "retried_later"  # failed, and waits in a retry topic, from which it is read again
    )


class DeadLetterReason(StrEnum):
    """Why a record became a dead letter; the values of the label `reason`."""

    DECODE = "decode"  # its bytes do not fit the schema
    PERMANENT = "permanent"  # the agent said that the record is at fault
    EXHAUSTED = "exhausted"  # every attempt failed
    FAILED = "failed"  # it failed once, and the policy does not retry
    TIMEOUT = "timeout"  # the last attempt took too long
    BACKLOG = "backlog"  # too many records waited behind a failing one of its key
    OUTPUT = "output"  # an output does not fit: too many, too large, wrong type


class HoldKind(Enum):
    """What makes a stage hold its records."""

    DEPENDENCY = auto()  # what its agent depends on fails, or is slow
    FAILURES = auto()  # most records fail, with errors that do not tell whose fault it is
    BUDGET = auto()  # it has written as many dead letters as it may


class BreakerState(StrEnum):
    """What a breaker lets through; the values of the label `breaker`."""

    CLOSED = "closed"  # every call
    OPEN = "open"  # none
    HALF_OPEN = "half_open"  # one probe at a time


class ReplacementCause(StrEnum):
    """Why another agent took a place in an assembled pipeline; the values of the label `cause`."""

    UNREGISTERED = "unregistered"  # the agent is not in the registry any more
    BREAKER_OPEN = "breaker_open"  # its breaker was not closed for too long


STALL_AFTER_SECONDS = 60.0
"""How long a stage with lag may go without progress, unless told otherwise."""


class StageState(StrEnum):
    """State of a stage; the values of the label `state`."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"  # drained after a stop, or reached the end
    FAILED = "failed"  # ended by a failure, or by the policy `stop`


@dataclass(frozen=True, slots=True)
class TopicFault:
    """What is wrong with a topic that a stage reads or writes.

    Attributes:
        reason: one short clause for operators, which names the topic.
        since: monotonic seconds when it was first seen.
        hides_lag: whether the stage has lag in the topic that nobody measures.
        is_missing: whether the topic does not exist.
    """

    reason: str
    since: float
    hides_lag: bool = False
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """Timestamps that are far from the clock of this machine.

    Attributes:
        place: topic and partition of the record, as `topic[0]`.
        ahead_seconds: how far ahead they are; negative if they are behind.
        at: monotonic seconds when that was seen last.
    """

    place: str
    ahead_seconds: float
    at: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was seen once, and is told for a while.

    Attributes:
        told: what, in one clause.
        at: monotonic seconds when it was seen.
    """

    told: str
    at: float


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member of a pool as it is now.

    Attributes:
        name: name of the member, unique in its pool.
        active: calls that run.
        capacity: most calls that may run at a time.
        breaker: what its breaker lets through.
        score: how long a call would keep it from others: the lowest is called next.
        calls: calls that have begun.
        failures: calls that have raised.
        opened_at: monotonic seconds since when its breaker has not been closed; `None` if it is.
    """

    name: str
    active: int
    capacity: int
    breaker: BreakerState
    score: float
    calls: int
    failures: int
    opened_at: float | None = None


@dataclass(slots=True)
class Received:
    """What was taken of one topic, redelivered records included.

    Attributes:
        records: number of records.
        bytes: bytes of their values.
    """

    records: int = 0
    bytes: int = 0


@dataclass(slots=True)
class PartFigures:
    """Counters of one part of the agent of a stage.

    Attributes:
        calls: calls that have begun.
        failures: calls that have raised; those that were cancelled have not.
        seconds: how long all its calls took together.
        blamed: failures that were not the record's fault.
        cancelled: calls that were cancelled.
    """

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    blamed: int = 0
    cancelled: int = 0


class StageMetrics:
    """Counters of one stage.

    Attributes:
        pipeline, stage: the labels.
        source: topics that the stage, or the one that it is fused to, reads.
        fused_to: first stage of the segment, which reads and commits for this one; `None` for a
            first stage.
        position: place of the stage in its pipeline, from 1; 0 if it is not known.
        records_in: records taken from the broker, redelivered ones included.
        bytes_in: bytes of their values.
        received: the same two by topic; none for a stage that is fused to another.
        processed, filtered, skipped, dropped, dead_lettered, retried_later: records finished, by
            outcome; those that are retried later are read again.
        acknowledged_records: records finished whose outputs and dead letters Kafka has, counted at
            the first stage of a segment; a record whose outputs are refused counts as processed
            each time, and never as acknowledged.
        letter_kinds: its dead letters by kind, of this run.
        letter_retention_seconds: how long its dead-letter topic keeps them; `None` for ever.
        open_letters: those that lie in its topic and were neither replayed nor discarded; `None`
            while that is not known, and where another worker of the stage counts them.
        recent: its counters as they were lately.
        attempts_at_once: most attempts that run side by side; 1 if its agents never suspend.
        max_in_flight_records: most records that may be in flight; 0 until the stage starts.
        retry_topics: names of its retry topics.
        read_retry_topics: names of those that it reads, for the stages fused to it too.
        records_out: output records, acknowledged by the broker, by topic.
        attempt_duration: one attempt of the agent, in microseconds.
        batch_records: records of one call of a batch agent; `None` for other agents.
        failed_batches: calls with several records that failed as a whole.
        age: time of processing less the record's timestamp, in milliseconds.
        blamed_attempts: attempts that failed, and not through the record's fault.
        retries: attempts after the first.
        unreadable_contexts: headers of contexts that could not be read.
        timeouts: attempts that exceeded their deadline.
        dead_letters: acknowledged dead letters by reason.
        in_flight_records, in_flight_bytes: taken and not finished.
        busy_lanes: attempts that run now.
        lane_time: what the lanes did, and for how long; only a first stage has lanes.
        stuck_attempts: attempts that still run although they were cancelled a while ago.
        commits, commit_failures: commits of offsets.
        last_commit_at: monotonic seconds of the last commit that succeeded; `None` before it.
        last_progress_at: monotonic seconds when records last finished or lag appeared; written
            through `progress.ProgressWatch`; `None` before it.
        stall_after_seconds: how long it may go without progress while it has lag.
        unacknowledged_since: monotonic seconds since when batches wait for Kafka to acknowledge one
            of them, over replacements of the producer; `None` while none do.
        rebalances: assignments received.
        cut_off_since: monotonic seconds at which the stage began to join its group or left it, or
            Kafka stopped answering; `None` while it is a member and Kafka answers.
        lag_unknown_since: monotonic seconds since when the lag of a partition is unknown; written
            through `progress.ProgressWatch`; `None` while all are known.
        waits_for: what topics the stage waits for, in a few words; `None` while it reads some.
        topic_partitions: number of partitions of each topic that the stage reads, 0 if it is gone.
        topic_faults: topics of the stage that do not exist, or of which it does not use all
            partitions, with what is wrong, by name.
        assignments_given_up: assignments given up because commits kept failing.
        position_resets: times a position was not in the log and the stage continued
            elsewhere.
        passed_over_offsets: offsets skipped by these resets.
        producer_replacements: times the producer was replaced after a failed batch.
        blocked_by: which agent blocks the event loop past the session of the group, so that its
            work cannot be committed; `None` if none does.
        held_since: monotonic seconds since when records are held because what agents depend on is
            down, or there are too many dead letters; `None` while none are.
        held_reason: why, in one clause for operators.
        hold_kind: what it is that makes it hold them; of a hold that is over, what it was.
        noticed: since when something is wrong with it of which no counter says since when.
        clock_skew: timestamps that are far from the clock; `None` if none were seen.
        positions_moved: how it was seen that somebody else has moved positions of the group.
        group_members: how many members its group has; `None` while that is not known.
        foreign_members: which members of the group are no workers; `None` if all are.
        retention_seconds: how long its topics keep records, by topic; those that keep them for ever
            are left out.
        loop: when the event loop of the worker was blocked; `None` if nobody watches it.
        next_probe_at: monotonic seconds of the next probe, or of the end of the wait.
        holds: times that records began to be held.
        probes: attempts that were made meanwhile, to see whether they succeed again.
        breaker_state: what the breaker lets through.
        breaker_opened_at: monotonic seconds since when it has not been closed; `None` if it is.
        replacements: how often another agent took the place of one, by cause.
        pools: reads the members of each pool in its agent at a time in monotonic seconds, by the
            name of the pool.
        parts: counters of the parts that its agent is made of, by their names.
        models: what its agent or parts of it have used of language models, by their names.
        partitions: the assigned partitions.
        state: state of the stage.
        state_since: monotonic seconds at which it took this state; `None` until it starts.
        last_errors: its latest failures.
        occurrences: what has happened to it lately; what concerns a whole segment is noted at its
            first stage.
        is_contained: whether it has failed, and the other stages of its bundle go on.
    """

    def __init__(  # noqa: PLR0915 - a line is a counter
        self, pipeline: str, stage: str, source: str, *, fused_to: str | None = None
    ) -> None:
        self.pipeline = pipeline
        self.stage = stage
        self.source = source
        self.fused_to = fused_to
        self.position = 0
        self.records_in = self.bytes_in = 0
        self.received: defaultdict[str, Received] = defaultdict(Received)
        self.processed = 0
        self.filtered = self.skipped = 0
        self.dropped = 0
        self.dead_lettered = 0
        self.retried_later = 0
        self.acknowledged_records = 0
        self.letter_kinds = LetterKinds()
        self.letter_retention_seconds: float | None = None
        self.open_letters: OpenLetters | None = None
        self.recent = Recent()
        self.attempts_at_once = 1
        self.max_in_flight_records = 0
        self.retry_topics: tuple[str, ...] = ()
        self.read_retry_topics: Collection[str] = ()
        self.records_out: defaultdict[str, int] = defaultdict(int)
        self.attempt_duration = Histogram(unit_seconds=1e-6, buckets=32)
        self.age = Histogram(unit_seconds=1e-3, buckets=34)
        self.batch_records: Histogram | None = None
        self.failed_batches = self.retries = self.blamed_attempts = self.timeouts = 0
        self.unreadable_contexts = 0
        self.dead_letters: dict[DeadLetterReason, int] = dict.fromkeys(DeadLetterReason, 0)
        self.in_flight_records = self.in_flight_bytes = 0
        self.busy_lanes = 0
        self.lane_time = LaneTime()
        self.stuck_attempts = 0
        self.commits = self.commit_failures = 0
        self.last_commit_at: float | None = None
        self.last_progress_at: float | None = None
        self.stall_after_seconds = STALL_AFTER_SECONDS
        self.unacknowledged_since: float | None = None
        self.rebalances = 0
        self.cut_off_since: float | None = None
        self.lag_unknown_since: float | None = None
        self.waits_for: str | None = None
        self.topic_partitions: Mapping[str, int] = {}
        self.topic_faults: dict[str, TopicFault] = {}
        self.assignments_given_up = 0
        self.position_resets = self.passed_over_offsets = 0
        self.producer_replacements = 0
        self.blocked_by: str | None = None
        self.held_since: float | None = None
        self.breaker_opened_at: float | None = None
        self.held_reason: str | None = None
        self.hold_kind = HoldKind.DEPENDENCY
        self.noticed = Noticed()
        self.loop: LoopBlocks | None = None
        self.clock_skew: ClockSkew | None = None
        self.positions_moved: Notice | None = None
        self.group_members: int | None = None
        self.foreign_members: Notice | None = None
        self.retention_seconds: Mapping[str, float] = {}
        self.next_probe_at: float | None = None
        self.holds = self.probes = 0
        self.breaker_state = BreakerState.CLOSED
        self.replacements: dict[ReplacementCause, int] = dict.fromkeys(ReplacementCause, 0)
        self.pools: Mapping[str, Callable[[float], Sequence[MemberState]]] = {}
        self.parts: Mapping[str, PartFigures] = {}
        self.models: Mapping[str, ModelUsage] = {}
        self.partitions: dict[TopicPartition, PartitionMetrics] = {}
        self.state = StageState.STARTING
        self.state_since: float | None = None
        self.last_errors = LastErrors()
        self.occurrences = Occurrences()
        self.is_contained = False

    def begin_anew(self) -> None:
        """Forget what was true of a run that has ended, since another one follows; counts go on."""
        self.end()
        self.busy_lanes = self.stuck_attempts = 0
        self.blocked_by = None
        self.breaker_state, self.breaker_opened_at = BreakerState.CLOSED, None
        self.topic_faults = {}
        self.topic_partitions = {}
        self.partitions = {}
        self.open_letters = None

    def end(self) -> None:
        """Forget what is true of a run only while it goes on: what is left is read again."""
        self.in_flight_records = self.in_flight_bytes = 0
        self.waits_for = self.unacknowledged_since = None
        self.held_since = self.held_reason = self.next_probe_at = None

    def is_connected(self, now: float) -> None:
        """Note that it is a member of its group and Kafka answers, at a time in monotonic seconds.

        What could not be acknowledged meanwhile is waited for from now on.
        """
        if self.cut_off_since is not None and self.unacknowledged_since is not None:
            self.unacknowledged_since = now
        self.cut_off_since = None

    @property
    def lag_records(self) -> int | None:
        """Lag of all assigned partitions; `None` without any, or while a part of it is unknown."""
        lags = [partition.lag_records for partition in self.partitions.values()]
        known = [lag for lag in lags if lag is not None]
        hidden = any(fault.hides_lag for fault in self.topic_faults.values())
        return sum(known) if lags and len(known) == len(lags) and not hidden else None

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Records finished, by outcome."""
        return {
            Outcome.PROCESSED: self.processed,
            Outcome.FILTERED: self.filtered,
            Outcome.SKIPPED: self.skipped,
            Outcome.DROPPED: self.dropped,
            Outcome.DEAD_LETTERED: self.dead_lettered,
            Outcome.RETRIED_LATER: self.retried_later,
        }
