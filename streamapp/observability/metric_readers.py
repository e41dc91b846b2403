"""How each metric of a stage is read from its counters, at a scrape.

The table in `definitions` says what is exported. A definition without a reader here fails at the
first scrape, and a reader without a definition is never used: a test compares both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from streamapp.observability.causes import Level
from streamapp.observability.histogram import Histogram
from streamapp.observability.model_usage import ModelUsage
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.stage_metrics import (
    BreakerState,
    MemberState,
    PartFigures,
    Received,
    StageMetrics,
    StageState,
)
from streamapp.observability.verdict import Verdict, verdict_of


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape: its time, the same for all its series, and how each stage does then.

    The event loop runs other tasks during a scrape, so a stage is judged once.
    """

    monotonic: float
    time: float
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    def verdict(self, metrics: StageMetrics) -> Verdict:
        """How a stage does."""
        found = self.verdicts.get(id(metrics))
        if found is None:
            found = verdict_of(metrics, self.monotonic, metrics.stall_after_seconds)
            self.verdicts[id(metrics)] = found
        return found


Reading = tuple[tuple[str, ...], float | Histogram]
"""Values of the labels after pipeline and stage, and the value."""

Reader = Callable[[StageMetrics, Scrape], Iterable[Reading]]


def _value(read: Callable[[StageMetrics], float | Histogram]) -> Reader:
    """A metric with one series for each stage."""
    return lambda metrics, _: (((), read(metrics)),)


def _received(total: Callable[[StageMetrics], int], of_topic: Callable[[Received], int]) -> Reader:
    """A metric with one series for each topic; a fused stage has one with no topic."""

    def reader(metrics: StageMetrics, _: Scrape) -> Iterator[Reading]:
        if metrics.fused_to is not None:
            yield ("",), total(metrics)
        for topic, received in metrics.received.items():
            yield (topic,), of_topic(received)

    return reader


def _of_batches(read: Callable[[StageMetrics], float | Histogram | None]) -> Reader:
    """A metric of stages whose agents take batches; no series for others."""

    def reader(metrics: StageMetrics, _: Scrape) -> Iterator[Reading]:
        value = read(metrics)
        if value is not None:
            yield (), value

    return reader


