"""What the runbooks say of each cause beyond the table of causes."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamapp.observability.alerts.rule import SEND_BACK
from streamapp.observability.causes import Cause

BY_ITSELF = "By itself, when the cause is gone; the stage needs no restart."
WITHIN_A_MINUTE = "Within a minute after the repair, as the figures are those of the last minute."


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences of a runbook.

    Attributes:
        means: more of what it means.
        see: further ways to see it.
        do: further steps.
        ends: when the alert ends.
    """

    see: tuple[str, ...]
    do: tuple[str, ...]
    means: str = ""
    ends: str = BY_ITSELF


_DLQ = "`streamapp dlq stats MODULE:PIPELINE` counts the dead letters by fingerprint."

NOTES: Mapping[Cause, Notes] = {
    Cause.WORKER_SILENT: Notes(
        ("The process is there, but its pages do not answer: `streamapp status PIPELINE` fails.",),
        ("Its partitions go to the others when its session at Kafka is over.",),
        "It was stopped (SIGSTOP), or the machine swaps, or code of an agent never returns.",
        "When the worker answers again, or its process is replaced.",
    ),
    Cause.NOT_RUNNING: Notes(
        (
            "`streamapp lag PIPELINE` shows what waits, and the members of the group.",
            "The row `By what Kafka says` of the dashboard of the pipeline.",
        ),
        ("If records are near to being deleted, raise the retention of the topic first.",),
        "`streamapp exporter` has seen it for five minutes, longer than a restart takes; without an"
        " exporter, nobody runs who could tell.",
        "Within a minute after a worker has joined the group, or nothing waits any more.",
    ),
    Cause.STAGE_FAILED: Notes(
        ("The exit code of the worker says the kind: docs/reference/exit-codes.md.",),
        ("Other stages of a bundle go on; the failed one starts again with its worker only.",),
        ends="When the worker is started again.",
    ),
    Cause.TOPIC_MISSING: Notes(
        ("The log of the worker names the topic; `streamapp topics list` shows those there are.",),
        ("`streamapp topics apply MODULE:PIPELINE` creates what is missing.",),
        "A deleted topic has lost its records; a dead-letter topic that is gone stops the stage.",
        "Within a minute after the topic is there again.",
    ),
    Cause.PARTITIONS_UNREAD: Notes(
        ("The panel `Partitions, and those that are read` of the dashboard of the stage.",),
        ("If it lasts for minutes, see whether a member of the group hangs in a rebalance.",),
    ),
    Cause.BROKER_UNREACHABLE: Notes(
        ("`streamapp topics list` fails too if it is the brokers or the network.",),
        ("If only one worker says so, look at its machine, its credentials and its log.",),
        "Nothing is lost; after an hour and more, look at how much the topics keep.",
    ),
    Cause.NO_ASSIGNMENT: Notes(
        ("`streamapp lag PIPELINE` shows the members of the group.",),
        ("A member that hangs holds up a rebalance until its session is over; then it goes on.",),
    ),
    Cause.LOOP_BLOCKED: Notes(
        ("The figures name the agent, the file and the line that ran.",),
        ("Until that is mended, a shorter `max_in_flight_records` lessens what is repeated.",),
        "While it is blocked, the worker sends no heartbeat, and may be put out of its group.",
        WITHIN_A_MINUTE,
    ),
    Cause.ACKNOWLEDGEMENTS_MISSING: Notes(
        (
            "The rate of what is acknowledged is 0, while the lag is still measured.",
            "`kafka-topics.sh --describe --unavailable-partitions` names those without leader.",
        ),
        ("Do not restart the workers: what is not acknowledged is repeated by itself.",),
        "One of several brokers may be down, or `min.insync.replicas` is not reached.",
    ),
    Cause.DEPENDENCY_DOWN: Notes(
        ("The figures say which failure it was and when the next attempt is made.",),
        ("Do not restart: nothing is lost, and a new worker would ask the same service.",),
    ),
    Cause.MOST_RECORDS_FAIL: Notes(
        (
            "The figures name the error; `streamapp status PIPELINE` has its place in the agent.",
            _DLQ,
        ),
        (
            "If the agent has a bug, mend it and restart the workers: what was held is read again.",
            SEND_BACK,
        ),
        ends="When probes succeed, or the workers are started again with a mended agent.",
    ),
    Cause.DEAD_LETTER_BUDGET: Notes(
        (_DLQ,),
        (SEND_BACK,),
        ends="When the worker is started again; the budget is then whole.",
    ),
    Cause.POISON_BURST: Notes(
        (
            _DLQ,
            "`streamapp dlq show TOPIC:PARTITION:OFFSET` shows all that is known of one.",
        ),
        (SEND_BACK,),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.ERROR_RATIO: Notes((_DLQ,), (SEND_BACK,), ends=WITHIN_A_MINUTE),
    Cause.BATCHES_REFUSED: Notes(
        ("The panel `Batches that Kafka refused`; the rate of what is acknowledged is 0.",),
        ("See `max.message.bytes`, the disk of the brokers, and who may write to the topic.",),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.COMMITS_FAILING: Notes(
        ("The panels `Commits` and `Times since` of the dashboard of the stage.",),
        ("If an agent takes longer than the session of the group, mark it as blocking.",),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.FOREIGN_MEMBERS: Notes(
        ("`streamapp lag PIPELINE` shows how many members the group has.",),
        ("What it has read and committed is passed over: find the offsets, and read them again.",),
        "Records of the partitions that it has are lost to the pipeline.",
        "When that program has left the group.",
    ),
    Cause.POSITIONS_MOVED: Notes(
        ("The log of the worker says where it began, and where it has ended the last time.",),
        ("If records were passed over, reset the group to where they begin, with all stopped.",),
        ends="Ten minutes after the start that has seen it.",
    ),
    Cause.POSITIONS_LOST: Notes(
        ("The panel `Positions lost` shows how many offsets were skipped.",),
        ("The skipped records are not in Kafka any more; take them from where they came.",),
        ends="Ten minutes after the last of them.",
    ),
    Cause.REBALANCE_LOOP: Notes(
        ("The panel `Rebalances` by worker; what restarts shows in `streamapp status PIPELINE`.",),
        ("With a platform that scales, see that it waits longer than a rebalance takes.",),
        ends="Five minutes after the last of them.",
    ),
    Cause.RETENTION_NEAR: Notes(
        ("`streamapp topics list` shows what the topics keep.",),
        ("If a stage is held, raise the retention of its topic first, then mend the cause.",),
        "If nothing is done, Kafka deletes records before they are read.",
    ),
    Cause.STALLED: Notes(
        ("The last errors on the page, and the log of the worker.",),
        ("`streamapp lag PIPELINE --why` names another cause if there is one: follow that.",),
    ),
    Cause.PARTITION_STARVED: Notes(
        ("The panel `Without progress for` shows which partition.",),
        ("An attempt that never ends holds its key: see StreamappAttemptsStuck, and timeouts.",),
    ),
    Cause.HOT_KEY: Notes(
        ("The panel `What lanes do`: nearly all are idle while the intake is full.",),
        ("More workers do not help: records of a key wait for one another.",),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.SKEWED_PARTITION: Notes(
        ("The panels by partition of the dashboard of the stage.",),
        ("More workers do not help: a partition has one.",),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.SLOW_AGENT: Notes(
        ("The panels `Duration of an attempt` and `What lanes do`: all are busy.",),
        ("If attempts have become slower, what the agent calls has: more workers do not help.",),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.LAG_GROWING: Notes(
        ("The panels `Records in` and `Records finished and acknowledged` of the pipeline.",),
        ("If it is a peak that ends by itself, see that the retention is longer than it.",),
        ends=WITHIN_A_MINUTE,
    ),
    Cause.LAG_UNKNOWN: Notes(
        ("`streamapp lag PIPELINE` asks Kafka from elsewhere.",),
        ("If that works, look at the network between the worker and the brokers.",),
    ),
    Cause.MEMBER_LEFT_OUT: Notes(
        ("The row `Members of pools` of the dashboard of the stage.",),
        ("See whether the others have the capacity: if they are full, the stage slows down.",),
    ),
    Cause.ATTEMPTS_STUCK: Notes(
        ("The panel `Attempts that run` counts them.",),
        ("Restart the worker when it can be spared: their places are lost until then.",),
        ends="When they end, or the worker is started again.",
    ),
    Cause.LETTERS_EXPIRING: Notes(
        (
            f"{_DLQ} It says how long the oldest of each is kept.",
            "The row `Open dead letters` of the dashboard of dead letters.",
        ),
        (
            "`streamapp dlq export MODULE:PIPELINE --to=letters.jsonl` keeps a copy.",
            SEND_BACK,
            "`streamapp dlq discard` marks those that nobody needs, and the alert ends.",
        ),
        "A tenth of the retention is left, or a day: what is deleted cannot be sent back.",
        "Within two minutes after they were sent back or discarded, or are gone.",
    ),
    Cause.CLOCK_SKEW: Notes(
        ("The figures say by how much, and of which topic.",),
        ("A producer may also set timestamps of its own on purpose, of events long ago.",),
        ends=WITHIN_A_MINUTE,
    ),
}
