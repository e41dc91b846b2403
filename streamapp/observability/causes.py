"""Everything that can be wrong with a stage, in one table: its name, how grave it is, what to do.

The page, `/status`, the metrics, `streamapp status` and `lag --why` and their documentation use
these names. `python -m streamapp.observability.causes` prints the reference page.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a stage does; the values of the label `level`, the worst first."""

    FAILING = "failing"  # it does not do its work, or loses too much of it to dead letters
    UNKNOWN = "unknown"  # nobody can tell
    ATTENTION = "attention"  # it does its work, and somebody should look
    WELL = "well"


class Cause(StrEnum):
    """What is wrong; the values of the label `cause`, causes before their effects."""

    WORKER_SILENT = "worker_silent"
    WORKER_GONE = "worker_gone"
    NOT_RUNNING = "not_running"
    STAGE_FAILED = "stage_failed"
    TOPIC_MISSING = "topic_missing"
    PARTITIONS_UNREAD = "partitions_unread"
    BROKER_UNREACHABLE = "broker_unreachable"
    NO_ASSIGNMENT = "no_assignment"
    LOOP_BLOCKED = "loop_blocked"
    ACKNOWLEDGEMENTS_MISSING = "acknowledgements_missing"
    DEPENDENCY_DOWN = "dependency_down"
    MOST_RECORDS_FAIL = "most_records_fail"
    DEAD_LETTER_BUDGET = "dead_letter_budget"
    POISON_BURST = "poison_burst"
    ERROR_RATIO = "error_ratio"
    BATCHES_REFUSED = "batches_refused"
    COMMITS_FAILING = "commits_failing"
    FOREIGN_MEMBERS = "foreign_members"
    POSITIONS_MOVED = "positions_moved"
    POSITIONS_LOST = "positions_lost"
    REBALANCE_LOOP = "rebalance_loop"
    RETENTION_NEAR = "retention_near"
    STALLED = "stalled"
    PARTITION_STARVED = "partition_starved"
    HOT_KEY = "hot_key"
    SKEWED_PARTITION = "skewed_partition"
    SLOW_AGENT = "slow_agent"
    LAG_GROWING = "lag_growing"
    LAG_UNKNOWN = "lag_unknown"
    MEMBER_LEFT_OUT = "member_left_out"
    ATTEMPTS_STUCK = "attempts_stuck"
    CLOCK_SKEW = "clock_skew"
    LETTERS_EXPIRING = "letters_expiring"


@dataclass(frozen=True, slots=True)
class Entry:
    """A cause as people read of it.

    Attributes:
        level: how grave it is.
        meaning: what it means, as a clause.
        advice: what to do, as a sentence.
        command: the next command; `{pipeline}` and `{stage}` stand for their names.
    """

    level: Level
    meaning: str
    advice: str
    command: str = "streamapp status {pipeline} --watch"


