"""Finds what is wrong with a stage in its counters. The words for it stand in `causes`.

Each function looks for one kind of fault and yields what it finds, with figures as evidence. What
takes a while to be certain of, such as a share of failures, is looked for in the last minute.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamapp.observability.causes import TABLE, Cause, Level
from streamapp.observability.health import (
    READY_AFTER_SECONDS,
    cut_off_seconds,
    cut_off_words,
    held_words,
    partition_stalled,
    stage_stalled,
)
from streamapp.observability.readable import age, counted
from streamapp.observability.recent import KEPT_SECONDS, WINDOW_SECONDS, Change
from streamapp.observability.stage_metrics import (
    BreakerState,
    HoldKind,
    StageMetrics,
    StageState,
)

LEAST_RECORDS = 20
"""Of fewer records in the window, no share is computed: one failure would be too much of it.

Where fewer finish in a minute, the window is of five.
"""

LEAST_FAILED = 5
"""Fewer failures are chance where one record in a hundred is bad: two of thirty are nothing."""

MOST_FAILED = 0.05
"""Largest share of records that may fail for good; the example's own producers spoil 1 %."""

MOST_FAILED_BY_FAR = 0.25
"""From this share on a stage fails, however few fingerprints there are."""

MOST_TRIED_AGAIN = 0.5
"""A stage needs attention when so large a share of its records is put off to be tried again."""

MOST_OF_A_KIND = 0.5
"""From this share of the dead letters on, those of one fingerprint are a burst."""

MOST_REBALANCES = 5
"""Within five minutes; of a large group, a rolling restart makes more."""

UNACKNOWLEDGED_SECONDS = 15.0
"""Kafka acknowledges within milliseconds, and names another leader within seconds."""

LEAST_LAG = 1000
"""Less lag than this is no reason to look for why it grows."""

GROWTH_SECONDS = 30.0
GROWN = 1.1
"""The lag grows if it is larger than so many times what it was so long ago."""

BUSY_SHARE = 0.8
"""An agent is busy all the time if its attempts take this share of the time that they may."""

FEW_LANES = 0.2
MANY_WAITING = 10
"""Few keys keep a stage back if so small a share of its lanes is at work, while so many records for
each lane are taken and wait."""

MOST_OF_LAG = 0.8
"""A partition is skewed if it has this share of the lag of all."""

MOVED_TOLD_SECONDS = 120.0
"""How long it is told that somebody else has moved positions."""

MOST_OF_RETENTION, NEAR_END_OF_RETENTION = 0.5, 0.8
"""Shares of what a topic keeps from which on the lag is near to it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a stage.

    Attributes:
        cause: what.
        level: how grave it is.
        evidence: the figures that show it, in one clause; never values of records.
        since: monotonic seconds since when; `None` if that is not known.
        detail: what ends the evidence and is no figure of one worker alone.
    """

    cause: Cause
    level: Level
    evidence: str
    since: float | None = None
    detail: str = ""


Look = Callable[[StageMetrics, float, float], Iterator[Finding]]


def findings_of(metrics: StageMetrics, now: float, stall_after_seconds: float) -> Iterator[Finding]:
    """All that is wrong with a stage now, in no order; the arguments are those of `verdict_of`."""
    if metrics.state is StageState.FAILED:
        yield _found(Cause.STAGE_FAILED, "it has ended by a failure", metrics.state_since)
    if metrics.state in (StageState.FAILED, StageState.STOPPED):
        return
    for look in _LOOKS:
        yield from look(metrics, now, stall_after_seconds)


def _found(cause: Cause, evidence: str, since: float | None = None) -> Finding:
    return Finding(cause, TABLE[cause].level, evidence, since)


