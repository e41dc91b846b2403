"""Deadlines and intervals of a worker, and what its segments share."""

import random
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, Broker
from streamapp.clock import Clock
from streamapp.runtime.producer import SharedProducer


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Deadlines and intervals, in seconds unless the name says otherwise.

    Attributes:
        commit_interval_seconds: between commits.
        commit_records: finished records after which is committed at once.
        commit_deadline_seconds: after so long without a commit that succeeded, the assignment is
            given up and the group joined anew.
        linger_seconds: longest wait of an output for company.
        flush_records: records after which outputs are sent at once.
        delivery_timeout_seconds: a batch without acknowledgement for so long has failed.
        revoke_drain_seconds: how long work in flight may take to finish when partitions go.
        shutdown_drain_seconds: the same on shutdown.
        open_timeout_seconds: longest wait for an agent to open its clients.
        stop_timeout_seconds: longest wait for a client to close.
        instance_id: name under which this worker is a static member of its groups, one that no
            other worker has; none is dynamic membership.
        session_timeout_seconds: a worker that is not heard of for so long loses its partitions.
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


@dataclass(frozen=True, slots=True)
class Environment:
    """What the segments of a worker share.

    Attributes:
        broker: where consumers come from.
        admin: tells the limits of topics.
        producer: writes for all of them.
        clock: time.
        rng: jitter of the backoff.
        config: deadlines and intervals.
        execution_id: this run of the worker, for dead letters.
    """

    broker: Broker
    admin: Admin
    producer: SharedProducer
    clock: Clock
    rng: random.Random
    config: RuntimeConfig
    execution_id: str