TABLE: dict[Cause, Entry] = {
    Cause.WORKER_SILENT: Entry(
        Level.FAILING,
        "a worker does not answer: it hangs in its start, is frozen, or its event loop is blocked",
        "Read its last log lines; kill the process if it stays silent, and it is started again.",
        "streamapp status {pipeline}",
    ),
    Cause.WORKER_GONE: Entry(
        Level.ATTENTION,
        "a worker has ended and is started again",
        "Read its last log lines; its partitions are with the other workers meanwhile.",
        "streamapp status {pipeline}",
    ),
    Cause.NOT_RUNNING: Entry(
        Level.FAILING,
        "records wait for a stage, and no worker is in its group",
        "Start a worker; if the stage was renamed or given up, its group may be deleted.",
        "streamapp status {pipeline}",
    ),
    Cause.STAGE_FAILED: Entry(
        Level.FAILING,
        "the stage has ended by a failure",
        "Read the last lines of the worker's log, mend what they name, and start the worker again.",
        "streamapp status {pipeline}",
    ),
    Cause.TOPIC_MISSING: Entry(
        Level.FAILING,
        "a topic that the stage reads or writes does not exist",
        "Create the topic again; the stage goes on by itself.",
        "streamapp topics list",
    ),
    Cause.PARTITIONS_UNREAD: Entry(
        Level.ATTENTION,
        "a topic has partitions that the stage does not use yet",
        "Wait for the next rebalance, or restart the workers one after the other.",
    ),
    Cause.BROKER_UNREACHABLE: Entry(
        Level.UNKNOWN,
        "Kafka does not answer, or the stage is out of its group",
        "See whether the brokers run and can be reached; the stage goes on by itself.",
        "streamapp doctor",
    ),
    Cause.NO_ASSIGNMENT: Entry(
        Level.UNKNOWN,
        "the stage waits for the first assignment of its group",
        "See whether another member of the group hangs, and whether the brokers answer.",
    ),
    Cause.LOOP_BLOCKED: Entry(
        Level.FAILING,
        "an agent computes or waits without giving other work its turn",
        "Declare the agent as @agent(blocking=True), or make what it waits for awaitable.",
    ),
    Cause.ACKNOWLEDGEMENTS_MISSING: Entry(
        Level.FAILING,
        "Kafka does not acknowledge what the stage writes, although it can be read",
        "See whether the brokers that lead the output and dead-letter topics run and have enough"
        " replicas in sync; the stage goes on by itself.",
        "streamapp doctor",
    ),
    Cause.DEPENDENCY_DOWN: Entry(
        Level.FAILING,
        "what the agent depends on is down, so the records are held",
        "Mend what the reason names; the records are kept, and the stage goes on by itself.",
    ),
    Cause.MOST_RECORDS_FAIL: Entry(
        Level.FAILING,
        "most records fail, and the errors do not tell whose fault it is, so they are held",
        "Read the error: mend the agent or the producer and restart the workers, or mend what the"
        " agent depends on; the records are kept meanwhile.",
        "streamapp status {pipeline}",
    ),
    Cause.DEAD_LETTER_BUDGET: Entry(
        Level.FAILING,
        "the stage has written as many dead letters as its budget allows, so the records are held",
        "Look at the dead letters; mend the agent or the producer, and restart the worker.",
        "streamapp dlq stats --pipeline {pipeline} --stage {stage}",
    ),
    Cause.POISON_BURST: Entry(
        Level.FAILING,
        "many records fail in the same way",
        "Look at a dead letter of this fingerprint; mend the agent or the producer, then replay.",
        "streamapp dlq stats --pipeline {pipeline} --stage {stage}",
    ),
    Cause.ERROR_RATIO: Entry(
        Level.ATTENTION,
        "more records than usual fail for good",
        "Look at the dead letters by their fingerprints.",
        "streamapp dlq stats --pipeline {pipeline} --stage {stage}",
    ),
    Cause.BATCHES_REFUSED: Entry(
        Level.FAILING,
        "Kafka refuses what the stage writes, so the same records are tried again and again",
        "See the limits and the access of the output topics; the worker's log has Kafka's reason.",
        "streamapp topics list",
    ),
    Cause.COMMITS_FAILING: Entry(
        Level.FAILING,
        "commits of offsets fail, so the work is repeated after a rebalance",
        "See whether the coordinator of the group answers, and whether a member was evicted.",
    ),
    Cause.FOREIGN_MEMBERS: Entry(
        Level.FAILING,
        "members that are not workers of this pipeline have partitions of its group",
        "Find who uses the group, and give that program a group of its own.",
    ),
    Cause.POSITIONS_MOVED: Entry(
        Level.ATTENTION,
        "the committed offsets are not those that the last worker has committed",
        "If nobody has reset them on purpose, find out who did; records may be passed over.",
    ),
    Cause.POSITIONS_LOST: Entry(
        Level.FAILING,
        "positions were not in the log any more, so records were passed over",
        "Retention has deleted records before they were read: raise it, or add workers.",
        "streamapp lag {pipeline} --why",
    ),
    Cause.REBALANCE_LOOP: Entry(
        Level.ATTENTION,
        "the group rebalances again and again",
        "Look for workers that restart, or that block their event loop past the session.",
    ),
    Cause.RETENTION_NEAR: Entry(
        Level.FAILING,
        "the lag comes near to what the topic keeps",
        "Raise the retention of the topic now, then add workers.",
        "streamapp lag {pipeline} --why",
    ),
    Cause.STALLED: Entry(
        Level.FAILING,
        "there is lag, and no record finishes",
        "Read the last errors and the log; if neither tells, restart the worker.",
    ),
    Cause.PARTITION_STARVED: Entry(
        Level.FAILING,
        "a partition has lag, and none of its records finish",
        "Read the last errors and the log; if neither tells, restart the worker that has it.",
        "streamapp lag {pipeline} --why",
    ),
    Cause.HOT_KEY: Entry(
        Level.ATTENTION,
        "records of few keys wait for one another",
        "Spread the load over more keys, or give up the order within keys (ordering).",
        "streamapp lag {pipeline} --why",
    ),
    Cause.SKEWED_PARTITION: Entry(
        Level.ATTENTION,
        "one partition has nearly all of the lag",
        "See how the producer chooses partitions: a hot key, or a partitioner of its own.",
        "streamapp lag {pipeline} --why",
    ),
    Cause.SLOW_AGENT: Entry(
        Level.ATTENTION,
        "the agent is busy all the time, and the lag grows",
        "Add workers up to the number of partitions, raise its concurrency, or speed the agent up.",
        "streamapp lag {pipeline} --why",
    ),
    Cause.LAG_GROWING: Entry(
        Level.ATTENTION,
        "more records come than finish",
        "Add workers up to the number of partitions, and see what the stage waits for.",
        "streamapp lag {pipeline} --why",
    ),
    Cause.LAG_UNKNOWN: Entry(
        Level.UNKNOWN,
        "the lag cannot be measured",
        "See whether the brokers answer.",
        "streamapp doctor",
    ),
    Cause.MEMBER_LEFT_OUT: Entry(
        Level.ATTENTION,
        "a member of a pool fails, so the others do its work",
        "Mend what that member depends on; it is tried again by itself.",
    ),
    Cause.ATTEMPTS_STUCK: Entry(
        Level.ATTENTION,
        "attempts go on although they were cancelled",
        "Look for code of the agent that catches CancelledError, or a thread that never returns.",
    ),
    Cause.CLOCK_SKEW: Entry(
        Level.ATTENTION,
        "timestamps of records are ahead of the clock of this machine",
        "See the clocks of the producers and of this machine; ages and lag in seconds are wrong.",
    ),
    Cause.LETTERS_EXPIRING: Entry(
        Level.ATTENTION,
        "dead letters with which nothing was done will soon be deleted by their topic",
        "Send them back or discard them, or raise the retention of the topic until then.",
        "streamapp dlq stats --pipeline {pipeline} --stage {stage}",
    ),
}