def _topics(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    for fault in metrics.topic_faults.values():
        cause = Cause.TOPIC_MISSING if fault.is_missing else Cause.PARTITIONS_UNREAD
        yield _found(cause, f"{fault.reason}, for {max(0.0, now - fault.since):.0f} s", fault.since)


def _membership(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    seconds = cut_off_seconds(metrics, now)
    if seconds >= READY_AFTER_SECONDS:
        cause = Cause.BROKER_UNREACHABLE if metrics.rebalances else Cause.NO_ASSIGNMENT
        yield _found(cause, cut_off_words(metrics, seconds), metrics.cut_off_since)
    unknown = [name for name, own in metrics.partitions.items() if own.lag_records is None]
    since = metrics.lag_unknown_since
    if unknown and since is not None and now - since >= READY_AFTER_SECONDS:
        topic, partition = min(unknown)
        told = f"lag of {topic}[{partition}] not known for {now - since:.0f} s"
        yield _found(Cause.LAG_UNKNOWN, told, since)


def _acknowledgements(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    since = metrics.unacknowledged_since
    if since is None or now - since < UNACKNOWLEDGED_SECONDS or not metrics.partitions:
        return
    told = f"nothing that the stage has sent was acknowledged for {now - since:.0f} s"
    yield _found(Cause.ACKNOWLEDGEMENTS_MISSING, told, since)


def _rebalances(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    change = metrics.recent.change(metrics, now, KEPT_SECONDS)
    # In a rolling restart each member leaves once and joins once.
    most = max(MOST_REBALANCES, 2 * (metrics.group_members or 0) + 1)
    if change is not None and change.rebalances >= most:
        told = f"{change.rebalances} rebalances within {change.seconds:.0f} s"
        yield _found(Cause.REBALANCE_LOOP, told)


def _held(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    if metrics.held_since is None:
        return
    yield _found(_HELD[metrics.hold_kind], held_words(metrics, now), metrics.held_since)


_HELD = {
    HoldKind.DEPENDENCY: Cause.DEPENDENCY_DOWN,
    HoldKind.FAILURES: Cause.MOST_RECORDS_FAIL,
    HoldKind.BUDGET: Cause.DEAD_LETTER_BUDGET,
}


def _blocked(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    if metrics.blocked_by is not None:
        yield _found(Cause.LOOP_BLOCKED, metrics.blocked_by)
    if metrics.loop is None:
        return
    block = metrics.loop.grave_block(now)
    if block is not None:
        is_own = (block.pipeline, block.stage) == (metrics.pipeline, metrics.stage)
        level = Level.FAILING if is_own else Level.ATTENTION
        yield Finding(Cause.LOOP_BLOCKED, level, block.in_words, block.since)


def _progress(metrics: StageMetrics, now: float, stall: float) -> Iterator[Finding]:
    if metrics.held_since is not None or metrics.state is StageState.STARTING:
        return
    lag = sum(p.lag_records or 0 for p in metrics.partitions.values() if not p.is_waiting(now))
    if not lag:
        return
    if (told := stage_stalled(metrics, now, stall)) is not None:
        yield _found(Cause.STALLED, told, metrics.last_progress_at)
    elif (told := partition_stalled(metrics, now, stall)) is not None:
        yield _found(Cause.PARTITION_STARVED, told)


def _lately(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    change = metrics.recent.change(metrics, now)
    if change is None:
        return
    longer = metrics.recent.change(metrics, now, KEPT_SECONDS)
    few = change.outcomes < LEAST_RECORDS  # of a slow stream, the last minutes say more
    long_enough = longer if few and longer is not None else change
    failures = list(_failures(metrics, long_enough))
    yield from failures or _attempts(metrics, long_enough)
    if change.commit_failures and not change.commits:
        told = f"{change.commit_failures} commits failed within {change.seconds:.0f} s, none worked"
        yield _found(Cause.COMMITS_FAILING, told)
    if change.producer_replacements > 1:
        told = (
            f"Kafka has refused batches {change.producer_replacements} times within"
            f" {change.seconds:.0f} s; {change.acknowledged:,} records were acknowledged"
        )
        yield _found(Cause.BATCHES_REFUSED, told)
    if change.position_resets:
        told = f"{change.position_resets} positions were not in the log any more"
        yield _found(Cause.POSITIONS_LOST, told)
    lately = metrics.recent.change(metrics, now, GROWTH_SECONDS)
    if metrics.held_since is None and lately is not None:
        yield from _growth(metrics, lately)


def _failures(metrics: StageMetrics, change: Change) -> Iterator[Finding]:
    if change.outcomes < LEAST_RECORDS or change.failed < LEAST_FAILED:
        return
    if change.failed_ratio <= MOST_FAILED:
        return
    told = failed_words(change.failed, change.outcomes, change.seconds)
    most = metrics.letter_kinds.most_lately()
    if most is not None and most[1] >= MOST_OF_A_KIND * change.failed:
        kind, _ = most
        detail = f", most with {kind.error} ({kind.fingerprint})"
        level = TABLE[Cause.POISON_BURST].level
        yield Finding(Cause.POISON_BURST, level, told + detail, detail=detail)
    else:
        level = Level.FAILING if change.failed_ratio >= MOST_FAILED_BY_FAR else Level.ATTENTION
        yield Finding(Cause.ERROR_RATIO, level, told)


def _attempts(metrics: StageMetrics, change: Change) -> Iterator[Finding]:
    """Records that have not failed for good, but do not succeed either: they are tried again."""
    later, blamed = change.retried_later, change.blamed
    if change.outcomes >= LEAST_RECORDS and later >= MOST_TRIED_AGAIN * change.outcomes:
        told = (
            f"{later:,} of {change.outcomes:,} records failed within {change.seconds:.0f} s, and"
            " wait in retry topics"
        )
    elif metrics.held_since is None and blamed >= max(LEAST_RECORDS, change.outcomes):
        told = (
            f"{blamed:,} attempts failed within {change.seconds:.0f} s, while"
            f" {change.outcomes:,} records were finished"
        )
    else:
        return
    yield Finding(Cause.ERROR_RATIO, Level.ATTENTION, told)


def failed_words(failed: int, outcomes: int, seconds: float) -> str:
    """How many records failed for good, in one clause."""
    return (
        f"{failed:,} of {outcomes:,} records failed for good within {seconds:.0f} s"
        f" ({failed / outcomes:.0%})"
    )


def _growth(metrics: StageMetrics, change: Change) -> Iterator[Finding]:
    lag, before = change.lag, change.lag_before
    if lag is None or before is None or lag < LEAST_LAG or lag <= GROWN * before:
        return
    grows = (
        f"the lag has grown from {before:,} to {lag:,} records within {change.seconds:.0f} s;"
        f" {change.acknowledged / change.seconds:,.0f} records/s finish"
    )
    places = metrics.attempts_at_once
    many_wait = change.mean_in_flight >= MANY_WAITING * places
    if places > 1 and many_wait and change.mean_busy_lanes <= max(1.5, FEW_LANES * places):
        told = (
            f"{change.mean_busy_lanes:.0f} of {places} lanes work, while"
            f" {change.mean_in_flight:,.0f} records wait for others of their keys; {grows}"
        )
        yield _found(Cause.HOT_KEY, told)
    skewed = _skewed(metrics, lag)
    if skewed is not None:
        yield _found(Cause.SKEWED_PARTITION, f"{skewed}; {grows}")
    if change.attempt_seconds >= BUSY_SHARE * change.seconds * places:
        mean_ms = change.attempt_seconds / max(1, change.attempts) * 1000
        told = f"an attempt takes {mean_ms:.1f} ms, {places} at a time, without a pause; {grows}"
        yield _found(Cause.SLOW_AGENT, told)
    yield _found(Cause.LAG_GROWING, grows)


def _skewed(metrics: StageMetrics, lag: int) -> str | None:
    lags = {name: own.lag_records or 0 for name, own in metrics.partitions.items()}
    if len(lags) < 2:  # noqa: PLR2004 - one partition has all of it
        return None
    name = max(lags, key=lambda one: (lags[one], one))
    share = lags[name] / lag
    if share < MOST_OF_LAG:
        return None
    return f"{name.topic}[{name.partition}] has {share:.0%} of the lag"


def _outside(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    """What somebody else has done."""
    foreign, moved, skew = metrics.foreign_members, metrics.positions_moved, metrics.clock_skew
    if foreign is not None:
        yield _found(Cause.FOREIGN_MEMBERS, foreign.told, foreign.at)
    if moved is not None and now - moved.at <= MOVED_TOLD_SECONDS:
        yield _found(Cause.POSITIONS_MOVED, moved.told, moved.at)
    if skew is not None and now - skew.at <= WINDOW_SECONDS:
        way = "ahead of" if skew.ahead_seconds > 0 else "behind"
        far = age(abs(skew.ahead_seconds))
        yield _found(Cause.CLOCK_SKEW, f"records of {skew.place} are {far} {way} the clock here")


def _retention(metrics: StageMetrics, _now: float, _: float) -> Iterator[Finding]:
    """Topics of which records may be deleted before they are read."""
    near: list[tuple[float, float, str]] = []
    for name, own in metrics.partitions.items():
        kept, left = metrics.retention_seconds.get(name.topic), own.retention_left_seconds
        if kept and left is not None and kept - left >= MOST_OF_RETENTION * kept:
            near.append((left, kept, f"{name.topic}[{name.partition}]"))
    if not near:
        return
    left, kept, place = min(near)
    is_nearly_over = kept - left >= NEAR_END_OF_RETENTION * kept
    told = (
        f"the first unread record of {place} will be deleted in {age(left)}: the topic keeps"
        f" records for {age(kept)}"
    )
    yield Finding(Cause.RETENTION_NEAR, Level.FAILING if is_nearly_over else Level.ATTENTION, told)


def _letters(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    found = metrics.open_letters
    if found is None or not found.is_expiring(now):
        return
    left, kept = found.seconds_left(now) or 0.0, found.retention_seconds or 0.0
    told = (
        f"nothing was done with {counted(found.count, 'dead letter')} in {found.topic}, of which"
        f" the oldest will be deleted in {age(left)}: the topic keeps records for {age(kept)}"
    )
    yield _found(Cause.LETTERS_EXPIRING, told)


def _members(metrics: StageMetrics, now: float, _: float) -> Iterator[Finding]:
    states = [one for read in metrics.pools.values() for one in read(now)]
    out = [one for one in states if one.breaker is BreakerState.OPEN]
    if out and metrics.held_since is None:
        names = ", ".join(sorted(one.name for one in out))
        since = min((one.opened_at for one in out if one.opened_at is not None), default=None)
        yield _found(Cause.MEMBER_LEFT_OUT, f"left out of {len(states)} members: {names}", since)
    if metrics.stuck_attempts:
        told = f"{metrics.stuck_attempts} attempts go on although they were cancelled"
        yield _found(Cause.ATTEMPTS_STUCK, told)


_LOOKS: tuple[Look, ...] = (
    _topics,
    _membership,
    _acknowledgements,
    _rebalances,
    _held,
    _blocked,
    _progress,
    _lately,
    _members,
    _outside,
    _retention,
    _letters,
)
