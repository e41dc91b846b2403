"""Everything that can go wrong in a run."""

from enum import StrEnum


class Fault(StrEnum):
    """Everything that can go wrong; each is counted when it happens."""

    # Members
    JOIN = "join"
    LEAVE = "leave"
    CRASH = "crash"
    FREEZE = "freeze"
    MUTE = "mute"  # heartbeats are lost, the rest goes on
    REBALANCE = "rebalance"
    # Writing
    BATCH_LOST = "batch lost"  # not written, and reported so
    BATCH_LIED = "batch lied"  # written, and reported as failed
    BATCH_VANISHED = "batch vanished"  # not written, and no answer
    BATCH_SILENT = "batch silent"  # written, and no answer
    BATCH_LATE = "batch late"
    SEND_REFUSED = "send refused"
    RECORD_REFUSED = "record refused"  # the broker takes no batch with a certain output
    SEND_STUCK = "send stuck"  # the client never takes the batch
    PRODUCER_REFUSED = "producer refused"
    LETTERS_REFUSED = "letters refused"  # dead-letter topics take nothing for a while
    COMMITS_REFUSED = "commits refused"  # the coordinator stores nothing for a while
    # Committing and reading
    COMMIT_FAILED = "commit failed"
    COMMIT_LIED = "commit lied"  # stored, and reported as failed
    COMMIT_REFUSED = "commit refused"
    COMMIT_SILENT = "commit silent"
    FETCH_FAILED = "fetch failed"
    FETCH_LATE = "fetch late"
    ASSIGNMENT_LATE = "assignment late"  # told long after the first records can be fetched
    OFFSETS_FAILED = "offsets failed"
    GAP = "gap"
    OUTAGE = "outage"
    RETENTION = "retention"  # records are deleted that nobody has read
    UNREADABLE = "unreadable"  # no client can parse a record
    NEW_TOPIC = "new topic"  # one that matches a pattern appears
    TRUNCATED = "truncated"  # a log loses its last records
    # Agents
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    HOPELESS = "hopeless"
    UNDECODABLE = "undecodable"
    SLOW = "slow"  # longer than the timeout
    SLOW_THREAD = "slow thread"  # a blocking agent takes longer than the timeout
    BACKLOG = "backlog"  # too many records wait behind one that fails
    STUBBORN = "stubborn"  # swallows its cancellation for a while
    BURN = "burn"  # computes without yielding
    BLOCK = "block"  # computes for longer than the session of its group
    MEMBER_DOWN = "member down"  # a member of a pool fails
    DOWN = "down"  # what an agent depends on is down


EVENTS = (
    Fault.JOIN,
    Fault.LEAVE,
    Fault.CRASH,
    Fault.FREEZE,
    Fault.MUTE,
    Fault.REBALANCE,
    Fault.OUTAGE,
    Fault.RETENTION,
    Fault.LETTERS_REFUSED,
    Fault.COMMITS_REFUSED,
)
"""Faults that happen at drawn times; the others happen with a drawn probability."""

CLEAN = frozenset(
    {
        Fault.JOIN,
        Fault.LEAVE,
        Fault.REBALANCE,
        Fault.GAP,
        Fault.FETCH_LATE,
        Fault.ASSIGNMENT_LATE,
        Fault.BURN,
        Fault.TRANSIENT,
        Fault.PERMANENT,
        Fault.HOPELESS,
        Fault.UNDECODABLE,
        Fault.BACKLOG,
        Fault.DOWN,
        Fault.MEMBER_DOWN,
        Fault.NEW_TOPIC,
    }
)
"""Faults after which nothing may be repeated."""