OUTSIDE = (
    Cause.TOPIC_MISSING,
    Cause.BROKER_UNREACHABLE,
    Cause.NO_ASSIGNMENT,
    Cause.LOOP_BLOCKED,
    Cause.ACKNOWLEDGEMENTS_MISSING,
    Cause.DEPENDENCY_DOWN,
    Cause.MOST_RECORDS_FAIL,
    Cause.DEAD_LETTER_BUDGET,
    Cause.BATCHES_REFUSED,
    Cause.STAGE_FAILED,
)
"""Causes that explain why nothing finishes."""

EXPLAINED_BY: Mapping[Cause, tuple[Cause, ...]] = {
    Cause.STALLED: OUTSIDE,
    Cause.PARTITION_STARVED: OUTSIDE,
    Cause.LAG_UNKNOWN: (Cause.TOPIC_MISSING, Cause.BROKER_UNREACHABLE, Cause.NO_ASSIGNMENT),
    Cause.COMMITS_FAILING: (Cause.BROKER_UNREACHABLE, Cause.LOOP_BLOCKED),
    Cause.ACKNOWLEDGEMENTS_MISSING: (
        Cause.TOPIC_MISSING,
        Cause.BROKER_UNREACHABLE,
        Cause.NO_ASSIGNMENT,
        Cause.LOOP_BLOCKED,
    ),
    Cause.BATCHES_REFUSED: (
        Cause.TOPIC_MISSING,
        Cause.BROKER_UNREACHABLE,
        Cause.ACKNOWLEDGEMENTS_MISSING,
    ),
    Cause.REBALANCE_LOOP: (Cause.LOOP_BLOCKED, Cause.BROKER_UNREACHABLE),
    Cause.HOT_KEY: OUTSIDE,
    Cause.SLOW_AGENT: OUTSIDE,
    Cause.SKEWED_PARTITION: (*OUTSIDE, Cause.HOT_KEY),
    Cause.LAG_GROWING: (
        *OUTSIDE,
        Cause.FOREIGN_MEMBERS,
        Cause.HOT_KEY,
        Cause.SKEWED_PARTITION,
        Cause.SLOW_AGENT,
    ),
}
"""Effects, each with the causes beside which no alert tells it as well."""


def effects_among(causes: Iterable[str]) -> frozenset[str]:
    """Those that others of them explain: they are told after what explains them."""
    present = frozenset(causes)
    return frozenset(
        effect.value for effect, by in EXPLAINED_BY.items() if effect in present and present & {*by}
    )


def reference() -> Iterator[str]:
    """The lines of docs/reference/causes.md."""
    yield "# Causes"
    yield ""
    yield "What can be wrong with a stage or a worker, causes before their effects. If several are"
    yield "true at once, the gravest is told first, and of equally grave ones the first of these."
    yield "What another one explains is told after it: failing commits after Kafka that is down."
    yield ""
    yield "| cause | level | what it means | what to do |"
    yield "|---|---|---|---|"
    for cause, entry in TABLE.items():
        yield f"| `{cause}` | {entry.level} | {entry.meaning} | {entry.advice} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(reference()) + "\n")
