"""Deadlines and intervals of a worker, and the objects that its segments share."""

import random
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, Broker
from streamapp.clock import Clock
from streamapp.observability.stage_metrics import STALL_AFTER_SECONDS
from streamapp.runtime.producer import SharedProducer


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Deadlines and intervals, in seconds unless the name says otherwise.

    Attributes:
        commit_interval_seconds: time between two commits. After a kill, the work of about this
            time is repeated.
        commit_records: number of finished records that causes a commit before the interval is over.
        commit_deadline_seconds: when commits have failed for so long, the worker gives its
            partitions up and joins the group again.
        linger_seconds: longest time that an output waits until others fill its batch.
        flush_records: number of finished input records whose outputs are sent without waiting
            longer.
        delivery_timeout_seconds: a batch that is not acknowledged for so long has failed.
        revoke_drain_seconds: time for work in flight to finish when a rebalance takes partitions
            away.
        shutdown_drain_seconds: time for work in flight to finish when the worker stops.
        open_timeout_seconds: longest wait for an agent to open its clients.
        stop_timeout_seconds: longest wait for a client to close.
        instance_id: makes this worker a static member of its groups, under this name, which no
            other worker may have; `None` means dynamic membership.
        session_timeout_seconds: a worker that sends no heartbeat for so long loses its partitions.
        topic_check_interval_seconds: time between two looks whether topics are gone or have grown.
        group_check_interval_seconds: time between two looks for strangers in the groups.
        topic_list_interval_seconds: least time between two looks for topics that match a pattern,
            each of which asks for the metadata of all topics.
        letter_count_interval_seconds: time between two counts of the dead letters that are open;
            `None` never counts.
        fetch_seconds: longest wait of one fetch, which new records end at once. A partition that
            becomes ready during a fetch of others is read only after it.
        stall_after_seconds: a stage that has lag and finishes no record for so long is stalled.
        waits_for_others: whether a record that fails alone through the world's fault waits until
            another one tells whose fault it is; a test with one record gives it none.
        waits_until_due: whether records wait in retry topics; a test does not wait for them.
    """

    commit_interval_seconds: float = 1.0
    commit_records: int = 20_000
    commit_deadline_seconds: float = 60.0
    linger_seconds: float = 0.05
    flush_records: int = 2048
    delivery_timeout_seconds: float = 120.0
    revoke_drain_seconds: float = 5.0
    shutdown_drain_seconds: float = 15.0
    open_timeout_seconds: float = 30.0
    stop_timeout_seconds: float = 5.0
    instance_id: str | None = None
    session_timeout_seconds: float = 10.0
    topic_check_interval_seconds: float = 10.0
    group_check_interval_seconds: float = 20.0
    topic_list_interval_seconds: float = 30.0
    letter_count_interval_seconds: float | None = 60.0
    fetch_seconds: float = 0.25
    stall_after_seconds: float = STALL_AFTER_SECONDS
    waits_for_others: bool = True
    waits_until_due: bool = True


@dataclass(frozen=True, slots=True)
class Environment:
    """What the segments of a worker share.

    Attributes:
        broker: makes consumers.
        admin: reads the limits of topics.
        producer: writes the outputs of all segments.
        clock: the time.
        rng: random numbers for backoff.
        config: deadlines and intervals.
        execution_id: id of this run of the worker, which dead letters have in a header.
        between: topics that a stage of the declared pipelines writes and another one reads.
    """

    broker: Broker
    admin: Admin
    producer: SharedProducer
    clock: Clock
    rng: random.Random
    config: RuntimeConfig
    execution_id: str
    between: frozenset[str] = frozenset()