def _age(read: Callable[[StageMetrics], float | None]) -> Reader:
    """Seconds since a monotonic time; no series while it is `None`."""

    def reader(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
        at = read(metrics)
        if at is not None:
            yield (), max(0.0, scrape.monotonic - at)

    return reader


def _of_first(read: Callable[[StageMetrics], float]) -> Reader:
    """A metric of stages that read topics; no series for those that are fused to another."""
    return lambda metrics, _: () if metrics.fused_to is not None else (((), read(metrics)),)


def _lane_seconds(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    if metrics.fused_to is None:
        for activity, seconds in metrics.lane_time.seconds(scrape.monotonic).items():
            yield (activity,), seconds


def _cut_off(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    since = metrics.cut_off_since
    yield (), 0.0 if since is None else max(0.0, scrape.monotonic - since)


def _held(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    since = metrics.held_since
    yield (), 0.0 if since is None else max(0.0, scrape.monotonic - since)


def _parts(read: Callable[[PartFigures], float]) -> Reader:
    """A metric with one series for each part of the agent of a stage."""
    return lambda metrics, _: (((name,), read(part)) for name, part in metrics.parts.items())


def _models(read: Callable[[ModelUsage], Mapping[tuple[str, ...], int]]) -> Reader:
    """A metric with series for each agent of a stage that asks a model."""
    return lambda metrics, _: (
        ((name, *labels), count)
        for name, usage in metrics.models.items()
        for labels, count in read(usage).items()
    )


def _members(read: Callable[[MemberState], float]) -> Reader:
    """A metric with one series for each member of a pool."""
    return lambda metrics, scrape: (
        ((pool, member.name), read(member))
        for pool, states in metrics.pools.items()
        for member in states(scrape.monotonic)
    )


def _member_breakers(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    for pool, states in metrics.pools.items():
        for member in states(scrape.monotonic):
            for state in BreakerState:
                yield (pool, member.name, state), int(member.breaker is state)


def _lag_records(metrics: StageMetrics, _: Scrape) -> Iterator[Reading]:
    for (topic, partition), state in metrics.partitions.items():
        if state.lag_records is not None:
            yield (topic, str(partition)), state.lag_records


def _lag_seconds(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    """Nothing while it is unknown."""
    for (topic, partition), state in metrics.partitions.items():
        if (seconds := state.lag_seconds(scrape.time)) is not None:
            yield (topic, str(partition)), seconds


def _retention_left(metrics: StageMetrics, _: Scrape) -> Iterator[Reading]:
    for (topic, partition), state in metrics.partitions.items():
        if state.lag_records and state.retention_left_seconds is not None:
            yield (topic, str(partition)), state.retention_left_seconds


def _waiting_records(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    """The lag of retry topics; a first stage reads those of the stages fused to it too."""
    for values, lag in _lag_records(metrics, scrape):
        if values[0] in metrics.read_retry_topics:
            yield values, lag


def _retry_waits(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    for (topic, partition), state in metrics.partitions.items():
        if topic in metrics.read_retry_topics:
            yield (topic, str(partition)), max(0.0, (state.waits_until or 0.0) - scrape.monotonic)


def _blocked(metrics: StageMetrics, _: Scrape) -> Iterator[Reading]:
    for (topic, partition), state in metrics.partitions.items():
        yield (topic, str(partition)), int(state.blocked)


def _lag_unknown(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    since = metrics.lag_unknown_since
    yield (), 0.0 if since is None else max(0.0, scrape.monotonic - since)


def _topic_faults(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    for topic, fault in metrics.topic_faults.items():
        yield (topic,), max(0.0, scrape.monotonic - fault.since)


def _progress_age(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    """Zero without lag; while lag is unknown, what it was, or nothing."""
    for (topic, partition), state in metrics.partitions.items():
        at = state.last_progress_at
        if state.lag_records == 0:
            yield (topic, str(partition)), 0.0
        elif at is not None:
            yield (topic, str(partition)), max(0.0, scrape.monotonic - at)


def _open_letters(read: Callable[[OpenLetters, float], float | None]) -> Reader:
    """A metric of the dead letters that are open; no series while it is not known."""

    def reader(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
        found = metrics.open_letters
        value = None if found is None else read(found, scrape.monotonic)
        if found is not None and value is not None:
            yield (found.topic,), value

    return reader


def _levels(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    for level in Level:
        yield (level,), int(scrape.verdict(metrics).level is level)


def _causes(metrics: StageMetrics, scrape: Scrape) -> Iterator[Reading]:
    for cause in dict.fromkeys(one.cause for one in scrape.verdict(metrics).findings):
        yield (cause,), 1


READERS: dict[str, Reader] = {
    "streamapp_received_records_total": _received(lambda m: m.records_in, lambda r: r.records),
    "streamapp_received_bytes_total": _received(lambda m: m.bytes_in, lambda r: r.bytes),
    "streamapp_finished_records_total": lambda m, _: (
        ((outcome,), count) for outcome, count in m.outcomes.items()
    ),
    "streamapp_acknowledged_records_total": _of_first(lambda m: m.acknowledged_records),
    "streamapp_produced_records_total": lambda m, _: (
        ((topic,), count) for topic, count in m.records_out.items()
    ),
    "streamapp_attempt_duration_seconds": _value(lambda m: m.attempt_duration),
    "streamapp_record_age_seconds": _value(lambda m: m.age),
    "streamapp_batch_records": _of_batches(lambda m: m.batch_records),
    "streamapp_failed_batches_total": _of_batches(
        lambda m: None if m.batch_records is None else m.failed_batches
    ),
    "streamapp_lag_records": _lag_records,
    "streamapp_lag_seconds": _lag_seconds,
    "streamapp_retention_left_seconds": _retention_left,
    "streamapp_topic_partitions": lambda m, _: (
        ((topic,), count) for topic, count in m.topic_partitions.items()
    ),
    "streamapp_in_flight_records": _value(lambda m: m.in_flight_records),
    "streamapp_in_flight_limit_records": _of_first(lambda m: m.max_in_flight_records),
    "streamapp_in_flight_bytes": _value(lambda m: m.in_flight_bytes),
    "streamapp_busy_lanes": _value(lambda m: m.busy_lanes),
    "streamapp_lanes": _of_first(lambda m: m.attempts_at_once),
    "streamapp_lane_seconds_total": _lane_seconds,
    "streamapp_stuck_attempts": _value(lambda m: m.stuck_attempts),
    "streamapp_retries_total": _value(lambda m: m.retries),
    "streamapp_later_retries_total": lambda m, _: (
        ((topic,), m.records_out[topic]) for topic in m.retry_topics
    ),
    "streamapp_waiting_records": _waiting_records,
    "streamapp_retry_wait_seconds": _retry_waits,
    "streamapp_timeouts_total": _value(lambda m: m.timeouts),
    "streamapp_unreadable_contexts_total": _value(lambda m: m.unreadable_contexts),
    "streamapp_dead_letters_total": lambda m, _: (
        ((reason,), count) for reason, count in m.dead_letters.items()
    ),
    "streamapp_dead_letter_depth_records": _open_letters(lambda one, _: one.count),
    "streamapp_dead_letter_oldest_age_seconds": _open_letters(OpenLetters.age_seconds),
    "streamapp_dead_letter_expiry_seconds": _open_letters(OpenLetters.seconds_left),
    "streamapp_commits_total": _value(lambda m: m.commits),
    "streamapp_commit_failures_total": _value(lambda m: m.commit_failures),
    "streamapp_last_commit_age_seconds": _age(lambda m: m.last_commit_at),
    "streamapp_last_progress_age_seconds": _age(lambda m: m.last_progress_at),
    "streamapp_cut_off_seconds": _cut_off,
    "streamapp_lag_unknown_seconds": _lag_unknown,
    "streamapp_topic_fault_seconds": _topic_faults,
    "streamapp_partition_progress_age_seconds": _progress_age,
    "streamapp_given_up_assignments_total": _value(lambda m: m.assignments_given_up),
    "streamapp_position_resets_total": _value(lambda m: m.position_resets),
    "streamapp_passed_over_offsets_total": _value(lambda m: m.passed_over_offsets),
    "streamapp_rebalances_total": _value(lambda m: m.rebalances),
    "streamapp_producer_replacements_total": _value(lambda m: m.producer_replacements),
    "streamapp_held_seconds": _held,
    "streamapp_holds_total": _value(lambda m: m.holds),
    "streamapp_probes_total": _value(lambda m: m.probes),
    "streamapp_breaker_state": lambda m, _: (
        ((state,), int(m.breaker_state is state)) for state in BreakerState
    ),
    "streamapp_agent_replacements_total": lambda m, _: (
        ((cause,), count) for cause, count in m.replacements.items()
    ),
    "streamapp_part_calls_total": _parts(lambda part: part.calls),
    "streamapp_part_failures_total": _parts(lambda part: part.failures),
    "streamapp_part_duration_seconds_total": _parts(lambda part: part.seconds),
    "streamapp_model_calls_total": _models(lambda usage: {(): usage.calls}),
    "streamapp_model_failures_total": _models(
        lambda usage: {(fault,): count for fault, count in usage.failures.items()}
    ),
    "streamapp_model_requests_total": _models(lambda usage: {(): usage.requests}),
    "streamapp_model_tokens_total": _models(
        lambda usage: {(direction,): count for direction, count in usage.tokens.items()}
    ),
    "streamapp_member_calls_total": _members(lambda m: m.calls),
    "streamapp_member_failures_total": _members(lambda m: m.failures),
    "streamapp_member_active_calls": _members(lambda m: m.active),
    "streamapp_member_capacity_calls": _members(lambda m: m.capacity),
    "streamapp_member_score_seconds": _members(lambda m: m.score),
    "streamapp_member_breaker_state": _member_breakers,
    "streamapp_partition_blocked": _blocked,
    "streamapp_stage_state": lambda m, _: (
        ((state,), int(m.state is state)) for state in StageState
    ),
    "streamapp_stage_position": lambda m, _: (((), m.position),) if m.position else (),
    "streamapp_stage_level": _levels,
    "streamapp_stage_cause": _causes,
}
"""Reads each metric of the table from a stage."""
